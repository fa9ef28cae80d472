//! When a batch is told: it is durable, its quorum has it, and the commit ring has room.

use std::sync::atomic::Ordering;

use super::EnsembleCore;
use super::batch::Batch;
use crate::log::LogDir;
use crate::metrics::{Counter, Summary};
use crate::planted::{self, Planted};
use crate::protocol::Zxid;
use crate::reactor::Io;

impl<D: LogDir> EnsembleCore<D> {
    /// Publishes what is durable, oldest first, as far as the commit ring has room; one batch of writes a pass. Telling
    /// many clients takes longer than a log write, and what the first of them ask for meanwhile should be on its way to
    /// the disk before the others are told. Returns whether there was one.
    pub(super) fn publish<I: Io>(&mut self, io: &mut I) -> bool {
        while self.is_front_committed() {
            let Some(slot) = self.commits.batch() else { return false };
            let Some(mut batch) = self.in_flight.pop_front() else { return false };
            slot.last_zxid = batch.last_zxid;
            std::mem::swap(&mut slot.bytes, &mut batch.entries);
            // The tree first: whoever sees the batch in the ring may read at its zxid.
            self.tree.publish(batch.last_zxid);
            // Who sees an answer to a write finds it in the gauges as well.
            self.show();
            self.commits.publish();
            let (count, took_ns) = (batch.count as u64, io.now_ns().saturating_sub(batch.since_ns));
            self.metrics.add(Counter::Commits, count);
            if count > 0 {
                self.metrics.record_many(Summary::PropagationLatency, took_ns, count);
            }
            self.gather.answered(batch.count);
            self.wake_for(io, &batch);
            batch.reset();
            self.spare.push(batch);
            if count > 0 {
                return true;
            }
        }
        false
    }

    fn is_front_committed(&self) -> bool {
        let hasty = planted::is(Planted::PublishBeforeDurable);
        let committed = if hasty { Zxid::MAX } else { self.agreement.committed() };
        self.in_flight.front().is_some_and(|b| b.last_zxid <= committed)
    }

    /// Whether another batch could be published. Without room in the ring the shard that makes some wakes this thread.
    pub(super) fn owes_a_batch(&mut self) -> bool {
        self.is_front_committed() && self.commits.batch().is_some()
    }

    fn wake_for<I: Io>(&mut self, io: &mut I, batch: &Batch) {
        let half_full = self.commits.free_slots() * 2 < self.commits.slots();
        for (i, shard) in self.shards.iter().enumerate() {
            let Some(waker) = &shard.waker else { continue };
            let watches = batch.events && shard.watch_count.load(Ordering::Relaxed) > 0;
            if batch.replies_to(i) || watches || half_full {
                io.wake(waker);
            }
        }
    }
}
