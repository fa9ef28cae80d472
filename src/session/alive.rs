//! A clock that stands still while the process did.

use std::collections::VecDeque;

/// How many stalls are remembered one by one.
const STALLS_MAX: usize = 32;

/// Maps monotonic milliseconds to *alive* milliseconds: monotonic ones less the stalls before.
///
/// A deadline in alive time moves by every stall that comes before it, without being touched.
/// Times inside a stall all map to its beginning, so whoever was heard then was heard just now
/// once it is over. Of times before the remembered stalls it may say too late, never too early.
#[derive(Debug, Clone, Default)]
pub struct AliveClock {
    stalls: VecDeque<Stall>,
    stalled_ms: u64,
}

#[derive(Debug, Clone, Copy)]
struct Stall {
    start_ms: u64,
    end_ms: u64,
    /// Sum of the stalls before this one.
    before_ms: u64,
}

impl AliveClock {
    /// Notes that nothing ran from `start_ms` to `end_ms`. Stalls come in order.
    pub fn stalled(&mut self, start_ms: u64, end_ms: u64) {
        let start_ms = start_ms.max(self.stalls.back().map_or(0, |last| last.end_ms));
        if end_ms <= start_ms {
            return;
        }
        if self.stalls.len() == STALLS_MAX {
            self.stalls.pop_front();
        }
        self.stalls.push_back(Stall { start_ms, end_ms, before_ms: self.stalled_ms });
        self.stalled_ms += end_ms - start_ms;
    }

    /// The alive time of a monotonic time.
    pub fn alive_ms(&self, monotonic_ms: u64) -> u64 {
        match self.stalls.iter().rev().find(|stall| stall.start_ms <= monotonic_ms) {
            Some(stall) => monotonic_ms.max(stall.end_ms) - stall.end_ms + stall.alive_ms(),
            None => match self.stalls.front() {
                Some(first) => monotonic_ms.min(first.alive_ms()),
                None => monotonic_ms,
            },
        }
    }

    /// All stalls together, in milliseconds.
    pub fn stalled_ms(&self) -> u64 {
        self.stalled_ms
    }
}

impl Stall {
    /// The alive time at which the clock stood still.
    fn alive_ms(&self) -> u64 {
        self.start_ms - self.before_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stalls_do_not_count() {
        let mut clock = AliveClock::default();
        clock.stalled(100, 150);
        clock.stalled(200, 1200);
        for (at, alive) in
            [(0, 0), (100, 100), (149, 100), (150, 100), (160, 110), (700, 150), (1201, 151)]
        {
            assert_eq!(clock.alive_ms(at), alive, "at {at}");
        }
        assert_eq!(clock.stalled_ms(), 1050);
    }

    proptest! {
        #[test]
        fn never_goes_back_and_never_forgets_a_stall_in_sight(
            gaps in prop::collection::vec((0u64..50, 0u64..50), 0..60),
            asked in prop::collection::vec(0u64..4000, 0..60),
        ) {
            let (mut clock, mut at, mut stalls) = (AliveClock::default(), 0, Vec::new());
            for (run, stall) in gaps {
                clock.stalled(at + run, at + run + stall);
                stalls.push((at + run, at + run + stall));
                at += run + stall;
            }
            let exact = |t: u64| t - stalls.iter()
                .map(|(start, end)| t.clamp(*start, *end) - start).sum::<u64>();
            let mut asked = asked;
            asked.sort_unstable();
            let mut last = 0;
            for t in asked {
                let alive = clock.alive_ms(t);
                prop_assert!(alive >= last);
                prop_assert!(alive >= exact(t));
                if stalls.len() <= STALLS_MAX || t >= at {
                    prop_assert_eq!(alive, exact(t));
                }
                last = alive;
            }
        }
    }
}
