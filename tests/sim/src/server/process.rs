//! The process: what it is made of, how it starts, and what it is seen to be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ringkeeper::log::LogOptions;
use ringkeeper::prepare::{Output, PrepareConfig};
use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{
    Action, ConnId, Durable, EnsembleConfig, Generation, Mistake, Notification, Packet, Role, Sid,
    Zab, ZabConfig,
};

use super::leading::{Asked, Tracked};
use super::requests::{Attached, Barrier};
use super::state::{State, Submitted};
use super::stutter::Told;
use crate::check::{Rule, Violation};
use crate::context::{Answer, Context, Event};
use crate::disk::Disk;
use crate::network::{End, Port};
use crate::random::Random;
use crate::store::epochs::Epochs;
use crate::store::{Logged, Store, StoreError};
use crate::time::{MS, Micros};
use crate::wire::Reader;

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// A fault of the plan.
    Killed,
    /// It died in a change of the disk.
    InDisk,
    /// The disk failed it.
    DiskFailed(String),
}

/// What waits on a connection.
pub(super) enum Input {
    Packet(Packet),
    Snapshot(Arc<[u8]>),
    Closed,
}

/// A connection of the quorum port, as far as it was read.
pub(super) struct Inbox {
    pub reader: Reader,
    pub inputs: VecDeque<Input>,
}

impl Inbox {
    /// For what `peer` sends from its end of a connection.
    pub fn new(peer: Sid, end: End) -> Inbox {
        Inbox { reader: Reader::new(Port::Quorum, peer, end), inputs: VecDeque::new() }
    }
}

/// The election port's connection to another server.
#[derive(Default)]
pub(super) struct Link {
    pub conn: Option<u64>,
    /// Of what comes on it.
    pub reader: Option<Reader>,
    pub dialling: bool,
    pub last: Option<Notification>,
}

/// A snapshot that is to be read from a connection.
#[derive(Copy, Clone)]
pub(super) struct Staging {
    pub conn: ConnId,
    pub zxid: Zxid,
    pub begun: bool,
}

/// The clocks of a server; they outlive its processes.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// The monotonic clock is ahead of virtual time by this.
    pub ahead_us: Micros,
    /// The time of day is ahead of virtual time by this.
    pub wall_ms: i64,
}

/// What a server is apart from its processes.
pub struct Machine {
    /// Its number.
    pub sid: Sid,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clocks: Clocks,
    /// Log writes take so many times as long.
    pub disk_times: u64,
    /// The next log write fails.
    pub fail_write: bool,
    /// What was cut off the log last, and behind what: for the mistake of finding it again.
    pub cut_off: (Zxid, Vec<Logged>),
    /// What the disk draws.
    pub disk_random: Random,
    /// What the driver draws.
    pub random: Random,
    /// In which pieces bytes come.
    pub pieces: Random,
}

/// A running process.
pub struct Process {
    /// Tells the processes of all servers apart.
    pub number: u64,
    /// The protocol.
    pub zab: Zab,
    /// Why it ended.
    pub death: Option<Death>,
    /// It is killed when it has carried out so many more actions.
    pub actions_left: Option<u64>,
    /// Whether it has what it acknowledged, as last stored.
    pub intact: bool,
    pub(super) in_force: State,
    pub(super) staged: Option<State>,
    pub(super) staging: Option<Staging>,
    /// The log's and memory's actions that wait for one before them.
    pub(super) log_queue: VecDeque<Action>,
    /// The log is being cut or taken over: its queue waits for the answer.
    pub(super) log_busy: bool,
    pub(super) inputs: BTreeMap<u64, Inbox>,
    pub(super) links: BTreeMap<Sid, Link>,
    pub(super) pins: BTreeMap<ConnId, (Zxid, Arc<[u8]>)>,
    /// Connections on which a snapshot comes on, seen by this end until then.
    pub(super) streaming: BTreeMap<ConnId, Micros>,
    /// Connections on which UPTODATE was said, and live proposals that were left out: for the mistake of that name.
    pub(super) up_to_date: BTreeSet<ConnId>,
    pub(super) left_out: BTreeSet<(ConnId, Zxid)>,
    pub(super) role: Role,
    pub(crate) config: Arc<EnsembleConfig>,
    /// What its log proposes, and is not known to be committed.
    pub(crate) proposed: Option<(Zxid, Arc<EnsembleConfig>)>,
    /// What the core was given last; of its type so that nothing is allocated anew.
    pub(super) actions: Vec<Action>,
    pub(super) submitted: Vec<Submitted>,
    /// Epochs that wait to be stored, and the core's tokens.
    pub(super) epoch_stores: VecDeque<(u64, Epochs)>,
    /// As last asked to be stored.
    pub(super) epochs: Epochs,
    /// Questions of learners that wait for their turn.
    pub(super) asked: VecDeque<Asked>,
    /// What the core was told of late: see [`stutter`](super::stutter).
    pub(super) told: VecDeque<Told>,
    /// What it last said of a cut of its log.
    pub(super) last_cut: Option<(Zxid, Generation)>,
    /// What is done now was called forth by something illegal.
    pub(super) garbled: bool,
    /// Where NEWLEADER was acknowledged last.
    pub(super) acked_new_leader: Option<ConnId>,
    /// How many strangers have connected: see [`garbage`](super::garbage).
    pub(super) strangers: u64,
    pub(super) spares_due: bool,
    pub(super) deadline_at: Micros,
    /// When the last log write that is under way was begun.
    pub(super) prepare_config: PrepareConfig,
    pub(super) output: Output,
    // Clients.
    pub(super) attached: BTreeMap<i64, Attached>,
    /// Sessions whose clients wait for the leader's word, or for their creation.
    pub(super) attaching: BTreeMap<i64, (usize, u64)>,
    /// For whom the leader was asked about a session, and has not answered: session, client, connection.
    pub(super) revalidating: VecDeque<(i64, usize, u64)>,
    pub(super) syncs: VecDeque<i64>,
    pub(super) sessions_made: i64,
    pub(super) tracker: BTreeMap<i64, Tracked>,
    pub(super) barriers: Vec<Barrier>,
    pub(super) barriers_sent: i32,
    /// Clients have been told of what is committed up to here.
    pub(super) shown: Zxid,
}

/// The log's settings.
pub fn log_options(ctx: &Context, sid: Sid, number: u64) -> LogOptions {
    let disk = &ctx.plan.disk;
    LogOptions {
        segment_bytes: disk.segment_bytes,
        spares: disk.spares,
        frame_bytes_max: disk.frame_bytes_max,
        seal_after_ns: 50_000_000,
        log_id: (sid as u64) << 32 | number,
    }
}

impl Process {
    /// Starts from the disk. `Err`: it cannot; the operator is told why.
    pub fn start(
        ctx: &mut Context,
        machine: &mut Machine,
        number: u64,
    ) -> Result<Process, StoreError> {
        let sid = machine.sid;
        let (store, mut found) = Store::start(&machine.disk, log_options(ctx, sid, number))?;
        let last = found.log.last().map_or(found.base, |(zxid, _)| *zxid);
        if ctx.mistakes.has(Mistake::StaleFrameAfterTrunc) && last == machine.cut_off.0 {
            found.log.append(&mut machine.cut_off.1);
        }
        ctx.report.restarts += 1;
        ctx.report.torn += u64::from(found.torn);
        let epochs = Epochs::read(&machine.disk).unwrap_or_default();
        let marks: Vec<_> = found.log.iter().map(|(z, b)| (*z, crate::store::hash_of(b))).collect();
        let (base, committed) = (found.base, found.committed);
        let checked = ctx.checker.started(sid, store.number, base, &marks);
        ctx.check(checked);
        let checked = ctx.checker.epochs(sid, epochs.accepted, epochs.current);
        ctx.check(checked);
        let checked = ctx.checker.loaded(sid, committed, store.tree.digest());
        ctx.check(checked);
        let state = State::new(store, found);
        let (in_tree, proposed) = state.configs();
        // Who replaces a lost disk gives the server the present configuration.
        let given = if epochs.intact { &ctx.plan.config } else { ctx.checker.config() };
        let config = Arc::new(in_tree.unwrap_or_else(|| given.clone()));
        // What its log proposes is past, if it was given a later one.
        let proposed = proposed.filter(|(_, proposed)| proposed.version > config.version);
        let durable = Durable {
            accepted_epoch: epochs.accepted,
            current_epoch: epochs.current,
            last_logged: state.last_logged(),
            committed,
            intact: epochs.intact,
            config: config.clone(),
            proposed_config: proposed.map(|(zxid, config)| (zxid, Arc::new(config))),
        };
        ctx.tell(|| {
            format!(
                "{sid}: starts; base {base:x} committed {committed:x} logged {:x} epochs {}/{} intact {}",
                durable.last_logged, epochs.accepted, epochs.current, epochs.intact
            )
        });
        let now_ms = (ctx.now() + machine.clocks.ahead_us) / MS;
        let checked = ctx.checker.promises.remembers(sid, epochs.accepted);
        ctx.check(checked);
        ctx.checker.elections.looks(sid);
        let proposed = durable.proposed_config.clone();
        let zab = Zab::new(zab_config(ctx, sid, number), durable, now_ms);
        let process = Process {
            number,
            zab,
            death: None,
            actions_left: None,
            intact: epochs.intact,
            in_force: state,
            staged: None,
            staging: None,
            log_queue: VecDeque::new(),
            log_busy: false,
            inputs: BTreeMap::new(),
            links: BTreeMap::new(),
            pins: BTreeMap::new(),
            streaming: BTreeMap::new(),
            up_to_date: BTreeSet::new(),
            left_out: BTreeSet::new(),
            role: Role::Looking,
            config,
            proposed,
            actions: Vec::new(),
            submitted: Vec::new(),
            epoch_stores: VecDeque::new(),
            epochs: Epochs { accepted: epochs.accepted.max(epochs.current), ..epochs },
            asked: VecDeque::new(),
            told: VecDeque::new(),
            last_cut: None,
            garbled: false,
            acked_new_leader: None,
            strangers: 0,
            spares_due: false,
            deadline_at: Micros::MAX,
            prepare_config: PrepareConfig {
                extended_types_enabled: true,
                digest_enabled: true,
                ..PrepareConfig::default()
            },
            output: Output::new(),
            attached: BTreeMap::new(),
            attaching: BTreeMap::new(),
            revalidating: VecDeque::new(),
            syncs: VecDeque::new(),
            sessions_made: 0,
            tracker: BTreeMap::new(),
            barriers: Vec::new(),
            barriers_sent: 0,
            shown: committed,
        };
        ctx.queue.put(
            ctx.now() + 1,
            Event::Answer { server: sid, process: number, answer: Answer::Beat },
        );
        Ok(process)
    }

    /// The state that the log's and memory's actions concern.
    pub(super) fn state(&mut self) -> &mut State {
        self.staged.as_mut().unwrap_or(&mut self.in_force)
    }

    /// What is published in force.
    pub fn published(&self) -> Zxid {
        self.in_force.store.tree.published()
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The configuration in force.
    pub fn config(&self) -> &EnsembleConfig {
        &self.config
    }

    /// Whether clients are served.
    pub fn serves(&self) -> bool {
        matches!(
            self.role,
            Role::Leading { serving: true, .. } | Role::Learning { serving: true, .. }
        )
    }

    /// Whether it leads, established.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading { serving: true, .. })
    }

    pub(super) fn local_ms(&self, ctx: &Context, machine: &Machine) -> u64 {
        (ctx.now() + machine.clocks.ahead_us) / MS
    }

    pub(super) fn die(&mut self, death: Death) {
        self.death.get_or_insert(death);
    }

    pub(super) fn wrong(&mut self, ctx: &mut Context, machine: &Machine, detail: String) {
        let detail = format!("server {}: {detail}", machine.sid);
        ctx.fail(Violation { rule: Rule::Driver, detail });
        self.die(Death::Killed);
    }

    pub(super) fn store_failed(&mut self, ctx: &mut Context, machine: &Machine, error: StoreError) {
        match error {
            StoreError::Died => self.die(Death::InDisk),
            StoreError::NoSpace => self.die(Death::DiskFailed("no space".into())),
            StoreError::Damaged(why) => self.die(Death::DiskFailed(why)),
            StoreError::Wrong(why) => self.wrong(ctx, machine, why),
        }
    }

    pub(super) fn answer_in(
        &self,
        ctx: &mut Context,
        machine: &Machine,
        after: Micros,
        answer: Answer,
    ) {
        let event = Event::Answer { server: machine.sid, process: self.number, answer };
        ctx.queue.put(ctx.now() + after, event);
    }

    /// How long the disk takes for something small.
    pub(super) fn disk_time(&self, ctx: &Context, machine: &mut Machine) -> Micros {
        let disk = &ctx.plan.disk;
        (disk.write_min_us + machine.disk_random.spread(disk.write_spread_us)) * machine.disk_times
    }
}

fn zab_config(ctx: &Context, sid: Sid, number: u64) -> ZabConfig {
    let plan = &ctx.plan;
    let mut life = Random::new(plan.seed, "life", number);
    ZabConfig {
        tick_ms: plan.tick_ms,
        init_limit: plan.init_limit,
        sync_limit: plan.sync_limit,
        standalone: plan.standalone,
        stamp_first_config: plan.stamp_first_config,
        window_txns_max: plan.window,
        window_bytes_max: plan.window_bytes,
        outstanding_max: plan.outstanding_max,
        learners_max: plan.learners_max,
        first_counter: plan.first_counter,
        force_snapshot: plan.odd.force_snapshot || life.chance(plan.odd.snapshot_lives_per_mille),
        mistakes: ctx.mistakes,
        ..ZabConfig::new(sid)
    }
}
