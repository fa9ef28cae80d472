//! delete.

use super::Output;
use super::check::{next_version, parent_of_deletable};
use super::context::Context;
use crate::protocol::{DeleteRequest, ErrorCode, OpCode, perms};
use crate::txn::{Txn, TxnType};

/// Deletes a znode. The permission is the parent's to give; a wrong version comes before children.
pub(super) fn delete(
    context: &mut Context<'_>,
    request: &DeleteRequest<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let DeleteRequest { path, version } = *request;
    context.check_session()?;
    let parent_path = parent_of_deletable(path)?;
    context.check_acl(context.node(parent_path)?.acl(), perms::DELETE)?;
    let node = context.node(path)?;
    next_version(node.version(), version)?;
    if node.num_children() > 0 {
        return Err(ErrorCode::NotEmpty);
    }
    context.commit(TxnType::Delete, &Txn::Delete { path }, out)?;
    context.begin_result(OpCode::Delete, out);
    Ok(TxnType::Delete)
}
