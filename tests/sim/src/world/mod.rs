//! The world: servers, clients, and one event after the other.
//!
//! - [`faults`]: what goes wrong, and that it stops; [`strikes`]: faults that wait for a moment of the protocol
//! - [`operator`]: what a person would do: starting servers again, replacing disks, reconfiguring

mod faults;
mod operator;
mod strikes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringkeeper::zab::{Mistakes, Sid};

use crate::check::{Checker, Rule, Violation};
use crate::client::Client;
use crate::context::{Answer, Context, Event};
use crate::disk::Disk;
use crate::network::{Arrival, Network, Packet as Wire, Port, Transit};
use crate::plan::Plan;
use crate::random::Random;
use crate::report::Report;
use crate::server::{Clocks, Machine, Process};
use crate::store::epochs::Epochs;
use crate::time::{MS, Micros, Queue};
use crate::wire::Sent;

/// A server: what it is, and the process that runs on it, if one does.
struct Server {
    machine: Machine,
    process: Option<Process>,
    /// It stands still until then.
    paused_until: Micros,
    /// What clients asked while it stood still, and which process.
    door: VecDeque<(u64, crate::client::Ask)>,
    /// A start is due.
    starting: bool,
    /// Rot is on its disk, and no start has looked at it since.
    suspect: bool,
    random: Random,
}

/// See the module.
pub struct World {
    ctx: Context,
    servers: Vec<Server>,
    clients: Vec<Client>,
    operator: Random,
    level_by: Micros,
    /// Nothing else goes wrong until then.
    quiet_until: Micros,
    /// Strikes so far, which tells what they block apart.
    strikes: u64,
    processes: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was broken, if anything was.
    pub violation: Option<Violation>,
    /// What was seen.
    pub report: Report,
}

/// Events of one run at the most: more are a storm that would never end.
const EVENTS_MAX: u64 = 2_000_000;

impl World {
    /// The world of a plan, with a mistake or none.
    pub fn new(plan: Arc<Plan>, mistakes: Mistakes, trace: bool) -> World {
        let seed = plan.seed;
        let tree = ringkeeper::tree::new(crate::store::snapshot::tree_config());
        let mut checker = Checker::new((0, tree.digest()), &plan.config, plan.first_counter);
        checker.standalone = plan.standalone;
        let network = Network::new(plan.network.clone(), Random::new(seed, "network", 0));
        let mut ctx = Context {
            queue: Queue::new(),
            network,
            checker,
            report: Report { runs: 1, ..Report::default() },
            violation: None,
            trace,
            mistakes,
            leading: BTreeMap::new(),
            aims: Vec::new(),
            client_random: Random::new(seed, "clients", 0),
            client_at: vec![[0; 2]; plan.clients.count],
            plan: plan.clone(),
        };
        let mut servers = Vec::new();
        for &sid in &plan.servers {
            let mut random = Random::new(seed, "server", sid as u64);
            let clocks = Clocks {
                ahead_us: random.below(1_000_000_000),
                wall_ms: 1_700_000_000_000 + random.below(1000) as i64,
            };
            ctx.queue.put(random.spread(plan.tick_ms * MS), Event::Start(sid));
            servers.push(Server {
                machine: Machine {
                    sid,
                    disk: Disk::new(),
                    clocks,
                    disk_times: 1,
                    fail_write: false,
                    cut_off: Default::default(),
                    disk_random: Random::new(seed, "disk", sid as u64),
                    random: Random::new(seed, "driver", sid as u64),
                    pieces: Random::new(seed, "pieces", sid as u64),
                },
                process: None,
                paused_until: 0,
                door: VecDeque::new(),
                starting: true,
                suspect: false,
                random,
            });
        }
        for (number, timed) in plan.faults.iter().enumerate() {
            ctx.queue.put(timed.at, Event::Fault(number));
        }
        ctx.queue.put(plan.fault_time, Event::Calm);
        let clients: Vec<Client> = (0..plan.clients.count).map(|i| Client::new(i, seed)).collect();
        for index in 0..clients.len() {
            ctx.queue.put(plan.tick_ms * MS, Event::Client(index));
        }
        let operator = Random::new(seed, "operator", 0);
        World {
            ctx,
            servers,
            clients,
            operator,
            level_by: Micros::MAX,
            quiet_until: 0,
            strikes: 0,
            processes: 0,
        }
    }

    /// Runs until all is level, or something is broken.
    pub fn run(mut self) -> Outcome {
        while self.ctx.violation.is_none() {
            let Some(event) = self.ctx.queue.take() else { break };
            self.ctx.report.events += 1;
            if self.ctx.report.events > EVENTS_MAX {
                let detail =
                    format!("more than {EVENTS_MAX} events: something goes round in circles");
                self.ctx.fail(Violation { rule: Rule::Liveness, detail });
            }
            if !self.happen(event) {
                break;
            }
        }
        let mut report = self.ctx.report;
        report.virtual_us = self.ctx.queue.now();
        Outcome { violation: self.ctx.violation, report }
    }

    fn index(&self, sid: Sid) -> usize {
        (sid - 1) as usize
    }

    /// `false`: the run is over.
    fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::Arrive(transit) => self.arrive(transit),
            Event::Answer { server, process, answer } => self.answer(server, process, answer),
            Event::Start(sid) => self.start(sid),
            Event::Take { conn, from } => self.take(conn, from),
            Event::GiveUp { conn, from, place } => {
                if let Some((sid, port, peer)) = self.ctx.network.give_up(conn, from, place) {
                    self.ctx.tell(|| format!("{sid}: gives connection {conn} to {peer} up"));
                    self.with(sid, |ctx, machine, process| {
                        process.arrived(ctx, machine, conn, port, peer, Wire::Closed);
                    });
                }
            }
            Event::Client(index) => self.client_turn(index),
            Event::Reply { client, connection, reply } => {
                self.clients[client].told(&mut self.ctx, connection, reply);
            }
            Event::Ask { server, process, ask } => self.ask(server, process, ask),
            Event::Knock(sid) => self.knock(sid),
            Event::Fault(number) => self.fault(number),
            Event::Strike { server, other, strike } => self.strike(server, other, strike.blow),
            Event::FaultEnds(end) => self.fault_ends(end),
            Event::Calm => self.calm_down(),
            Event::Look => return self.look(),
        }
        true
    }

    /// Puts an event for a paused server off; `true` if it was.
    fn put_off(&mut self, sid: Sid, event: impl FnOnce() -> Event) -> bool {
        let until = self.servers[self.index(sid)].paused_until;
        if until <= self.ctx.now() {
            return false;
        }
        self.ctx.queue.put(until, event());
        true
    }

    /// Lets something happen to a running process, and sees what became of it.
    fn with<R>(
        &mut self,
        sid: Sid,
        what: impl FnOnce(&mut Context, &mut Machine, &mut Process) -> R,
    ) -> Option<R> {
        let index = self.index(sid);
        let server = &mut self.servers[index];
        let process = server.process.as_mut()?;
        let now_ms = (self.ctx.now() + server.machine.clocks.ahead_us) / MS;
        process.zab.handle_time(now_ms);
        let result = what(&mut self.ctx, &mut server.machine, process);
        process.carry_out(&mut self.ctx, &mut server.machine);
        process.settle(&mut self.ctx, &mut server.machine);
        if process.death.is_some() {
            self.died(sid);
        }
        Some(result)
    }

    fn runs(&self, sid: Sid, process: u64) -> bool {
        self.servers[self.index(sid)].process.as_ref().is_some_and(|p| p.number == process)
    }

    fn arrive(&mut self, transit: Transit<Sent>) {
        let Transit { conn, from, place, packet, .. } = transit;
        self.ctx.network.arrive(conn, from, place, packet);
        self.take(conn, from);
    }

    /// Hands over what has arrived on a connection from one of its ends.
    fn take(&mut self, conn: u64, from: usize) {
        while let Some(found) = self.ctx.network.conn(conn) {
            let (port, peer, to) = (found.port, found.servers[from], found.servers[1 - from]);
            let until = self.servers[self.index(to)].paused_until;
            if until > self.ctx.now() {
                // It lies at its door until the server goes on.
                return self.ctx.queue.put(until, Event::Take { conn, from });
            }
            match self.ctx.network.take(conn, from) {
                Arrival::Nothing => return,
                Arrival::Refused(sid) => {
                    if self.servers[self.index(sid)].process.is_some() {
                        let told = self.ctx.network.reset(conn, from, self.ctx.queue.now());
                        self.ctx.transit(told);
                    }
                }
                Arrival::Deliver(sid, wire) => {
                    self.ctx.tell(|| match &wire {
                        Wire::Message(message) => {
                            format!(
                                "{sid}: from {peer} on {conn}: {}",
                                crate::trace::message(&message.message)
                            )
                        }
                        Wire::Closed => {
                            format!("{sid}: connection {conn} to {peer} ({port:?}) is closed")
                        }
                    });
                    self.with(sid, |ctx, machine, process| {
                        process.arrived(ctx, machine, conn, port, peer, wire);
                    });
                }
            }
            if self.ctx.violation.is_some() {
                return;
            }
        }
    }

    fn answer(&mut self, sid: Sid, process: u64, answer: Answer) {
        if !self.runs(sid, process) {
            return;
        }
        if self.put_off(sid, || Event::Answer { server: sid, process, answer: answer.clone() }) {
            return;
        }
        if let Answer::Dialled { to, attempt } = answer {
            return self.dialled(sid, to, attempt);
        }
        self.with(sid, |ctx, machine, process| process.answered(ctx, machine, answer));
    }

    /// A dial has ended: both ends have the connection, or the dialler is told that there is none.
    fn dialled(&mut self, from: Sid, to: Sid, attempt: Option<u64>) {
        let port = if attempt.is_some() { Port::Quorum } else { Port::Election };
        let exists = self.ctx.plan.servers.contains(&to) && to != from;
        let listens = exists && {
            let server = &self.servers[self.index(to)];
            server.process.is_some() && server.paused_until <= self.ctx.now()
        };
        let conn = (listens && self.ctx.network.can_connect(port, from, to)).then(|| {
            let now = self.ctx.now();
            self.ctx.network.connect(port, from, to, now)
        });
        self.ctx.tell(|| format!("{from}: dialled {to} ({port:?}): {conn:?}"));
        if let Some(conn) = conn {
            self.with(to, |ctx, machine, process| process.accepted(ctx, machine, port, from, conn));
        }
        self.with(from, |ctx, machine, process| process.dialled(ctx, machine, to, attempt, conn));
    }

    // ---- clients

    fn client_turn(&mut self, index: usize) {
        let mut asks = Vec::new();
        self.clients[index].turn(&mut self.ctx, &mut |_, sid, ask| asks.push((sid, ask)));
        for (sid, ask) in asks {
            let after = self.ctx.client_random.spread(300) + 50;
            let at = self.ctx.ask_at(index, after);
            let process = self.servers[self.index(sid)].process.as_ref().map_or(0, |p| p.number);
            self.ctx.queue.put(at, Event::Ask { server: sid, process, ask });
        }
    }

    fn ask(&mut self, sid: Sid, process: u64, ask: crate::client::Ask) {
        let index = self.index(sid);
        self.servers[index].door.push_back((process, ask));
        self.knock(sid);
    }

    /// What waits at a server's door is taken in its order, once the server does not stand still.
    fn knock(&mut self, sid: Sid) {
        if self.put_off(sid, || Event::Knock(sid)) {
            return;
        }
        let index = self.index(sid);
        while let Some((process, ask)) = self.servers[index].door.pop_front() {
            self.take_ask(sid, process, ask);
        }
    }

    fn take_ask(&mut self, sid: Sid, process: u64, ask: crate::client::Ask) {
        let (client, connection) = (ask.client, ask.connection);
        let known = self.runs(sid, process);
        if known {
            self.ctx.tell(|| format!("{sid}: client {client} asks {:?}", ask.what));
            self.with(sid, |ctx, machine, process| process.asked(ctx, machine, ask));
        } else {
            let reply = crate::client::Reply::Dropped;
            let at = self.ctx.reply_at(client, 500);
            self.ctx.queue.put(at, Event::Reply { client, connection, reply });
        }
    }

    // ---- the end

    /// Are all level? `false`: the run is over.
    fn look(&mut self) -> bool {
        let live: Vec<Sid> = self.members();
        let leader = self.servers.iter().any(|s| s.process.as_ref().is_some_and(Process::leads));
        let level = live.iter().all(|sid| {
            let serves =
                self.servers[self.index(*sid)].process.as_ref().is_some_and(Process::serves);
            serves && self.ctx.checker.is_level(*sid)
        });
        if leader && level {
            return false;
        }
        if self.ctx.now() > self.level_by {
            let bound = self.ctx.plan.settle_us() / 1_000_000;
            let state: Vec<String> = live.iter().map(|sid| self.describe(*sid)).collect();
            let detail = format!("{bound} s after the faults have stopped: {}", state.join("; "));
            self.ctx.fail(Violation { rule: Rule::Liveness, detail });
            return false;
        }
        self.ctx.queue.put(self.ctx.now() + self.ctx.plan.tick_ms * MS, Event::Look);
        true
    }

    /// Those who must become level: the members of the configuration in force.
    fn members(&self) -> Vec<Sid> {
        let members = self.ctx.checker.members().clone();
        self.ctx.plan.servers.iter().copied().filter(|sid| members.contains(sid)).collect()
    }

    fn describe(&self, sid: Sid) -> String {
        let server = &self.servers[self.index(sid)];
        match &server.process {
            Some(process) => {
                format!(
                    "server {sid} is {:?} at {}",
                    process.role(),
                    self.ctx.checker.position(sid)
                )
            }
            None => format!("server {sid} is down"),
        }
    }
}

/// The epochs of a server whose history is lost.
fn lost_epochs(known: Option<Epochs>) -> Epochs {
    Epochs { intact: false, ..known.unwrap_or_default() }
}
