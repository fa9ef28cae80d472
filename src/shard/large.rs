//! Large requests (`largeRequestThreshold`): together they may take so many bytes and no more from when they came in
//! until they are answered (`largeRequestMaxBytes`). One that finds no room closes its connection, as in ZooKeeper; its
//! session lives on.

use crate::metrics::Counter;
use crate::reactor::Io;

use super::State;
use super::conn::{Conn, Pending, Phase};
use super::serve::Flow;

impl State {
    /// What a frame that is still coming in says of its length: one that finds no room is not waited for.
    pub(super) fn announced<I: Io>(&mut self, io: &mut I, conn: &mut Conn, input: &[u8]) {
        let Some(&prefix) = input.first_chunk::<4>() else { return };
        let bytes = u32::from_be_bytes(prefix) as usize;
        if bytes > self.limits.large_request_bytes && !self.links.admission.has_room_for(bytes) {
            conn.phase = Phase::Closing;
            self.refuse_large(io, conn, bytes);
        }
    }

    /// Takes room for a large request that is whole.
    pub(super) fn begin_large<I: Io>(&mut self, io: &mut I, conn: &Conn, bytes: usize) -> Flow {
        // Asked before it takes room, which it would take again when it comes back.
        if self.lane.is_full() {
            return Flow::Full;
        }
        if !self.links.admission.begin_large(bytes) {
            self.refuse_large(io, conn, bytes);
            return Flow::Close;
        }
        Flow::Next
    }

    /// Gives back what a request of this length has taken, if it is a large one.
    pub(super) fn end_large(&self, bytes: usize) {
        if bytes > self.limits.large_request_bytes {
            self.links.admission.end_large(bytes);
        }
    }

    fn refuse_large<I: Io>(&mut self, io: &mut I, conn: &Conn, bytes: usize) {
        let why = format_args!(
            "closed {}: there is no room for its request of {bytes} bytes beside the large ones in flight (largeRequestMaxBytes)",
            conn.peer
        );
        self.complain(Counter::LargeRequestsRejected, why);
        io.close(conn.id, true);
    }

    /// The connection has ended with requests unanswered.
    pub(super) fn end_large_of(&self, conn: &Conn) {
        for pending in &conn.pending {
            match pending {
                Pending::Ordered { bytes, .. } => self.end_large(*bytes as usize),
                Pending::Held(frame, _) => self.end_large(frame.len()),
                Pending::Throttled { .. } => {}
            }
        }
        for (frame, _) in &conn.waiting {
            self.end_large(frame.len());
        }
    }
}
