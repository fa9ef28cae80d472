//! setData, and check.

use super::Output;
use super::check::{check_path, next_version};
use super::context::Context;
use crate::protocol::{CheckVersionRequest, ErrorCode, OpCode, SetDataRequest, perms};
use crate::txn::{Txn, TxnType};

/// Replaces a znode's data. The quota comes before the version.
pub(super) fn set_data(
    context: &mut Context<'_>,
    request: &SetDataRequest<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let SetDataRequest { path, data, version } = *request;
    context.check_session()?;
    check_path(path)?;
    let node = context.node(path)?;
    let (current, bytes_before) = (node.version(), node.data_len());
    context.check_acl(node.acl(), perms::WRITE)?;
    let bytes = data.map_or(0, <[u8]>::len) as i64 - bytes_before as i64;
    context.check_quota(path, bytes, 0, out)?;
    let version = next_version(current, version)?;
    let set = context.commit(TxnType::SetData, &Txn::SetData { path, data, version }, out)?;
    context.begin_result(OpCode::SetData, out);
    Context::put_stat_of(&set, out);
    Ok(TxnType::SetData)
}

/// Compares a znode's version, inside a multi.
pub(super) fn check(
    context: &mut Context<'_>,
    request: &CheckVersionRequest<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let CheckVersionRequest { path, version } = *request;
    context.check_session()?;
    check_path(path)?;
    let node = context.node(path)?;
    context.check_acl(node.acl(), perms::READ)?;
    let version = next_version(node.version(), version)?;
    context.commit(TxnType::Check, &Txn::Check { path, version }, out)?;
    context.begin_result(OpCode::Check, out);
    Ok(TxnType::Check)
}
