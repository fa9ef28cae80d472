//! When a batch goes to the log.
//!
//! A batch is what came while earlier writes were in flight. That alone makes poor batches of clients who wait for
//! their answer before they ask again: as soon as a batch is published, the first of them is back, finds the disk
//! idle and takes a write for itself, and all the others wait behind it. Every write costs the disk's time and some
//! 17 µs of this thread's, as much as several transactions. So two rules:
//!
//! - For a moment after answers have left, half of what a write usually takes, a batch waits until a third of the
//!   writes that are under way are in it. Thirds keep the disk, the network and the processor busy at the same time.
//! - While many writes are in flight, a batch of less than half as many waits until one of those has ended, or it has
//!   grown: a small write behind large ones costs as much as they do, and serves few. How the thread waits for that:
//!   [`vigil`](super::vigil).
//!
//! Measured on a noisy machine, with and without in turn: 64 such clients cost 7 % less processor time each, and 32 that open
//! sessions opened 20 to 50 % more of them (`perf/README.md`).
//!
//! One or two clients are never held up, and neither is anybody who comes when no answers have just left and little is in
//! flight: what was expected and did not come in time is expected no more.

/// How long a batch is held for others: half of what a write usually takes, within these bounds.
const HOLD_NS_MIN: u64 = 20_000;
const HOLD_NS_MAX: u64 = 120_000;
/// Which share of the writes under way makes a batch.
const SHARES: usize = 3;
/// How many arrivals a thread sleeps through at once.
const ARRIVALS_MAX: usize = 16;
/// With fewer in flight nobody waits for their end: the processor has time to spare, and a write for each.
const MANY: usize = 8;
/// So many are worth a write whatever is in flight.
const ENOUGH: usize = 32;

/// What to do with the batch in the making.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Write it.
    Go,
    /// Leave it until a write in flight has ended, or so many more have come.
    Wait { arrivals: u32 },
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

    /// Whether the batch in the making should go. `building`, `in_flight`: writes in it, and in those before it;
    /// `usual_ns`: how long a write to the log takes lately.
    pub fn judge(
        &mut self,
        now_ns: u64,
        building: usize,
        in_flight: usize,
        usual_ns: u64,
    ) -> Verdict {
        let worth_a_write = if in_flight < MANY { 0 } else { (in_flight / 2).min(ENOUGH) };
        if building < worth_a_write {
            self.held_since_ns = None;
            return Verdict::Wait { arrivals: (worth_a_write - building) as u32 };
        }
        let share = (self.expected + building + in_flight) / SHARES;
        if self.expected == 0 || building >= share {
            self.held_since_ns = None;
            return Verdict::Go;
        }
        let since_ns = *self.held_since_ns.get_or_insert(now_ns);
        let until_ns = since_ns + (usual_ns / 2).clamp(HOLD_NS_MIN, HOLD_NS_MAX);
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

    /// A disk so slow that batches are held for as long as they ever are.
    const SLOW_NS: u64 = 1_000_000;

    #[test]
    fn who_writes_alone_or_in_twos_is_never_held() {
        let mut gather = Gather::default();
        for now_ns in 0..10 {
            gather.arrived();
            assert_eq!(gather.judge(now_ns, 1, 0, SLOW_NS), Verdict::Go);
            gather.answered(1);
        }
        gather.answered(1);
        gather.arrived();
        assert_eq!(gather.judge(20, 1, 0, SLOW_NS), Verdict::Go, "one of two is a third and more");
    }

    #[test]
    fn after_many_answers_a_batch_waits_for_a_third_of_them() {
        let mut gather = Gather::default();
        gather.answered(30);
        gather.arrived();
        let until_ns = 1_000 + HOLD_NS_MAX;
        assert_eq!(gather.judge(1_000, 1, 0, SLOW_NS), Verdict::Hold { until_ns, arrivals: 9 });
        for _ in 0..8 {
            gather.arrived();
        }
        assert_eq!(gather.judge(5_000, 9, 0, SLOW_NS), Verdict::Hold { until_ns, arrivals: 1 });
        gather.arrived();
        assert_eq!(gather.judge(6_000, 10, 0, SLOW_NS), Verdict::Go);
    }

    #[test]
    fn who_does_not_come_is_not_waited_for_again() {
        let mut gather = Gather::default();
        gather.answered(300);
        gather.arrived();
        let Verdict::Hold { until_ns, arrivals } = gather.judge(7, 1, 0, SLOW_NS) else {
            panic!("not held")
        };
        assert_eq!((until_ns, arrivals), (7 + HOLD_NS_MAX, ARRIVALS_MAX as u32));
        assert_eq!(gather.judge(until_ns, 1, 0, SLOW_NS), Verdict::Go);
        gather.arrived();
        assert_eq!(gather.judge(until_ns + 1, 1, 1, SLOW_NS), Verdict::Go);
    }

    #[test]
    fn a_batch_is_held_for_half_a_write() {
        for (usual_ns, held_ns) in [(0, HOLD_NS_MIN), (100_000, 50_000), (u64::MAX, HOLD_NS_MAX)] {
            let mut gather = Gather::default();
            gather.answered(30);
            gather.arrived();
            let until_ns = 9 + held_ns;
            assert_eq!(gather.judge(9, 1, 0, usual_ns), Verdict::Hold { until_ns, arrivals: 9 });
        }
    }

    #[test]
    fn a_small_batch_waits_for_the_end_of_a_larger_one() {
        let mut gather = Gather::default();
        assert_eq!(gather.judge(0, 1, MANY - 1, SLOW_NS), Verdict::Go, "few are in flight");
        let wait = |arrivals| Verdict::Wait { arrivals };
        assert_eq!(gather.judge(0, MANY / 2 - 1, MANY, SLOW_NS), wait(1));
        assert_eq!(gather.judge(0, MANY / 2, MANY, SLOW_NS), Verdict::Go);
        assert_eq!(gather.judge(0, 1, 0, SLOW_NS), Verdict::Go, "it has ended");
        assert_eq!(gather.judge(0, ENOUGH, 1_000, SLOW_NS), Verdict::Go);
        assert_eq!(gather.judge(0, ENOUGH - 1, 1_000, SLOW_NS), wait(1));
        assert_eq!(gather.judge(0, 4, 40, SLOW_NS), wait(16));
    }

    #[test]
    fn who_waits_for_a_write_is_held_anew_after_its_end() {
        let mut gather = Gather::default();
        gather.answered(60);
        gather.arrived();
        let until_ns = 5 + HOLD_NS_MAX;
        let hold = |arrivals| Verdict::Hold { until_ns, arrivals };
        assert_eq!(gather.judge(5, 1, 2, SLOW_NS), hold(16));
        assert_eq!(gather.judge(6, 1, MANY, SLOW_NS), Verdict::Wait { arrivals: 3 });
        let until_ns = 7 + HOLD_NS_MAX;
        let hold = |arrivals| Verdict::Hold { until_ns, arrivals };
        assert_eq!(gather.judge(7, 1, 2, SLOW_NS), hold(16));
    }
}
