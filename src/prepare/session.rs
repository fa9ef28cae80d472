//! createSession and closeSession.

use super::context::Context;
use super::{Failure, Output, decode};
use crate::protocol::ErrorCode;
use crate::txn::{Txn, TxnType};

/// Opens the request's session; its body is the agreed time-out.
pub(super) fn create_session(
    context: &mut Context<'_>,
    body: &[u8],
    out: &mut Output,
) -> Result<TxnType, Failure> {
    let timeout_ms = decode(body)?;
    context.commit(TxnType::CreateSession, &Txn::CreateSession { timeout_ms }, out)?;
    Ok(TxnType::CreateSession)
}

/// Closes the request's session, and deletes its ephemerals. Expiry asks for it as well, so neither the
/// session nor its connection is looked at; closing one that is gone makes a transaction too.
pub(super) fn close_session(
    context: &mut Context<'_>,
    out: &mut Output,
) -> Result<TxnType, ErrorCode> {
    // In the order of the paths, which everybody agrees on.
    let paths: Vec<String> = context.tree.ephemerals(context.request.session_id).collect();
    let paths = Some(paths.iter().map(String::as_str).collect());
    context.commit(TxnType::CloseSession, &Txn::CloseSession { paths }, out)?;
    Ok(TxnType::CloseSession)
}
