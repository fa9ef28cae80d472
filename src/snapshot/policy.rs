//! When a snapshot is due: by the volume logged since the last one.

/// ZooKeeper's rule (`SyncRequestProcessor.shouldSnapshot`): between half and the whole of
/// `snapCount` transactions, or of `snapSizeLimitInKb`, at a point that differs from server to
/// server and from time to time, so that not all servers of an ensemble write at once.
#[derive(Clone, Debug)]
pub struct SnapshotPolicy {
    snap_count: u64,
    /// 0: no limit by size.
    size_limit_bytes: u64,
    transactions: u64,
    bytes: u64,
    transactions_due: u64,
    bytes_due: u64,
    random: u64,
}

impl SnapshotPolicy {
    /// `snap_count` transactions (at least 2, as in ZooKeeper; 0: not by number), or `size_limit_bytes` of log (0 or
    /// less: no such limit). `seed` makes one server differ from the next.
    pub fn new(snap_count: u64, size_limit_bytes: i64, seed: u64) -> SnapshotPolicy {
        let mut policy = SnapshotPolicy {
            snap_count: if snap_count == 0 { u64::MAX } else { snap_count.max(2) },
            size_limit_bytes: u64::try_from(size_limit_bytes).unwrap_or(0),
            transactions: 0,
            bytes: 0,
            transactions_due: 0,
            bytes_due: 0,
            random: seed,
        };
        policy.taken();
        policy
    }

    /// Whether it goes by the number of transactions as well.
    pub fn counts_transactions(&self) -> bool {
        self.snap_count != u64::MAX
    }

    /// That much was logged. Is a snapshot due now?
    pub fn logged(&mut self, transactions: u64, bytes: u64) -> bool {
        self.transactions = self.transactions.saturating_add(transactions);
        self.bytes = self.bytes.saturating_add(bytes);
        self.is_due()
    }

    /// Has enough been logged since the last one?
    pub fn is_due(&self) -> bool {
        self.transactions > self.transactions_due
            || (self.size_limit_bytes > 0 && self.bytes > self.bytes_due)
    }

    /// One was begun: counting starts anew, to another point.
    pub fn taken(&mut self) {
        (self.transactions, self.bytes) = (0, 0);
        let half = self.snap_count / 2;
        self.transactions_due = half + self.below(half);
        let half = self.size_limit_bytes / 2;
        self.bytes_due = half + self.below(half);
    }

    /// A number below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if bound == 0 { 0 } else { z % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Transactions until a snapshot is due.
    fn due_after(policy: &mut SnapshotPolicy, bytes_each: u64) -> u64 {
        let mut count = 1;
        while !policy.logged(1, bytes_each) {
            count += 1;
        }
        policy.taken();
        count
    }

    #[test]
    fn due_between_half_and_all_of_the_count_and_never_at_one_point_only() {
        let mut policy = SnapshotPolicy::new(1000, 0, 7);
        let points: Vec<u64> = (0..50).map(|_| due_after(&mut policy, 1 << 40)).collect();
        assert!(points.iter().all(|p| (501..=1000).contains(p)), "{points:?}");
        assert!(points.iter().any(|p| *p < 650) && points.iter().any(|p| *p > 850));
        let mut other = SnapshotPolicy::new(1000, -1, 8);
        assert_ne!(points[0], due_after(&mut other, 0));
    }

    #[test]
    fn due_by_size_when_that_comes_first() {
        let mut policy = SnapshotPolicy::new(1_000_000, 10_000, 7);
        for _ in 0..20 {
            let count = due_after(&mut policy, 100);
            assert!((51..=100).contains(&count), "{count}");
        }
    }
}
