//! When a batch goes to the log.
//!
//! A batch is what came while earlier writes were in flight. That alone makes poor batches of clients who wait for
//! their answer before they ask again: as soon as a batch is published, the first of them is back, finds the disk
//! idle and takes a write for itself, and all the others wait behind it. So for some tens of microseconds after
//! answers have left, a batch waits until a third of the writes that are under way are in it. Thirds keep the disk,
//! the network and the processor busy at the same time. Measured with 64 such clients on a noisy machine: 17 instead of
//! 10 writes a batch, 13 % less processor time each (medians of five rounds in turn; `perf/README.md` has them all).
//!
//! One or two clients are never held up, and neither is anybody who comes when no answers have just left: what was
//! expected and did not come in time is expected no more.

/// How long a batch is held for others at the most: about half of what a synced write takes on a good disk.
const HOLD_NS: u64 = 60_000;
/// Which share of the writes under way makes a batch.
const SHARES: usize = 3;
/// How many arrivals a thread sleeps through at once.
const ARRIVALS_MAX: usize = 16;

/// What to do with the batch in the making.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it.
    Go,
    /// Hold it: so many more are expected, until then at the latest.
    Hold { until_ns: u64, arrivals: u32 },
}

/// Follows what was answered and what came back. See the module's documentation.
#[derive(Default)]
pub(super) struct Gather {
    /// Writes that were answered a moment ago, and whose clients have not asked again.
    expected: usize,
    /// When the batch in the making was first held back.
    held_since_ns: Option<u64>,
}

impl Gather {
    /// So many writes have been answered.
    pub fn answered(&mut self, writes: usize) {
        self.expected += writes;
    }

    /// A request has come.
    pub fn arrived(&mut self) {
        self.expected = self.expected.saturating_sub(1);
    }

    /// Whether the batch in the making should go. `building`, `in_flight`: writes in it, and in those before it.
    pub fn judge(&mut self, now_ns: u64, building: usize, in_flight: usize) -> Verdict {
        let share = (self.expected + building + in_flight) / SHARES;
        if self.expected == 0 || building >= share {
            self.held_since_ns = None;
            return Verdict::Go;
        }
        let since_ns = *self.held_since_ns.get_or_insert(now_ns);
        let until_ns = since_ns + HOLD_NS;
        if now_ns >= until_ns {
            self.held_since_ns = None;
            self.expected = 0;
            return Verdict::Go;
        }
        let arrivals = (share - building).min(ARRIVALS_MAX) as u32;
        Verdict::Hold { until_ns, arrivals }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_writes_alone_or_in_twos_is_never_held() {
        let mut gather = Gather::default();
        for now_ns in 0..10 {
            gather.arrived();
            assert_eq!(gather.judge(now_ns, 1, 0), Verdict::Go);
            gather.answered(1);
        }
        gather.answered(1);
        gather.arrived();
        assert_eq!(gather.judge(20, 1, 0), Verdict::Go, "one of two is a third and more");
    }

    #[test]
    fn after_many_answers_a_batch_waits_for_a_third_of_them() {
        let mut gather = Gather::default();
        gather.answered(30);
        gather.arrived();
        let until_ns = 1_000 + HOLD_NS;
        assert_eq!(gather.judge(1_000, 1, 0), Verdict::Hold { until_ns, arrivals: 9 });
        for _ in 0..8 {
            gather.arrived();
        }
        assert_eq!(gather.judge(5_000, 9, 0), Verdict::Hold { until_ns, arrivals: 1 });
        gather.arrived();
        assert_eq!(gather.judge(6_000, 10, 0), Verdict::Go);
    }

    #[test]
    fn who_does_not_come_is_not_waited_for_again() {
        let mut gather = Gather::default();
        gather.answered(300);
        gather.arrived();
        let Verdict::Hold { until_ns, arrivals } = gather.judge(7, 1, 0) else {
            panic!("not held")
        };
        assert_eq!((until_ns, arrivals), (7 + HOLD_NS, ARRIVALS_MAX as u32));
        assert_eq!(gather.judge(until_ns, 1, 0), Verdict::Go);
        gather.arrived();
        assert_eq!(gather.judge(until_ns + 1, 1, 1), Verdict::Go);
    }
}
