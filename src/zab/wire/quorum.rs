//! The stream of a quorum port's connection, read packet by packet.

use super::error::{Side, WireError};
use super::limits::Limits;
use super::measure::Measure;
use super::packet::interpret;
use super::raw::{self, RawPacket};
use super::snapshot::{SnapshotPiece, SnapshotState};
use super::stream::Input;
use crate::zab::Packet;

/// Reads what one side of a quorum port's connection sends. It does no I/O: [`push`](Self::push) what has come, then
/// take packets until there is none.
///
/// Behind a [`Packet::Snap`] comes a snapshot: from then on [`next_packet`](Self::next_packet) gives `None`, and
/// [`next_piece`](Self::next_piece) is to be called, until it has given [`SnapshotPiece::End`]. A reader that wants the
/// snapshot's bytes unread takes them with [`take_rest`](Self::take_rest).
///
/// Bound: what has been pushed and not taken, and of that at most [`Limits::packet_bytes_max`] is one packet (or piece)
/// that is not whole. So push one socket read at a time and take what there is in between; to hold a peer back, stop
/// pushing.
#[derive(Debug)]
pub struct QuorumReader {
    sender: Side,
    limits: Limits,
    input: Input,
    measure: Measure,
    snapshot: Option<SnapshotState>,
}

impl QuorumReader {
    /// For what `sender` sends, from the connection's first byte.
    pub fn new(sender: Side, limits: Limits) -> QuorumReader {
        QuorumReader {
            sender,
            limits,
            input: Input::default(),
            measure: Measure::default(),
            snapshot: None,
        }
    }

    /// Appends bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.push(bytes);
    }

    /// The next packet, if it is whole. After an error the connection is of no use.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, WireError> {
        if self.in_snapshot() {
            return Ok(None);
        }
        let (input, at) = (self.input.unread(), self.input.at());
        let Some(bytes) = raw::end(&mut self.measure, &self.limits, input, at)? else {
            return Ok(None);
        };
        let raw = RawPacket::decode(input.get(..bytes).unwrap_or_default());
        let raw = raw.map_err(|error| WireError::Content { what: "packet", at, error })?;
        let packet = interpret(&raw, self.sender, at)?;
        self.measure = Measure::default();
        self.input.take(bytes);
        if matches!(packet, Packet::Snap { .. }) {
            self.snapshot = Some(SnapshotState::new());
        }
        Ok(Some(packet))
    }

    /// The next piece of a snapshot, if it is whole; `None` too where no snapshot is being read.
    pub fn next_piece(&mut self) -> Result<Option<SnapshotPiece<'_>>, WireError> {
        let Some(snapshot) = self.snapshot.as_mut().filter(|snapshot| !snapshot.is_over()) else {
            return Ok(None);
        };
        let at = self.input.at();
        // The piece borrows from the bytes that it takes: find its end first, then take, then read.
        let Some(bytes) = snapshot.end(&self.limits, self.input.unread(), at)? else {
            return Ok(None);
        };
        let piece = snapshot.read(self.input.take(bytes), at)?;
        Ok(Some(piece))
    }

    /// Whether what comes next belongs to a snapshot.
    pub fn in_snapshot(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_over())
    }

    /// How many bytes are here that no packet or piece has taken.
    pub fn buffered(&self) -> usize {
        self.input.unread().len()
    }

    /// How many bytes packets and pieces have taken since the connection began.
    pub fn consumed(&self) -> u64 {
        self.input.at()
    }

    /// Takes everything that has come and was not taken: for a reader of its own of what follows.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.measure = Measure::default();
        let bytes = self.input.unread().len();
        self.input.take(bytes).to_vec()
    }
}
