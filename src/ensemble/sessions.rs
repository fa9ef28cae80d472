//! Sessions on the core: opening, attaching again, losing the connection, expiring.
//!
//! Creating and closing are transactions. Attaching fixes which shard and connection speak for the session before
//! the answer leaves; what an older connection of it still has under way is refused.

use crate::auth::Identity;
use crate::jute::Decoder;
use crate::lanes::entry::{Attached, EntryKind};
use crate::lanes::request::Request;
use crate::prepare;
use crate::protocol::{ConnectRequest, ErrorCode, OpCode};
use crate::session::{Owner, password};

use super::EnsembleCore;

const NOBODY: &[Identity] = &[];

impl EnsembleCore {
    pub(super) fn connect(&mut self, shard: usize, request: &Request<'_>, now_ms: u64) {
        let conn = request.conn;
        let Ok(connect) = ConnectRequest::decode(&mut Decoder::new(request.body)) else {
            return self.answer(shard, EntryKind::Drop, conn, 0, 0, |_| {});
        };
        if connect.last_zxid_seen > self.tree.published() {
            tracing::warn!(
                "refused a connection: its client has seen zxid 0x{:x}, this server is at 0x{:x} (R2); the client must use another server",
                connect.last_zxid_seen,
                self.tree.published()
            );
            return self.answer(shard, EntryKind::Drop, conn, 0, 0, |_| {});
        }
        let timeout_ms = connect
            .timeout_ms
            .clamp(self.config.min_session_timeout_ms, self.config.max_session_timeout_ms);
        let owner = Owner { shard: shard as u16, conn };
        if connect.session_id == 0 {
            self.open_session(shard, timeout_ms, owner, now_ms);
        } else {
            self.attach(shard, &connect, timeout_ms, owner, now_ms);
        }
    }

    fn open_session(&mut self, shard: usize, timeout_ms: i32, owner: Owner, now_ms: u64) {
        let session_id = self.registry.next_id();
        let body = timeout_ms.to_be_bytes();
        let request = prepare::Request {
            session_id,
            cxid: 0,
            op: OpCode::CreateSession,
            body: &body,
            identities: NOBODY,
            now_ms: self.wall_ms,
        };
        let err = self.order(&request, None);
        let slot = match self.registry.open(session_id, timeout_ms, owner, now_ms) {
            Ok(slot) if err == ErrorCode::Ok => slot,
            _ => return self.answer(shard, EntryKind::Drop, owner.conn, 0, 0, |_| {}),
        };
        let attached = Attached { session_id, timeout_ms, slot };
        self.answer(shard, EntryKind::Attached, owner.conn, 0, 0, |out| attached.put(out));
    }

    fn attach(
        &mut self,
        shard: usize,
        connect: &ConnectRequest<'_>,
        timeout_ms: i32,
        owner: Owner,
        now_ms: u64,
    ) {
        let session_id = connect.session_id;
        let known = connect.password.is_some_and(|p| password::matches(session_id, p));
        let moved = if known {
            self.registry.attach(session_id, timeout_ms, owner, now_ms)
        } else {
            None
        };
        let Some(moved) = moved else {
            return self.answer(shard, EntryKind::Refused, owner.conn, 0, 0, |_| {});
        };
        if let Some(old) = moved.previous {
            self.answer(old.shard as usize, EntryKind::Kick, old.conn, 0, 0, |_| {});
        }
        let attached = Attached { session_id, timeout_ms, slot: moved.slot };
        self.answer(shard, EntryKind::Attached, owner.conn, 0, 0, |out| attached.put(out));
    }

    pub(super) fn disconnect(&mut self, shard: usize, request: &Request<'_>) {
        self.identities.release(request.identities);
        self.registry.detach(request.session_id, Owner { shard: shard as u16, conn: request.conn });
    }

    /// Deadlines: sessions that expire, containers and TTL nodes that are due.
    pub(super) fn tick(&mut self, now_ms: u64) {
        let passes: Vec<u64> =
            self.shards.iter().map(|s| s.passes.start_ns() / 1_000_000).collect();
        let expired = self.registry.tick(now_ms, |shard| passes[shard as usize]);
        for session in expired {
            self.expire(session.id, session.owner);
        }
        self.reap(now_ms);
    }

    fn expire(&mut self, session_id: i64, owner: Option<Owner>) {
        tracing::info!("expiring session 0x{session_id:x}");
        let request = prepare::Request {
            session_id,
            cxid: 0,
            op: OpCode::CloseSession,
            body: b"",
            identities: NOBODY,
            now_ms: self.wall_ms,
        };
        self.order(&request, None);
        self.registry.remove(session_id);
        if let Some(owner) = owner {
            self.answer(owner.shard as usize, EntryKind::Kick, owner.conn, 0, 0, |_| {});
        }
    }
}
