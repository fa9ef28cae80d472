//! Working through the commit ring.
//!
//! For each entry in zxid order: the watch events for this shard's sessions, then the reply that it owes, then the
//! reads that waited for that reply, at that entry's zxid. Only then the shard's zxid moves on. So a session sees
//! no data of a zxid before the events that it was owed up to there (R3), and an event follows the reply that
//! armed its watch, because both go through the connection's one output in zxid order (R4).

use crate::auth;
use crate::lanes::entry::{Attached, Entry, EntryKind, Event};
use crate::metrics::{Counter, Summary};
use crate::planted::{self, Planted};
use crate::protocol::{EventType, OpCode, ReplyHeader, begin_frame, end_frame, perms, put_event};
use crate::reactor::Io;
use crate::tree::AclId;

use super::conn::{Conn, Pending, Phase, op_name};
use super::{Shard, State};

/// Bytes of a `ReplyHeader`.
pub(super) const REPLY_HEADER_BYTES: usize = 16;

/// Where the number of watchers told of an event is recorded.
fn summary_of(kind: EventType) -> Summary {
    match kind {
        EventType::NodeCreated => Summary::NodeCreatedWatches,
        EventType::NodeDeleted => Summary::NodeDeletedWatches,
        EventType::NodeChildrenChanged => Summary::NodeChildrenWatches,
        _ => Summary::NodeChangedWatches,
    }
}

impl Shard {
    /// Works through everything that is committed by now.
    pub(super) fn drain_commits<I: Io>(&mut self, io: &mut I) {
        let mut popped = false;
        while let Some(batch) = self.commits.peek() {
            if planted::is(Planted::ZxidBeforeEvents) {
                self.state.zxid = batch.last_zxid;
            }
            let mut rest = &batch.bytes[..];
            while let Some((entry, tail)) = Entry::take(rest) {
                self.state.act_on(io, &entry);
                rest = tail;
            }
            self.state.zxid = self.state.zxid.max(batch.last_zxid);
            self.state.reader.advance(self.state.zxid);
            self.commits.pop();
            popped = true;
        }
        // Without a waker the core is on this thread, and looks at the ring before that sleeps.
        if popped
            && self.commits.owes_a_wake()
            && let Some(core) = &self.state.links.core_waker
            && !planted::is(Planted::FreedRingUntold)
        {
            io.wake(core);
        }
    }
}

impl State {
    fn act_on<I: Io>(&mut self, io: &mut I, entry: &Entry<'_>) {
        // Reads that are answered while this entry is worked through are answered at its zxid: the tree still
        // holds that version, because this shard's own zxid has not moved past it.
        self.zxid = self.zxid.max(entry.head.zxid);
        let late = planted::is(Planted::ReplyBeforeEvents) && entry.head.shard == self.index;
        if late {
            self.deliver(io, entry);
        }
        if entry.has_events() && !self.watches.is_empty() {
            for event in entry.events() {
                self.tell_watchers(io, &event);
            }
            self.publish_watch_count();
        }
        if entry.head.shard == self.index && !late {
            self.deliver(io, entry);
            // The reads that waited for this answer may have been many.
            self.weigh_output(io);
            self.relieve_output(io);
        }
    }

    /// Tells one event to this shard's watchers of it that may read the node (ZOOKEEPER-4799). A one-shot watch
    /// is used up either way.
    fn tell_watchers<I: Io>(&mut self, io: &mut I, event: &Event<'_>) {
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        match event.kind {
            EventType::NodeDeleted => self.watches.trigger_delete(event.path, &mut told),
            kind => self.watches.trigger(kind, event.path, &mut told),
        }
        if !told.is_empty() {
            self.metrics.record(summary_of(event.kind), told.len() as u64);
            let mut frame = std::mem::take(&mut self.scratch);
            frame.clear();
            put_event(&mut frame, self.zxid, event.kind, event.path);
            for &index in &told {
                self.notify(io, index, event, &frame);
            }
            self.scratch = frame;
        }
        self.told = told;
    }

    fn notify<I: Io>(&mut self, io: &mut I, index: u32, event: &Event<'_>, frame: &[u8]) {
        let conn = self.conns.get_mut(index as usize).and_then(|c| c.as_deref_mut());
        let Some(conn) = conn else { return };
        let acl = self.reader.acl_list(event.acl);
        if event.acl != AclId::OPEN
            && !auth::allows(acl, perms::READ, &conn.identities, &self.links.auth)
        {
            return;
        }
        let id = conn.id;
        let waiting = conn.long.as_ref().map_or(0, |long| long.bytes());
        let behind = conn.long.as_mut().and_then(|long| long.behind());
        let behind = behind.filter(|_| !planted::is(Planted::EventBeforeLongAnswer));
        if let Some(out) = behind.or_else(|| io.out(id)) {
            out.extend_from_slice(frame);
            self.metrics.count(Counter::WatchEvents);
            self.metrics.count(Counter::PacketsSent);
            self.metrics.add(Counter::WatchBytes, frame.len() as u64);
        }
        if io.backlog(id) + waiting > self.limits.output_close_bytes {
            self.close_slow_reader(io, id);
        }
        self.weigh_output(io);
        self.relieve_output(io);
    }

    pub(super) fn close_slow_reader<I: Io>(&mut self, io: &mut I, id: crate::reactor::ConnId) {
        let backlog = io.backlog(id);
        if let Some(conn) = self.get_mut(id) {
            if conn.phase == Phase::Closing {
                return;
            }
            conn.phase = Phase::Closing;
            let peer = conn.peer;
            self.complain_of_slow_reader(peer, backlog);
        }
        io.close(id, false);
    }

    fn complain_of_slow_reader(&mut self, peer: std::net::SocketAddr, backlog: usize) {
        let why = format_args!(
            "closed {peer}: it has not read {backlog} bytes of events and answers it asked for"
        );
        self.complain(Counter::RefusedSlowReader, why);
    }

    fn deliver<I: Io>(&mut self, io: &mut I, entry: &Entry<'_>) {
        let Some(mut conn) = self.take(entry.head.conn) else {
            if matches!(entry.head.kind, EntryKind::Reply | EntryKind::ReplyAndClose) {
                self.metrics.count(Counter::StaleReplies);
            }
            return;
        };
        match entry.head.kind {
            EntryKind::Silent => {}
            EntryKind::Reply | EntryKind::ReplyAndClose => self.deliver_reply(io, &mut conn, entry),
            EntryKind::Ephemerals => {
                self.deliver_ephemerals(io, &mut conn, entry);
                self.serve_held(io, &mut conn);
            }
            EntryKind::Attached => {
                self.end_connect(&mut conn);
                self.attached(io, &mut conn, Attached::take(entry.body));
            }
            EntryKind::Refused => {
                self.end_connect(&mut conn);
                self.refused(io, &mut conn);
            }
            EntryKind::Kick | EntryKind::Drop => {
                self.end_connect(&mut conn);
                conn.phase = Phase::Closing;
                io.close(conn.id, true);
            }
            EntryKind::Text => {
                if let Some(out) = io.out(conn.id) {
                    out.extend_from_slice(entry.body);
                }
                conn.phase = Phase::Closing;
                io.close(conn.id, true);
            }
        }
        if conn.phase == Phase::Live {
            self.go_on(io, &mut conn);
        }
        self.put_back(conn);
    }

    /// The answer to the request at the front of the connection's queue.
    fn deliver_reply<I: Io>(&mut self, io: &mut I, conn: &mut Conn, entry: &Entry<'_>) {
        if conn.phase != Phase::Live {
            return;
        }
        let front = conn.pending.pop_front();
        let Some(Pending::Ordered { cxid, op, since_ns, bytes }) = front else {
            unreachable!("an answer of the core finds its request at the front of the queue (R1)");
        };
        assert_eq!(cxid, entry.head.cxid, "answers come in the order of the requests (R1)");
        let now_ns = io.now_ns();
        if let Some(out) = io.out(conn.id) {
            let frame = begin_frame(out);
            ReplyHeader { xid: cxid, zxid: entry.head.zxid, err: entry.head.err }.encode(out);
            out.extend_from_slice(entry.body);
            end_frame(out, frame);
            self.sent(REPLY_HEADER_BYTES + entry.body.len());
        }
        self.end_large(bytes as usize);
        let name = OpCode::from_i32(op).map_or("NA", op_name);
        self.no_longer_under_way(1);
        self.metrics.record(Summary::UpdateLatency, now_ns.saturating_sub(since_ns));
        self.answered(conn, name, cxid, entry.head.zxid, since_ns, now_ns);
        if entry.head.kind == EntryKind::ReplyAndClose {
            conn.phase = Phase::Closing;
            io.close(conn.id, true);
            return;
        }
        self.serve_held(io, conn);
    }

    /// Goes on with what the connection had sent while it could not be read.
    pub(super) fn go_on<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        conn.barrier &= !conn.pending.is_empty();
        self.read_on(io, conn);
        let backlog = io.backlog(conn.id);
        if backlog > self.limits.output_close_bytes && conn.phase == Phase::Live {
            conn.phase = Phase::Closing;
            self.complain_of_slow_reader(conn.peer, backlog);
            io.close(conn.id, false);
        }
    }
}
