//! Large requests (`largeRequestThreshold`): together they may take so many bytes and no more from when they came in
//! until they are answered (`largeRequestMaxBytes`). One that finds no room closes its connection, as in ZooKeeper; its
//! session lives on.

use crate::metrics::Counter;
use crate::protocol::{OpCode, RequestHeader};
use crate::reactor::Io;

use super::State;
use super::conn::{Conn, Pending, Phase};
use super::serve::{Flow, HEADER_BYTES, is_read};

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

    /// Takes a large request that is whole.
    pub(super) fn large_request<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        header: &RequestHeader,
        frame: &[u8],
    ) -> Flow {
        // Asked before it takes room, which it would take again when it comes back.
        if self.lane.is_full() {
            return Flow::Full;
        }
        if !self.links.admission.begin_large(frame.len()) {
            self.refuse_large(io, conn, frame.len());
            return Flow::Close;
        }
        if !is_read(op) {
            let body = &frame[HEADER_BYTES..];
            return self.forward_request(io, conn, header, body, frame.len() as u32);
        }
        let at_once = conn.pending.is_empty();
        self.read(io, conn, op, header, frame);
        if at_once {
            self.links.admission.end_large(frame.len());
        }
        Flow::Next
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
    pub(super) fn end_large_of(&mut self, conn: &Conn) {
        let limit = self.limits.large_request_bytes;
        let of = |pending: &Pending| match pending {
            Pending::Ordered { large_bytes, .. } => *large_bytes as usize,
            Pending::Held(frame, _) if frame.len() > limit => frame.len(),
            Pending::Held(..) => 0,
        };
        let bytes = conn.pending.iter().map(of).sum();
        if bytes > 0 {
            self.links.admission.end_large(bytes);
        }
    }
}
