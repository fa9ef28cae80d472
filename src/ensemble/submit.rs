//! The batch in the making on its way to the log, and how the thread waits when it does not go yet.

use super::gather::Verdict;
use super::vigil::Watch;
use super::{BATCH_ENTRIES_BYTES_MAX, EnsembleCore, IN_FLIGHT_MAX};
use crate::log::{LogDir, LogError};
use crate::metrics::{Counter, Summary};
use crate::reactor::{Io, Turn};

/// Whatever happens wakes the thread.
const SLEEP: Turn = Turn::Idle { deadline_ns: None };

fn awake(poll_until_ns: u64) -> Turn {
    Turn::Soon { poll_until_ns, deadline_ns: None }
}

impl<D: LogDir> EnsembleCore<D> {
    /// Hands the batch in the making to the log if a write may go. Returns how to wait; the caller adds its deadlines.
    pub(super) fn submit<I: Io<File = D::File>>(&mut self, io: &mut I) -> Turn {
        if self.building.is_empty()
            || self.join_last_in_flight()
            || self.in_flight.len() >= IN_FLIGHT_MAX
        {
            return self.await_few();
        }
        let verdict = match self.building.count {
            // Answers alone cost the disk nothing.
            0 => Verdict::Go,
            count => {
                let in_flight = self.writes_in_flight();
                self.gather.judge(io.now_ns(), count, in_flight, self.vigil.usual_ns())
            }
        };
        match verdict {
            Verdict::Go => {
                self.hand_over(io);
                self.await_few()
            }
            Verdict::Wait { arrivals } => self.await_write(io.now_ns(), arrivals),
            Verdict::Hold { until_ns, arrivals } => self.sleep_through(until_ns, arrivals),
        }
    }

    /// The oldest write may be of a few transactions that are worth staying awake for.
    fn await_few(&self) -> Turn {
        let Some(&(_, begun_ns)) = self.writes.front() else { return SLEEP };
        self.vigil.until_ns(begun_ns, self.writes_in_flight()).map_or(SLEEP, awake)
    }

    /// Transactions that are on their way to the log, or there and not published.
    fn writes_in_flight(&self) -> usize {
        self.in_flight.iter().map(|b| b.count).sum()
    }

    /// A batch waits for the end of the oldest write, or for so many arrivals.
    fn await_write(&self, now_ns: u64, arrivals: u32) -> Turn {
        // None in flight, but some not published: whoever makes room in the ring wakes this thread.
        let Some(&(_, begun_ns)) = self.writes.front() else { return SLEEP };
        match self.vigil.watch(now_ns, begun_ns) {
            Watch::Sleep => SLEEP,
            Watch::SleepThrough { until_ns } => self.sleep_through(until_ns, arrivals),
            Watch::Awake { until_ns } => awake(until_ns),
        }
    }

    /// Only a thread that sees all arrivals itself may sleep through some.
    fn sleep_through(&self, until_ns: u64, arrivals: u32) -> Turn {
        match self.shards.iter().all(|s| s.waker.is_none()) {
            true => Turn::Gather { until_ns, arrivals },
            false => Turn::Idle { deadline_ns: Some(until_ns) },
        }
    }

    /// Answers that are no transactions are told with the last batch that is in flight: they may not leave before it, and a
    /// batch of their own would take one of the few places. Whether they could.
    fn join_last_in_flight(&mut self) -> bool {
        let Some(last) = self.in_flight.back_mut().filter(|_| self.building.count == 0) else {
            return false;
        };
        if last.entries.len() + self.building.entries.len() > BATCH_ENTRIES_BYTES_MAX {
            return false;
        }
        assert_eq!(last.last_zxid, self.last_zxid, "no transaction lies between them");
        last.take_answers(&mut self.building);
        true
    }

    fn hand_over<I: Io<File = D::File>>(&mut self, io: &mut I) {
        let next = self.spare.pop().unwrap_or_default();
        let mut batch = std::mem::replace(&mut self.building, next);
        batch.last_zxid = self.last_zxid;
        self.agreement.append(self.last_zxid);
        if batch.count > 0 {
            match self.log.frame(&batch.txns, self.durable, self.tree.published()) {
                Ok(writes) => {
                    self.snapshots.logged(batch.count as u64, batch.txns.bytes() as u64);
                    self.metrics.record(Summary::BatchSize, batch.count as u64);
                    self.metrics.add(Counter::Proposals, batch.count as u64);
                    for w in writes {
                        self.metrics.count(Counter::LogWrites);
                        self.metrics.add(Counter::LogBytes, w.buf.len() as u64);
                        self.writes.push_back((w.token, io.now_ns()));
                        io.write(&w.file, w.offset, w.buf, w.token);
                    }
                }
                // The next segment is being made. Nothing was logged: the batch waits, and grows to its bound.
                Err(LogError::SpareNotReady | LogError::NoSpace { .. }) => {
                    self.spare.push(std::mem::replace(&mut self.building, batch));
                    return;
                }
                Err(e) => io.fatal(&e.to_string()),
            }
        }
        self.in_flight.push_back(batch);
    }
}
