//! The books of the log's writes: which transactions each holds, and what is durable. Kept from what is
//! written and what has arrived, not from what the log says of itself.

use std::collections::BTreeMap;

use ringkeeper::log::{Batch, frame};
use ringkeeper::protocol::Zxid;

use super::model::History;
use super::{Violation, broken};

/// See the module's documentation.
#[derive(Default)]
pub struct Books {
    /// Frames that are on their way or have arrived behind one that is, by their sequence: the last
    /// transaction up to there, and whether it has arrived.
    frames: BTreeMap<u64, (Zxid, bool)>,
    /// The newest frame's.
    last: Option<u64>,
    /// The sequence of each write on its way, by the disk's number.
    writes: BTreeMap<u64, u64>,
    durable: Zxid,
}

impl Books {
    /// Of a server that has just started: all it has found is durable.
    pub fn new(durable: Zxid) -> Books {
        Books { durable, ..Books::default() }
    }

    /// Every transaction up to here is on the medium.
    pub fn durable(&self) -> Zxid {
        self.durable
    }

    /// A write has begun; its transactions become history.
    pub fn begun(
        &mut self,
        write: u64,
        bytes: &[u8],
        history: &mut History,
    ) -> Result<(), Violation> {
        let frame = match frame::read(bytes) {
            Ok(frame) => frame,
            Err(e) => return broken("log", format!("a write is no frame: {e}")),
        };
        let sequence = frame.header.sequence;
        if let Some(last) = self.last.replace(sequence)
            && last + 1 != sequence
        {
            return broken("log", format!("frame {sequence} is written after {last}"));
        }
        if frame.header.kind == frame::Kind::Batch {
            let batch = Batch::read(frame.body);
            let batch = batch.map_err(|detail| Violation { rule: "log", detail })?;
            for (zxid, bytes) in batch.iter() {
                history.take(zxid, bytes)?;
            }
        }
        self.writes.insert(write, sequence);
        self.frames.insert(sequence, (frame.header.last_zxid, false));
        Ok(())
    }

    /// A write has arrived. True if an older one has not.
    pub fn arrived(&mut self, write: u64) -> bool {
        let Some(sequence) = self.writes.remove(&write) else { return false };
        if let Some((_, arrived)) = self.frames.get_mut(&sequence) {
            *arrived = true;
        }
        while let Some(first) = self.frames.first_entry()
            && first.get().1
        {
            self.durable = first.remove().0;
        }
        self.frames.contains_key(&sequence)
    }
}
