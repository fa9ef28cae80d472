//! Sessions on the core: opening, attaching again, losing the connection, expiring.
//!
//! Creating and closing are transactions. Attaching fixes which shard and connection speak for the session before
//! the answer leaves; what an older connection of it still has under way is refused.

use crate::jute::Decoder;
use crate::lanes::entry::{Attached, EntryKind};
use crate::lanes::request::Request;
use crate::log::{LogDir, Room};
use crate::metrics::Counter;
use crate::prepare;
use crate::protocol::{ConnectRequest, ErrorCode, OpCode};
use crate::reactor::ConnId;
use crate::session::{self, Attachment, check_password};

use super::EnsembleCore;

impl<D: LogDir> EnsembleCore<D> {
    pub(super) fn connect(&mut self, shard: usize, request: &Request<'_>, now_ms: u64) {
        let conn = request.conn;
        let Ok(connect) = ConnectRequest::decode(&mut Decoder::new(request.body)) else {
            return self.answer(shard, EntryKind::Drop, conn, 0, 0, |_| {});
        };
        if connect.last_zxid_seen > self.tree.published() {
            let (seen, here) = (connect.last_zxid_seen, self.tree.published());
            self.complain(Counter::RefusedZxidAhead, format_args!(
                "refused a connection: its client has seen zxid 0x{seen:x}, this server is at 0x{here:x} (R2); the client must use another server"
            ));
            return self.answer(shard, EntryKind::Drop, conn, 0, 0, |_| {});
        }
        let timeout_ms = self.config.timeouts.negotiate(connect.timeout_ms);
        let place =
            Attachment { shard: shard as u16, conn: conn.index, conn_generation: conn.generation };
        if connect.session_id == 0 {
            self.open_session(timeout_ms, place, now_ms);
        } else {
            self.attach(&connect, timeout_ms, place, now_ms);
        }
    }

    fn open_session(&mut self, timeout_ms: i32, place: Attachment, now_ms: u64) {
        let registry = &self.registry;
        let session_id = self.session_ids.next(|id| registry.contains(id));
        let (open, max) = (self.registry.len(), self.config.sessions_max);
        if open >= max {
            let why = format_args!("refused a new session: {open} are open, the most possible");
            self.complain(Counter::ConnectionsRejected, why);
            return self.tell(place, EntryKind::Drop);
        }
        if self.log_has_room() == Room::None {
            let reason = self.log.no_room_reason();
            let why = format_args!(
                "refused a new session: the log cannot have its next segment: {reason}"
            );
            self.complain(Counter::RefusedNoSpace, why);
            return self.tell(place, EntryKind::Drop);
        }
        let body = timeout_ms.to_be_bytes();
        let err = self.order(&self.own_request(session_id, OpCode::CreateSession, &body), None);
        match self.registry.create(session_id, timeout_ms, Some(place), now_ms) {
            Ok(attached) if err == ErrorCode::Ok => {
                self.tell_attached(place, session_id, timeout_ms, attached)
            }
            _ => self.tell(place, EntryKind::Drop),
        }
    }

    fn attach(
        &mut self,
        connect: &ConnectRequest<'_>,
        timeout_ms: i32,
        place: Attachment,
        now_ms: u64,
    ) {
        let session_id = connect.session_id;
        let proved = connect.password.is_some_and(|p| check_password(session_id, p));
        if !proved {
            return self.tell(place, EntryKind::Refused);
        }
        match self.registry.attach(session_id, timeout_ms, place, now_ms) {
            Ok(attached) => {
                // A session has one connection: the older one goes, and is told so before the newer one is told
                // that it is attached.
                if let Some(old) = attached.superseded {
                    self.tell(old, EntryKind::Kick);
                }
                self.tell_attached(place, session_id, timeout_ms, attached);
            }
            Err(_) => self.tell(place, EntryKind::Refused),
        }
    }

    fn tell_attached(
        &mut self,
        place: Attachment,
        session_id: i64,
        timeout_ms: i32,
        to: session::Attached,
    ) {
        let body = Attached { session_id, timeout_ms, slot: to.slot, generation: to.generation };
        let kind = EntryKind::Attached;
        self.answer(place.shard as usize, kind, conn_of(place), 0, 0, |out| body.put(out));
    }

    fn tell(&mut self, place: Attachment, kind: EntryKind) {
        self.answer(place.shard as usize, kind, conn_of(place), 0, 0, |_| {});
    }

    pub(super) fn own_request<'a>(
        &self,
        session_id: i64,
        op: OpCode,
        body: &'a [u8],
    ) -> prepare::Request<'a> {
        let now_ms = self.wall_ms;
        prepare::Request { session_id, cxid: 0, op, body, identities: &[], moved: false, now_ms }
    }

    pub(super) fn disconnect(&mut self, request: &Request<'_>) {
        self.identities.release(request.identities);
        self.registry.detach(request.session_id, request.generation);
    }

    /// Deadlines: sessions that expire, containers and TTL nodes that are due. `passes_ms` are the shards' pass clocks
    /// as they were before what the shards sent was taken.
    pub(super) fn tick(&mut self, now_ms: u64, passes_ms: &[u64]) {
        let slowest = passes_ms.iter().copied().min().unwrap_or(0);
        let pass_ms = |shard: Option<u16>| shard.map_or(slowest, |s| passes_ms[s as usize]);
        let mut found = std::mem::take(&mut self.expiry);
        self.registry.tick(now_ms, pass_ms, &mut found);
        if found.stall_ms > 0 {
            tracing::warn!(
                "this process stood still for {} ms; no session expires for that",
                found.stall_ms
            );
        }
        let mut postponed = 0;
        for &session_id in &found.expired {
            if self.may_log() {
                self.expire(session_id);
            } else {
                self.registry.postpone(session_id);
                postponed += 1;
            }
        }
        if postponed > 0 && self.log_has_room() == Room::None {
            let reason = self.log.no_room_reason();
            let why = format_args!(
                "{postponed} sessions have expired and stay: the log cannot have its next segment: {reason}"
            );
            self.complain(Counter::ExpiriesPostponed, why);
        }
        self.expiry = found;
        self.reap(now_ms);
    }

    /// Whether a transaction of the server's own may be made: what cannot be logged must not be, or all that comes
    /// later would wait behind it for space, the errors that say so too.
    pub(super) fn may_log(&mut self) -> bool {
        self.has_room() && self.log_has_room() == Room::Enough
    }

    fn expire(&mut self, session_id: i64) {
        tracing::info!("expiring session 0x{session_id:x}");
        self.metrics.count(Counter::SessionsExpired);
        self.order(&self.own_request(session_id, OpCode::CloseSession, b""), None);
        if let Some(place) = self.registry.remove(session_id) {
            self.tell(place, EntryKind::Kick);
        }
    }
}

fn conn_of(place: Attachment) -> ConnId {
    ConnId { index: place.conn, generation: place.conn_generation }
}
