//! Whether to stay awake for a log write.
//!
//! A client that writes alone waits for the disk, and then for whoever sleeps until the disk is done: on a virtual machine
//! an idle processor and its timer take about as long to wake as the write itself. So while a write of a few
//! transactions is under way, and the disk is usually soon done, the core's thread polls. That takes processor time only
//! while such a write is under way, at most [`Vigil::limit_ns`] each: an idle server sleeps, and so does a busy one, whose
//! writes carry many transactions and whose thread has better things to do.
//!
//! But where a batch waits for the end of a write ([`gather`](super::gather)), that end is what all its clients wait for,
//! and those of the write as well; and what arrives before it changes nothing. So there the thread sleeps through
//! arrivals while the write cannot be done yet, and is awake when it should be. Measured with 64 clients that write one
//! after the other, with and without in turn: 16 % more writes, for 3 % less processor time each (`perf/README.md`).

/// A write of so many transactions is worth polling for from its beginning. With more, the time that takes is better
/// spent on them.
const TXNS_MAX: usize = 4;
/// Hardly any write is done before this share of what they usually take: what is slept through is never longer, and never
/// longer than this, for reads that arrive meanwhile wait as well.
const EARLIEST: (u64, u64) = (5, 8);
const SLEEP_NS_MAX: u64 = 120_000;
/// Most are done by then.
const LATEST: (u64, u64) = (3, 2);
/// What takes longer counts as this long.
const STALL_NS: u64 = 1_000_000;

/// Follows how long writes take. See the module's documentation.
pub(super) struct Vigil {
    limit_ns: u64,
    /// The mean of the last few.
    usual_ns: u64,
}

impl Vigil {
    /// Polls for so long at the most; 0: never.
    pub fn new(limit_ns: u64) -> Vigil {
        Vigil { limit_ns, usual_ns: 0 }
    }

    /// A write has taken so long.
    pub fn took(&mut self, ns: u64) {
        // A single stall says little about the next write.
        let ns = ns.min(STALL_NS.max(self.limit_ns * 4));
        self.usual_ns = (self.usual_ns * 7 + ns) / 8;
    }

    /// How long a write takes lately; 0: none has ended yet.
    pub fn usual_ns(&self) -> u64 {
        self.usual_ns
    }

    /// Until when to poll for the write that began then, with so many transactions under way in all.
    pub fn until_ns(&self, begun_ns: u64, txns: usize) -> Option<u64> {
        let is_worth_it = (1..=TXNS_MAX).contains(&txns) && self.usual_ns < self.limit_ns;
        is_worth_it.then_some(begun_ns + self.limit_ns)
    }

    /// How to wait for the end of the write that began then, with a batch behind it.
    pub fn watch(&self, now_ns: u64, begun_ns: u64) -> Watch {
        if self.usual_ns >= self.limit_ns {
            return Watch::Sleep;
        }
        let share = |(part, of)| begun_ns + self.usual_ns * part / of;
        let (earliest_ns, latest_ns) = (share(EARLIEST), share(LATEST));
        match now_ns {
            _ if now_ns < earliest_ns => {
                Watch::SleepThrough { until_ns: earliest_ns.min(now_ns + SLEEP_NS_MAX) }
            }
            _ if now_ns < latest_ns => Watch::Awake { until_ns: latest_ns },
            _ => Watch::Sleep,
        }
    }
}

/// How to wait for the end of a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// It wakes the thread, as anything else does.
    Sleep,
    /// It will not end before then: sleep, whatever arrives.
    SleepThrough { until_ns: u64 },
    /// It should end any moment: poll, until then at the latest.
    Awake { until_ns: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_write_is_waited_for_awake_and_many_are_not() {
        let vigil = Vigil::new(300_000);
        assert_eq!(vigil.until_ns(1_000, 1), Some(301_000));
        assert_eq!(vigil.until_ns(1_000, TXNS_MAX), Some(301_000));
        assert_eq!(vigil.until_ns(1_000, TXNS_MAX + 1), None);
        assert_eq!(
            vigil.until_ns(1_000, 0),
            None,
            "a write of no transaction: nobody waits for it"
        );
        assert_eq!(Vigil::new(0).until_ns(1_000, 1), None);
    }

    #[test]
    fn nobody_stays_awake_for_a_slow_disk_until_it_is_quick_again() {
        let mut vigil = Vigil::new(300_000);
        vigil.took(u64::MAX);
        assert!(vigil.until_ns(0, 1).is_some(), "one stall is no habit");
        (0..20).for_each(|_| vigil.took(5_000_000));
        assert_eq!(vigil.until_ns(0, 1), None);
        (0..20).for_each(|_| vigil.took(100_000));
        assert!(vigil.until_ns(0, 1).is_some());
    }

    #[test]
    fn a_write_that_is_waited_for_is_slept_through_and_then_watched() {
        let mut vigil = Vigil::new(300_000);
        (0..100).for_each(|_| vigil.took(160_000));
        let usual_ns = vigil.usual_ns();
        let (earliest_ns, latest_ns) = (7 + usual_ns * 5 / 8, 7 + usual_ns * 3 / 2);
        let through = |until_ns| Watch::SleepThrough { until_ns };
        assert_eq!(vigil.watch(7, 7), through(earliest_ns));
        assert_eq!(vigil.watch(earliest_ns - 1, 7), through(earliest_ns));
        assert_eq!(vigil.watch(earliest_ns, 7), Watch::Awake { until_ns: latest_ns });
        assert_eq!(vigil.watch(latest_ns, 7), Watch::Sleep, "it is late: no saying how late");
        (0..100).for_each(|_| vigil.took(290_000));
        assert_eq!(vigil.watch(7, 7), through(7 + SLEEP_NS_MAX), "reads wait as well");
    }

    #[test]
    fn a_slow_disk_is_neither_slept_through_nor_watched() {
        let mut vigil = Vigil::new(300_000);
        (0..100).for_each(|_| vigil.took(2_000_000));
        assert_eq!(vigil.watch(7, 7), Watch::Sleep);
        assert_eq!(Vigil::new(0).watch(7, 7), Watch::Sleep, "switched off");
    }

    #[test]
    fn how_long_writes_take_is_known_also_if_nobody_waits_for_them() {
        let mut vigil = Vigil::new(0);
        assert_eq!(vigil.usual_ns(), 0);
        (0..50).for_each(|_| vigil.took(200_000));
        assert!((190_000..=200_000).contains(&vigil.usual_ns()), "{}", vigil.usual_ns());
    }
}
