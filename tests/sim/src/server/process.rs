//! The process: what comes in, the log's queue, and when it next wants to be asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringkeeper::log::LogOptions;
use ringkeeper::prepare::{Output, PrepareConfig};
use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{
    Action, ConnId, Durable, EnsembleConfig, LookUpAnswer, Mistake, Notification, Packet, Role,
    Sid, Zab, ZabConfig,
};

use super::requests::{Attached, Tracked};
use super::state::{State, Submitted};
use crate::check::{Rule, Violation};
use crate::client::Ask;
use crate::context::{Answer, Context, Event, Message};
use crate::disk::Disk;
use crate::network::{Packet as Wire, Port};
use crate::random::Random;
use crate::store::epochs::Epochs;
use crate::store::{Logged, Store, StoreError};
use crate::time::{MS, Micros};

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

/// The election port's connection to another server.
#[derive(Default)]
pub(super) struct Link {
    pub conn: Option<u64>,
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
    pub(super) inputs: BTreeMap<u64, VecDeque<Input>>,
    pub(super) links: BTreeMap<Sid, Link>,
    pub(super) pins: BTreeMap<ConnId, (Zxid, Arc<[u8]>)>,
    pub(super) role: Role,
    pub(super) config: Arc<EnsembleConfig>,
    /// What the core was given last; of its type so that nothing is allocated anew.
    pub(super) actions: Vec<Action>,
    pub(super) submitted: Vec<Submitted>,
    /// Epochs that wait to be stored, and the core's tokens.
    pub(super) epoch_stores: VecDeque<(u64, Epochs)>,
    spares_due: bool,
    deadline_at: Micros,
    /// When the last log write that is under way was begun.
    pub(super) prepare_config: PrepareConfig,
    pub(super) output: Output,
    // Clients.
    pub(super) attached: BTreeMap<i64, Attached>,
    /// Sessions whose clients wait for the leader's word, or for their creation.
    pub(super) attaching: BTreeMap<i64, (usize, u64)>,
    pub(super) syncs: VecDeque<i64>,
    pub(super) sessions_made: i64,
    pub(super) tracker: BTreeMap<i64, Tracked>,
    /// A barrier that the core asked for, the request that is to be it, and when it was sent.
    pub(super) barrier: Option<(u64, i32, Micros)>,
    pub(super) barriers: i32,
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
        let zab = Zab::new(zab_config(ctx, sid), durable, now_ms);
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
            role: Role::Looking,
            config,
            actions: Vec::new(),
            submitted: Vec::new(),
            epoch_stores: VecDeque::new(),
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
            syncs: VecDeque::new(),
            sessions_made: 0,
            tracker: BTreeMap::new(),
            barrier: None,
            barriers: 0,
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

    // ---- what comes in

    /// Something arrived on a connection.
    pub fn arrived(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        conn: u64,
        port: Port,
        from: Sid,
        wire: Wire<Message>,
    ) {
        match (port, wire) {
            (Port::Election, Wire::Message(Message::Vote(notification))) => {
                if self.links.get(&from).is_some_and(|link| link.conn == Some(conn)) {
                    self.zab.handle_notification(from, notification);
                }
            }
            (Port::Election, Wire::Closed) => {
                if let Some(link) = self.links.get_mut(&from)
                    && link.conn == Some(conn)
                {
                    link.conn = None;
                }
            }
            (Port::Election, _) => {}
            (Port::Quorum, wire) => {
                let input = match wire {
                    Wire::Message(Message::Packet(packet)) => Input::Packet(packet),
                    Wire::Message(Message::Snapshot(bytes)) => Input::Snapshot(bytes),
                    Wire::Message(Message::Vote(_)) => return,
                    Wire::Closed => Input::Closed,
                };
                if let Some(inputs) = self.inputs.get_mut(&conn) {
                    inputs.push_back(input);
                }
                self.take_input(ctx, machine, conn);
            }
        }
    }

    /// Hands over what waits on a connection, as far as the core wants it.
    pub(super) fn take_input(&mut self, ctx: &mut Context, machine: &mut Machine, conn: u64) {
        let id = ConnId(conn);
        loop {
            if self.death.is_some() {
                return;
            }
            let Some(inputs) = self.inputs.get_mut(&conn) else { return };
            match inputs.front() {
                None => return,
                Some(Input::Packet(_)) => {
                    if !self.zab.wants_input(id) {
                        return;
                    }
                    if let Some(Input::Packet(packet)) = inputs.pop_front() {
                        self.zab.handle_packet(id, packet);
                        self.carry_out(ctx, machine);
                    }
                }
                Some(Input::Snapshot(_)) => {
                    let wanted = self.staging.filter(|s| s.conn == id && !s.begun);
                    let Some(staging) = wanted else { return };
                    if let Some(Input::Snapshot(bytes)) = inputs.pop_front() {
                        self.stage(ctx, machine, staging, &bytes);
                    }
                }
                Some(Input::Closed) => {
                    self.inputs.remove(&conn);
                    self.pins.remove(&id);
                    self.zab.handle_closed(id);
                    self.carry_out(ctx, machine);
                    if self.staging.is_some_and(|s| s.conn == id && !s.begun) {
                        // What was to come never will.
                        self.staging = None;
                        self.log_busy = false;
                        self.zab.handle_snapshot_failed(id);
                        self.carry_out(ctx, machine);
                    }
                    return;
                }
            }
        }
    }

    /// An answer to what it asked for.
    pub fn answered(&mut self, ctx: &mut Context, machine: &mut Machine, answer: Answer) {
        match answer {
            Answer::Write { log, write, token, fails } => {
                self.write_done(ctx, machine, (log, write, token, fails));
            }
            Answer::Spares => self.make_spares(ctx, machine),
            Answer::Epochs => self.store_epochs(ctx, machine),
            Answer::Truncated { last, generation } => {
                self.log_busy = false;
                self.zab.handle_truncated(last, generation);
            }
            Answer::TakenOver { generation } => {
                self.log_busy = false;
                self.zab.handle_taken_over(generation);
            }
            Answer::Staged { conn, ok } => {
                self.log_busy = false;
                self.staging = None;
                match ok {
                    true => self.zab.handle_snapshot_staged(ConnId(conn)),
                    false => self.zab.handle_snapshot_failed(ConnId(conn)),
                }
            }
            Answer::LookedUp { conn, zxid } => {
                let floor = match self.in_force.floor(zxid) {
                    Ok(floor) => floor,
                    // The log is damaged where nobody had looked: the process must end.
                    Err(why) => return self.die(Death::DiskFailed(why)),
                };
                let too_much = machine.random.chance(ctx.plan.odd.snapshot_per_mille);
                self.zab.handle_lookup(ConnId(conn), LookUpAnswer { floor, too_much });
            }
            Answer::Dialled { .. } => {}
            Answer::Deadline => {
                if ctx.now() >= self.deadline_at {
                    self.deadline_at = Micros::MAX;
                }
            }
            Answer::Beat => self.beat(ctx, machine),
        }
        self.pump(ctx, machine);
        self.carry_out(ctx, machine);
        self.take_all_inputs(ctx, machine);
    }

    fn take_all_inputs(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let waiting: Vec<u64> = self
            .inputs
            .iter()
            .filter(|(_, inputs)| !inputs.is_empty())
            .map(|(conn, _)| *conn)
            .collect();
        for conn in waiting {
            self.take_input(ctx, machine, conn);
        }
    }

    fn write_done(
        &mut self,
        ctx: &mut Context,
        machine: &mut Machine,
        (number, write, token, fails): (u64, u64, u64, bool),
    ) {
        let (mut result, buf) = machine.disk.complete(write, fails, &mut machine.disk_random);
        if fails {
            ctx.report.failed_writes += 1;
            if ctx.mistakes.has(Mistake::SyncFailureIgnored) {
                result = Ok(buf.len());
            }
        } else {
            ctx.checker.medium(machine.sid, number).completed(write);
        }
        ctx.tell(|| format!("{}: write {write} to log {number} is done: {result:?}", machine.sid));
        let highest = ctx.mistakes.has(Mistake::DurableIsHighestWrite);
        let done_through = ringkeeper::log::frame::peek(&buf).map_or(0, |header| header.last_zxid);
        let states = [Some(&mut self.in_force), self.staged.as_mut()];
        let Some(state) = states.into_iter().flatten().find(|s| s.store.number == number) else {
            return;
        };
        match state.store.log.completed(token, result, buf) {
            Ok(durable) => {
                state.highest_done = state.highest_done.max(done_through);
                let through = if highest { state.highest_done } else { durable.through };
                let mut reports = Vec::new();
                state.durable(through, &mut reports);
                for (zxid, generation) in reports {
                    self.zab.handle_durable(zxid, generation);
                }
            }
            Err(fatal) => self.die(Death::DiskFailed(fatal.to_string())),
        }
    }

    fn store_epochs(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let Some(&(token, epochs)) = self.epoch_stores.front() else { return };
        let stored = match ctx.mistakes.has(Mistake::EpochsTorn) {
            true => epochs.store_in_place(&machine.disk),
            false => epochs.store(&machine.disk),
        };
        match stored {
            Ok(()) => {
                let checked = ctx.checker.epochs(machine.sid, epochs.accepted, epochs.current);
                ctx.check(checked);
                if epochs.intact && !self.intact {
                    ctx.report.rejoined += 1;
                }
                self.intact = epochs.intact;
                if epochs.intact {
                    ctx.checker.intact(machine.sid);
                }
                self.zab.handle_epochs_stored(token);
                self.epoch_stores.pop_front();
                if !self.epoch_stores.is_empty() {
                    let after = self.disk_time(ctx, machine);
                    self.answer_in(ctx, machine, after, Answer::Epochs);
                }
            }
            Err(error) => match StoreError::of_disk(&machine.disk, error) {
                StoreError::NoSpace => {
                    // It waits for room.
                    self.answer_in(ctx, machine, 100 * MS, Answer::Epochs);
                }
                other => self.store_failed(ctx, machine, other),
            },
        }
    }

    fn make_spares(&mut self, ctx: &mut Context, machine: &mut Machine) {
        self.spares_due = false;
        let made = self.state().store.maker.turn();
        if machine.disk.is_dead() {
            return self.die(Death::InDisk);
        }
        if made {
            self.want_spares(ctx, machine);
        }
    }

    pub(super) fn want_spares(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if !std::mem::replace(&mut self.spares_due, true) {
            let after = machine.disk_random.spread(ctx.plan.disk.spare_us) * machine.disk_times;
            self.answer_in(ctx, machine, after, Answer::Spares);
        }
    }

    /// The driver's own timer.
    fn beat(&mut self, ctx: &mut Context, machine: &mut Machine) {
        self.answer_in(ctx, machine, ctx.plan.tick_ms * MS / 2, Answer::Beat);
        self.want_spares(ctx, machine);
        self.dial_links(ctx, machine);
        self.look_after_sessions(ctx, machine);
        self.retry_barrier(ctx, machine);
        if self.in_force.since_snapshot >= ctx.plan.disk.snapshot_every && self.staged.is_none() {
            self.take_snapshot(ctx, machine);
        }
        let limit_ns = ctx.plan.sync_limit * ctx.plan.tick_ms * MS * 1000;
        let now_ns = ctx.now() * 1000;
        if self.state().store.log.is_overdue(now_ns, limit_ns) {
            self.die(Death::DiskFailed("a log write takes too long".into()));
        }
    }

    fn take_snapshot(&mut self, ctx: &mut Context, machine: &mut Machine) {
        ctx.report.snapshots += 1;
        match self.in_force.take_snapshot() {
            Ok(()) => {}
            // Snapshots can wait.
            Err(StoreError::NoSpace) => ctx.report.full += 1,
            Err(error) => self.store_failed(ctx, machine, error),
        }
    }

    /// A client's message.
    pub fn asked(&mut self, ctx: &mut Context, machine: &mut Machine, ask: Ask) {
        self.client_asks(ctx, machine, ask);
        self.carry_out(ctx, machine);
        self.take_all_inputs(ctx, machine);
    }

    /// After anything that came in: says when it wants to be asked again.
    pub fn settle(&mut self, ctx: &mut Context, machine: &mut Machine) {
        if self.death.is_some() {
            return;
        }
        self.flush(ctx, machine);
        let mut submitted = std::mem::take(&mut self.submitted);
        let now_ns = ctx.now() * 1000;
        let seal_at =
            self.state().seal(now_ns, &mut submitted).map_or(Micros::MAX, |ns| ns / 1000 + 1);
        self.submitted = submitted;
        self.submit(ctx, machine);
        let deadline_ms = self.zab.next_deadline_ms();
        let core_at = deadline_ms.saturating_mul(MS).saturating_sub(machine.clocks.ahead_us);
        let at = core_at.min(seal_at);
        if at < self.deadline_at && at < Micros::MAX / 4 {
            let at = at.max(ctx.now() + 1);
            self.deadline_at = at;
            let event = Event::Answer {
                server: machine.sid,
                process: self.number,
                answer: Answer::Deadline,
            };
            ctx.queue.put(at, event);
        }
    }

    /// Lets the log write what waits.
    pub(super) fn flush(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let mut submitted = std::mem::take(&mut self.submitted);
        let flushed = self.state().flush(ctx.plan.disk.in_flight_max, &mut submitted);
        self.submitted = submitted;
        self.submit(ctx, machine);
        match flushed {
            Ok(true) => {}
            Ok(false) => {
                ctx.report.full += 1;
                self.want_spares(ctx, machine);
            }
            Err(why) => self.wrong(ctx, machine, why),
        }
    }

    fn submit(&mut self, ctx: &mut Context, machine: &mut Machine) {
        let number = self.state().store.number;
        for Submitted { write, token, marks } in std::mem::take(&mut self.submitted) {
            ctx.checker.medium(machine.sid, number).submitted(write, &marks);
            let fails = std::mem::take(&mut machine.fail_write);
            let after = self.disk_time(ctx, machine);
            ctx.tell(|| {
                let last = marks.last().map_or(0, |mark| mark.0);
                format!("{}:   write {write} to log {number} up to 0x{last:x}", machine.sid)
            });
            self.answer_in(ctx, machine, after, Answer::Write { log: number, write, token, fails });
            self.want_spares(ctx, machine);
        }
    }
}

fn zab_config(ctx: &Context, sid: Sid) -> ZabConfig {
    let plan = &ctx.plan;
    ZabConfig {
        tick_ms: plan.tick_ms,
        init_limit: plan.init_limit,
        sync_limit: plan.sync_limit,
        window_txns_max: plan.window,
        first_counter: plan.first_counter,
        force_snapshot: plan.odd.force_snapshot,
        mistakes: ctx.mistakes,
        ..ZabConfig::new(sid)
    }
}
