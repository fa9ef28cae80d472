//! A client's request: prepared, logged with the batch in the making, answered when that is durable.

use crate::jute::{Decoder, Encode};
use crate::lanes::entry::{EntryHead, EntryKind, EntryWriter, put_ephemerals};
use crate::lanes::request::Request;
use crate::log::{LogDir, Room};
use crate::metrics::Counter;
use crate::planted::{self, Planted};
use crate::prepare::{self, Outcome};
use crate::protocol::{ErrorCode, GetEphemeralsRequest, OpCode, SyncRequest, Zxid};
use crate::reactor::{ConnId, monotonic_ns};
use crate::tree;
use crate::txn::{DIGEST_VERSION, Txn, TxnDigest, TxnHeader, TxnType, encode_record};

use super::EnsembleCore;
use super::batch::shard_bit;

impl<D: LogDir> EnsembleCore<D> {
    pub(super) fn client_request(&mut self, shard: usize, request: &Request<'_>) {
        let present = self.registry.check(request.slot, request.session_id, request.generation);
        if present.is_err() && !planted::is(Planted::OldConnectionServed) {
            // The session has moved to another connection, or is gone, and this connection was told to go when that
            // happened. Nothing of it may be ordered behind what the session's present connection does.
            return;
        }
        match OpCode::from_i32(request.op) {
            Some(OpCode::Sync) => self.sync(shard, request),
            Some(OpCode::GetEphemerals) => self.get_ephemerals(shard, request),
            Some(op) => self.transaction(shard, request, op),
            None => unreachable!("shards forward known opcodes only"),
        }
    }

    fn sync(&mut self, shard: usize, request: &Request<'_>) {
        let (kind, conn, cxid) = (EntryKind::Reply, request.conn, request.cxid);
        match SyncRequest::decode(&mut Decoder::new(request.body)) {
            Ok(r) => self.answer(shard, kind, conn, cxid, 0, |out| {
                out.put_buffer(r.path.map(str::as_bytes));
            }),
            Err(_) => {
                let err = ErrorCode::MarshallingError.code();
                self.answer(shard, kind, conn, cxid, err, |_| {});
            }
        }
    }

    /// Shows the ephemerals of exactly the zxid that it is answered at: it leaves when that is committed.
    fn get_ephemerals(&mut self, shard: usize, request: &Request<'_>) {
        let (kind, conn, cxid) = (EntryKind::Reply, request.conn, request.cxid);
        let Ok(r) = GetEphemeralsRequest::decode(&mut Decoder::new(request.body)) else {
            let err = ErrorCode::MarshallingError.code();
            return self.answer(shard, kind, conn, cxid, err, |_| {});
        };
        let prefix = match r.prefix_path {
            Some(prefix) if !matches!(prefix.trim(), "" | "/") => prefix,
            _ => "",
        };
        self.answer_ephemerals(shard, conn, cxid, request.session_id, prefix);
    }

    fn answer_ephemerals(
        &mut self,
        shard: usize,
        conn: ConnId,
        cxid: i32,
        session_id: i64,
        prefix: &str,
    ) {
        let mut entry = EntryWriter::new(&mut self.building.entries);
        put_ephemerals(entry.body(), prefix, self.tree.ephemeral_numbers(session_id));
        let (zxid, kind) = (self.last_zxid, EntryKind::Ephemerals);
        entry.finish(&EntryHead { zxid, kind, shard: shard as u16, conn, cxid, err: 0 });
        self.building.replies |= shard_bit(shard);
    }

    fn transaction(&mut self, shard: usize, request: &Request<'_>, op: OpCode) {
        if self.log_has_room() == Room::None {
            let reason = self.log.no_room_reason();
            let why =
                format_args!("refused a write: the log cannot have its next segment: {reason}");
            self.complain(Counter::RefusedNoSpace, why);
            let (kind, err) = (EntryKind::Reply, ErrorCode::SystemError.code());
            return self.answer(shard, kind, request.conn, request.cxid, err, |_| {});
        }
        let known = self.known_identities.get(&self.identities, request.identities);
        let identities = known.cloned();
        let prepared = prepare::Request {
            session_id: request.session_id,
            cxid: request.cxid,
            op,
            body: request.body,
            // A list is released behind the last request that carries it.
            identities: identities.as_deref().expect("the request's identities are interned"),
            moved: false,
            now_ms: self.wall_ms,
        };
        let err = self.order(&prepared, Some((shard, request)));
        if op == OpCode::CloseSession && err == ErrorCode::Ok {
            self.registry.remove(request.session_id);
        }
    }

    /// Makes the request a transaction, applies it, and adds it to the batch in the making, with the reply to the
    /// connection that asked, if there is one.
    pub(super) fn order(
        &mut self,
        request: &prepare::Request<'_>,
        from: Option<(usize, &Request<'_>)>,
    ) -> ErrorCode {
        let zxid = self.agreement.next_zxid();
        let mark = self.tree.mark();
        let mut outcome =
            prepare::prepare(&mut self.tree, &self.config.prepare, request, zxid, &mut self.output);
        if self.output.txn.len() > self.config.txn_bytes_max
            && let Outcome::Prepared(prepared) = &mut outcome
        {
            self.cut_down(request, zxid, mark, prepared);
        }
        if self.output.quota_warnings > 0 {
            let path = std::mem::take(&mut self.output.quota_path);
            let why =
                format_args!("quota exceeded: {path} (see listquota {path}); the write is done");
            self.complain(Counter::QuotaExceeded, why);
            self.output.quota_path = path;
        }
        let error = match outcome {
            Outcome::Prepared(prepared) => {
                self.last_zxid = zxid;
                self.agreement.propose(zxid);
                if self.config.prepare.digest_enabled {
                    self.digests.note(zxid, self.tree.digest());
                }
                self.building.txns.push(zxid, &self.output.txn);
                if self.building.count == 0 {
                    self.building.since_ns = self.now_ns;
                }
                self.building.count += 1;
                prepared.error
            }
            Outcome::Refused(error) => error,
        };
        let mut entry = EntryWriter::new(&mut self.building.entries);
        for event in self.output.events.iter() {
            entry.event(event.kind, event.path, event.acl);
            self.building.events = true;
        }
        entry.body().extend_from_slice(&self.output.reply);
        let head = match from {
            None => EntryHead::silent(self.last_zxid),
            Some((shard, r)) => {
                self.building.replies |= shard_bit(shard);
                EntryHead {
                    zxid: self.last_zxid,
                    kind: match request.op {
                        OpCode::CloseSession => EntryKind::ReplyAndClose,
                        _ => EntryKind::Reply,
                    },
                    shard: shard as u16,
                    conn: r.conn,
                    cxid: r.cxid,
                    err: error.code(),
                }
            }
        };
        entry.finish(&head);
        error
    }

    /// Makes something the log can hold of a transaction that it cannot: a request that grew (an ACL of `auth` stands
    /// for all identities of the connection) fails, and nothing of it is done; the closing of a session may not fail,
    /// and leaves its ephemerals unnamed, for what the session owns goes whether the transaction names it or not.
    fn cut_down(
        &mut self,
        request: &prepare::Request<'_>,
        zxid: Zxid,
        mark: tree::Mark,
        prepared: &mut prepare::Prepared,
    ) {
        let (bytes, max) = (self.output.txn.len(), self.config.txn_bytes_max);
        let &prepare::Request { session_id, cxid, now_ms, .. } = request;
        let mut header =
            TxnHeader { client_id: session_id, cxid, zxid, time_ms: now_ms, kind: prepared.kind };
        self.output.txn.clear();
        if prepared.kind == TxnType::CloseSession {
            let digest = self
                .config
                .prepare
                .digest_enabled
                .then(|| TxnDigest { version: DIGEST_VERSION, tree_digest: self.tree.digest() });
            let txn = Txn::CloseSession { paths: Some(Vec::new()) };
            encode_record(&header, &txn, digest, &mut self.output.txn);
            return;
        }
        self.tree.undo_to(mark);
        self.output.clear();
        (prepared.kind, prepared.error) = (TxnType::Error, ErrorCode::MarshallingError);
        header.kind = TxnType::Error;
        let txn = Txn::Error { err: prepared.error.code() };
        encode_record(&header, &txn, None, &mut self.output.txn);
        let why = format_args!(
            "refused a request of session 0x{session_id:x}: its transaction would take {bytes} bytes in the log, at most {max} are possible; raise jute.maxbuffer if it is meant"
        );
        self.complain(Counter::RefusedOversize, why);
    }

    /// Counts what was refused, and says so at most once a second and kind.
    pub(super) fn complain(&mut self, kind: Counter, what: std::fmt::Arguments<'_>) {
        match self.metrics.complain(kind, monotonic_ns()) {
            Some(0) => tracing::warn!("{what}"),
            Some(left_out) => tracing::warn!("{what} (and {left_out} like it)"),
            None => {}
        }
    }
}
