//! reconfig: refused.

use super::Failure;
use super::context::Context;
use crate::protocol::{ErrorCode, ReconfigRequest};

/// Why there is no reconfiguration: it is turned off, or it is on and this server cannot do it (as
/// ZooKeeper's standalone server).
pub(super) fn reconfig(context: &Context<'_>, _request: &ReconfigRequest<'_>) -> Failure {
    if !context.config.reconfig_enabled {
        return ErrorCode::ReconfigDisabled.into();
    }
    match context.check_session() {
        Ok(()) => ErrorCode::Unimplemented.into(),
        Err(error) => error.into(),
    }
}
