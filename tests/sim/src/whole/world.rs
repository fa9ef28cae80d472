//! One event after the other: bytes and log writes on their way, passes, crashes, starts, clients.

use std::rc::Rc;

use ringkeeper::log::Write;
use ringkeeper::protocol::Zxid;
use ringkeeper::reactor::AlignedBuf;

use super::client::Client;
use super::disk::Books;
use super::link::{Link, Up};
use super::mistake::{Mistake, plant};
use super::model::History;
use super::plan::Plan;
use super::process::{self, Server, Started};
use super::report::Report;
use super::thread::Arrived;
use super::{Violation, broken};
use crate::disk::{Disk, Segment};
use crate::random::Random;
use crate::run::caught;
use crate::time::{MS, Micros, Queue, SECOND};

/// How long after the faults every client must have its answers.
const CALM: Micros = 5 * SECOND;
/// What bytes and log writes take on the average when the faults are over, at the most.
pub const CALM_MEAN: Micros = 200;
/// From so long after the faults on answers are prompt: bytes, log writes and wakes on their way take 40 ms at the very
/// most, and a thread that nobody woke would sleep until its next tick, up to 100 ms.
const PROMPT_AFTER: Micros = SECOND + SECOND / 2;
/// Prompt is within this.
const PROMPT: Micros = 45 * MS;
/// A run of more events never ends.
const EVENTS_MAX: u64 = 5_000_000;

/// What happens.
pub enum Event {
    /// A thread makes a pass.
    Pass {
        /// Of which process.
        process: u64,
        /// Which thread.
        thread: usize,
    },
    /// Something of a client's arrives at the server.
    Up(usize, Up),
    /// A client reads.
    Read(usize),
    /// A client does something.
    Act(usize),
    /// A client closes a connection that its session has left.
    Desert(usize),
    /// A log write arrives on the medium.
    Disk {
        /// Of which process.
        process: u64,
        /// The disk's number.
        write: u64,
    },
    /// It is time to make a spare segment.
    Spares(u64),
    /// The server dies.
    Crash,
    /// It starts.
    Start,
    /// The faults are over.
    Calm,
    /// It must all have been answered.
    End,
}

/// A log write on its way.
struct Flight {
    write: u64,
    token: u64,
    bytes: usize,
    /// The core was told of it already, by mistake.
    told: bool,
}

/// The server, its disk, and its clients. See the module's documentation.
pub struct World {
    /// What the seed stands for.
    pub plan: Rc<Plan>,
    /// What is to happen.
    pub queue: Queue<Event>,
    /// Draws when threads run.
    pub sched: Random,
    /// Draws what happens to bytes.
    pub net: Random,
    faults: Random,
    disk_random: Random,
    disk: Disk,
    /// The server, while it lives.
    pub server: Option<Box<Server>>,
    /// How many have lived before.
    pub process: u64,
    /// What is durable.
    pub books: Books,
    flights: Vec<Flight>,
    /// What was logged.
    pub history: History,
    /// The newest zxid that anybody was told of.
    pub told: Zxid,
    /// All connections.
    pub links: Vec<Link>,
    /// All clients.
    pub clients: Vec<Client>,
    /// What was seen.
    pub report: Report,
    /// The mistake that is planted.
    pub mistake: Option<Mistake>,
    /// Whether a person reads along.
    pub trace: bool,
    /// The faults are over.
    pub is_calm: bool,
    /// Since when.
    pub calm_at: Micros,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// What was seen.
    pub report: Report,
}

/// Runs a seed. A panic of the code under test is a violation.
pub fn run(seed: u64, mistake: Option<Mistake>, trace: bool) -> Outcome {
    plant(mistake);
    let outcome = caught(|| World::new(Plan::of(seed), mistake, trace).run());
    plant(None);
    outcome.unwrap_or_else(|detail| Outcome {
        violation: Some(Violation { rule: "panic", detail }),
        report: Report { runs: 1, ..Report::default() },
    })
}

impl World {
    fn new(plan: Plan, mistake: Option<Mistake>, trace: bool) -> World {
        let seed = plan.seed;
        let stream = |purpose| Random::new(seed, purpose, 0);
        let clients = (0..plan.clients).map(|i| Client::new(seed, i, plan.crowd)).collect();
        World {
            plan: Rc::new(plan),
            queue: Queue::new(),
            sched: stream("whole schedule"),
            net: stream("whole net"),
            faults: stream("whole faults"),
            disk_random: stream("whole disk"),
            disk: Disk::new(),
            server: None,
            process: 0,
            books: Books::default(),
            flights: Vec::new(),
            history: History::new(),
            told: 0,
            links: Vec::new(),
            clients,
            report: Report { runs: 1, ..Report::default() },
            mistake,
            trace,
            is_calm: false,
            calm_at: 0,
        }
    }

    fn run(mut self) -> Outcome {
        // Not at 0: some of the server's times have that for "never".
        self.queue.put(SECOND, Event::Start);
        for client in 0..self.clients.len() {
            self.queue.put(SECOND + MS, Event::Act(client));
        }
        let end = SECOND + self.plan.load;
        self.queue.put(end, Event::Calm);
        self.queue.put(end + CALM, Event::End);
        self.next_crash();
        let mut events = 0;
        let mut violation = None;
        while let Some(event) = self.queue.take() {
            events += 1;
            let is_end = matches!(event, Event::End);
            let mut done = self.happen(event);
            if events > EVENTS_MAX && done.is_ok() {
                done = broken("end", "the run never ends");
            }
            if let Err(broken) = done {
                violation = Some(broken);
                break;
            }
            if is_end {
                break;
            }
        }
        self.report.virtual_ms = self.queue.now() / MS;
        Outcome { violation, report: self.report }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Pass { process, thread } if process == self.process => self.pass(thread),
            Event::Pass { .. } => Ok(()),
            Event::Up(link, up) => {
                self.come_up(link, up);
                Ok(())
            }
            Event::Read(link) => self.read(link),
            Event::Act(client) => self.act(client),
            Event::Desert(link) => {
                self.close_link(link);
                Ok(())
            }
            Event::Disk { process, write } if process == self.process => {
                self.written(write);
                Ok(())
            }
            Event::Disk { .. } => Ok(()),
            Event::Spares(process) if process == self.process => {
                self.spares();
                Ok(())
            }
            Event::Spares(_) => Ok(()),
            Event::Crash => {
                if !self.is_calm {
                    self.crash();
                    self.next_crash();
                }
                Ok(())
            }
            Event::Start => self.start(),
            Event::Calm => {
                self.is_calm = true;
                self.calm_at = self.queue.now();
                Ok(())
            }
            Event::End => self.end(),
        }
    }

    fn next_crash(&mut self) {
        if self.plan.crash_every > 0 {
            let at = self.queue.now() + SECOND / 100 + self.faults.spread(self.plan.crash_every);
            self.queue.put(at, Event::Crash);
        }
    }

    fn crash(&mut self) {
        let Some(server) = self.server.take() else { return };
        self.report.long += server.long_answers();
        self.report.crashes += 1;
        self.process += 1;
        self.flights.clear();
        let power_stays = !self.faults.chance(self.plan.power);
        self.say(|| format!("crash, power stays {power_stays}"));
        self.disk.crash(power_stays, &mut self.faults);
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            if link.process + 1 == self.process && !link.server_closed {
                link.server_closed = true;
                link.conn = None;
                if !power_stays {
                    let left = self.net.below(link.down.len() as u64 + 1) as usize;
                    link.down.truncate(left);
                }
                self.read_soon(at);
            }
        }
        let at = self.queue.now() + MS + self.faults.spread(50 * MS);
        self.queue.put(at, Event::Start);
    }

    fn start(&mut self) -> Result<(), Violation> {
        if self.server.is_some() {
            return Ok(());
        }
        if !self.is_calm && self.faults.chance(self.plan.die_in_start) {
            let torn = Random::new(self.faults.bits(), "torn", 0);
            self.disk.die_after(self.faults.below(12), torn);
        }
        let now = self.queue.now();
        let started = process::start(&self.plan, &self.disk, &self.history, now / MS)?;
        let Started::Running(server, last) = started else {
            self.report.start_crashes += 1;
            let power_stays = !self.faults.chance(self.plan.power);
            self.disk.crash(power_stays, &mut self.faults);
            self.queue.put(now + 10 * MS, Event::Start);
            return Ok(());
        };
        self.disk.live_on();
        let (durable, logged) = (self.books.durable().max(self.told), self.history.last());
        self.say(|| format!("starts at {last}, {durable} was durable, {logged} logged"));
        if last < durable || last > logged {
            let detail = format!("a start finds {last}; {durable} was durable, {logged} logged");
            return broken("R6", detail);
        }
        self.report.lost += (logged - last) as u64;
        self.history.truncate(last);
        self.books = Books::new(last);
        let threads = server.threads.len();
        self.server = Some(server);
        for thread in 0..threads {
            self.pass_by(thread, now + 1);
        }
        self.queue.put(now + MS, Event::Spares(self.process));
        Ok(())
    }

    fn spares(&mut self) {
        let Some(server) = &self.server else { return };
        let done = server.maker.turn();
        if done {
            self.say(|| "a spare segment is made".into());
        }
        let at = self.queue.now() + 100 + self.faults.spread(3 * MS);
        self.queue.put(at, Event::Spares(self.process));
    }

    /// Log writes begin.
    pub fn submit(&mut self, writes: Vec<Write<Segment>>) -> Result<(), Violation> {
        for write in writes {
            let bytes = write.buf.len();
            let mut copy = AlignedBuf::with_capacity(bytes);
            copy.extend_from_slice(&write.buf);
            let (number, token) = self.disk.submit(write);
            let before = self.history.last();
            self.books.begun(number, &copy, &mut self.history)?;
            for zxid in before + 1..=self.history.last() {
                let Some(record) = self.history.record(zxid) else { continue };
                self.report.transactions += 1;
                self.report.errors += u64::from(record.error != 0);
                let expires = record.closes_session() && record.header.cxid == 0;
                self.report.expired += u64::from(expires);
                if expires {
                    self.expires(record.header.client_id)?;
                }
                if self.trace {
                    let text = format!("{:>9} logs {record:?}", self.queue.now());
                    println!("{text:.300}");
                }
            }
            let mean = if self.is_calm { self.plan.disk.min(CALM_MEAN) } else { self.plan.disk };
            let mut after = 1 + self.disk_random.spread(mean);
            if !self.is_calm && self.disk_random.chance(self.plan.disk_slow) {
                after += self.disk_random.between(MS, 200 * MS);
            }
            let at = self.queue.now() + after;
            self.queue.put(at, Event::Disk { process: self.process, write: number });
            let early = self.mistake == Some(Mistake::WriteDoneEarly);
            let told = early && self.disk_random.chance(300);
            self.flights.push(Flight { write: number, token, bytes, told });
            if told && let Some(core) = self.server.as_ref().map(|s| s.core_thread) {
                self.arrive(core, Arrived::Disk(token, Ok(bytes), copy));
            }
        }
        Ok(())
    }

    /// A log write has arrived on the medium.
    fn written(&mut self, write: u64) {
        let (result, buf) = self.disk.complete(write, false, &mut self.disk_random);
        self.report.out_of_order += u64::from(self.books.arrived(write));
        let Some(at) = self.flights.iter().position(|flight| flight.write == write) else { return };
        if at > 0 && self.mistake == Some(Mistake::WriteOrderIgnored) {
            let oldest = (self.flights[0].token, self.flights[0].bytes);
            let own = &mut self.flights[at];
            let own = (
                std::mem::replace(&mut own.token, oldest.0),
                std::mem::replace(&mut own.bytes, oldest.1),
            );
            (self.flights[0].token, self.flights[0].bytes) = own;
        }
        let flight = self.flights.remove(at);
        let Some(core) = self.server.as_ref().map(|server| server.core_thread) else { return };
        if !flight.told {
            let result = result.map(|_| flight.bytes);
            self.arrive(core, Arrived::Disk(flight.token, result, buf));
        }
    }

    /// Everybody must have his answers.
    fn end(&mut self) -> Result<(), Violation> {
        match &self.server {
            Some(server) => self.report.long += server.long_answers(),
            None => return broken("end", "the server does not come back"),
        }
        for (number, client) in self.clients.iter().enumerate() {
            if !client.is_content() {
                let about = client.about();
                return broken("end", format!("client {number} waits for answers: {about}"));
            }
        }
        Ok(())
    }

    /// A request that was sent at `sent_at` has been answered: nobody slept while he had something to do.
    pub fn was_prompt(&self, sent_at: Micros) -> Result<(), Violation> {
        let took = self.queue.now() - sent_at;
        if self.is_calm && sent_at > self.calm_at + PROMPT_AFTER && took > PROMPT {
            return broken("wakes", format!("an answer took {took} us when nothing else went on"));
        }
        Ok(())
    }

    /// Tells who reads along.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>9} {}", self.queue.now(), what());
        }
    }
}
