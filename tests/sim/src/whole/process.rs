//! A server made of what its disk kept, as `src/server/` makes one, without sockets and threads.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, sync_channel};

use ringkeeper::admin::Desk;
use ringkeeper::admin::words::WhiteList;
use ringkeeper::auth::{AuthConfig, IdentityTable};
use ringkeeper::ensemble::{
    CoreConfig, CoreParts, DigestLog, EnsembleCore, ShardEnd, SnapshotRequests,
};
use ringkeeper::lanes;
use ringkeeper::log::{self, LogOptions, SpareMaker, Writer};
use ringkeeper::metrics::{Counter, Registry as Metrics};
use ringkeeper::prepare::PrepareConfig;
use ringkeeper::protocol::Zxid;
use ringkeeper::reactor::{PassClock, ReactorStats, Waker};
use ringkeeper::server::Worker;
use ringkeeper::session::{
    RegistryConfig, SERVER_ID_STANDALONE, SessionIds, SessionRegistry, TimeoutBounds,
};
use ringkeeper::shard::admission::{Admission, AdmissionConfig};
use ringkeeper::shard::budget::Budget;
use ringkeeper::shard::load::Shown;
use ringkeeper::shard::{Shard, ShardLimits, ShardLinks, ShardParts};
use ringkeeper::snapshot::SnapshotPolicy;
use ringkeeper::tree::{self, TreeConfig, TreeWriter};
use ringkeeper::watch::WatchTable;

use super::model::History;
use super::plan::Plan;
use super::thread::Thread;
use super::{Violation, broken};
use crate::disk::{Disk, Volume};
use crate::store::apply_bytes;

/// The wall clock stands here when a run begins.
pub const WALL_MS: i64 = 1_700_000_000_000;
/// Sessions at the most.
const SESSIONS_MAX: usize = 1024;
/// Distinct identity lists.
const IDENTITY_LISTS_MAX: usize = 64;
/// Replayed before what they replaced is freed.
const RECLAIM_EVERY: Zxid = 64;

/// A running server.
pub struct Server {
    /// Its threads.
    pub threads: Vec<Thread>,
    /// Makes the log's spares.
    pub maker: SpareMaker<Volume>,
    /// The core's thread.
    pub core_thread: usize,
    /// What it counts.
    pub metrics: Arc<Metrics>,
    _desk: Desk,
    _snapshots: Receiver<()>,
}

impl Server {
    /// Answers that it made in slices.
    pub fn long_answers(&self) -> u64 {
        self.metrics.read().counter(Counter::LongAnswers)
    }
}

/// How a start ended.
pub enum Started {
    /// It runs; the last transaction it has found.
    Running(Box<Server>, Zxid),
    /// It died in a change of the disk.
    Died,
}

/// What recovery made.
struct Recovered {
    tree: TreeWriter,
    log: Writer<Volume>,
    maker: SpareMaker<Volume>,
    last_zxid: Zxid,
}

/// Starts a server.
pub fn start(
    plan: &Plan,
    disk: &Disk,
    history: &History,
    now_ms: u64,
) -> Result<Started, Violation> {
    match recover(plan, disk, history)? {
        Some(recovered) => {
            let last_zxid = recovered.last_zxid;
            let server = assemble(plan, recovered, now_ms)
                .map_err(|detail| Violation { rule: "start", detail })?;
            Ok(Started::Running(Box::new(server), last_zxid))
        }
        None => Ok(Started::Died),
    }
}

/// Replays the log; `None` if the process dies over it.
fn recover(plan: &Plan, disk: &Disk, history: &History) -> Result<Option<Recovered>, Violation> {
    let config = TreeConfig {
        readers_max: 16,
        nodes_max: 1 << 16,
        sessions_max: 1 << 12,
        ..TreeConfig::default()
    };
    let mut tree = tree::new(config);
    let mut apply = |bytes: &[u8]| -> Result<(), log::BoxError> {
        let header = apply_bytes(&mut tree, bytes)?;
        if !history.is_same(header.zxid, bytes) {
            return Err(format!("{} was another transaction", header.zxid).into());
        }
        tree.publish(header.zxid);
        if header.zxid % RECLAIM_EVERY == 0 {
            tree.reclaim(usize::MAX);
        }
        Ok(())
    };
    let found = log::recover_in(Arc::new(disk.volume(0)), 0, &mut apply);
    let (found, tail) = match found {
        Ok(found) => found,
        Err(_) if disk.is_dead() => return Ok(None),
        Err(e) => return broken("recovery", e.to_string()),
    };
    let options = LogOptions {
        segment_bytes: plan.segment_bytes,
        spares: 2,
        frame_bytes_max: (plan.segment_bytes / 4) as usize,
        log_id: 1,
        ..LogOptions::default()
    };
    match Writer::open(tail, options) {
        Ok((log, maker)) => Ok(Some(Recovered { tree, log, maker, last_zxid: found.last_zxid })),
        Err(_) if disk.is_dead() => Ok(None),
        Err(e) => broken("recovery", e.to_string()),
    }
}

fn limits(plan: &Plan) -> ShardLimits {
    ShardLimits {
        frame_bytes_max: 1 << 20,
        output_pause_bytes: 4 << 10,
        output_close_bytes: 4 << 20,
        pending_max: 32,
        held_max: 12,
        held_bytes_max: 8 << 10,
        large_request_bytes: usize::MAX,
        outstanding_max: if plan.slots == 4 { 24 } else { 1000 },
        throttle: None,
        handshake_timeout_ms: 10_000,
    }
}

fn core_config(plan: &Plan) -> CoreConfig {
    CoreConfig {
        prepare: PrepareConfig {
            auth: AuthConfig::default(),
            extended_types_enabled: true,
            enforce_quota: false,
            digest_enabled: true,
            reconfig_enabled: false,
        },
        timeouts: TimeoutBounds::new(100, None, Some(60_000)).expect("these bounds are sound"),
        sessions_max: SESSIONS_MAX,
        container_check_interval_ms: 500,
        container_max_per_minute: 10_000,
        container_max_never_used_ms: 0,
        txn_bytes_max: (plan.segment_bytes / 2) as usize,
        batch_bytes_max: (plan.segment_bytes / 4) as usize,
        retained_bytes_max: 1 << 20,
        log_write_limit_ns: 30_000_000_000,
        log_write_warning_ns: u64::MAX,
        log_write_poll_ns: 300_000,
    }
}

fn assemble(plan: &Plan, recovered: Recovered, now_ms: u64) -> Result<Server, String> {
    let tree = recovered.tree.shared();
    let metrics = Arc::new(Metrics::new());
    let config = RegistryConfig { sessions_max: SESSIONS_MAX, ..RegistryConfig::default() };
    let mut registry = SessionRegistry::new(config, now_ms);
    for (id, info) in recovered.tree.sessions() {
        registry.restore(id, info.timeout_ms, now_ms).map_err(|e| e.to_string())?;
    }
    let (heard, shown) = (registry.heard(), Shown::new(plan.shards));
    let identities = Arc::new(IdentityTable::new(IDENTITY_LISTS_MAX));
    let (admission, auth) = (
        Arc::new(Admission::new(AdmissionConfig::OPEN, 0, plan.seed)),
        Arc::new(AuthConfig::default()),
    );
    let (output, input) = (Budget::new(16 << 20, plan.shards), Budget::new(16 << 20, plan.shards));
    let (commits, rings) = lanes::commit_ring(plan.shards, plan.slots);
    let desk = Desk::new();
    let thread_count = plan.shards + usize::from(!plan.together);
    let core_thread = if plan.together { 0 } else { plan.shards };
    let wakers: Result<Vec<Waker>, _> = (0..thread_count).map(|_| Waker::new()).collect();
    let wakers = wakers.map_err(|e| e.to_string())?;
    let (mut ends, mut shards) = (Vec::new(), Vec::new());
    for (index, ring) in rings.into_iter().enumerate() {
        let apart = index != core_thread;
        let (to_core, from_shard) = lanes::lane(plan.slots, 4 << 10);
        let (watch_count, passes) = (Arc::new(AtomicU64::new(0)), Arc::new(PassClock::new()));
        ends.push(ShardEnd {
            lane: from_shard,
            waker: apart.then(|| wakers[index].clone()),
            watch_count: watch_count.clone(),
            passes: passes.clone(),
        });
        let links = ShardLinks {
            identities: identities.clone(),
            heard: heard.clone(),
            admission: admission.clone(),
            shown: shown.clone(),
            core_waker: apart.then(|| wakers[core_thread].clone()),
            watch_count,
            auth: auth.clone(),
            desk: desk.shard(),
            white_list: WhiteList::new(&[], false),
        };
        let shard = Shard::new(ShardParts {
            index: index as u16,
            reader: tree.reader().map_err(|e| e.to_string())?,
            lane: to_core,
            commits: ring,
            links,
            limits: limits(plan),
            output: output.share(index),
            input: input.share(index),
            watches: WatchTable::new(Default::default()),
            metrics: metrics.writer(),
        });
        shards.push((shard, passes));
    }
    let (ask, asked) = sync_channel(1);
    let seed_ms = (WALL_MS as u64) + now_ms;
    let core = EnsembleCore::new(
        core_config(plan),
        CoreParts {
            tree: recovered.tree,
            log: recovered.log,
            shards: ends,
            commits,
            registry,
            session_ids: SessionIds::new(SERVER_ID_STANDALONE, seed_ms)
                .map_err(|e| e.to_string())?,
            identities,
            last_zxid: recovered.last_zxid,
            digests: DigestLog::default(),
            snapshots: SnapshotRequests::new(SnapshotPolicy::new(0, 0, plan.seed), ask),
            office: desk.office(),
            metrics: metrics.writer(),
        },
    );
    let (mut core, mut shards) = (Some(core), shards.into_iter());
    let threads = wakers.into_iter().enumerate().map(|(index, waker)| {
        let mut worker = Worker::new(Arc::new(ReactorStats::default()), metrics.writer());
        let mut passes = None;
        if let Some((shard, clock)) = shards.next() {
            worker.shard = Some(shard);
            passes = Some(clock);
        }
        if index == core_thread {
            worker.core = core.take();
        }
        let mut thread = Thread::new(worker, waker, passes);
        thread.io.wall_ahead_ms = WALL_MS;
        thread.io.look_ns = plan.look_ns;
        thread
    });
    let threads = threads.collect();
    let maker = recovered.maker;
    Ok(Server { threads, maker, core_thread, metrics, _desk: desk, _snapshots: asked })
}
