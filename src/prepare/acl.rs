//! setACL, and the ACLs that requests bring.

use super::Output;
use super::body::{RequestAcl, SetAclBody};
use super::check::{check_path, next_version};
use super::context::{Context, is_open};
use crate::auth;
use crate::protocol::{Acl, ErrorCode, perms};
use crate::txn::{Txn, TxnType};

/// The ACL to store for the one that a client sent. `None`: it is as it should be.
pub(super) fn fixed_up(
    context: &Context<'_>,
    acl: &RequestAcl<'_>,
) -> Result<Option<Vec<Acl>>, ErrorCode> {
    if is_open(&acl.entries) && !acl.stumbles {
        return Ok(None);
    }
    // Entries are looked at in their order, so one that is not valid comes before one to stumble over.
    let fixed = match acl.entries.is_empty() && acl.stumbles {
        true => Vec::new(),
        false => auth::fixup_acl(&context.config.auth, context.request.identities, &acl.entries)
            .map_err(|_| ErrorCode::InvalidAcl)?,
    };
    if acl.stumbles { Err(ErrorCode::MarshallingError) } else { Ok(Some(fixed)) }
}

/// Replaces a znode's ACL. An invalid ACL comes before a znode that is not there.
pub(super) fn set_acl(
    context: &mut Context<'_>,
    request: SetAclBody<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    let SetAclBody { path, acl, version } = request;
    context.check_session()?;
    // A null path is none, as an empty one is.
    let path = path.unwrap_or_default();
    check_path(path)?;
    let fixed = fixed_up(context, &acl)?;
    let acl = fixed.as_ref().map_or(acl.entries, |fixed| fixed.iter().map(Acl::as_ref).collect());
    let node = context.node(path)?;
    context.check_acl(node.acl(), perms::ADMIN)?;
    let aversion = next_version(node.aversion(), version)?;
    let set = context.commit(TxnType::SetAcl, &Txn::SetAcl { path, acl, aversion }, out)?;
    Context::put_stat_of(&set, out);
    Ok(TxnType::SetAcl)
}
