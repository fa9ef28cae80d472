//! What preparing hands back, in buffers that are used again and again.

use crate::protocol::{EventType, path};
use crate::tree::AclId;
use crate::tree::apply::{DeletedEphemeral, Effect};
use crate::txn::Txn;

/// Bytes of capacity that are kept from one request to the next; one rare huge request must not hold
/// its memory for ever.
const KEPT_BYTES: usize = 1 << 20;

/// The buffers that [`prepare`](super::prepare) fills. Make one and pass it to every call.
#[derive(Debug, Default)]
pub struct Output {
    /// The transaction: header, body, digest. These bytes go into the log and to the peers.
    pub txn: Vec<u8>,
    /// The body of the reply; empty if there is none, and for every reply with an error.
    pub reply: Vec<u8>,
    /// The watch events that the transaction owes, in the order in which they are due.
    pub events: Events,
    /// How often a quota was found exceeded that lets the request pass: a soft one, or one that is not enforced.
    pub quota_warnings: u32,
    /// The path of the last of them.
    pub quota_path: String,
    /// The path of a sequential znode while it is put together.
    pub(super) path: String,
}

impl Output {
    /// Empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the buffers.
    pub fn clear(&mut self) {
        self.txn.clear();
        self.txn.shrink_to(KEPT_BYTES);
        self.reply.clear();
        self.reply.shrink_to(KEPT_BYTES);
        self.events.clear();
        self.quota_warnings = 0;
    }
}

/// One watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened. A NodeDeleted is for data, exists and child watches, once a connection.
    pub kind: EventType,
    /// Where.
    pub path: &'a str,
    /// The ACL against which READ is checked when it is delivered: the znode's, of a deleted one the one
    /// it had. Good for as long as some shard has not gone beyond the transaction.
    pub acl: AclId,
}

/// Events, packed.
#[derive(Debug, Default)]
pub struct Events {
    paths: String,
    events: Vec<(EventType, usize, AclId)>,
}

impl Events {
    /// Adds one.
    pub fn push(&mut self, kind: EventType, path: &str, acl: AclId) {
        self.paths.push_str(path);
        self.events.push((kind, self.paths.len(), acl));
    }

    /// Adds what an applied transaction owes, in ZooKeeper's order; of a multi, what each of its operations
    /// owes. A server that did not prepare the transaction makes its events by this as well.
    pub fn push_owed(&mut self, txn: &Txn<'_>, effect: &Effect) {
        match (txn, effect) {
            (
                Txn::Create { path, .. }
                | Txn::CreateContainer { path, .. }
                | Txn::CreateTtl { path, .. },
                Effect::Created { acl, parent_acl, .. },
            ) => self.push_pair(EventType::NodeCreated, path, *acl, *parent_acl),
            (
                Txn::Delete { path } | Txn::DeleteContainer { path },
                Effect::Deleted { acl, parent_acl },
            ) => self.push_pair(EventType::NodeDeleted, path, *acl, *parent_acl),
            (
                Txn::SetData { path, .. } | Txn::Reconfig { path, .. },
                Effect::DataSet { acl, .. },
            ) => self.push(EventType::NodeDataChanged, path, *acl),
            (Txn::CloseSession { .. }, Effect::SessionClosed { deleted }) => {
                for DeletedEphemeral { path, acl, parent_acl } in deleted {
                    self.push_pair(EventType::NodeDeleted, path, *acl, *parent_acl);
                }
            }
            (Txn::Multi(txns), Effect::Multi(results)) => {
                for ((_, txn), result) in txns.iter().zip(results) {
                    self.push_owed(txn, &result.effect);
                }
            }
            // A changed ACL fires no watch.
            _ => {}
        }
    }

    /// What happened to a znode, and that its parent has other children now.
    fn push_pair(&mut self, kind: EventType, path: &str, acl: AclId, parent_acl: AclId) {
        self.push(kind, path, acl);
        if let Some(parent) = path::parent(path) {
            self.push(EventType::NodeChildrenChanged, parent, parent_acl);
        }
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = Event<'_>> {
        let mut start = 0;
        self.events.iter().map(move |&(kind, end, acl)| {
            let path = self.paths.get(start..end).unwrap_or_default();
            start = end;
            Event { kind, path, acl }
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.paths.clear();
        self.paths.shrink_to(KEPT_BYTES);
        self.events.clear();
        self.events.shrink_to(KEPT_BYTES / 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_were_put() {
        let mut events = Events::default();
        events.push(EventType::NodeCreated, "/a/b", AclId::OPEN);
        events.push(EventType::NodeChildrenChanged, "/a", AclId::OPEN);
        let all: Vec<_> = events.iter().map(|e| (e.kind, e.path)).collect();
        assert_eq!(all, [(EventType::NodeCreated, "/a/b"), (EventType::NodeChildrenChanged, "/a")]);
        events.clear();
        assert!(events.is_empty());
        assert_eq!(events.iter().count(), 0);
    }
}
