//! What a snapshot does to writers: at half of the highest write rate, offered at fixed times, over
//! a tree of a million nodes; first while no snapshot is taken, then while snapshots are.
//!
//! How a server is made to take snapshots is left to the caller: it is started once with lines of
//! zoo.cfg that prevent them, once with lines that provoke them, and a command can be run. Whether one is being taken is read off the
//! data directory: files with `snap` in their names that appear or grow.

use super::throughput::{NODES, path, prepare};
use super::znodes::{Shape, build, shape};
use super::{
    CONNECTING, Context, DATA_BYTES, Figure, SESSION_TIMEOUT_MS, Scale, Scenario, about, ask_set,
    closed_load, higher, lower,
};
use crate::error::{Doing, PerfError, Result};
use crate::load::closed::Window;
use crate::load::open::{self, Offer, OpenRun, SLOT_NS};
use crate::load::pool::Pool;
use crate::stats::Latencies;
use crate::target::{ConfigKey, Kind, Server, Wishes};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Requests that each session has outstanding when the highest rate is measured, and in a burst of the offered ones.
const OUTSTANDING: u32 = 16;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// Number of nodes, for the title.
    pub count: usize,
}

/// Snapshot files and their sizes in bytes.
type Files = BTreeMap<PathBuf, u64>;

/// Files that vanish between listing and looking are as if never seen.
fn snapshot_files(dir: &Path, depth: usize, found: &mut Files) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() && depth > 0 {
            snapshot_files(&entry.path(), depth - 1, found);
        } else if meta.is_file() && entry.file_name().to_string_lossy().contains("snap") {
            found.insert(entry.path(), meta.len());
        }
    }
}

/// Notices when snapshot files appear or grow.
struct SnapshotWatch {
    dir: PathBuf,
    known: Files,
    seen_first: bool,
    /// Slots in which a snapshot was seen to move.
    moving: Vec<bool>,
    begun: usize,
}

impl SnapshotWatch {
    fn new(dir: PathBuf, slots: usize) -> Self {
        Self { dir, known: Files::new(), seen_first: false, moving: vec![false; slots], begun: 0 }
    }

    fn look(&mut self, since_begin_ns: u64) {
        let mut now = Files::new();
        snapshot_files(&self.dir, 3, &mut now);
        let grew = |(path, bytes): (&PathBuf, &u64)| self.known.get(path) != Some(bytes);
        let moved = now.iter().any(grew);
        if self.seen_first && moved {
            self.begun += now.keys().filter(|path| !self.known.contains_key(*path)).count();
            if let Some(slot) = self.moving.get_mut((since_begin_ns / SLOT_NS) as usize) {
                *slot = true;
            }
        }
        self.seen_first = true;
        self.known = now;
    }

    /// A snapshot goes on between two movements that are at most a second apart.
    fn busy(&self) -> Vec<bool> {
        const GAP: usize = (1_000_000_000 / SLOT_NS) as usize;
        let mut busy = self.moving.clone();
        let mut last: Option<usize> = None;
        for slot in 0..busy.len() {
            if !self.moving[slot] {
                continue;
            }
            if let Some(last) = last.filter(|last| slot - last <= GAP) {
                busy[last..slot].fill(true);
            }
            last = Some(slot);
        }
        busy
    }
}

fn wishes(scale: &Scale, kind: Kind, snapshots: bool) -> Vec<ConfigKey> {
    match (snapshots, kind) {
        (false, _) => scale.no_snapshot_keys.clone(),
        (true, Kind::Zookeeper) => scale.zookeeper_snapshot_keys.clone(),
        (true, _) => scale.ringkeeper_snapshot_keys.clone(),
    }
}

fn highest_rate(server: &Server, measure_ns: u64) -> Result<f64> {
    let window = Window { warm_up_ns: 0, measure_ns };
    let run = closed_load(server, NODES, OUTSTANDING, window, &|session| {
        ask_set(server, &path(session))
    })?;
    Ok(run.operations as f64 / (run.elapsed_ns as f64 / 1e9))
}

/// What makes this kind of server take a snapshot, besides its configuration.
fn command(scale: &Scale, kind: Kind) -> Option<&str> {
    match kind {
        Kind::Zookeeper => scale.zookeeper_snapshot_command.as_deref(),
        _ => scale.ringkeeper_snapshot_command.as_deref(),
    }
}

/// Offers writes; `command` is started a second after the beginning and awaited after the end.
fn offered(
    server: &Server,
    offer: Offer,
    command: Option<&str>,
) -> Result<(OpenRun, SnapshotWatch)> {
    const COMMAND_AFTER_NS: u64 = 1_000_000_000;
    let mut pool = Pool::new()?;
    pool.open(server.addr(), NODES, CONNECTING, SESSION_TIMEOUT_MS)?;
    let questions = (0..NODES).map(|session| ask_set(server, &path(session))).collect();
    let slots = offer.length_ns.div_ceil(SLOT_NS) as usize;
    let mut watch = SnapshotWatch::new(server.data_dir(), slots);
    let mut waiting = command;
    let mut started = None;
    let run = open::run(&mut pool, questions, offer, |since_ns| {
        watch.look(since_ns);
        if since_ns >= COMMAND_AFTER_NS
            && let Some(command) = waiting.take()
        {
            started = Some(server.start_command(command)?);
        }
        Ok(())
    })?;
    pool.close()?;
    if let Some(mut child) = started {
        let status = child.wait().doing(|| "wait for the snapshot command".into())?;
        if !status.success() {
            return Err(PerfError::Setup(format!("the snapshot command failed: {status}")));
        }
    }
    Ok((run, watch))
}

fn quantiles(latencies: &Latencies, names: [&'static str; 4]) -> Vec<Figure> {
    let [p50, p99, p999, max] = names;
    vec![
        lower(p50, "µs", latencies.quantile_us(0.5)),
        lower(p99, "µs", latencies.quantile_us(0.99)),
        lower(p999, "µs", latencies.quantile_us(0.999)),
        lower(max, "µs", latencies.max_us()),
    ]
}

impl Scenario for Snapshot {
    fn title(&self) -> String {
        format!("writes at half rate while {} znodes of {DATA_BYTES} B are snapshotted", self.count)
    }

    fn group(&self) -> &'static str {
        "snapshot"
    }

    fn takes(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Zookeeper | Kind::Ringkeeper)
    }

    fn round(
        &self,
        context: &Context,
        kind: Kind,
        _held: &mut Option<Server>,
    ) -> Result<Vec<Figure>> {
        let scale = &context.scale;
        let tree: Shape = shape(scale);
        let keys = wishes(scale, kind, false);
        let mut server = context.start(kind, Wishes { keys, ..Wishes::default() })?;
        build(&server, tree, scale.batch)?;
        prepare(&server)?;
        highest_rate(&server, scale.prime_ns)?;
        let highest = highest_rate(&server, scale.window.measure_ns)?;
        let rate = scale.write_rate.unwrap_or(highest / 2.0);
        let offer = Offer { rate, length_ns: scale.open_ns, burst: u64::from(OUTSTANDING) };
        let (quiet, quiet_watch) = offered(&server, offer, None)?;
        server.stop()?;
        server.restart(wishes(scale, kind, true))?;
        highest_rate(&server, scale.prime_ns)?;
        let (loaded, watch) = offered(&server, offer, command(scale, kind))?;
        let busy = watch.busy();
        if watch.begun == 0 {
            let what = "no snapshot was taken: give lines of zoo.cfg that provoke one".to_string();
            return Err(server.failure(what));
        }
        if quiet_watch.begun > 0 {
            let what = "a snapshot was taken in the quiet window: lengthen --prime-seconds";
            return Err(PerfError::Setup(what.into()));
        }
        let during = loaded.merged(|slot| busy[slot]);
        let mut figures = vec![higher("highest write rate", "op/s", highest)];
        figures.push(about("offered", "op/s", rate));
        let quiet = quiet.merged(|_| true);
        figures.extend(quantiles(&quiet, ["quiet p50", "quiet p99", "quiet p99.9", "quiet max"]));
        figures.extend(quantiles(
            &during,
            ["snapshot p50", "snapshot p99", "snapshot p99.9", "snapshot max"],
        ));
        let p99 = |latencies: &Latencies| latencies.quantile_us(0.99);
        figures.push(lower("snapshot p99 ÷ quiet p99", "×", p99(&during) / p99(&quiet)));
        let busy_s = busy.iter().filter(|b| **b).count() as f64 * SLOT_NS as f64 / 1e9;
        figures.push(about("snapshots begun", "", watch.begun as f64));
        figures.push(about("time in snapshots", "s", busy_s));
        figures.push(about("load late, p99", "µs", loaded.late.quantile_us(0.99)));
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_snapshot_files_are_noticed_and_others_are_not() {
        let dir = std::env::temp_dir().join(format!("perf-snapshot-watch-{}", std::process::id()));
        let inner = dir.join("version-2");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("snapshot.0"), b"old").unwrap();
        let mut watch = SnapshotWatch::new(dir.clone(), 40);
        watch.look(0);
        std::fs::write(inner.join("log.1"), b"other").unwrap();
        watch.look(SLOT_NS);
        assert_eq!((watch.begun, watch.busy()[1]), (0, false));
        std::fs::write(inner.join("snapshot.5"), b"a").unwrap();
        watch.look(3 * SLOT_NS);
        std::fs::write(inner.join("snapshot.5"), b"ab").unwrap();
        watch.look(7 * SLOT_NS);
        watch.look(8 * SLOT_NS);
        std::fs::write(inner.join("snapshot.5"), b"abc").unwrap();
        watch.look(30 * SLOT_NS);
        std::fs::remove_dir_all(&dir).unwrap();
        let busy: Vec<usize> =
            watch.busy().iter().enumerate().filter(|(_, b)| **b).map(|(slot, _)| slot).collect();
        assert_eq!(busy, [3, 4, 5, 6, 7, 30]);
        assert_eq!(watch.begun, 1);
    }
}
