//! Sending. All that a connection appended in a pass leaves in one send; all sends of a pass leave
//! in one `enter`.
//!
//! A first send does not wait and completes visibly only when it falls short, so a send that was
//! submitted and did not complete by the time everything is reaped has left. What did not fit, and
//! what is long, goes in pieces, each by an operation that waits in the kernel until the socket takes
//! some: so a long answer neither hides its progress nor keeps the thread from other connections.
//! There is never more than one send of a connection in flight, and the bytes in flight do not move.

use super::conn::{Life, Sending};
use super::driver::Driver;
use super::ring::Kind;
use io_uring::{opcode, squeue, types};

/// The most that one send operation is given, bytes: some 50 µs of copying.
const PIECE_BYTES: usize = 256 << 10;

impl Driver {
    /// Queues a send for every connection that has something to send and no send in flight.
    pub(super) fn gather_sends(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        self.given_out = None;
        for index in dirty.drain(..) {
            self.weigh(index);
            let conn = self.conns.at(index);
            conn.on_dirty = false;
            if conn.send != Sending::Idle {
                continue; // Comes back when that send has ended.
            }
            if conn.out.is_empty() {
                let unused = std::mem::take(&mut conn.out);
                self.weigh(index);
                self.pool.give(unused);
            } else if matches!(conn.life, Life::Open | Life::Flushing) {
                conn.sending = std::mem::take(&mut conn.out);
                conn.sent = 0;
                self.counts.sends += 1;
                self.counts.send_bytes += conn.sending.len() as u64;
                if conn.sending.len() > PIECE_BYTES {
                    self.send_piece(index);
                } else {
                    self.send_now(index);
                }
            }
        }
        // Only sends that ended could have marked connections meanwhile, and none did.
        debug_assert!(self.dirty.is_empty());
        self.dirty = dirty;
    }

    fn send_now(&mut self, index: u32) {
        let conn = self.conns.at(index);
        conn.send = Sending::Now;
        // Who paused it for its output waits to be told that this has left.
        self.paused_sends |= conn.paused;
        let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        let len = conn.sending.len() as u32;
        let entry = opcode::Send::new(types::Fd(conn.fd()), conn.sending.as_ptr(), len)
            .flags(flags)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Kind::Send.user_data(conn.generation(), index));
        self.in_flight.push(index);
        // SAFETY: `sending` is neither changed nor freed while `send` is not Idle, and the socket
        // not closed (Conns::remove checks). The buffer is on the heap, so the table may move.
        unsafe { self.ring.push(entry) };
    }

    fn send_piece(&mut self, index: u32) {
        let conn = self.conns.at(index);
        conn.send = Sending::Waiting;
        conn.was_full = true;
        let rest = &conn.sending[conn.sent..];
        let len = rest.len().min(PIECE_BYTES) as u32;
        // Completes as soon as the socket has taken any of it: without MSG_WAITALL.
        let entry = opcode::Send::new(types::Fd(conn.fd()), rest.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL)
            .build()
            .user_data(Kind::SendWait.user_data(conn.generation(), index));
        // SAFETY: as in send_now.
        unsafe { self.ring.push(entry) };
    }

    /// A send completed: short, failed, or after waiting.
    pub(super) fn send_completed(&mut self, user_data: u64, result: i32) {
        let index = user_data as u32;
        let Some(conn) = self.conns.of(user_data) else { return };
        let waited = conn.send == Sending::Waiting;
        conn.send_cancelled = false;
        let sent = match result {
            sent if sent > 0 => sent as usize,
            error if error == -libc::EAGAIN && !waited => 0,
            error => {
                if error != -libc::ECANCELED {
                    self.counts.conn_errors += 1;
                }
                conn.life = Life::Closing;
                self.send_ended(index);
                return;
            }
        };
        let asked = conn.sending.len() - conn.sent;
        let sent = sent.min(asked);
        conn.sent += sent;
        conn.handed += sent as u64;
        if sent == asked || conn.life == Life::Closing {
            self.send_ended(index);
        } else {
            self.counts.sends_waited += u64::from(sent < asked.min(PIECE_BYTES));
            self.send_piece(index);
        }
    }

    /// Called when everything that had completed was reaped: sends that did not complete have left.
    pub(super) fn settle_sends(&mut self) {
        // Unless some are still queued, or completions wait for room: then the next time.
        if self.in_flight.is_empty() || self.ring.queued() > 0 || self.ring.has_overflow() {
            return;
        }
        let mut in_flight = std::mem::take(&mut self.in_flight);
        for index in in_flight.drain(..) {
            let conn = self.conns.at(index);
            if conn.send == Sending::Now {
                conn.handed += conn.sending.len() as u64;
                self.send_ended(index);
            }
        }
        self.in_flight = in_flight;
        self.paused_sends = false;
    }

    fn send_ended(&mut self, index: u32) {
        let conn = self.conns.at(index);
        conn.send = Sending::Idle;
        conn.sent = 0;
        let sent = std::mem::take(&mut conn.sending);
        self.weigh(index);
        let conn = self.conns.at(index);
        if conn.life != Life::Open {
            self.note_ending(index);
        }
        let conn = self.conns.at(index);
        if !conn.out.is_empty() {
            self.note_dirty(index);
        } else if (std::mem::take(&mut conn.was_full) || conn.paused) && conn.life == Life::Open {
            self.drained.push(index);
        }
        self.pool.give(sent);
    }
}
