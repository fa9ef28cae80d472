//! How many requests are under way, here and on the other shards, for the limits that hold over all of them:
//! `globalOutstandingLimit`, and the request throttle's. Each shard counts its own and shows the sum once a pass; what
//! the others show it looks up once a millisecond, so a limit over several shards is kept within what they take in that
//! time. A request costs a comparison of the shard's own numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam::utils::CachePadded;

/// How old the others' numbers may be.
const LOOK_NS: u64 = 1_000_000;

/// What the shards show each other; each writes its own cell alone.
#[derive(Debug, Clone)]
pub struct Shown(Arc<[CachePadded<AtomicU64>]>);

impl Shown {
    /// For so many shards.
    pub fn new(shards: usize) -> Shown {
        Shown((0..shards).map(|_| CachePadded::new(AtomicU64::new(0))).collect())
    }
}

/// One shard's count, and what it knows of the others.
#[derive(Debug)]
pub(super) struct Load {
    shown: Shown,
    index: usize,
    own: u64,
    own_shown: u64,
    others: u64,
    next_look_ns: u64,
}

impl Load {
    pub(super) fn new(shown: Shown, index: usize) -> Load {
        Load { shown, index, own: 0, own_shown: 0, others: 0, next_look_ns: 0 }
    }

    /// Requests of this shard that are with the core, or held behind one that is.
    pub(super) fn own(&self) -> u64 {
        self.own
    }

    /// Those of all shards.
    pub(super) fn all(&self) -> u64 {
        self.own + self.others
    }

    pub(super) fn add(&mut self, requests: usize) {
        self.own += requests as u64;
    }

    pub(super) fn subtract(&mut self, requests: usize) {
        self.own -= requests as u64;
    }

    /// Once a pass.
    pub(super) fn exchange(&mut self, now_ns: u64) {
        let cells = &self.shown.0;
        if self.own != self.own_shown {
            self.own_shown = self.own;
            cells[self.index].store(self.own, Relaxed);
        }
        if cells.len() > 1 && now_ns >= self.next_look_ns {
            self.next_look_ns = now_ns + LOOK_NS;
            let all: u64 = cells.iter().map(|cell| cell.load(Relaxed)).sum();
            // Its own cell is as it left it.
            self.others = all - self.own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_see_each_other_after_a_millisecond() {
        let shown = Shown::new(2);
        let (mut a, mut b) = (Load::new(shown.clone(), 0), Load::new(shown, 1));
        a.add(5);
        b.add(2);
        assert_eq!((a.all(), b.all()), (5, 2));
        a.exchange(1);
        b.exchange(1);
        assert_eq!((a.all(), b.all()), (5, 7));
        a.subtract(4);
        a.exchange(LOOK_NS + 1);
        b.exchange(LOOK_NS);
        assert_eq!((a.own(), a.all(), b.all()), (1, 3, 7), "b has not looked again yet");
        b.exchange(LOOK_NS + 1);
        assert_eq!(b.all(), 3);
    }
}
