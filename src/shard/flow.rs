//! When a connection is read and when it is not: the bounds at which it is paused, and what makes it go on; and the
//! deadlines of connections.

use crate::metrics::Counter;
use crate::reactor::{ConnId, Io};

use super::State;
use super::conn::{Conn, Phase};

/// How often a shard looks at its deadlines.
const TICK_NS: u64 = 100_000_000;
/// What a connection that is held back may send before its socket is paused.
const HELD_BACK_BYTES: usize = 16 << 10;

impl State {
    /// Goes on with connections that waited for room in the lane.
    pub(super) fn unstall<I: Io>(&mut self, io: &mut I) {
        while let Some(message) = self.lost.last().copied() {
            if !self.forward(&message) {
                return;
            }
            self.lost.pop();
        }
        if self.stalled.is_empty() || self.lane.is_full() {
            return;
        }
        for id in std::mem::take(&mut self.stalled) {
            if let Some(conn) = self.get_mut(id) {
                conn.stalled = false;
            }
            self.try_resume(io, id);
        }
    }

    /// Goes on reading a connection whose output, or whose way to the core, had been full.
    pub(super) fn try_resume<I: Io>(&mut self, io: &mut I, id: ConnId) {
        let Some(mut conn) = self.take(id) else { return };
        self.read_on(io, &mut conn);
        self.put_back(conn);
    }

    /// Works through what a connection had sent that could not be taken, and reads its socket again, if nothing is in
    /// the way any more.
    pub(super) fn read_on<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        if !(conn.paused || conn.held_back) {
            return;
        }
        if conn.stalled || self.congested(io, conn) || self.must_hold_back(conn) {
            if conn.paused {
                self.await_room(conn);
            } else if conn.pending.is_empty() && conn.waiting.is_empty() {
                // No answer of its own will let it go on, and of an output that has left only the paused are told.
                self.pause(io, conn);
            }
            return;
        }
        let was_paused = std::mem::take(&mut conn.paused);
        if was_paused {
            conn.ticket = 0;
            conn.fed_ns = io.now_ns();
        }
        self.input(io, conn);
        self.pause_if_much_waits(io, conn);
        if was_paused && !conn.paused && conn.phase != Phase::Closing {
            io.resume(conn.id);
        }
    }

    /// Whether nothing more is taken from a connection because too much is under way in all, and some of it is this
    /// connection's (`globalOutstandingLimit`).
    pub(super) fn must_hold_back(&self, conn: &Conn) -> bool {
        if conn.pending.is_empty() && conn.waiting.is_empty() {
            return false;
        }
        let max = self.limits.outstanding_max;
        self.load.all() > max || self.throttled() as u64 > max
    }

    /// Leaves what a connection sends in its input, until nothing waits there any more: each answer lets as much in as
    /// there is room. Its socket is paused only when much waits: a pause costs more than what it would keep out.
    pub(super) fn hold_back(&mut self, conn: &mut Conn) {
        if !conn.held_back {
            conn.held_back = true;
            self.metrics.count(Counter::PausedOutstanding);
        }
    }

    pub(super) fn pause_if_much_waits<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        if conn.held_back && conn.input.len() > HELD_BACK_BYTES {
            self.pause(io, conn);
        }
    }

    /// Whether the connection has reached a bound at which it is no longer read.
    pub(super) fn congested<I: Io>(&self, io: &I, conn: &Conn) -> bool {
        io.backlog(conn.id) > self.output_pause_bytes()
            || self.output.is_full()
            || self.awaits_turn(conn)
            || conn.pending.len() + conn.waiting.len() >= self.limits.pending_max
            || conn.held >= self.limits.held_max
            || conn.held_bytes >= self.limits.held_bytes_max
            || conn.long.is_some()
            || conn.barrier
            // Nothing is taken from the input until the core has attached the connection.
            || conn.phase == Phase::Connecting && conn.input.len() > self.limits.frame_bytes_max
    }

    pub(super) fn pause<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        if !conn.paused {
            // One that is held back was counted when that began; one whose answer is long has its own counter.
            if conn.stalled {
                self.metrics.count(Counter::PausedLane);
            } else if !(conn.held_back || conn.long.is_some() || conn.barrier) {
                self.metrics.count(Counter::PausedOutput);
            }
            conn.paused = true;
            self.await_room(conn);
            io.pause(conn.id);
        }
    }

    /// Deadlines: handshakes, and sessions whose sockets we chose not to read count as heard (R9).
    pub(super) fn tick<I: Io>(&mut self, io: &mut I) {
        let now_ns = io.now_ns();
        if now_ns < self.next_tick_ns {
            return;
        }
        self.next_tick_ns = now_ns + TICK_NS;
        let now_ms = now_ns / 1_000_000;
        let mut stuck = Vec::new();
        let tight = self.output.is_tight();
        for conn in self.conns.iter_mut().flatten() {
            let backlog = io.backlog(conn.id);
            let unread = conn.paused || conn.held_back || !conn.waiting.is_empty();
            let skipped = unread && conn.phase == Phase::Live;
            if skipped {
                self.links.heard.touch(conn.slot, now_ms);
            }
            let asked = (skipped || tight) && backlog > 0;
            if conn.reads_nothing(asked.then(|| io.taken(conn.id)), now_ns) && skipped {
                stuck.push(conn.id);
            }
        }
        for id in stuck {
            self.close_slow_reader(io, id);
        }
        self.tick_memory(io, now_ns);
        while let Some(&id) = self.shaking_hands.front() {
            let late = self.limits.handshake_timeout_ms * 1_000_000;
            match self.get_mut(id) {
                Some(c) if c.phase == Phase::Handshake => {
                    if now_ns.saturating_sub(c.accepted_ns) < late {
                        break;
                    }
                    c.phase = Phase::Closing;
                    let peer = c.peer;
                    io.close(id, false);
                    self.complain(
                        Counter::SessionlessExpired,
                        format_args!("closed {peer}: no handshake within {} ms", late / 1_000_000),
                    );
                }
                _ => {}
            }
            self.shaking_hands.pop_front();
        }
    }
    /// When the shard is to be stepped again at the latest.
    pub(super) fn deadline_ns(&self, now_ns: u64) -> u64 {
        let throttle = self.throttle.as_ref().map_or(u64::MAX, |t| t.deadline_ns(now_ns));
        self.next_tick_ns.min(throttle)
    }
}
