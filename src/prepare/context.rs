//! What every operation needs at hand: the tree, the request, the header of the transaction to be.

use super::quota::QuotaView;
use super::{Output, PrepareConfig, Request};
use crate::jute::Encode;
use crate::protocol::{AclRef, ErrorCode, MultiHeader, OpCode, Zxid, put_stat};
use crate::tree::TreeWriter;
use crate::tree::apply::{Effect, apply};
use crate::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnType, put_sub_txn};

/// The preparing of one request.
pub(super) struct Context<'c> {
    pub tree: &'c mut TreeWriter,
    pub config: &'c PrepareConfig,
    pub request: &'c Request<'c>,
    pub zxid: Zxid,
    /// Inside a multi: transactions and results have headers of their own.
    pub in_multi: bool,
    /// Inside a multi: what the quotas of the operation's znode were before the multi.
    pub quota_before: Option<QuotaView>,
}

impl<'c> Context<'c> {
    pub(super) fn new(
        tree: &'c mut TreeWriter,
        config: &'c PrepareConfig,
        request: &'c Request<'c>,
        zxid: Zxid,
    ) -> Self {
        Context { tree, config, request, zxid, in_multi: false, quota_before: None }
    }

    pub(super) fn header(&self, kind: TxnType) -> TxnHeader {
        let Request { session_id, cxid, now_ms, .. } = *self.request;
        TxnHeader { client_id: session_id, cxid, zxid: self.zxid, time_ms: now_ms, kind }
    }

    /// Applies a transaction that has passed all checks, writes its bytes and the events it owes. That it
    /// cannot be applied for all that means that the tree is full: then nothing changes.
    pub(super) fn commit(
        &mut self,
        kind: TxnType,
        txn: &Txn<'_>,
        out: &mut Output,
    ) -> Result<Effect, ErrorCode> {
        let header = self.header(kind);
        let mark = self.tree.mark();
        let applied = match apply(self.tree, &header, txn) {
            Ok(applied) if applied.err == ErrorCode::Ok => applied,
            failed => {
                self.tree.undo_to(mark);
                tracing::error!(
                    zxid = self.zxid,
                    ?failed,
                    "a checked transaction cannot be applied"
                );
                return Err(ErrorCode::SystemError);
            }
        };
        if self.in_multi {
            put_sub_txn(&mut out.txn, kind, txn);
        } else {
            header.encode(&mut out.txn);
            txn.encode(&mut out.txn);
        }
        out.events.push_owed(txn, &applied.effect);
        Ok(applied.effect)
    }

    /// Appends the Stat that a change left.
    pub(super) fn put_stat_of(effect: &Effect, out: &mut Output) {
        if let Effect::Created { stat, .. }
        | Effect::DataSet { stat, .. }
        | Effect::AclSet { stat } = effect
        {
            put_stat(&mut out.reply, stat);
        }
    }

    /// Begins a result: inside a multi it has a header.
    pub(super) fn begin_result(&self, op: OpCode, out: &mut Output) {
        if self.in_multi {
            MultiHeader { kind: op.code(), done: false, err: 0 }.encode(&mut out.reply);
        }
    }

    /// Makes the transaction an error, whatever it was.
    pub(super) fn fail(&self, error: ErrorCode, out: &mut Output) -> TxnType {
        out.clear();
        self.header(TxnType::Error).encode(&mut out.txn);
        out.txn.put_i32(error.code());
        TxnType::Error
    }

    /// Ends the transaction with the digest of the tree as it is now.
    pub(super) fn put_digest(&self, out: &mut Output) {
        if self.config.digest_enabled {
            let tree_digest = self.tree.digest();
            TxnDigest { version: DIGEST_VERSION, tree_digest }.encode(&mut out.txn);
        }
    }
}

/// Whether an ACL is the one that nearly all znodes have.
pub(super) fn is_open(acl: &[AclRef<'_>]) -> bool {
    matches!(acl, [entry] if *entry == AclRef::ANYONE_ALL)
}
