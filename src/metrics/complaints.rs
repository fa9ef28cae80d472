//! Log lines about bad input, one a second and kind at most: a client must not be able to fill
//! the disk with lines about itself, nor slow the server by making it write them.

use super::names::Counter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The least time between two lines of one kind, in ns.
const INTERVAL_NS: u64 = 1_000_000_000;

/// When each kind was last logged, and how many went unlogged since. Shared by all threads; only
/// the ways of errors come here.
pub struct Complaints {
    kinds: Vec<Kind>,
}

#[derive(Default)]
struct Kind {
    /// Monotonic ns of the last line, plus one; 0 is never.
    last_ns: AtomicU64,
    suppressed: AtomicU64,
}

impl Complaints {
    pub(super) fn new() -> Self {
        Complaints { kinds: Counter::ALL.iter().map(|_| Kind::default()).collect() }
    }

    /// Whether to log a line of this kind now, and how many were left out before it.
    pub fn due(&self, kind: Counter, now_ns: u64) -> Option<u64> {
        let kind = self.kinds.get(kind as usize)?;
        let last = kind.last_ns.load(Relaxed);
        let now = now_ns.saturating_add(1);
        let early = last != 0 && now.saturating_sub(last) < INTERVAL_NS;
        // Of several threads at once one logs; the others count as left out.
        if early || kind.last_ns.compare_exchange(last, now, Relaxed, Relaxed).is_err() {
            kind.suppressed.fetch_add(1, Relaxed);
            return None;
        }
        Some(kind.suppressed.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_a_kind_with_the_number_left_out() {
        let complaints = Complaints::new();
        let kind = Counter::RefusedBadFrame;
        assert_eq!(complaints.due(kind, 0), Some(0));
        assert_eq!(complaints.due(kind, 0), None);
        assert_eq!(complaints.due(kind, INTERVAL_NS - 1), None);
        assert_eq!(complaints.due(Counter::RefusedOversize, 5), Some(0), "kinds do not share");
        assert_eq!(complaints.due(kind, INTERVAL_NS), Some(2));
        assert_eq!(complaints.due(kind, INTERVAL_NS + 1), None);
        assert_eq!(complaints.due(kind, 9 * INTERVAL_NS), Some(1));
    }
}
