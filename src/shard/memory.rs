//! Holding to what all connections together may hold in memory ([`budget`](super::budget)): weighing each as it
//! changes, who waits, who is closed.

use std::cmp::Reverse;

use crate::metrics::{Counter, Gauge};
use crate::reactor::{ConnId, Io};

use super::State;
use super::conn::{Conn, Phase};
use super::input::Input;

/// A request longer than this is large: while it arrives it may have to wait for room.
const LARGE_REQUEST_BYTES: usize = 64 << 10;
/// Who holds no more unsent output is closed last.
const LITTLE_OUTPUT_BYTES: usize = 128 << 10;
/// How long a connection in whose way others are may stand still before it is closed; and how long there may be no
/// room for output before that happens to those that do not stand still, too.
const WAIT_NS: u64 = 1_000_000_000;

/// What a shard remembers of connections that wait for room.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those not read because all together hold too much, in the order in which they came, by ticket. One whose
    /// connection has another ticket, or none, counts no more.
    conns: Vec<(u64, ConnId)>,
    last_ticket: u64,
    /// How many are read although they are in the midst of a large request: it is their turn.
    turns: usize,
    /// Somebody came or went: there may be a turn to give.
    turn_free: bool,
    /// Since when there has been no room for output; `None` while there is.
    full_since_ns: Option<u64>,
}

impl State {
    /// Looks what unsent output holds by now.
    #[inline]
    pub(super) fn weigh_output<I: Io>(&mut self, io: &mut I) {
        self.output.set(io.output_bytes());
    }

    /// Looks what a connection holds of requests by now.
    pub(super) fn weigh_input(&mut self, conn: &mut Conn) {
        let closing = conn.phase == Phase::Closing;
        let bytes = if closing { 0 } else { conn.input.capacity() + conn.held_bytes };
        let own = self.input.own() + bytes - conn.weighed;
        conn.weighed = bytes;
        self.input.set(own);
    }

    /// A connection is gone, and what it held.
    pub(super) fn forget_input(&mut self, conn: &Conn) {
        self.input.set(self.input.own() - conn.weighed);
    }

    /// A connection's request was received whole, or it is gone.
    #[inline]
    pub(super) fn end_turn(&mut self, conn: &mut Conn) {
        if std::mem::take(&mut conn.has_turn) {
            self.waiting.turns -= 1;
            self.waiting.turn_free = true;
        }
    }

    /// Unsent output at which a connection is no longer read, at present.
    #[inline]
    pub(super) fn output_pause_bytes(&self) -> usize {
        self.output.falling(self.limits.output_pause_bytes)
    }

    /// Whether a connection is in the midst of a large request that has to wait for its turn.
    pub(super) fn awaits_turn(&self, conn: &Conn) -> bool {
        self.input.is_tight() && !conn.has_turn && is_in_large_request(conn)
    }

    /// Notes a connection that is not read, if that may end because others hold less.
    pub(super) fn await_room(&mut self, conn: &mut Conn) {
        let tight = self.output.is_tight() || self.input.is_tight();
        if tight && conn.ticket == 0 {
            self.metrics.count(Counter::PausedMemory);
            self.waiting.last_ticket += 1;
            conn.ticket = self.waiting.last_ticket;
            self.waiting.conns.push((conn.ticket, conn.id));
            self.waiting.turn_free = true;
        }
    }

    /// Once a pass: tells the other shards, and closes whom it has to.
    pub(super) fn keep_to_bounds<I: Io>(&mut self, io: &mut I) {
        self.weigh_output(io);
        self.output.tell();
        self.input.tell();
        self.relieve_output(io);
        if self.input.is_exceeded() {
            self.close_unfinished(io, self.input.excess(6), false);
        }
        let tight = self.output.is_tight() || self.input.is_tight();
        if std::mem::take(&mut self.waiting.turn_free) || !tight && !self.waiting.conns.is_empty() {
            self.read_waiting(io);
        }
    }

    /// Now and then: lets those go on that may, and ends a wait in which nothing gets on.
    pub(super) fn tick_memory<I: Io>(&mut self, io: &mut I, now_ns: u64) {
        self.metrics.set(Gauge::OutputBacklog, self.output.own() as i64);
        self.metrics.set(Gauge::InputBacklog, self.input.own() as i64);
        if !self.waiting.conns.is_empty() {
            self.read_waiting(io);
        }
        if self.output.is_full() {
            let since_ns = *self.waiting.full_since_ns.get_or_insert(now_ns);
            self.close_unread(io, 4, now_ns.saturating_sub(since_ns) < WAIT_NS);
        } else {
            self.waiting.full_since_ns = None;
        }
        let waits = |id| self.get(id).is_some_and(|conn| self.awaits_turn(conn));
        let waits = self.waiting.conns.iter().any(|&(_, id)| waits(id));
        if self.input.tell_waiting(waits) && self.input.is_tight() {
            self.close_unfinished(io, self.input.excess(4), true);
        }
    }

    fn read_waiting<I: Io>(&mut self, io: &mut I) {
        let turns_max = self.input.turns(self.limits.frame_bytes_max);
        let mut still = Vec::new();
        for (ticket, id) in std::mem::take(&mut self.waiting.conns) {
            let Some(conn) = self.get(id).filter(|conn| conn.ticket == ticket) else { continue };
            if self.waiting.turns < turns_max && self.awaits_turn(conn) {
                self.waiting.turns += 1;
                self.get_mut(id).expect("was there").has_turn = true;
            }
            self.try_resume(io, id);
            let tight = self.output.is_tight() || self.input.is_tight();
            // One that was read and has to wait again has queued up again, with another ticket.
            let Some(conn) = self.get_mut(id).filter(|conn| conn.ticket == ticket) else {
                continue;
            };
            if tight {
                still.push((ticket, id));
            } else {
                // What still keeps it from being read is its own, and tells of its end.
                conn.ticket = 0;
            }
        }
        still.append(&mut self.waiting.conns);
        self.waiting.conns = still;
    }

    /// Closes those that hold most of the unsent output, if there is too much of it.
    #[inline]
    pub(super) fn relieve_output<I: Io>(&mut self, io: &mut I) {
        if self.output.is_exceeded() {
            self.close_unread(io, 7, false);
        }
    }

    /// Closes those that hold most of the unsent output, until so many eighths of the bound are held. `only_still`:
    /// none of those that take theirs.
    #[cold]
    fn close_unread<I: Io>(&mut self, io: &mut I, eighths: usize, only_still: bool) {
        self.output.tell();
        let keep = self.output.own() - self.output.excess(eighths);
        // Those that read are spared as long as others suffice: theirs goes by itself.
        // And those that hold little, for their end frees little: on a busy machine one that reads may seem to stand still.
        let weigh = |conn: &Conn| (conn.stands_still, io.held(conn.id), conn.id);
        let weights = self.conns.iter().flatten().map(|conn| weigh(conn));
        let mut holders: Vec<_> = weights.filter(|(_, bytes, _)| *bytes > 0).collect();
        let rank = |stands, bytes| Reverse((bytes > LITTLE_OUTPUT_BYTES, stands, bytes));
        holders.sort_unstable_by_key(|&(stands, bytes, _)| rank(stands, bytes));
        for (stands, bytes, id) in holders {
            if self.output.own() <= keep || only_still && !stands {
                break;
            }
            self.close_holder(io, id, bytes, "answers and events it has not read");
            self.weigh_output(io);
        }
        self.output.tell();
    }

    /// Closes those that hold most of the requests that are not whole or not answered, until so much is freed: first
    /// those that are read and have sent nothing for a while. `only_still`: none but those.
    fn close_unfinished<I: Io>(&mut self, io: &mut I, excess: usize, only_still: bool) {
        let now_ns = io.now_ns();
        let stands = |conn: &Conn| {
            let since_ns = now_ns.saturating_sub(conn.fed_ns);
            !conn.paused && since_ns > WAIT_NS && is_in_large_request(conn)
        };
        let weights = self.conns.iter().flatten().map(|conn| (stands(conn), conn.weighed, conn.id));
        let mut holders: Vec<_> = weights.filter(|(_, bytes, _)| *bytes > 0).collect();
        holders.sort_unstable_by_key(|&(stands, bytes, _)| Reverse((stands, bytes)));
        let mut freed = 0;
        for (stands, bytes, id) in holders {
            if freed >= excess || only_still && !stands {
                break;
            }
            freed += bytes;
            self.close_holder(io, id, bytes, "requests it has not sent to their end");
        }
        self.input.tell();
    }

    fn close_holder<I: Io>(&mut self, io: &mut I, id: ConnId, bytes: usize, of_what: &str) {
        let Some(mut conn) = self.take(id) else { return };
        conn.phase = Phase::Closing;
        conn.input = Input::default();
        let why = format_args!(
            "closed {}: all connections together hold too much memory, and it held most, {bytes} bytes of {of_what}",
            conn.peer
        );
        self.complain(Counter::RefusedMemory, why);
        self.put_back(conn);
        io.close(id, false);
    }
}

fn is_in_large_request(conn: &Conn) -> bool {
    matches!(conn.phase, Phase::Handshake | Phase::Live)
        && conn.input.announced() > LARGE_REQUEST_BYTES
}
