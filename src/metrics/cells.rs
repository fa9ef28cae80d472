//! The cells of one thread, and what a distribution is made of.

use super::names::{Counter, Gauge, Summary};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Bits of a value that a bucket tells apart below its leading one: 8 buckets an octave, so a
/// percentile is within 12.5 % of the truth.
const DETAIL_BITS: u32 = 3;
const DETAIL: usize = 1 << DETAIL_BITS;
/// Largest octave told apart; 2^40 ns is 18 minutes. Larger values share the last bucket.
const OCTAVE_MAX: u32 = 40;
/// Number of buckets.
pub(super) const BUCKETS: usize = (OCTAVE_MAX - DETAIL_BITS + 2) as usize * DETAIL;

/// The bucket of a value: values below 8 have their own, then 8 buckets an octave.
fn bucket(value: u64) -> usize {
    let octave = value.max(1).ilog2();
    if octave < DETAIL_BITS {
        return value as usize;
    }
    let octave_capped = octave.min(OCTAVE_MAX);
    let detail = if octave > OCTAVE_MAX {
        DETAIL - 1
    } else {
        (value >> (octave - DETAIL_BITS)) as usize & (DETAIL - 1)
    };
    (octave_capped - DETAIL_BITS + 1) as usize * DETAIL + detail
}

/// The middle of a bucket, which stands for all its values.
fn middle(bucket: usize) -> u64 {
    if bucket < DETAIL {
        return bucket as u64;
    }
    let octave = (bucket / DETAIL) as u32 - 1 + DETAIL_BITS;
    let step = 1u64 << (octave - DETAIL_BITS);
    (DETAIL + bucket % DETAIL) as u64 * step + step / 2
}

/// Adds to a cell that only this thread writes.
fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

/// One distribution of one thread, on cache lines of its own.
#[repr(align(128))]
pub(super) struct SummaryCells {
    count: AtomicU64,
    sum: AtomicU64,
    last: AtomicU64,
    /// The reset that `min` and `max` belong to; those of an older one are void.
    era: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl SummaryCells {
    fn new() -> Self {
        SummaryCells {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            last: AtomicU64::new(0),
            era: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    pub(super) fn record(&self, value: u64, times: u64, era: u64) {
        self.extremes(value, times, era);
        bump(&self.sum, value.wrapping_mul(times));
        if let Some(cell) = self.buckets.get(bucket(value)) {
            bump(cell, times);
        }
    }

    /// What a distribution of which nobody asks the sum or a percentile needs.
    pub(super) fn extremes(&self, value: u64, times: u64, era: u64) {
        if self.era.load(Relaxed) != era {
            self.min.store(u64::MAX, Relaxed);
            self.max.store(0, Relaxed);
            self.era.store(era, Relaxed);
        }
        if value < self.min.load(Relaxed) {
            self.min.store(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.store(value, Relaxed);
        }
        self.last.store(value, Relaxed);
        bump(&self.count, times);
    }

    fn add_to(&self, total: &mut Distribution, era: u64) {
        let count = self.count.load(Relaxed);
        total.count += count;
        total.sum = total.sum.wrapping_add(self.sum.load(Relaxed));
        if self.era.load(Relaxed) == era && count > 0 {
            total.min = total.min.min(self.min.load(Relaxed));
            total.max = total.max.max(self.max.load(Relaxed));
            total.last = Some(self.last.load(Relaxed));
        }
        for (sum, cell) in total.buckets.iter_mut().zip(self.buckets.iter()) {
            *sum += cell.load(Relaxed);
        }
    }
}

/// All cells of one thread. Aligned so that two threads never share a cache line, nor the
/// neighbour that the prefetcher takes along.
#[repr(align(128))]
pub(super) struct Cells {
    pub(super) counters: [AtomicU64; Counter::COUNT],
    pub(super) gauges: [AtomicI64; Gauge::COUNT],
    pub(super) summaries: Box<[SummaryCells]>,
}

impl Cells {
    pub(super) fn new() -> Self {
        Cells {
            counters: [const { AtomicU64::new(0) }; Counter::COUNT],
            gauges: [const { AtomicI64::new(0) }; Gauge::COUNT],
            summaries: Summary::ALL.iter().map(|_| SummaryCells::new()).collect(),
        }
    }

    pub(super) fn add(&self, counter: Counter, by: u64) {
        bump(&self.counters[counter as usize], by);
    }

    pub(super) fn add_to(&self, totals: &mut Totals, era: u64) {
        for (total, cell) in totals.counters.iter_mut().zip(&self.counters) {
            *total = total.wrapping_add(cell.load(Relaxed));
        }
        for (total, cell) in totals.gauges.iter_mut().zip(&self.gauges) {
            *total = total.wrapping_add(cell.load(Relaxed));
        }
        for (total, cell) in totals.summaries.iter_mut().zip(&self.summaries) {
            cell.add_to(total, era);
        }
    }
}

/// The threads' cells, added up.
#[derive(Clone)]
pub(super) struct Totals {
    pub(super) counters: [u64; Counter::COUNT],
    pub(super) gauges: [i64; Gauge::COUNT],
    pub(super) summaries: Vec<Distribution>,
}

impl Totals {
    pub(super) fn zero() -> Self {
        Totals {
            counters: [0; Counter::COUNT],
            gauges: [0; Gauge::COUNT],
            summaries: Summary::ALL.iter().map(|_| Distribution::empty()).collect(),
        }
    }

    /// What came since `before`. Gauges are as they are now.
    pub(super) fn since(&mut self, before: &Totals) {
        for (now, then) in self.counters.iter_mut().zip(&before.counters) {
            *now = now.wrapping_sub(*then);
        }
        for (now, then) in self.summaries.iter_mut().zip(&before.summaries) {
            now.since(then);
        }
    }
}

/// A distribution as read: how many, how much, the extremes, and buckets for percentiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
    last: Option<u64>,
    buckets: Vec<u64>,
}

impl Distribution {
    pub(super) fn empty() -> Self {
        let buckets = vec![0; BUCKETS];
        Distribution { count: 0, sum: 0, min: u64::MAX, max: 0, last: None, buckets }
    }

    fn since(&mut self, before: &Distribution) {
        // The cells of one record are read one by one, so a count can trail another by a record.
        self.count = self.count.saturating_sub(before.count);
        self.sum = self.sum.saturating_sub(before.sum);
        for (now, then) in self.buckets.iter_mut().zip(&before.buckets) {
            *now = now.saturating_sub(*then);
        }
    }

    /// Both together.
    pub fn merged(mut self, other: &Distribution) -> Distribution {
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.last = self.last.or(other.last);
        for (into, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *into += from;
        }
        self
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The smallest; 0 if there is none.
    pub fn min(&self) -> u64 {
        if self.min == u64::MAX { 0 } else { self.min }
    }

    /// The largest; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The last one of one of the threads that recorded any.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// The mean; 0 if there is none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The value that `share` (0 to 1) of all values do not exceed, within 12.5 %.
    pub fn percentile(&self, share: f64) -> u64 {
        let all: u64 = self.buckets.iter().sum();
        let rank = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle(index).clamp(self.min(), self.max.max(self.min()));
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_ascending_and_hold_their_middle() {
        let mut last = 0;
        for value in (0..5000).chain((13..41).map(|bit| 1u64 << bit)) {
            let index = bucket(value);
            assert!(index >= last && index < BUCKETS, "{value}");
            last = index;
            assert_eq!(bucket(middle(index)), index, "{value}");
            let off = middle(index).abs_diff(value) as f64;
            assert!(off <= value as f64 / 8.0, "{value} stands as {}", middle(index));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket(1 << 41), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_near_the_truth() {
        let cells = SummaryCells::new();
        for value in 1..=1000 {
            cells.record(value, 1, 0);
        }
        let mut read = Distribution::empty();
        assert_eq!((read.percentile(0.5), read.min(), read.max(), read.last()), (0, 0, 0, None));
        cells.add_to(&mut read, 0);
        assert_eq!((read.count(), read.sum(), read.min(), read.max()), (1000, 500_500, 1, 1000));
        assert_eq!(read.last(), Some(1000));
        assert_eq!(read.mean(), 500.5);
        for (share, truth) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = read.percentile(share) as f64;
            assert!((found - truth).abs() <= truth / 8.0, "{share}: {found}");
        }
        assert_eq!(read.percentile(0.0), 1);
    }
}
