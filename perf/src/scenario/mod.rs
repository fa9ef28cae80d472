//! What is measured: one file a scenario.
//!
//! A scenario knows how to prepare a server and how to take one round of figures from it. It does
//! not know of other targets, of rounds or of tables: that is the runner's business.

pub mod disk;
pub mod fanout;
pub mod idle;
pub mod sessions;
pub mod snapshot;
pub mod throughput;
pub mod znodes;

use crate::error::Result;
use crate::load::closed::{ClosedRun, Question, Window};
use crate::load::{closed, pool::Pool};
use crate::target::{Environment, Kind, Server, Wishes};
use crate::wire;
use std::cell::RefCell;

/// Which way a figure gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Says something about the measurement, not about the target.
    Neither,
}

/// One figure of one round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Its value; NaN if this round has none.
    pub value: f64,
}

/// A figure that should be high.
pub fn higher(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, better: Better::Higher, value }
}

/// A figure that should be low.
pub fn lower(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, better: Better::Lower, value }
}

/// A figure about the measurement itself.
pub fn about(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, better: Better::Neither, value }
}

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Warm-up and length of each throughput window.
    pub window: Window,
    /// Load on a server that was just started, before its first round, in nanoseconds: lets a
    /// just-in-time compiler do its work. The same for all targets.
    pub prime_ns: u64,
    /// Watchers of the fan-out.
    pub watchers: usize,
    /// Changes told in a round.
    pub changes: usize,
    /// Watchers ask again the moment they are told, not when all have been told.
    pub rearm_at_once: bool,
    /// Sessions opened in a round.
    pub sessions: usize,
    /// Sessions in the making at a time.
    pub connecting: usize,
    /// Nodes created.
    pub znodes: usize,
    /// Parents they hang under.
    pub parents: usize,
    /// Creates in one multi; 1 for plain creates.
    pub batch: usize,
    /// Idle sessions.
    pub idle_sessions: usize,
    /// Length of an idle server's CPU measurement in nanoseconds.
    pub idle_ns: u64,
    /// Length of the open-loop windows of the snapshot scenario, in nanoseconds.
    pub open_ns: u64,
    /// Offered rate of the snapshot scenario; half of the highest one measured if not given.
    pub write_rate: Option<f64>,
    /// Lines of zoo.cfg that keep ZooKeeper or ringkeeper from taking snapshots.
    pub no_snapshot_keys: Vec<crate::target::ConfigKey>,
    /// Lines of zoo.cfg that make ZooKeeper take them under load.
    pub zookeeper_snapshot_keys: Vec<crate::target::ConfigKey>,
    /// Lines of zoo.cfg that make ringkeeper take them under load.
    pub ringkeeper_snapshot_keys: Vec<crate::target::ConfigKey>,
    /// Shell command that makes ZooKeeper take a snapshot, run a second into the loaded window.
    pub zookeeper_snapshot_command: Option<String>,
    /// The same for ringkeeper.
    pub ringkeeper_snapshot_command: Option<String>,
    /// Synced overwrites of the disk probe in a round.
    pub disk_writes: usize,
}

/// What a scenario works with.
pub struct Context {
    /// Servers.
    pub environment: Environment,
    /// Amounts.
    pub scale: Scale,
    /// What each target said it is, for the report.
    pub versions: RefCell<Vec<(Kind, String)>>,
}

impl Context {
    /// Starts a server on a fresh data directory, waits until it serves, notes its version.
    pub fn start(&self, kind: Kind, wishes: Wishes) -> Result<Server> {
        let server = Server::start(&self.environment, kind, wishes)?;
        let mut versions = self.versions.borrow_mut();
        if !versions.iter().any(|(known, _)| *known == kind) {
            versions.push((kind, server.version()));
        }
        Ok(server)
    }
}

/// One thing that is measured.
pub trait Scenario {
    /// Title in tables and on the console.
    fn title(&self) -> String;

    /// Scenarios in a row of the same group share their servers.
    fn group(&self) -> &'static str;

    /// Whether this target can take part.
    fn takes(&self, kind: Kind) -> bool;

    /// One round. A server found in `held` is used again, one left there is used in the next.
    fn round(
        &self,
        context: &Context,
        kind: Kind,
        held: &mut Option<Server>,
    ) -> Result<Vec<Figure>>;
}

/// Bytes of data in every node.
pub const DATA_BYTES: usize = 128;
/// Session time-out that is asked for; servers with ZooKeeper's defaults grant 40 s at most.
pub const SESSION_TIMEOUT_MS: i32 = 40_000;
/// Sessions in the making at a time when preparing load.
pub const CONNECTING: usize = 32;

/// The data of every node.
pub fn data() -> Vec<u8> {
    vec![b'd'; DATA_BYTES]
}

/// Asks of session number n.
pub type Ask<'a> = &'a dyn Fn(usize) -> Question;

/// Opens sessions, runs closed load, closes them again.
pub fn closed_load(
    server: &Server,
    sessions: usize,
    outstanding: u32,
    window: Window,
    ask: Ask<'_>,
) -> Result<ClosedRun> {
    let mut pool = Pool::new()?;
    pool.open(server.addr(), sessions, CONNECTING, SESSION_TIMEOUT_MS)?;
    let questions = (0..sessions).map(ask).collect();
    let run = closed::run(&mut pool, questions, outstanding, window, || server.cpu_ns())?;
    pool.close()?;
    Ok(run)
}

/// A getData of a node with [`DATA_BYTES`].
pub fn ask_get(server: &Server, path: &str) -> Question {
    let mut frame = Vec::new();
    wire::get_data(&mut frame, 0, path, false);
    Question { frame, reply_body_bytes: server.get_data_body_bytes(DATA_BYTES) }
}

/// A setData of a node with [`DATA_BYTES`].
pub fn ask_set(server: &Server, path: &str) -> Question {
    let mut frame = Vec::new();
    wire::set_data(&mut frame, 0, path, &data());
    Question { frame, reply_body_bytes: server.set_data_body_bytes() }
}

/// Figures of a closed run.
pub fn figures(run: &ClosedRun) -> Vec<Figure> {
    let operations = run.operations as f64;
    let seconds = run.elapsed_ns as f64 / 1e9;
    vec![
        higher("throughput", "op/s", operations / seconds),
        lower("p50", "µs", run.latencies.quantile_us(0.5)),
        lower("p99", "µs", run.latencies.quantile_us(0.99)),
        lower("p99.9", "µs", run.latencies.quantile_us(0.999)),
        lower("max", "µs", run.latencies.max_us()),
        lower("server CPU", "µs/op", run.server_cpu_ns as f64 / 1e3 / operations),
        about("load CPU", "µs/op", run.load_cpu_ns as f64 / 1e3 / operations),
        about("load busy", "%", run.load_cpu_ns as f64 * 100.0 / run.elapsed_ns as f64),
    ]
}
