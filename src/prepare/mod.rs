//! Requests into transactions: every write of every session passes through here, on the leader.
//!
//! Owns the order of the checks and the choice of the error, both as in `PrepRequestProcessor`; the
//! transaction's bytes, made once; the reply's body; and the watch events, in their order. Checks
//! against the newest state of the tree and applies at once, by the function that replay and
//! followers use ([`apply`](crate::tree::apply)), so that a second tree fed with the bytes comes out equal.
//!
//! Never does I/O, reads no clock (the request brings its time), keeps no state of its own, sends nothing.
//! A failed request becomes an error transaction, which takes its zxid as ZooKeeper's do; the few that
//! take none are [`Outcome::Refused`].

mod acl;
mod body;
mod check;
mod container;
mod context;
mod create;
mod data;
mod delete;
mod multi;
mod output;
mod quota;
mod reconfig;
mod session;
#[cfg(test)]
mod tests;

pub use container::{ReapConfig, is_due, reap_candidates};
pub use output::{Event, Events, Output};

use crate::auth::AuthConfig;
use crate::jute::{Decoder, Field};
use crate::protocol::{DeleteRequest, ErrorCode, Identity, OpCode, SetDataRequest, Zxid};
use crate::tree::TreeWriter;
use crate::txn::TxnType;
use body::{DeleteBody, SetDataBody};
use context::Context;

/// What preparing depends on besides the request and the tree. Has no influence on how a transaction
/// is applied.
#[derive(Debug, Clone, Default)]
pub struct PrepareConfig {
    /// Schemes, super user, `skipACL`.
    pub auth: AuthConfig,
    /// `extendedTypesEnabled`: whether znodes may have a time to live. The tree must be made with the same.
    pub extended_types_enabled: bool,
    /// `enforceQuota`: whether a hard quota refuses writes.
    pub enforce_quota: bool,
    /// `digest.enabled`: whether transactions carry the tree's digest.
    pub digest_enabled: bool,
    /// `reconfigEnabled`. Reconfiguration is refused in any case, this chooses the error.
    pub reconfig_enabled: bool,
}

/// One request as the ensemble core hands it over.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks; 0 for the server itself.
    pub session_id: i64,
    /// The client's number of the request; 0 for the server itself.
    pub cxid: i32,
    /// What is asked for.
    pub op: OpCode,
    /// The request's record. Of createSession: the agreed time-out, an int; of closeSession: nothing.
    pub body: &'a [u8],
    /// Who the connection has proved to be.
    pub identities: &'a [Identity],
    /// Whether the session has gone over to another connection since this one sent the request.
    pub moved: bool,
    /// The wall clock's time for the transaction, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A transaction was made and applied, or an error transaction was made; its bytes, the reply's body
    /// and the events are in the [`Output`]. It has the zxid that was offered.
    Prepared(Prepared),
    /// No transaction was made and the offered zxid is free. The reply has this error, and no body.
    Refused(ErrorCode),
}

/// A transaction was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepared {
    /// Its number.
    pub zxid: Zxid,
    /// Its type; an error transaction for failed requests, but for failed multis.
    pub kind: TxnType,
    /// The error in the reply's header; without one the [`Output`] has the body. A failed multi has none:
    /// its body tells.
    pub error: ErrorCode,
}

/// Checks a request against the newest state, makes its transaction with `zxid`, and applies it. What
/// comes of it is put into `out`, whose buffers are cleared first and used again. The caller publishes,
/// or undoes with the tree's own means.
pub fn prepare(
    tree: &mut TreeWriter,
    config: &PrepareConfig,
    request: &Request<'_>,
    zxid: Zxid,
    out: &mut Output,
) -> Outcome {
    out.clear();
    let mut context = Context::new(tree, config, request, zxid);
    let (kind, error) = match dispatch(&mut context, request, out) {
        Ok(kind) => (kind, ErrorCode::Ok),
        Err(Failure::Error(error)) => (context.fail(error, out), error),
        Err(Failure::Whole(kind, error)) => (kind, error),
        Err(Failure::Refused(error)) => {
            out.clear();
            return Outcome::Refused(error);
        }
    };
    if kind != TxnType::Error {
        context.put_digest(out);
    }
    Outcome::Prepared(Prepared { zxid, kind, error })
}

/// How a request fails.
enum Failure {
    /// As an error transaction.
    Error(ErrorCode),
    /// As the transaction that was made, with an error in the reply's header.
    Whole(TxnType, ErrorCode),
    /// Without a transaction.
    Refused(ErrorCode),
}

impl From<ErrorCode> for Failure {
    fn from(error: ErrorCode) -> Self {
        Failure::Error(error)
    }
}

fn dispatch(
    context: &mut Context<'_>,
    request: &Request<'_>,
    out: &mut Output,
) -> Result<TxnType, Failure> {
    let body = request.body;
    Ok(match request.op {
        OpCode::SetData => {
            // A null path is none, as an empty one is.
            let SetDataBody { path, data, version } = decode(body)?;
            let path = path.unwrap_or_default();
            data::set_data(context, &SetDataRequest { path, data, version }, out)?
        }
        op @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer) => {
            create::create(context, op, decode(body)?, out)?
        }
        OpCode::CreateTtl => create::create_ttl(context, decode(body)?, out)?,
        OpCode::Delete => {
            let DeleteBody { path, version } = decode(body)?;
            let path = path.ok_or(ErrorCode::MarshallingError)?;
            delete::delete(context, &DeleteRequest { path, version }, out)?
        }
        OpCode::SetAcl => acl::set_acl(context, decode(body)?, out)?,
        OpCode::Multi => multi::multi(context, body, out)?,
        OpCode::CreateSession => session::create_session(context, body, out)?,
        OpCode::CloseSession => session::close_session(context, out)?,
        OpCode::DeleteContainer => container::delete_container(context, body, out)?,
        OpCode::Reconfig => return Err(reconfig::reconfig(context, &decode(body)?)),
        // check is an operation of a multi and nothing else; reads are not prepared.
        _ => return Err(Failure::Refused(ErrorCode::Unimplemented)),
    })
}

/// Reads a request's record. One that is none is refused without a transaction. Strings have to be UTF-8:
/// ZooKeeper makes U+FFFD of what is none, and two different requests one path.
fn decode<'a, T: Field<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    T::get(&mut Decoder::new(body)).map_err(|_| Failure::Refused(ErrorCode::MarshallingError))
}
