//! What all parts of a run share: the queue, the network, the checker, the report and the trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{Generation, Notification, Packet, Sid};

use crate::aim::{Aim, Moment, Strike};
use crate::check::{Checker, Violation};
use crate::network::{Network, Transit};
use crate::plan::Plan;
use crate::random::Random;
use crate::report::Report;
use crate::time::{Micros, Queue};
use crate::wire::Sent;

/// What servers send each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// On the election port.
    Vote(Notification),
    /// On the quorum port.
    Packet(Packet),
    /// The snapshot behind a packet SNAP.
    Snapshot(Arc<[u8]>),
}

/// What a process is told that it asked for.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A log write has ended, or failed.
    Write {
        /// The log's number.
        log: u64,
        /// The disk's number of the write.
        write: u64,
        /// The log's token.
        token: u64,
        /// Whether it failed.
        fails: bool,
    },
    /// It is time to make spare segments.
    Spares,
    /// It is time to store the oldest epochs that wait.
    Epochs,
    /// The log was cut.
    Truncated {
        /// Its last transaction.
        last: Zxid,
        /// The core's generation.
        generation: Generation,
    },
    /// A received snapshot lies beside the state in force.
    Staged {
        /// The connection it came on.
        conn: u64,
        /// Whether it does.
        ok: bool,
    },
    /// This is durable, as the core is told now.
    Durable {
        /// Up to here.
        through: Zxid,
        /// The core's generation.
        generation: Generation,
    },
    /// It has taken its place.
    TakenOver {
        /// The core's generation.
        generation: Generation,
    },
    /// What the log has near a zxid.
    LookedUp {
        /// The learner's connection.
        conn: u64,
        /// The learner's zxid.
        zxid: Zxid,
    },
    /// The state to send a learner is pinned.
    Pinned {
        /// The learner's connection.
        conn: u64,
    },
    /// The transaction that the core asked for is committed.
    Barrier {
        /// The core's token.
        token: u64,
    },
    /// The oldest request of a learner that waits has come to its turn.
    Asked,
    /// An attempt to connect has ended.
    Dialled {
        /// To whom.
        to: Sid,
        /// The core's attempt; `None` on the election port.
        attempt: Option<u64>,
    },
    /// The core's next deadline, or one of the driver's own.
    Deadline,
    /// The server's own timer for links and sessions.
    Beat,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// Something arrives.
    Arrive(Transit<Sent>),
    /// A process gets an answer.
    Answer {
        /// Which server.
        server: Sid,
        /// Which process of it.
        process: u64,
        /// The answer.
        answer: Answer,
    },
    /// A server starts.
    Start(Sid),
    /// A server that stood still looks what lies at its door.
    Take {
        /// The connection.
        conn: u64,
        /// The end that sent it.
        from: usize,
    },
    /// What was sent may never have arrived.
    GiveUp {
        /// The connection.
        conn: u64,
        /// The end that sent it.
        from: usize,
        /// Its place.
        place: u64,
    },
    /// A client does something.
    Client(usize),
    /// A client is told something.
    Reply {
        /// Which client.
        client: usize,
        /// In which of its connections.
        connection: u64,
        /// What.
        reply: crate::client::Reply,
    },
    /// A client's message arrives at a server.
    Ask {
        /// Which server.
        server: Sid,
        /// Which process of it.
        process: u64,
        /// What.
        ask: crate::client::Ask,
    },
    /// A server that stood still looks which clients wait at its door.
    Knock(Sid),
    /// A fault of the plan begins.
    Fault(usize),
    /// An aimed fault strikes.
    Strike {
        /// This server.
        server: Sid,
        /// The other one that the moment had to do with.
        other: Option<Sid>,
        /// With what.
        strike: Strike,
    },
    /// A fault ends.
    FaultEnds(FaultEnd),
    /// The faults are over.
    Calm,
    /// Looks whether all is as it should be.
    Look,
}

/// What is put right again.
#[derive(Clone, Debug)]
pub enum FaultEnd {
    /// This fault does not block these links any more.
    Unblock(u64, Vec<(Sid, Sid)>),
    /// The disk is as fast as before.
    Fast(Sid),
    /// The disk has room.
    Room(Sid),
    /// A one-way partition in which progress was demanded: what was committed when it began.
    Progress {
        /// The blocked links.
        links: Vec<(Sid, Sid)>,
        /// By which fault.
        fault: u64,
        /// Committed transactions when it began.
        committed: usize,
    },
}

/// What all parts share.
pub struct Context {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What is to happen.
    pub queue: Queue<Event>,
    /// The connections.
    pub network: Network<Sent>,
    /// The rules.
    pub checker: Checker,
    /// What was seen.
    pub report: Report,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Whether a person reads along.
    pub trace: bool,
    /// The mistake that is planted.
    pub mistakes: ringkeeper::zab::Mistakes,
    /// Who leads, or means to, in which epoch (the greatest until it is established); for lies.
    pub leading: BTreeMap<Sid, i64>,
    /// Aimed faults that wait for their moment, and how many such moments they still let go by.
    pub aims: Vec<(Aim, u64)>,
    /// Draws how long a client's messages take.
    pub client_random: Random,
    /// When the last message to, and the last one from each client arrives.
    pub client_at: Vec<[Micros; 2]>,
}

impl Context {
    /// The present.
    pub fn now(&self) -> Micros {
        self.queue.now()
    }

    /// Remembers a violation; the run ends with the step.
    pub fn check(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.fail(violation);
        }
    }

    /// As [`Context::check`], with the violation at hand.
    pub fn fail(&mut self, violation: Violation) {
        if self.trace && self.violation.is_none() {
            println!("{} VIOLATION {violation}", self.clock());
        }
        self.violation.get_or_insert(violation);
    }

    /// A moment at a server, which had to do with another one perhaps: what is aimed at it strikes.
    pub fn moment(&mut self, server: Sid, other: Option<Sid>, moment: Moment) {
        if self.aims.is_empty() {
            return;
        }
        let mut hit = Vec::new();
        self.aims.retain_mut(|(aim, skip)| {
            if aim.moment != moment || aim.server.is_some_and(|wanted| wanted != server) {
                return true;
            }
            if *skip > 0 {
                *skip -= 1;
                return true;
            }
            hit.append(&mut aim.strikes);
            false
        });
        for strike in hit {
            let (server, other) = match (strike.peer, other) {
                (false, other) => (server, other),
                (true, Some(peer)) => (peer, Some(server)),
                (true, None) => continue,
            };
            let at = self.now() + strike.after_us;
            self.queue.put(at, Event::Strike { server, other, strike });
        }
    }

    /// Tells who reads along.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{} {}", self.clock(), what());
        }
    }

    fn clock(&self) -> String {
        let now = self.now();
        format!("{:>5}.{:06}", now / 1_000_000, now % 1_000_000)
    }

    /// When a message to a client that takes `after` arrives: not before an earlier one.
    pub fn reply_at(&mut self, client: usize, after: Micros) -> Micros {
        self.client_message_at(client, 0, after)
    }

    /// As [`Context::reply_at`], for a message from a client.
    pub fn ask_at(&mut self, client: usize, after: Micros) -> Micros {
        self.client_message_at(client, 1, after)
    }

    fn client_message_at(&mut self, client: usize, direction: usize, after: Micros) -> Micros {
        let at = self.now() + after;
        let last = &mut self.client_at[client][direction];
        *last = at.max(*last);
        *last
    }

    /// The sender's system gives up what is not acknowledged within `syncLimit` (TCP_USER_TIMEOUT).
    pub fn watch(&mut self, conn: u64, from: usize) {
        if let Some(place) = self.network.watch(conn, from) {
            let after = self.plan.sync_limit * self.plan.tick_ms * crate::time::MS;
            self.queue.put(self.now() + after, Event::GiveUp { conn, from, place });
        }
    }

    /// Puts something under way.
    pub fn transit(&mut self, transit: Option<Transit<Sent>>) {
        if let Some(transit) = transit {
            self.queue.put(transit.at, Event::Arrive(transit));
        }
    }
}
