//! The server put together: recovery, the threads and what joins them, the background work, and stopping.
//!
//! Owns nothing that works at run time; it makes the rooms, hands each what it needs, and waits.

mod plan;
mod port;
mod preflight;
mod recovery;
mod rooms;
mod signals;
mod snapshots;
mod worker;

use std::io::{ErrorKind, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use crate::admin::words::WhiteList;
use crate::admin::{Desk, DeskFacts};
use crate::auth::IdentityTable;
use crate::cli::server::ServerArgs;
use crate::cli::summary::Summary;
use crate::config::Config;
use crate::ensemble::{CoreParts, EnsembleCore, ShardEnd};
use crate::lanes;
use crate::log::{self, DirLock};
use crate::metrics::Registry as Metrics;
use crate::protocol::Zxid;
use crate::reactor::{self, PassClock, ReactorConfig, ReactorStats, Waker, monotonic_ns};
use crate::session::{RegistryConfig, SERVER_ID_STANDALONE, SessionIds, SessionRegistry};
use crate::shard::load::Shown;
use crate::shard::{Shard, ShardLinks, ShardParts};
use crate::watch::WatchTable;

use plan::Plan;
use snapshots::{Snapshots, Taker};
use tracing_subscriber::EnvFilter;
pub use worker::Worker;

/// Why the server does not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The client port cannot be had.
    #[error("cannot listen on {address}: {error}; {} (clientPort, clientPortAddress)", hint(.error))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A directory is missing and is not to be made.
    #[error(
        "{dir} is missing, and datadir.autocreate=false forbids making it: mount its disk, or make it if this server is new"
    )]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory cannot be used.
    #[error(
        "{dir} cannot be used ({key}): {error}; the server makes files there and writes them directly"
    )]
    Directory {
        /// The directory, or the nearest above it that exists.
        dir: PathBuf,
        /// The key that names it.
        key: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The log's file system is too full for a first segment.
    #[error(
        "{dir}: the log needs {segment_bytes} bytes for a segment, and {free_bytes} are free: make room, or give \
         another dataLogDir, or a smaller preAllocSize"
    )]
    NoRoom {
        /// The log's directory.
        dir: PathBuf,
        /// Bytes of one segment.
        segment_bytes: u64,
        /// Bytes that the server may use.
        free_bytes: u64,
    },
    /// The log does not reach the snapshot.
    #[error(
        "the log in {dir} {}, and the newest snapshot is of zxid 0x{snapshot_zxid:x}: what was acknowledged behind that is not \
         there either. Is its disk mounted (dataLogDir)? Bring the log back; or, if it is lost, start once with \
         ringkeeper.acceptLostLog=yes, which loses what it held",
        ends(.log_zxid)
    )]
    LostLog {
        /// The log's directory.
        dir: PathBuf,
        /// Where it ends.
        log_zxid: Option<Zxid>,
        /// What the snapshot is of.
        snapshot_zxid: Zxid,
    },
    /// There is a log where none should be.
    #[error(
        "{dir} holds a log, and dataLogDir is elsewhere: move that directory into {to}, or leave dataLogDir out"
    )]
    LogLeftBehind {
        /// The log that was found.
        dir: PathBuf,
        /// Where it belongs by the configuration.
        to: PathBuf,
    },
    /// Too few files may be open.
    #[error(
        "{limit} descriptors may be open (ulimit -n), and the server itself needs {needed}: allow more of them"
    )]
    Descriptors {
        /// The limit.
        limit: u64,
        /// What is needed without any client.
        needed: u64,
    },
    /// There is the data of Apache ZooKeeper, and none of ours.
    #[error(
        "{dir} holds an Apache ZooKeeper's data, which ringkeeper cannot read yet: it would serve an empty tree in its place. \
         Give another dataDir, or move that directory away if its data is not needed"
    )]
    ForeignData {
        /// Its `version-2`.
        dir: PathBuf,
    },
    /// The log or a snapshot.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// The snapshots.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::SnapshotError),
    /// What the log or a snapshot says cannot be applied.
    #[error("cannot recover: {0}")]
    Recovery(String),
    /// The machine has no room for a thread or a descriptor.
    #[error("cannot start {what}: {error}")]
    System {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

fn ends(log_zxid: &Option<Zxid>) -> String {
    log_zxid.map_or("has no transaction".into(), |zxid| format!("ends at zxid 0x{zxid:x}"))
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "is another server running there?",
        ErrorKind::AddrNotAvailable => "this machine does not have that address",
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
        _ => "is another port or address free?",
    }
}

/// Batches that a request lane holds at the most, and bytes of one beyond which the next is begun: what may wait on the
/// way to the core, 4 MiB and one frame.
const LANE_SLOTS: usize = 32;
const LANE_SLOT_BYTES: usize = 128 << 10;
/// Batches that the commit ring holds at the most.
const RING_SLOTS: usize = 32;
/// Distinct identity lists.
const IDENTITY_LISTS_MAX: usize = 1 << 20;

/// `ringkeeper server`: reads the configuration, says what it makes of it, and runs.
///
/// # Errors
/// What stops the start, in words for the operator.
pub fn command(args: &ServerArgs) -> Result<(), String> {
    let loaded = args.load().map_err(|e| e.to_string())?;
    let filter = EnvFilter::try_new(&args.log.0).map_err(|e| {
        format!("--log {}: {e}; give error, warn, info, debug or trace", args.log.0)
    })?;
    // What cannot be written is not worth ending for, nor telling where that cannot be written either.
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let subscriber = subscriber.with_ansi(std::io::stderr().is_terminal());
    subscriber.with_writer(std::io::stderr).init();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if args.check {
        preflight::check(&loaded.config)?;
        say(format_args!("the configuration is good, and a server can start with it here\n"));
        return Ok(());
    }
    run(&loaded.config, args.config.clone()).map_err(|e| e.to_string())
}

/// Runs a server until it is told to stop.
pub fn run(config: &Config, config_file: Option<PathBuf>) -> Result<(), ServerError> {
    let stopping = signals::catch().map_err(|error| system("the signal handlers", error))?;
    look_for_directories(config)?;
    look_for_foreign_data(config)?;
    look_for_log_left_behind(config)?;
    let plan = Plan::new(config);
    let clients_max = preflight::clients_max(&plan)?;
    if !own_dir(&config.data_dir).exists() {
        // A start that is refused leaves no files behind.
        port::look(config)?;
        preflight::try_threads(&plan)?;
    }
    let locks = lock(config)?;
    // Once who had the lock has ended its port is free, too; recovery may take long.
    port::look(config)?;
    let began = Instant::now();
    let recovered = recovery::recover(config)?;
    let recovery = began.elapsed();
    let znode_count = recovered.tree.node_count();
    let (last_zxid, listeners) = (recovered.last_zxid, port::listen(config, plan.shards)?);
    let client_address = listeners[0].local_addr().map_err(|e| system("the client port", e))?;
    let running = assemble(config, &plan, clients_max, recovered, listeners, &locks)?;
    let summary = Summary {
        version: env!("CARGO_PKG_VERSION"),
        config_file,
        client_address,
        data_dir: config.data_dir.clone(),
        data_log_dir: config.data_log_dir.clone(),
        recovered_zxid: last_zxid,
        znode_count: znode_count as usize,
        recovery,
        shards: plan.shards,
        cores: plan.cpus,
        core_together: plan.together,
        pinned: plan.threads.iter().any(|t| t.cpu.is_some()),
        force_sync: config.force_sync,
        sync_method: if config.force_sync {
            "O_DIRECT|O_DSYNC through io_uring"
        } else {
            "O_DIRECT through io_uring, not synced (forceSync=no)"
        },
        session_timeout_ms: (config.min_session_timeout_ms, config.max_session_timeout_ms),
    };
    say(format_args!("{summary}serving clients on {client_address}\n"));
    stopping.wait();
    say(format_args!("stopping\n"));
    running.stop().map_err(|e| system("the threads' end", e))
}

/// Tells the operator; a full disk or a closed pipe behind the standard output stops no server.
fn say(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_fmt(text).and_then(|()| out.flush());
}

/// Keeps other servers out of both directories.
fn lock(config: &Config) -> Result<Vec<DirLock>, ServerError> {
    let (data, log) = (own_dir(&config.data_dir), own_dir(&config.data_log_dir));
    let mut locks = vec![DirLock::acquire(&data)?];
    // The one directory may go by two names; the first exists by now.
    if std::fs::canonicalize(&log).ok() != std::fs::canonicalize(&data).ok() {
        locks.push(DirLock::acquire(&log)?);
    }
    Ok(locks)
}

/// Our files live beside ZooKeeper's `version-2/`, so that either can be kept.
pub(crate) fn own_dir(dir: &Path) -> PathBuf {
    dir.join("ringkeeper")
}

/// Where directories are not made, a server must find those it has written before: a disk that is not mounted would
/// look like an empty tree.
fn look_for_directories(config: &Config) -> Result<(), ServerError> {
    if config.data_dir_autocreate {
        return Ok(());
    }
    for dir in [&config.data_dir, &config.data_log_dir] {
        let dir = own_dir(dir);
        if !dir.is_dir() {
            return Err(ServerError::NoDirectory { dir });
        }
    }
    Ok(())
}

/// A log that is kept elsewhere from now on was not moved there: a server would begin anew beside it (ZooKeeper's
/// `FileTxnSnapLog.checkSnapDir`).
fn look_for_log_left_behind(config: &Config) -> Result<(), ServerError> {
    let dir = own_dir(&config.data_dir).join("log");
    // However the two are written.
    let place = |dir: &Path| dir.canonicalize().ok();
    if place(&dir) == place(&own_dir(&config.data_log_dir).join("log")) {
        return Ok(());
    }
    let names = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
    match names.into_iter().any(|name| name.to_string_lossy().starts_with("segment.")) {
        true => Err(ServerError::LogLeftBehind { dir, to: own_dir(&config.data_log_dir) }),
        false => Ok(()),
    }
}

/// Who gives a ZooKeeper's own directory to a new server expects its data there.
fn look_for_foreign_data(config: &Config) -> Result<(), ServerError> {
    if own_dir(&config.data_dir).exists() || own_dir(&config.data_log_dir).exists() {
        return Ok(());
    }
    for dir in [&config.data_dir, &config.data_log_dir] {
        let dir = dir.join("version-2");
        let names = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
        let is_data = |name: &str| name.starts_with("snapshot.") || name.starts_with("log.");
        if names.filter_map(|name| name.into_string().ok()).any(|name| is_data(&name)) {
            return Err(ServerError::ForeignData { dir });
        }
    }
    Ok(())
}

fn system(what: &'static str, error: std::io::Error) -> ServerError {
    ServerError::System { what, error }
}

/// Everything that runs. Ends in the order of its fields: first those who use the others.
struct Running {
    desk: Desk,
    snapshots: snapshots::Running,
    threads: Vec<reactor::Handle>,
    _spares: log::SpareThread,
}

impl Running {
    fn stop(self) -> std::io::Result<()> {
        drop(self.desk);
        drop(self.snapshots);
        for thread in &self.threads {
            thread.stop();
        }
        self.threads.into_iter().try_for_each(reactor::Handle::join)
    }
}

fn assemble(
    config: &Config,
    plan: &Plan,
    clients_max: Option<u64>,
    recovered: recovery::Recovered,
    listeners: Vec<TcpListener>,
    locks: &[DirLock],
) -> Result<Running, ServerError> {
    let tree = recovered.tree.shared();
    let metrics = Arc::new(Metrics::new());
    recovered.report.record(&metrics.writer());
    let registry = registry(&recovered)?;
    let heard = registry.heard();
    let identities = Arc::new(IdentityTable::new(IDENTITY_LISTS_MAX));
    let admission = Arc::new(rooms::admission(config, clients_max));
    let shown = Shown::new(plan.shards);
    let auth = Arc::new(config.auth());
    let (output, input) =
        (rooms::output_budget(config, plan.shards), rooms::input_budget(config, plan.shards));
    let (commits, rings) = lanes::commit_ring(plan.shards, RING_SLOTS);
    let mut desk = Desk::new();
    let snapshots = Snapshots::new();

    let wakers = plan.threads.iter().map(|_| Waker::new()).collect::<Result<Vec<_>, _>>();
    let wakers = wakers.map_err(|e| system("a waker", e))?;
    let core_thread = plan.core_thread();
    let (mut ends, mut shards, mut desks) = (Vec::new(), Vec::new(), Vec::new());
    for (index, ring) in rings.into_iter().enumerate() {
        let waker = &wakers[plan.shard_thread(index)];
        let apart = plan.shard_thread(index) != core_thread;
        let (to_core, from_shard) = lanes::lane(LANE_SLOTS, LANE_SLOT_BYTES);
        let watch_count = Arc::new(AtomicU64::new(0));
        let passes = Arc::new(PassClock::new());
        ends.push(ShardEnd {
            lane: from_shard,
            waker: apart.then(|| waker.clone()),
            watch_count: watch_count.clone(),
            passes: passes.clone(),
        });
        let shard_desk = desk.shard();
        desks.push((shard_desk.clone(), waker.clone()));
        let links = ShardLinks {
            identities: identities.clone(),
            heard: heard.clone(),
            admission: admission.clone(),
            shown: shown.clone(),
            core_waker: apart.then(|| wakers[core_thread].clone()),
            watch_count,
            auth: auth.clone(),
            desk: shard_desk,
            white_list: WhiteList::new(&config.four_letter_words, config.read_only_mode_enabled),
        };
        let shard = Shard::new(ShardParts {
            index: index as u16,
            reader: tree.reader().map_err(|e| ServerError::Recovery(e.to_string()))?,
            lane: to_core,
            commits: ring,
            links,
            limits: rooms::shard_limits(config),
            output: output.share(index),
            input: input.share(index),
            watches: WatchTable::new(rooms::watch_limits(config)),
            metrics: metrics.writer(),
        });
        shards.push((shard, passes));
    }
    let facts = DeskFacts {
        conf: rooms::conf_view(config, &listeners),
        data_dir: own_dir(&config.data_dir),
        data_log_dir: own_dir(&config.data_log_dir),
        metrics: metrics.clone(),
        connection_drop_probability: Box::new(move || admission.drop_probability()),
        mode: "standalone",
    };
    let opened = desk.open(facts, &tree, desks, wakers[core_thread].clone());
    opened.map_err(|e| system("the desk", e))?;
    let parts = CoreParts {
        tree: recovered.tree,
        log: recovered.log,
        shards: ends,
        commits,
        registry,
        session_ids: session_ids(),
        identities,
        last_zxid: recovered.last_zxid,
        digests: recovered.digests,
        snapshots: snapshots.requests(config, &recovered.report),
        office: desk.office(),
        metrics: metrics.writer(),
    };
    let core = EnsembleCore::new(rooms::core_config(config, &auth)?, parts);
    let taker = Taker {
        tree,
        dir: own_dir(&config.data_dir),
        retain: (config.autopurge_snap_retain_count as usize).max(3),
        purges: config.autopurge_purge_interval_h != 0,
        core: desk.office(),
        waker: wakers[core_thread].clone(),
        metrics: metrics.writer(),
    };
    let snapshots = snapshots.start(taker).map_err(|e| system("the snapshot thread", e))?;
    let shards = shards.into_iter().zip(listeners).collect();
    let threads = spawn(config, plan, wakers, shards, core, locks, &metrics)?;
    Ok(Running { desk, snapshots, threads, _spares: recovered.spares })
}

/// The sessions of the recovered tree, each with its full time-out anew (R9).
fn registry(recovered: &recovery::Recovered) -> Result<SessionRegistry, ServerError> {
    let now_ms = monotonic_ns() / 1_000_000;
    let mut registry = SessionRegistry::new(RegistryConfig::default(), now_ms);
    for (id, info) in recovered.tree.sessions() {
        registry
            .restore(id, info.timeout_ms, now_ms)
            .map_err(|e| ServerError::Recovery(e.to_string()))?;
    }
    Ok(registry)
}

fn session_ids() -> SessionIds {
    let seed_ms = crate::process::wall_clock_ms() as u64;
    SessionIds::new(SERVER_ID_STANDALONE, seed_ms).expect("the standalone id is in range")
}

fn spawn(
    config: &Config,
    plan: &Plan,
    wakers: Vec<Waker>,
    shards: Vec<((Shard, Arc<PassClock>), TcpListener)>,
    core: EnsembleCore,
    locks: &[DirLock],
    metrics: &Metrics,
) -> Result<Vec<reactor::Handle>, ServerError> {
    let mut shards = shards.into_iter();
    let mut core = Some(core);
    let mut handles = Vec::new();
    for (thread, waker) in plan.threads.iter().zip(wakers) {
        let stats = Arc::new(ReactorStats::default());
        let mut settings = ReactorConfig {
            name: thread.name.clone(),
            cpu: thread.cpu,
            busy_poll_us: config.busy_poll_us,
            waker: Some(waker),
            stats: Some(stats.clone()),
            ..ReactorConfig::default()
        };
        let mut worker = Worker::new(stats, metrics.writer());
        if thread.shard
            && let Some(((shard, passes), listener)) = shards.next()
        {
            settings.listen.push(listener);
            settings.clock = Some(passes);
            worker.shard = Some(shard);
        }
        if thread.core {
            worker.core = core.take();
            // Its writes may still be under way when the process has been killed; nobody may read the log before.
            let held = locks.iter().map(DirLock::share).collect::<Result<_, _>>();
            settings.held_files = held.map_err(|e| system("a reactor", e))?;
        }
        let handle = reactor::spawn(settings, move || worker);
        handles.push(handle.map_err(|e| system("a reactor", e))?);
    }
    Ok(handles)
}
