//! Containers and znodes with a time to live: which are due, and their reaping (deleteContainer).

use super::check::parent_of_deletable;
use super::context::Context;
use super::{Failure, Output};
use crate::jute::Decoder;
use crate::protocol::{DeleteContainerRequest, EphemeralType, ErrorCode, perms};
use crate::tree::{Node, TreeWriter};
use crate::txn::{Txn, TxnType};

/// Reaps a container or TTL znode. The server asks for it, but clients may too, and then they need DELETE on the
/// parent as for any deletion: ZooKeeper looks at no ACL here, so there anybody deletes any childless znode. What is
/// ephemeral, or has children, stays.
pub(super) fn delete_container(
    context: &mut Context<'_>,
    body: &[u8],
    out: &mut Output,
) -> Result<TxnType, Failure> {
    let request = DeleteContainerRequest::decode(&mut Decoder::new(body));
    let DeleteContainerRequest { path } =
        request.map_err(|_| Failure::Refused(ErrorCode::MarshallingError))?;
    let parent_path = parent_of_deletable(path)?;
    if context.request.session_id != 0 {
        context.check_acl(context.node(parent_path)?.acl(), perms::DELETE)?;
    }
    let node = context.node(path)?;
    if node.num_children() > 0 {
        return Err(ErrorCode::NotEmpty.into());
    }
    if node.kind() == EphemeralType::Normal {
        return Err(ErrorCode::BadVersion.into());
    }
    context.node(parent_path)?;
    context.commit(TxnType::DeleteContainer, &Txn::DeleteContainer { path }, out)?;
    Ok(TxnType::DeleteContainer)
}

/// How the reaper goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReapConfig {
    /// `znode.container.maxNeverUsedIntervalMs`: after this time a container that never had a child goes
    /// as well; 0 keeps it for ever.
    pub never_used_ms_max: i64,
    /// The most znodes to name in one call.
    pub candidates_max: usize,
}

/// The containers and TTL znodes that are due at `now_ms` (milliseconds since 1970), to be sent through
/// [`prepare`](super::prepare) as deleteContainer requests (`ContainerManager`), each if it [is due](is_due) by then.
pub fn reap_candidates(tree: &TreeWriter, config: &ReapConfig, now_ms: i64) -> Vec<String> {
    tree.containers()
        .filter(|node| container_is_due(node, config, now_ms))
        .chain(tree.ttl_nodes().filter(|node| ttl_is_over(node, now_ms)))
        .take(config.candidates_max)
        .map(|node| node.path())
        .collect()
}

/// Whether what was a candidate still is one: from the look at it to its turn minutes may pass, in which its clients go on
/// using it. (ZooKeeper's `ContainerManager` does not ask again, and deletes what was set or created anew meanwhile.)
pub fn is_due(tree: &TreeWriter, path: &str, config: &ReapConfig, now_ms: i64) -> bool {
    tree.get(path).is_some_and(|node| match node.kind() {
        EphemeralType::Container => container_is_due(&node, config, now_ms),
        _ => ttl_is_over(&node, now_ms),
    })
}

fn elapsed_ms(node: &Node<'_>, now_ms: i64) -> i64 {
    now_ms.saturating_sub(node.stat().mtime_ms)
}

/// A fresh container is kept until it has had a child, or it would go before its first one came.
fn container_is_due(node: &Node<'_>, config: &ReapConfig, now_ms: i64) -> bool {
    let never_used_ms_max = config.never_used_ms_max;
    node.num_children() == 0
        && (node.cversion_persisted() > 0
            || (never_used_ms_max != 0 && elapsed_ms(node, now_ms) > never_used_ms_max))
}

fn ttl_is_over(node: &Node<'_>, now_ms: i64) -> bool {
    match node.kind() {
        EphemeralType::Ttl { ttl_ms } => {
            node.num_children() == 0 && ttl_ms != 0 && elapsed_ms(node, now_ms) > ttl_ms
        }
        _ => false,
    }
}
