//! The ensemble core: the one thread that changes the tree.
//!
//! It takes requests from the shards' lanes, has them prepared (checked against the newest state, turned into
//! transactions and applied at once, invisible to readers beyond the published zxid), writes them to the log in
//! batches, and when a batch is durable publishes it: first the tree's zxid, then the commit ring, then it wakes
//! the shards that sleep and are owed something. Nothing tells of a transaction before its batch is durable (R6).
//!
//! It owns the tree's writer, the log's writer, the sessions' registry and the writing end of the commit ring. It
//! never blocks: on a full ring it withholds publication and takes no more requests, on a full log queue it lets
//! the batch in the making grow up to a bound and then leaves requests in their lanes.
//!
//! A standalone server is an ensemble of one: its quorum is its own log, and the ZAB core counts it.
//!
//! - [`agreement`]: the ZAB core, which says what is committed
//! - [`batch`]: what is logged together and told together
//! - [`intake`]: requests out of the lanes, as far as there is room
//! - [`gather`]: when a batch goes to the log
//! - [`submit`]: how it goes there, and how the thread waits meanwhile
//! - [`vigil`]: whether it stays awake
//! - [`publish`]: when it is told
//! - [`requests`]: a client's request
//! - [`sessions`]: connecting, disconnecting, expiring
//! - [`reaper`]: containers and TTL nodes
//! - [`digests`]: what the word `hash` shows
//! - [`snapshots`]: when one is due

mod agreement;
mod batch;
mod digests;
mod gather;
mod intake;
mod publish;
mod reaper;
mod requests;
mod sessions;
mod snapshots;
mod submit;
mod vigil;

pub use digests::DigestLog;
pub use snapshots::SnapshotRequests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::admin::words::SessionView;
use crate::admin::{CoreLetter, CorePart, Office};
use crate::auth::{IdentityCache, IdentityTable};
use crate::lanes::entry::{EntryHead, EntryKind, EntryWriter};
use crate::lanes::{CommitTx, LaneRx};
use crate::log::{self, LogDir, RealDir, Seal};
use crate::metrics::{Counter, Gauge, Summary, Writer};
use crate::prepare::{Output, PrepareConfig};
use crate::protocol::Zxid;
use crate::reactor::{AlignedBuf, ConnId, Io, PassClock, Turn, Waker};
use crate::session::{Expiry, SessionIds, SessionRegistry, TimeoutBounds};
use crate::tree::TreeWriter;

use agreement::Agreement;
use batch::{Batch, shard_bit};
use gather::Gather;
use vigil::Vigil;

/// What the core has of each shard.
pub struct ShardEnd {
    /// The shard's requests.
    pub lane: LaneRx,
    /// Wakes it; `None` where both live on one thread.
    pub waker: Option<Waker>,
    /// Number of the shard's watches: without any it is not woken for events.
    pub watch_count: Arc<AtomicU64>,
    /// When the shard's last full pass over its sockets began (R9).
    pub passes: Arc<PassClock>,
}

/// The settings of the core.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// What preparing a request depends on.
    pub prepare: PrepareConfig,
    /// Session timeouts that are granted.
    pub timeouts: TimeoutBounds,
    /// Sessions at the most; a new one beyond is refused, known ones go on.
    pub sessions_max: usize,
    /// How often containers and TTL nodes are looked through.
    pub container_check_interval_ms: u64,
    /// How many of them may go in a minute.
    pub container_max_per_minute: u32,
    /// A container that never had a child goes after this long; 0: never.
    pub container_max_never_used_ms: i64,
    /// Bytes of one transaction at the most: what the log can hold in a segment.
    pub txn_bytes_max: usize,
    /// Transaction bytes of a batch in the making at which requests stay in their lanes. Together with one transaction
    /// no more than the spare segments take, or the batch could never be written.
    pub batch_bytes_max: usize,
    /// Bytes of old versions that wait for shards ([`crate::tree::Retained`], without what pins keep) at which requests
    /// stay in their lanes.
    pub retained_bytes_max: usize,
    /// A log write that takes longer ends the process: better gone than holding its clients on a hung disk.
    pub log_write_limit_ns: u64,
    /// A log write that takes longer is reported (`fsync.warningthresholdms`).
    pub log_write_warning_ns: u64,
    /// For how long the thread polls for the end of a log write of a few transactions before it sleeps; 0: not at all.
    pub log_write_poll_ns: u64,
}

/// What a core is made of.
pub struct CoreParts<D: LogDir = RealDir> {
    /// The recovered tree.
    pub tree: TreeWriter,
    /// The log, open for writing.
    pub log: log::Writer<D>,
    /// The shards.
    pub shards: Vec<ShardEnd>,
    /// The writing end of the commit ring.
    pub commits: CommitTx,
    /// The recovered sessions.
    pub registry: SessionRegistry,
    /// Makes the ids of new ones.
    pub session_ids: SessionIds,
    /// Identities of connections, by number.
    pub identities: Arc<IdentityTable>,
    /// The last transaction of the recovered tree.
    pub last_zxid: Zxid,
    /// Digests of the states on the way to it.
    pub digests: DigestLog,
    /// The way to the thread that takes snapshots.
    pub snapshots: SnapshotRequests,
    /// The way to the desk.
    pub office: Office,
    /// What this thread counts.
    pub metrics: Writer,
}

/// Log writes in flight at once. Measured on the reference disk: one 4 KiB synced overwrite at a time gives
/// 10,000/s, four in flight 23,000/s, more adds nothing.
const IN_FLIGHT_MAX: usize = 4;
/// Transactions of a batch in the making at which requests stay in their lanes.
const BATCH_TXNS_MAX: usize = 16_384;
/// Transactions that may be proposed and not committed: a batch in the making, those in flight, and what a pass adds to
/// each beyond its bound (expired sessions, containers).
const OUTSTANDING_MAX: usize = 1 << 24;
/// Bytes of answers and events of a batch in the making at which requests stay in their lanes.
const BATCH_ENTRIES_BYTES_MAX: usize = 8 << 20;
/// Transaction bytes that the log must have room for beyond the batch in the making before a request is taken.
const ROOM_AHEAD_BYTES: usize = 4 << 20;
/// How often the core looks at its deadlines.
const TICK_NS: u64 = 100_000_000;
/// A core that was not stepped for so long stood still.
const STALL_NS: u64 = 10 * TICK_NS;
/// How often it looks whether readers have let go of old versions that are at their bound.
const EASE_NS: u64 = 1_000_000;

/// The ensemble core. See the module's documentation.
pub struct EnsembleCore<D: LogDir = RealDir> {
    config: CoreConfig,
    tree: TreeWriter,
    log: log::Writer<D>,
    shards: Vec<ShardEnd>,
    commits: CommitTx,
    registry: SessionRegistry,
    session_ids: SessionIds,
    expiry: Expiry,
    identities: Arc<IdentityTable>,
    known_identities: IdentityCache,
    /// The last zxid given to a transaction.
    last_zxid: Zxid,
    agreement: Agreement,
    /// Everything up to here is on the medium.
    durable: Zxid,
    building: Batch,
    /// When the log writes in flight began, by their tokens; as many as there are frames in flight.
    writes: VecDeque<(u64, u64)>,
    /// Submitted or durable, but not published, oldest first.
    in_flight: VecDeque<Batch>,
    spare: Vec<Batch>,
    gather: Gather,
    vigil: Vigil,
    output: Output,
    reaper: reaper::Reaper,
    next_tick_ns: u64,
    /// When the pass began (monotonic).
    now_ns: u64,
    wall_ms: i64,
    office: Office,
    metrics: Writer,
    snapshots: SnapshotRequests,
    /// For the word `hash`.
    digests: DigestLog,
    /// Which lane is looked at first, so that none starves.
    turn: usize,
    /// Bytes of the oldest batch of each lane that were taken before there was no more room.
    taken: Vec<usize>,
    /// Old versions have reached their bound.
    crowded: bool,
}

impl<D: LogDir> EnsembleCore<D> {
    /// A core over a recovered tree.
    pub fn new(config: CoreConfig, parts: CoreParts<D>) -> EnsembleCore<D> {
        let reaper = reaper::Reaper::new(&config);
        let vigil = Vigil::new(config.log_write_poll_ns);
        let taken = vec![0; parts.shards.len()];
        EnsembleCore {
            config,
            tree: parts.tree,
            log: parts.log,
            shards: parts.shards,
            commits: parts.commits,
            registry: parts.registry,
            session_ids: parts.session_ids,
            expiry: Expiry::default(),
            identities: parts.identities,
            known_identities: IdentityCache::default(),
            last_zxid: parts.last_zxid,
            agreement: Agreement::standalone(parts.last_zxid, OUTSTANDING_MAX),
            durable: parts.last_zxid,
            building: Batch::default(),
            writes: VecDeque::new(),
            in_flight: VecDeque::new(),
            spare: Vec::new(),
            gather: Gather::default(),
            vigil,
            output: Output::default(),
            reaper,
            next_tick_ns: 0,
            now_ns: 0,
            wall_ms: 0,
            snapshots: parts.snapshots,
            office: parts.office,
            metrics: parts.metrics,
            digests: parts.digests,
            turn: 0,
            taken,
            crowded: false,
        }
    }

    /// A log write has ended. A failed one ends the process: what is on the medium is unknown from then on, so
    /// nothing may be retried over it or told of (R6).
    pub fn disk_done<I: Io>(
        &mut self,
        io: &mut I,
        token: u64,
        result: std::io::Result<usize>,
        buf: AlignedBuf,
    ) {
        self.note_pass(io.now_ns());
        self.note_write_time(token, io.now_ns());
        match self.log.completed(token, result, buf) {
            Ok(durable) => {
                assert!(durable.through >= self.durable, "the durable prefix only grows");
                self.durable = durable.through;
                self.agreement.durable(durable.through);
            }
            Err(failed) => io.fatal(&failed.to_string()),
        }
    }

    /// A pass begins. The core is stepped every tick at least; where it was not, the process stood still (stopped, or its
    /// machine was), and nobody was there to see a write end: that is not the disk's time.
    fn note_pass(&mut self, now_ns: u64) {
        let gap_ns = now_ns.saturating_sub(self.now_ns);
        if self.now_ns > 0 && gap_ns > STALL_NS {
            self.log.excuse(gap_ns);
            self.writes.iter_mut().for_each(|(_, since_ns)| *since_ns += gap_ns);
        }
        self.now_ns = now_ns;
    }

    fn note_write_time(&mut self, token: u64, now_ns: u64) {
        let Some(at) = self.writes.iter().position(|&(begun, _)| begun == token) else { return };
        let Some((_, since_ns)) = self.writes.remove(at) else { return };
        let took_ns = now_ns.saturating_sub(since_ns);
        self.metrics.record(Summary::FsyncTime, took_ns);
        self.vigil.took(took_ns);
        if took_ns > self.config.log_write_warning_ns {
            let ms = took_ns / 1_000_000;
            let why = format_args!(
                "a write to the log took {ms} ms, and every write of a client waits for it: look at the disk (fsync.warningthresholdms)"
            );
            self.complain(Counter::FsyncThresholdExceeded, why);
        }
    }

    /// Once a pass.
    pub fn step<I: Io<File = D::File>>(&mut self, io: &mut I) -> Turn {
        self.wall_ms = io.wall_clock_ms();
        self.note_pass(io.now_ns());
        let told = self.publish(io);
        let due = io.now_ns() >= self.next_tick_ns;
        // Read before the requests are taken: what a pass found has been sent by the time its clock says so, so an
        // expiry judged by these times overlooks nothing (R9).
        let passes_ms: Vec<u64> = match due {
            true => self.shards.iter().map(|s| s.passes.start_ns() / 1_000_000).collect(),
            false => Vec::new(),
        };
        self.take_requests(io);
        self.letters(io.now_ns() / 1_000_000);
        if due {
            self.next_tick_ns = io.now_ns() + TICK_NS;
            self.tick(io.now_ns() / 1_000_000, &passes_ms);
            self.show();
        }
        let wait = self.submit(io);
        if !told {
            self.publish(io);
        }
        self.seal(io);
        self.reclaim();
        let deadline_ns = Some(self.ease(io));
        match self.owes_a_batch() {
            true => Turn::Again,
            false => wait.sooner(Turn::Idle { deadline_ns }),
        }
    }

    /// Whether the thread may sleep: no request waits that could be taken, and no batch that could be told, which a shard
    /// on this thread may have made room for. (One that waits for room is taken when a log write completes or a shard
    /// frees the ring, and both wake the thread.)
    pub fn may_park(&mut self) -> bool {
        if self.owes_a_batch() {
            return false;
        }
        !self.has_room() || self.shards.iter_mut().all(|s| s.lane.is_empty())
    }

    /// When to step again. While old versions are at their bound, soon: nobody tells the core that a reader has moved.
    /// Shards that sleep are woken, for what they were not told of they have not moved past either.
    fn ease<I: Io>(&mut self, io: &mut I) -> u64 {
        let is_crowded = self.is_crowded();
        let was_crowded = std::mem::replace(&mut self.crowded, is_crowded);
        if !self.crowded {
            return self.next_tick_ns;
        }
        if !was_crowded {
            self.metrics.count(Counter::PausedVersions);
            self.show();
        }
        self.shards.iter().filter_map(|s| s.waker.as_ref()).for_each(|waker| io.wake(waker));
        self.next_tick_ns.min(io.now_ns() + EASE_NS)
    }

    /// Ends a log that has gone idle with a frame that covers its last batch, so that damage to that batch could be
    /// told from a torn tail.
    fn seal<I: Io<File = D::File>>(&mut self, io: &mut I) {
        let now_ns = io.now_ns();
        match self.log.seal_due(now_ns, self.tree.published()) {
            Seal::Idle => {}
            Seal::At(at_ns) => self.next_tick_ns = self.next_tick_ns.min(at_ns),
            Seal::Write(w) => io.write(&w.file, w.offset, w.buf, w.token),
        }
        if self.log.is_overdue(now_ns, self.config.log_write_limit_ns) {
            let limit_s = self.config.log_write_limit_ns / 1_000_000_000;
            io.fatal(&format!(
                "a log write has taken longer than {limit_s} s, and every write of a client waits for it: the disk hangs; \
                 look at its health"
            ));
        }
    }

    fn letters(&mut self, now_ms: u64) {
        for letter in self.office.mailbox.take() {
            match letter {
                CoreLetter::Tell(question) => {
                    let ahead_ms = self.wall_ms - now_ms as i64;
                    let expires_ms =
                        |remaining_ms: u64| now_ms as i64 + remaining_ms as i64 + ahead_ms;
                    let sessions = self.registry.views(now_ms);
                    let sessions = sessions
                        .map(|v| SessionView { id: v.id, expires_ms: expires_ms(v.remaining_ms) })
                        .collect();
                    let digests = self.digests.up_to(self.tree.published());
                    self.office.tell(question, CorePart { sessions, digests });
                }
                CoreLetter::SnapshotTaken { raw_bytes, purge_to } => {
                    self.snapshots.taken(raw_bytes);
                    let segments = purge_to.map_or(0, |zxid| self.log.purge(zxid));
                    tracing::debug!("a snapshot is verified: {segments} log segments go");
                }
                CoreLetter::SnapshotFailed => self.snapshots.failed(),
            }
        }
    }

    fn show(&mut self) {
        self.metrics.set(Gauge::LastZxid, self.tree.published());
        self.metrics.set(Gauge::Znodes, self.tree.node_count() as i64);
        self.metrics.set(Gauge::Ephemerals, self.tree.ephemerals_count() as i64);
        self.metrics.set(Gauge::DataSize, self.tree.approximate_data_size() as i64);
        self.metrics.set(Gauge::Sessions, self.registry.len() as i64);
        let retained = self.tree.retained_bytes();
        self.metrics.set(Gauge::TreeSuperseded, retained.superseded_bytes as i64);
        self.metrics.set(Gauge::TreePinned, retained.pinned_bytes as i64);
        self.metrics.set(Gauge::TreeUnlinked, retained.unlinked_bytes as i64);
    }

    fn reclaim(&mut self) {
        for _ in 0..RECLAIM_GOES_MAX {
            if self.tree.reclaim(RECLAIM_AT_ONCE) < RECLAIM_AT_ONCE {
                return;
            }
        }
    }

    /// Appends an answer that is no transaction; it leaves after everything that was prepared before it.
    fn answer(
        &mut self,
        shard: usize,
        kind: EntryKind,
        conn: ConnId,
        cxid: i32,
        err: i32,
        body: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut entry = EntryWriter::new(&mut self.building.entries);
        body(entry.body());
        let shard_index = shard as u16;
        entry.finish(&EntryHead {
            zxid: self.last_zxid,
            kind,
            shard: shard_index,
            conn,
            cxid,
            err,
        });
        self.building.replies |= shard_bit(shard);
    }
}

/// Versions unlinked or freed at a go, and goes in one step at the most: together more than one step's requests can
/// leave behind, so that garbage does not pile up under load, and a millisecond or two of work, so that no step is long.
const RECLAIM_AT_ONCE: usize = 1024;
const RECLAIM_GOES_MAX: usize = 16;
