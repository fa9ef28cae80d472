//! The one function by which transactions change the tree (`DataTree.processTxn`): on the leader that
//! prepared them, on followers, and at replay. It depends on the transaction and the state alone.
//!
//! A transaction that finds the tree other than its maker did (a znode to create that exists, one to
//! delete that is gone) is not an error here but a result: so it is when a log is replayed over one of
//! ZooKeeper's snapshots, and the tree does then what ZooKeeper's does.

use super::state::split;
use super::{AclId, Create, TreeError, TreeWriter};
use crate::protocol::{AclRef, CONTAINER_OWNER, ErrorCode, Stat, ttl_owner};
use crate::txn::{Txn, TxnHeader, TxnType};

/// What applying a transaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether it did what it says (`ProcessTxnResult.err`). Anything but `Ok` comes of an error
    /// transaction, or of a tree other than its maker's. An error number that is none of ZooKeeper's
    /// shows as `SystemError`.
    pub err: ErrorCode,
    /// What it did.
    pub effect: Effect,
}

/// What a transaction did: with its paths, all that events and replies are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that anybody has to be told of.
    None,
    /// The znode was created.
    Created {
        /// Its Stat.
        stat: Stat,
        /// Its ACL, which guards the event of its creation.
        acl: AclId,
        /// The ACL of its parent, which guards that of the change of its children.
        parent_acl: AclId,
    },
    /// The znode was deleted.
    Deleted {
        /// The ACL it had.
        acl: AclId,
        /// The ACL of its parent.
        parent_acl: AclId,
    },
    /// The data was replaced.
    DataSet {
        /// The Stat afterwards.
        stat: Stat,
        /// The ACL of the znode.
        acl: AclId,
    },
    /// The ACL was replaced. No watch fires.
    AclSet {
        /// The Stat afterwards.
        stat: Stat,
    },
    /// The session was opened.
    SessionCreated,
    /// The session was closed, and its ephemerals deleted, in this order.
    SessionClosed {
        /// The znodes that went with it.
        deleted: Vec<DeletedEphemeral>,
    },
    /// The results of a multi's sub-transactions, in order.
    Multi(Vec<Applied>),
}

/// An ephemeral that went with its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedEphemeral {
    /// Its path.
    pub path: String,
    /// The ACL it had.
    pub acl: AclId,
    /// The ACL of its parent.
    pub parent_acl: AclId,
}

impl Applied {
    fn ok(effect: Effect) -> Self {
        Self { err: ErrorCode::Ok, effect }
    }

    fn failed(err: ErrorCode) -> Self {
        Self { err, effect: Effect::None }
    }
}

/// Why a transaction cannot be applied. No tree of ZooKeeper's could have made it, or a bound was
/// reached; going on would lose state, so a server that meets it stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The tree refused a change.
    #[error("transaction {zxid:#x}, {kind:?} of {path:?}: {error}")]
    Refused {
        /// The transaction.
        zxid: i64,
        /// Its type.
        kind: TxnType,
        /// The znode; empty for a session.
        path: String,
        /// Why.
        error: TreeError,
    },
    /// A time to live that ZooKeeper would not store.
    #[error(
        "transaction {zxid:#x} creates {path:?} with a time to live of {ttl_ms} ms; 1 to 1099511627775 are possible"
    )]
    TimeToLive {
        /// The transaction.
        zxid: i64,
        /// The znode.
        path: String,
        /// What it says.
        ttl_ms: i64,
    },
    /// Header and body disagree.
    #[error("transaction {zxid:#x} has type {kind:?} and the body of {body:?}")]
    Mismatch {
        /// The transaction.
        zxid: i64,
        /// The type in the header.
        kind: TxnType,
        /// The type the body is of.
        body: TxnType,
    },
    /// A transaction that has no place inside a multi.
    #[error("transaction {zxid:#x} is a multi that contains {kind:?}")]
    InsideMulti {
        /// The transaction.
        zxid: i64,
        /// What it contains.
        kind: TxnType,
    },
}

/// Applies one transaction. On an error the tree may have taken a part of it: undo to a mark, or stop.
pub fn apply(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    txn: &Txn<'_>,
) -> Result<Applied, ApplyError> {
    match txn {
        Txn::Multi(txns) => {
            expect_kind(header, txn)?;
            apply_multi(writer, header, txns)
        }
        _ => apply_one(writer, header, txn),
    }
}

fn expect_kind(header: &TxnHeader, txn: &Txn<'_>) -> Result<(), ApplyError> {
    let body = txn.kind();
    let same =
        header.kind == body || matches!((header.kind, body), (TxnType::Create2, TxnType::Create));
    match same {
        true => Ok(()),
        false => Err(ApplyError::Mismatch { zxid: header.zxid, kind: header.kind, body }),
    }
}

fn apply_one(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    txn: &Txn<'_>,
) -> Result<Applied, ApplyError> {
    expect_kind(header, txn)?;
    let zxid = header.zxid;
    match txn {
        Txn::Create { path, data, acl, ephemeral, parent_cversion } => {
            let owner = if *ephemeral { header.client_id } else { 0 };
            create(writer, header, path, *data, acl, *parent_cversion, owner)
        }
        Txn::CreateContainer { path, data, acl, parent_cversion } => {
            create(writer, header, path, *data, acl, *parent_cversion, CONTAINER_OWNER)
        }
        Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms } => {
            let owner = ttl_owner(*ttl_ms).ok_or_else(|| ApplyError::TimeToLive {
                zxid,
                path: (*path).to_owned(),
                ttl_ms: *ttl_ms,
            })?;
            create(writer, header, path, *data, acl, *parent_cversion, owner)
        }
        Txn::Delete { path } | Txn::DeleteContainer { path } => delete(writer, header, path),
        Txn::SetData { path, data, version } | Txn::Reconfig { path, data, version } => {
            let set = writer.set_data(zxid, header.time_ms, path, *data, *version);
            settle(header, path, set, |(stat, acl)| Effect::DataSet { stat, acl })
        }
        Txn::SetAcl { path, acl, aversion } => set_acl(writer, header, path, acl, *aversion),
        Txn::CreateSession { timeout_ms } => {
            let opened = writer.create_session(zxid, header.client_id, *timeout_ms);
            settle(header, "", opened, |()| Effect::SessionCreated)
        }
        Txn::CloseSession { paths } => close_session(writer, header, paths.as_deref()),
        Txn::Error { err } => {
            Ok(Applied::failed(ErrorCode::from_i32(*err).unwrap_or(ErrorCode::SystemError)))
        }
        Txn::Check { .. } => Ok(Applied::ok(Effect::None)),
        Txn::Multi(_) => Err(ApplyError::InsideMulti { zxid, kind: TxnType::Multi }),
    }
}

/// What ZooKeeper takes as a result becomes one; all else is an error.
fn settle<T>(
    header: &TxnHeader,
    path: &str,
    made: Result<T, TreeError>,
    effect: impl FnOnce(T) -> Effect,
) -> Result<Applied, ApplyError> {
    match made {
        Ok(made) => Ok(Applied::ok(effect(made))),
        Err(TreeError::NoNode) => Ok(Applied::failed(ErrorCode::NoNode)),
        Err(TreeError::NodeExists) => Ok(Applied::failed(ErrorCode::NodeExists)),
        Err(error) => Err(refused(header, path, error)),
    }
}

fn refused(header: &TxnHeader, path: &str, error: TreeError) -> ApplyError {
    ApplyError::Refused { zxid: header.zxid, kind: header.kind, path: path.to_owned(), error }
}

fn create(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    path: &str,
    data: Option<&[u8]>,
    acl: &[AclRef<'_>],
    parent_cversion: i32,
    owner: i64,
) -> Result<Applied, ApplyError> {
    let acl = writer.intern_acl(acl).map_err(|error| refused(header, path, error))?;
    let (zxid, time_ms) = (header.zxid, header.time_ms);
    let created = writer.create(Create { zxid, time_ms, path, data, acl, owner, parent_cversion });
    if created == Err(TreeError::NodeExists) {
        writer.replace_acl(zxid, path, acl);
        // The plain create alone, as in ZooKeeper.
        if header.kind == TxnType::Create
            && let Ok((parent, _)) = split(path)
        {
            writer.raise_cversion(zxid, parent, parent_cversion);
        }
    }
    settle(header, path, created, |created| Effect::Created {
        stat: created.stat,
        acl,
        parent_acl: created.parent_acl,
    })
}

fn delete(writer: &mut TreeWriter, header: &TxnHeader, path: &str) -> Result<Applied, ApplyError> {
    let deleted = writer.delete(header.zxid, path);
    if deleted == Err(TreeError::NoNode)
        && let Ok((parent, _)) = split(path)
    {
        writer.raise_pzxid(header.zxid, parent);
    }
    settle(header, path, deleted, |deleted| Effect::Deleted {
        acl: deleted.acl,
        parent_acl: deleted.parent_acl,
    })
}

fn set_acl(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    path: &str,
    acl: &[AclRef<'_>],
    aversion: i32,
) -> Result<Applied, ApplyError> {
    let set =
        writer.intern_acl(acl).and_then(|acl| writer.set_acl(header.zxid, path, acl, aversion));
    settle(header, path, set, |stat| Effect::AclSet { stat })
}

/// Deletes the paths that the transaction names, then what the session still owns, in order.
fn close_session(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    paths: Option<&[&str]>,
) -> Result<Applied, ApplyError> {
    let mut deleted = Vec::new();
    let mut go = |writer: &mut TreeWriter, path: &str| {
        let applied = delete(writer, header, path)?;
        if let Effect::Deleted { acl, parent_acl } = applied.effect {
            deleted.push(DeletedEphemeral { path: path.to_owned(), acl, parent_acl });
        }
        Ok(())
    };
    for path in paths.unwrap_or_default() {
        go(writer, path)?;
    }
    for path in writer.ephemerals(header.client_id) {
        go(writer, &path)?;
    }
    let closed = writer.close_session(header.zxid, header.client_id);
    settle(header, "", closed, |()| Effect::SessionClosed { deleted })
}

/// Applies the sub-transactions; if one is an error, none does anything and all are errors: 0 before the
/// one that failed, `RuntimeInconsistency` after it.
fn apply_multi(
    writer: &mut TreeWriter,
    header: &TxnHeader,
    txns: &[(TxnType, Txn<'_>)],
) -> Result<Applied, ApplyError> {
    let failed = txns.iter().any(|(kind, _)| *kind == TxnType::Error);
    let mut results = Vec::with_capacity(txns.len());
    let mut after_error = false;
    for (kind, txn) in txns {
        let sub = TxnHeader { kind: *kind, ..*header };
        let result = match kind {
            TxnType::Error => {
                after_error = true;
                apply_one(writer, &sub, txn)?
            }
            TxnType::Create
            | TxnType::Create2
            | TxnType::CreateTtl
            | TxnType::CreateContainer
            | TxnType::Delete
            | TxnType::DeleteContainer
            | TxnType::SetData
            | TxnType::Check => match (failed, after_error) {
                (false, _) => apply_one(writer, &sub, txn)?,
                (true, false) => Applied::failed(ErrorCode::Ok),
                (true, true) => Applied::failed(ErrorCode::RuntimeInconsistency),
            },
            _ => return Err(ApplyError::InsideMulti { zxid: header.zxid, kind: *kind }),
        };
        results.push(result);
    }
    let err = results.iter().map(|r| r.err).find(|&err| err != ErrorCode::Ok);
    Ok(Applied { err: err.unwrap_or(ErrorCode::Ok), effect: Effect::Multi(results) })
}
