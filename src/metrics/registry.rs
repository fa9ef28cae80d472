//! The registry hands every thread its [`Writer`] and adds the threads up when asked.

use super::cells::{Cells, Distribution, Totals};
use super::complaints::Complaints;
use super::names::{Counter, Gauge, Summary};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All metrics of the server.
pub struct Registry {
    threads: Mutex<Vec<Arc<Cells>>>,
    before_reset: Mutex<Totals>,
    /// Resets so far; writers look at it to start their extremes anew.
    era: Arc<AtomicU64>,
    complaints: Arc<Complaints>,
    started: Instant,
}

/// The metrics of one thread, for that thread alone: it may be sent there, not shared.
pub struct Writer {
    cells: Arc<Cells>,
    era: Arc<AtomicU64>,
    complaints: Arc<Complaints>,
    /// Not `Sync`: the cells' stores are right only if one thread makes them.
    _one_thread: PhantomData<Cell<()>>,
}

/// Everything at one moment, added up.
pub struct Reading {
    totals: Totals,
    /// Since the registry was made.
    pub uptime: Duration,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry; the server's uptime begins.
    pub fn new() -> Self {
        Registry {
            threads: Mutex::default(),
            before_reset: Mutex::new(Totals::zero()),
            era: Arc::default(),
            complaints: Arc::new(Complaints::new()),
            started: Instant::now(),
        }
    }

    /// Cells for one more thread. They count for as long as the registry lives.
    pub fn writer(&self) -> Writer {
        let cells = Arc::new(Cells::new());
        self.lock_threads().push(cells.clone());
        let (era, complaints) = (self.era.clone(), self.complaints.clone());
        Writer { cells, era, complaints, _one_thread: PhantomData }
    }

    /// Adds up all threads. Not atomic over them: a figure may be a moment older than another.
    pub fn read(&self) -> Reading {
        let mut totals = self.totals();
        let before = self.before_reset.lock().unwrap_or_else(PoisonError::into_inner);
        totals.since(&before);
        Reading { totals, uptime: self.started.elapsed() }
    }

    /// Starts counters and distributions anew (`srst`). Gauges stay.
    pub fn reset(&self) {
        let mut before = self.before_reset.lock().unwrap_or_else(PoisonError::into_inner);
        *before = self.totals();
        self.era.fetch_add(1, Relaxed);
    }

    /// Who may log about what, for threads without a writer.
    pub fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::zero();
        let era = self.era.load(Relaxed);
        for cells in self.lock_threads().iter() {
            cells.add_to(&mut totals, era);
        }
        totals
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Cells>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Counts `by` more.
    #[inline]
    pub fn add(&self, counter: Counter, by: u64) {
        self.cells.add(counter, by);
    }

    /// Counts one more.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Sets this thread's part of a gauge.
    #[inline]
    pub fn set(&self, gauge: Gauge, value: i64) {
        self.cells.gauges[gauge as usize].store(value, Relaxed);
    }

    /// Changes this thread's part of a gauge.
    #[inline]
    pub fn change(&self, gauge: Gauge, by: i64) {
        let cell = &self.cells.gauges[gauge as usize];
        cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Records a value; times in ns.
    #[inline]
    pub fn record(&self, summary: Summary, value: u64) {
        self.record_many(summary, value, 1);
    }

    /// Records a value that `times` have in common.
    #[inline]
    pub fn record_many(&self, summary: Summary, value: u64, times: u64) {
        let era = self.era.load(Relaxed);
        if let Some(cells) = self.cells.summaries.get(summary as usize) {
            cells.record(value, times, era);
        }
    }

    /// Records a value where only the last one, the least and the greatest are asked for.
    #[inline]
    pub fn record_extremes(&self, summary: Summary, value: u64) {
        let era = self.era.load(Relaxed);
        if let Some(cells) = self.cells.summaries.get(summary as usize) {
            cells.extremes(value, 1, era);
        }
    }

    /// Counts something bad and says whether to log it now: `Some(n)` at most once a second and
    /// kind over all threads, `n` being how many went unlogged since the last time.
    pub fn complain(&self, counter: Counter, now_ns: u64) -> Option<u64> {
        self.count(counter);
        self.complaints.due(counter, now_ns)
    }
}

impl Reading {
    /// A counter, since the last reset.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.totals.counters[counter as usize]
    }

    /// A gauge.
    pub fn gauge(&self, gauge: Gauge) -> i64 {
        self.totals.gauges[gauge as usize]
    }

    /// A distribution, since the last reset.
    pub fn summary(&self, summary: Summary) -> &Distribution {
        &self.totals.summaries[summary as usize]
    }

    /// Time from receiving any request to its reply, in ns.
    pub fn latency(&self) -> Distribution {
        self.summary(Summary::ReadLatency).clone().merged(self.summary(Summary::UpdateLatency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let registry = Registry::new();
        let writers = [registry.writer(), registry.writer()];
        std::thread::scope(|scope| {
            for writer in writers {
                scope.spawn(move || {
                    for value in 1..=1000 {
                        writer.count(Counter::PacketsReceived);
                        writer.record(Summary::ReadLatency, value);
                    }
                    writer.record(Summary::UpdateLatency, 5000);
                    writer.set(Gauge::Connections, 3);
                    writer.change(Gauge::Connections, -1);
                });
            }
        });
        let read = registry.read();
        assert_eq!(read.counter(Counter::PacketsReceived), 2000);
        assert_eq!(read.gauge(Gauge::Connections), 4);
        let latency = read.latency();
        assert_eq!((latency.count(), latency.min(), latency.max()), (2002, 1, 5000));
        assert_eq!(latency.sum(), 2 * 500_500 + 10_000);
    }

    #[test]
    fn a_reset_starts_anew_and_leaves_gauges() {
        let registry = Registry::new();
        let writer = registry.writer();
        writer.add(Counter::PacketsSent, 7);
        writer.set(Gauge::Znodes, 5);
        writer.record(Summary::ReadLatency, 100);
        registry.reset();
        let read = registry.read();
        assert_eq!(read.counter(Counter::PacketsSent), 0);
        assert_eq!(read.gauge(Gauge::Znodes), 5);
        let latency = read.latency();
        assert_eq!((latency.count(), latency.min(), latency.max()), (0, 0, 0));
        assert_eq!(latency.percentile(0.5), 0);
        writer.add(Counter::PacketsSent, 2);
        writer.record(Summary::ReadLatency, 8);
        let read = registry.read();
        assert_eq!(read.counter(Counter::PacketsSent), 2);
        let latency = read.latency();
        assert_eq!((latency.count(), latency.sum(), latency.min(), latency.max()), (1, 8, 8, 8));
        assert_eq!(latency.percentile(0.99), 8);
    }

    #[test]
    fn many_of_one_value_and_extremes_alone() {
        let registry = Registry::new();
        let writer = registry.writer();
        writer.record_many(Summary::PrepTime, 10, 3);
        writer.record(Summary::PrepTime, 2);
        writer.record_extremes(Summary::ResponseSize, 7);
        writer.record_extremes(Summary::ResponseSize, 5);
        let read = registry.read();
        let prepared = read.summary(Summary::PrepTime);
        assert_eq!((prepared.count(), prepared.sum(), prepared.percentile(0.5)), (4, 32, 10));
        let sizes = read.summary(Summary::ResponseSize);
        assert_eq!((sizes.last(), sizes.min(), sizes.max()), (Some(5), 5, 7));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = Counter::ALL.iter().map(|c| c.name()).collect();
        names.extend(Gauge::ALL.iter().map(|g| g.name()));
        names.extend(Summary::ALL.iter().map(|s| s.name()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
