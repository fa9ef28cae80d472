//! The server put together: recovery, the threads and what joins them, the background work, and stopping.
//!
//! Owns nothing that works at run time; it makes the rooms, hands each what it needs, and waits.

mod dirs;
mod error;
mod log_mark;
mod plan;
mod port;
mod preflight;
mod recovery;
mod rooms;
mod signals;
mod snapshots;
mod worker;

use std::io::{IsTerminal, Write};
use std::net::TcpListener;
use std::path::PathBuf;
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
use crate::reactor::{self, PassClock, ReactorConfig, ReactorStats, Waker, monotonic_ns};
use crate::session::{RegistryConfig, SERVER_ID_STANDALONE, SessionIds, SessionRegistry};
use crate::shard::load::Shown;
use crate::shard::{Shard, ShardLinks, ShardParts};
use crate::watch::WatchTable;

use dirs::own_dir;
pub use error::ServerError;
use plan::Plan;
use snapshots::{Snapshots, Taker};
use tracing_subscriber::EnvFilter;
pub use worker::Worker;

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
        let found = preflight::check(&loaded.config)?;
        say(format_args!("the configuration is good, {found}\n"));
        return Ok(());
    }
    run(&loaded.config, args.config.clone()).map_err(|e| e.to_string())
}

/// Runs a server until it is told to stop.
pub fn run(config: &Config, config_file: Option<PathBuf>) -> Result<(), ServerError> {
    let stopping = signals::catch().map_err(|error| system("the signal handlers", error))?;
    dirs::LOOKS.iter().try_for_each(|look| look(config))?;
    let plan = Plan::new(config);
    let clients_max = preflight::clients_max(&plan)?;
    if !own_dir(&config.data_dir).exists() {
        // A start that is refused leaves no files behind.
        port::look(config)?;
        preflight::try_threads(&plan)?;
    }
    let locks = dirs::lock(config)?;
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
            for lock in locks {
                let held = lock.share().map_err(|e| system("a reactor", e))?;
                settings.held_files.extend(held);
            }
        }
        let handle = reactor::spawn(settings, move || worker);
        handles.push(handle.map_err(|e| system("a reactor", e))?);
    }
    Ok(handles)
}
