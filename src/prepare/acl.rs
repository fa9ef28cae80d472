//! setACL, and the ACLs that requests bring.

use super::Output;
use super::check::{check_path, next_version};
use super::context::{Context, is_open};
use crate::auth;
use crate::protocol::{Acl, AclRef, ErrorCode, SetAclRequest, perms};
use crate::txn::{Txn, TxnType};

/// The ACL to store for the one that a client sent. `None`: it is as it should be.
pub(super) fn fixed_up(
    context: &Context<'_>,
    acl: &[AclRef<'_>],
) -> Result<Option<Vec<Acl>>, ErrorCode> {
    if is_open(acl) {
        return Ok(None);
    }
    auth::fixup_acl(&context.config.auth, context.request.identities, acl)
        .map(Some)
        .map_err(|_| ErrorCode::InvalidAcl)
}

/// Replaces a znode's ACL. An invalid ACL comes before a znode that is not there.
pub(super) fn set_acl(
    context: &mut Context<'_>,
    request: SetAclRequest<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let SetAclRequest { path, acl, version } = request;
    context.check_session()?;
    check_path(path)?;
    let fixed = fixed_up(context, &acl)?;
    let acl = fixed.as_ref().map_or(acl, |fixed| fixed.iter().map(Acl::as_ref).collect());
    let node = context.node(path)?;
    context.check_acl(node.acl(), perms::ADMIN)?;
    let aversion = next_version(node.aversion(), version)?;
    let set = context.commit(TxnType::SetAcl, &Txn::SetAcl { path, acl, aversion }, out)?;
    Context::put_stat_of(&set, out);
    Ok(TxnType::SetAcl)
}
