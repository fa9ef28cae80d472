//! Frames between their making and their durability: writes complete in any order, the log is durable as far as no
//! gap is left.

use std::collections::VecDeque;
use std::io;

use crate::log::Zxid;
use crate::log::error::Fatal;
use crate::log::segment;

/// A frame that is on its way to the disk.
pub(super) struct Flight {
    /// The segment's number.
    pub segment: u64,
    /// Where in it.
    pub offset: u64,
    /// Length of the write.
    pub bytes: usize,
    /// The last transaction up to the frame's end.
    pub last_zxid: Zxid,
    done: bool,
}

impl Flight {
    pub fn new(segment: u64, offset: u64, bytes: usize, last_zxid: Zxid) -> Flight {
        Flight { segment, offset, bytes, last_zxid, done: false }
    }
}

/// All frames in flight, and how far the log is durable.
pub(super) struct Flights {
    /// Oldest first; the oldest has sequence `sequence + 1`.
    queue: VecDeque<Flight>,
    /// The last frame that is durable with all before it.
    pub sequence: u64,
    /// The last transaction that is.
    pub zxid: Zxid,
    /// The segment of the last frame that became durable here; 0: none has.
    pub segment: u64,
    /// The oldest frame in flight and when it was first seen to be.
    oldest: Option<(u64, u64)>,
}

impl Flights {
    /// None in flight, all up to here durable.
    pub fn none(sequence: u64, zxid: Zxid) -> Flights {
        Flights { queue: VecDeque::new(), sequence, zxid, segment: 0, oldest: None }
    }

    /// The next frame sets out.
    pub fn begin(&mut self, flight: Flight) {
        self.queue.push_back(flight);
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.queue.iter()
    }

    /// The write of frame `token`, of `bytes`, has ended.
    ///
    /// # Errors
    /// If it failed, fell short, or was not in flight.
    pub fn end(
        &mut self,
        token: u64,
        result: io::Result<usize>,
        bytes: usize,
    ) -> Result<(), Fatal> {
        let place = token.checked_sub(self.sequence + 1);
        let flight = place.and_then(|p| self.queue.get_mut(usize::try_from(p).ok()?));
        let Some(flight) = flight.filter(|f| !f.done) else {
            return Err(Fatal {
                sequence: token,
                name: "no segment".into(),
                offset: 0,
                bytes,
                reason: "no such write is in flight".into(),
            });
        };
        let reason = match result {
            Ok(written) if written == flight.bytes => None,
            Ok(written) => Some(format!("only {written} bytes were written")),
            Err(err) => Some(err.to_string()),
        };
        if let Some(reason) = reason {
            return Err(Fatal {
                sequence: token,
                name: segment::name(flight.segment),
                offset: flight.offset,
                bytes: flight.bytes,
                reason,
            });
        }
        flight.done = true;
        while let Some(flight) = self.queue.pop_front_if(|f| f.done) {
            self.sequence += 1;
            self.zxid = flight.last_zxid;
            self.segment = flight.segment;
        }
        Ok(())
    }

    /// For so long nobody was there to see a write end: it does not count.
    pub fn excuse(&mut self, ns: u64) {
        if let Some((_, since_ns)) = &mut self.oldest {
            *since_ns += ns;
        }
    }

    /// Is the oldest in flight for longer than `limit_ns`? Exact to the time between two calls.
    pub fn is_overdue(&mut self, now_ns: u64, limit_ns: u64) -> bool {
        if self.queue.is_empty() {
            self.oldest = None;
            return false;
        }
        let front = self.sequence + 1;
        match self.oldest {
            Some((token, since_ns)) if token == front => now_ns.saturating_sub(since_ns) > limit_ns,
            _ => {
                self.oldest = Some((front, now_ns));
                false
            }
        }
    }
}
