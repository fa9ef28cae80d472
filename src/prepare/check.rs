//! The checks that operations share.

use super::context::Context;
use crate::auth;
use crate::protocol::{ErrorCode, path};
use crate::tree::{AclId, Node};

/// The znodes that a server cannot be without (`DataTree.isSpecialPath`).
const SPECIAL_PATHS: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

impl Context<'_> {
    /// The session lives, and the request came over its present connection.
    pub(super) fn check_session(&self) -> Result<(), ErrorCode> {
        if self.tree.session(self.request.session_id).is_none() {
            return Err(ErrorCode::SessionExpired);
        }
        if self.request.moved { Err(ErrorCode::SessionMoved) } else { Ok(()) }
    }

    /// The newest state of a znode. The root is also known by the empty path, which is what stands
    /// before the last slash of its children's.
    pub(super) fn node(&self, path: &str) -> Result<Node<'_>, ErrorCode> {
        let path = if path.is_empty() { "/" } else { path };
        self.tree.get(path).ok_or(ErrorCode::NoNode)
    }

    /// Whether the request's identities have one of the permissions under an ACL.
    pub(super) fn check_acl(&self, acl: AclId, permission: i32) -> Result<(), ErrorCode> {
        if acl == AclId::OPEN {
            return Ok(());
        }
        let (list, identities) = (self.tree.acl_list(acl), self.request.identities);
        if auth::allows(list, permission, identities, &self.config.auth) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}

/// The path is one.
pub(super) fn check_path(path: &str) -> Result<(), ErrorCode> {
    path::validate(path).map_err(|_| ErrorCode::BadArguments)
}

/// What stands before the last slash: the parent, the root as the empty path. A path that may have no
/// slash, or that has a NUL, is bad; what else may be wrong with it shows later.
pub(super) fn parent_of(path: &str) -> Result<&str, ErrorCode> {
    match path.rsplit_once('/') {
        Some((parent, _)) if !path.contains('\0') => Ok(parent),
        _ => Err(ErrorCode::BadArguments),
    }
}

/// The same for a znode that is to go.
pub(super) fn parent_of_deletable(path: &str) -> Result<&str, ErrorCode> {
    let parent = parent_of(path)?;
    if SPECIAL_PATHS.contains(&path) { Err(ErrorCode::BadArguments) } else { Ok(parent) }
}

/// The version that follows `current`, if that is the expected one; −1 expects any. Versions wrap
/// around, as Java's ints do.
pub(super) fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(current.wrapping_add(1))
}
