//! What all connections together may hold in memory, over all shards: output that is not read, and requests that are
//! not whole or not answered yet. Each connection has bounds of its own; ten thousand of them at those bounds would
//! still be too much.
//!
//! Each shard tells its part and looks at the sum. From half of the bound on, connections are not read: of those that
//! do not read, the ones that hold most, of those that send large requests, all but a few
//! whose turn it is, so that what is begun is ended. At seven eighths it is full: nobody is read who would need more, and those are
//! closed that hold most and stand still. At the bound itself the greatest holders are closed. Sessions live on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// A part that changed by less is told at the end of the pass only.
const STEP_BYTES: usize = 1 << 20;

/// One bound, shared by the shards.
#[derive(Debug)]
pub struct Budget {
    max_bytes: usize,
    parts: Box<[Part]>,
}

/// What one shard tells of its connections. Alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    bytes: AtomicUsize,
    /// Somebody waits for room.
    waiting: AtomicBool,
}

impl Budget {
    /// A bound over so many shards.
    pub fn new(max_bytes: usize, shards: usize) -> Arc<Budget> {
        let parts = (0..shards.max(1)).map(|_| Part::default()).collect();
        Arc::new(Budget { max_bytes, parts })
    }

    /// A shard's view.
    pub fn share(self: &Arc<Budget>, shard: usize) -> Share {
        Share { budget: self.clone(), shard, own: 0, told: 0, others: 0 }
    }
}

/// A bound as one shard sees it: its own part, and what the others last told.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    shard: usize,
    own: usize,
    told: usize,
    others: usize,
}

impl Share {
    /// The shard's connections hold so much now.
    #[inline]
    pub fn set(&mut self, own: usize) {
        self.own = own;
        if own.abs_diff(self.told) >= STEP_BYTES {
            self.tell();
        }
    }

    /// What the shard's connections hold.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Tells the others, and looks what they hold.
    pub fn tell(&mut self) {
        if self.own != self.told {
            self.told = self.own;
            self.budget.parts[self.shard].bytes.store(self.own, Relaxed);
        }
        let others = self.budget.parts.iter().enumerate().filter(|(at, _)| *at != self.shard);
        self.others = others.map(|(_, part)| part.bytes.load(Relaxed)).sum();
    }

    /// Tells the others whether somebody waits here; whether anybody waits anywhere.
    pub fn tell_waiting(&self, waiting: bool) -> bool {
        let part = &self.budget.parts[self.shard];
        part.waiting.store(waiting, Relaxed);
        self.budget.parts.iter().any(|part| part.waiting.load(Relaxed))
    }

    /// How many things of `bytes` each shard may admit though it is tight, so that it becomes no more than full: at
    /// least one.
    pub fn turns(&self, bytes: usize) -> usize {
        (self.budget.max_bytes / 8 * 3 / bytes.max(1) / self.budget.parts.len()).max(1)
    }

    fn total(&self) -> usize {
        self.own + self.others
    }

    /// More than half of it is used.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.total() > self.budget.max_bytes / 2
    }

    /// So much is used that nobody gets more.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.total() > self.budget.max_bytes / 8 * 7
    }

    /// More than all of it is used.
    #[inline]
    pub fn is_exceeded(&self) -> bool {
        self.total() > self.budget.max_bytes
    }

    /// `bytes` while half of the bound is free, then less and less, 0 when it is full.
    #[inline]
    pub fn falling(&self, bytes: usize) -> usize {
        if !self.is_tight() {
            return bytes;
        }
        let eighth = self.budget.max_bytes / 8;
        let left = (eighth * 7).saturating_sub(self.total()).min(eighth * 3);
        (bytes as u128 * left as u128 / (eighth * 3).max(1) as u128) as usize
    }

    /// What this shard has to give up so that eight eighths, seven eighths and so on of the bound are held: no more
    /// than it has beyond its equal part of that, so that a shard does not pay for another. Some shard always has.
    pub fn excess(&self, eighths: usize) -> usize {
        let keep = self.budget.max_bytes / 8 * eighths;
        let equal = keep / self.budget.parts.len();
        self.total().saturating_sub(keep).min(self.own.saturating_sub(equal))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.parts[self.shard].bytes.store(0, Relaxed);
        self.tell_waiting(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_what_all_shards_hold() {
        let budget = Budget::new(800, 2);
        let (mut a, mut b) = (budget.share(0), budget.share(1));
        a.set(250);
        b.set(150);
        a.tell();
        b.tell();
        a.tell();
        assert!(!a.is_tight() && a.falling(80) == 80);
        b.set(300);
        assert!(b.is_tight() && !a.is_tight(), "told at the end of the pass");
        b.tell();
        a.tell();
        assert_eq!((a.falling(60), b.falling(60)), (30, 30));
        assert!(!b.is_full());
        b.set(460);
        assert!(b.is_full() && !b.is_exceeded());
        b.set(600);
        assert!(b.is_exceeded());
        assert_eq!((b.falling(80), b.turns(75), b.turns(600)), (0, 2, 1));
        let most = Budget::new(usize::MAX, 1).share(0);
        assert_eq!(most.falling(7), 7);
    }

    #[test]
    fn who_holds_most_gives_up() {
        let budget = Budget::new(800, 2);
        let (mut a, mut b) = (budget.share(0), budget.share(1));
        a.set(200);
        a.tell();
        b.set(700);
        b.tell();
        a.tell();
        assert_eq!((a.excess(7), b.excess(7)), (0, 200));
        b.set(600);
        assert_eq!((b.excess(8), b.excess(4)), (0, 400));
        for own in [350, 410, 800] {
            a.set(own);
            a.tell();
            b.set(820 - own);
            b.tell();
            a.tell();
            assert!(a.excess(7) + b.excess(7) > 0, "somebody has to give up: {own}");
        }
        assert_eq!((a.tell_waiting(true), b.tell_waiting(false)), (true, true));
        drop(a);
        b.tell();
        assert_eq!((b.others, b.tell_waiting(false)), (0, false));
    }

    #[test]
    fn a_large_change_is_told_at_once() {
        let budget = Budget::new(8 << 20, 2);
        let (mut a, mut b) = (budget.share(0), budget.share(1));
        a.set(STEP_BYTES);
        b.tell();
        assert_eq!(b.others, STEP_BYTES);
        a.set(0);
        b.tell();
        assert_eq!(b.others, 0);
    }
}
