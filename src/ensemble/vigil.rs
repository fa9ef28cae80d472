//! Whether to stay awake for a log write.
//!
//! A client that writes alone waits for the disk, and then for whoever sleeps until the disk is done: on a virtual machine
//! an idle processor and its timer take about as long to wake as the write itself. So while a write of a few
//! transactions is under way, and the disk is usually soon done, the core's thread polls. That takes processor time only
//! while such a write is under way, at most [`Vigil::limit_ns`] each: an idle server sleeps, and so does a busy one, whose
//! writes carry many transactions and whose thread has better things to do.

/// A write of so many transactions is worth it. With more, the time that polling takes is better spent on them.
const TXNS_MAX: usize = 4;
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
    fn how_long_writes_take_is_known_also_if_nobody_waits_for_them() {
        let mut vigil = Vigil::new(0);
        assert_eq!(vigil.usual_ns(), 0);
        (0..50).for_each(|_| vigil.took(200_000));
        assert!((190_000..=200_000).contains(&vigil.usual_ns()), "{}", vigil.usual_ns());
    }
}
