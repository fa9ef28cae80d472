//! A client's request: prepared, logged with the batch in the making, answered when that is durable.

use crate::jute::{Decoder, Encode};
use crate::lanes::entry::{EntryHead, EntryKind, EntryWriter};
use crate::lanes::request::Request;
use crate::log::Room;
use crate::prepare::{self, Outcome};
use crate::protocol::{ErrorCode, GetEphemeralsRequest, OpCode, SyncRequest};

use super::EnsembleCore;
use super::batch::shard_bit;

impl EnsembleCore {
    pub(super) fn client_request(&mut self, shard: usize, request: &Request<'_>) {
        if self.registry.check(request.slot, request.session_id, request.generation).is_err() {
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
        let mut paths: Vec<String> = self.tree.ephemerals(request.session_id).collect();
        paths.retain(|p| p.starts_with(prefix));
        self.answer(shard, kind, conn, cxid, 0, |out| {
            out.put_count(paths.len());
            for path in &paths {
                out.put_str(path);
            }
        });
    }

    fn transaction(&mut self, shard: usize, request: &Request<'_>, op: OpCode) {
        if self.log_has_room() == Room::None {
            tracing::error!(
                "refused a write: there is no space for the next log segment; free some"
            );
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
        let zxid = self.last_zxid + 1;
        let outcome =
            prepare::prepare(&mut self.tree, &self.config.prepare, request, zxid, &mut self.output);
        let error = match outcome {
            Outcome::Prepared(prepared) => {
                self.last_zxid = zxid;
                self.building.txns.push(zxid, &self.output.txn);
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
}
