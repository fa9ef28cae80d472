//! One server of a recording played by ringkeeper's core: it is given what the others sent, when they sent it, and what
//! it sends is compared with what the recorded server sent.
//!
//! The driver here has a disk that is always done at once (a leader's own log excepted: its completions are given at
//! the recorded COMMIT, so that commits fall where they fell), and clients that do what the recorded server's clients
//! did: proposals, forwarded requests, sessions heard from and answers about sessions are the recorded ones.

mod act;
mod before;
mod conn;
mod events;
mod log;
mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use ringkeeper::zab::{
    ConnId, Durable, Generation, Mistakes, Notification, Role, Zab, ZabConfig, Zxid,
};

use before::{begins, designated, first_config, numbered_config};
use conn::Conn;
use log::Log;

use crate::file::{Event, OnDisk, Sid, Transcript};

/// Of the recorded servers' configuration (`ensemble.py`).
const TICK_MS: u64 = 1000;
const INIT_LIMIT: u64 = 20;
const SYNC_LIMIT: u64 = 10;
/// The opcode of sync.
const SYNC: i32 = 9;

/// Something that the core did otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Which rule of comparison it broke.
    pub rule: &'static str,
    /// What exactly.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// What a replay counted.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// Quorum connections compared.
    pub conns: usize,
    /// Those whose packets (pings apart) came in the recorded order, too.
    pub in_order: usize,
    /// Those that were brought level in another way than recorded.
    pub other_syncs: usize,
    /// Packets equal byte for byte.
    pub packets: usize,
    /// Votes equal byte for byte.
    pub votes: usize,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Seen) {
        self.conns += other.conns;
        self.in_order += other.in_order;
        self.other_syncs += other.other_syncs;
        self.packets += other.packets;
        self.votes += other.votes;
    }
}

/// From a server's start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// The server.
    pub sid: Sid,
    disk: OnDisk,
    /// The events from its start to its end.
    first: usize,
    last: usize,
}

/// The lives of all servers.
pub fn lives(transcript: &Transcript) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for (at, (_, event)) in transcript.events.iter().enumerate() {
        match event {
            Event::Start { sid, disk } => {
                let last = transcript.events.len();
                lives.push(Life { sid: *sid, disk: *disk, first: at, last });
            }
            Event::Kill { sid } => {
                let life = lives.iter_mut().rev().find(|life| life.sid == *sid);
                life.expect("it was started").last = at;
            }
            _ => {}
        }
    }
    lives
}

/// A core and its driver.
pub struct Replay<'t> {
    transcript: &'t Transcript,
    life: Life,
    zab: Zab,
    log: Log,
    /// Learners whose place is older than the newest snapshot get one (`snapshotSizeFactor=-1`).
    memory_only: bool,
    /// Whom the recorded leader designated, other than itself, by the reconfiguration's zxid.
    designated: BTreeMap<Zxid, Sid>,
    observes: bool,
    /// Whether the core's configuration is the one that the recorded server voted with.
    compares_votes: bool,
    conns: BTreeMap<u32, Conn>,
    /// The core wants to connect.
    wanted: Option<(Sid, u64)>,
    /// The recorded server has dialled, the core has not asked for it.
    dialled: Vec<u32>,
    /// As leader: own completions that are held back.
    held: Vec<(Zxid, Generation)>,
    pings: VecDeque<(ConnId, Zxid)>,
    asked: VecDeque<(ConnId, i64)>,
    votes_recorded: BTreeMap<Sid, Vec<Notification>>,
    votes_sent: BTreeMap<Sid, Vec<Notification>>,
    roles: Vec<Role>,
    differences: Vec<Difference>,
    trace: bool,
}

impl<'t> Replay<'t> {
    /// Plays one life, with a mistake planted or none. `None`: the server never came so far as to vote.
    pub fn run(
        transcript: &'t Transcript,
        life: Life,
        mistakes: Mistakes,
    ) -> Option<(Vec<Difference>, Seen)> {
        let begins = begins(transcript, &life)?;
        let first = first_config(transcript, &life)?;
        let numbered = numbered_config(transcript, &life);
        let config = Arc::clone(numbered.as_ref().unwrap_or(&first));
        let mut settings = ZabConfig::new(life.sid);
        settings.tick_ms = TICK_MS;
        settings.init_limit = INIT_LIMIT;
        settings.sync_limit = SYNC_LIMIT;
        settings.mistakes = mistakes;
        if transcript.name == "rollover" {
            settings.first_counter = 0xffff_fffd;
        }
        let log = Log::before(transcript, &life);
        let durable = Durable {
            accepted_epoch: life.disk.accepted,
            current_epoch: life.disk.current,
            last_logged: life.disk.logged,
            committed: log.committed,
            intact: true,
            config,
            proposed_config: None,
        };
        let now_ms = transcript.events[begins].0;
        let mut replay = Replay {
            transcript,
            life,
            zab: Zab::new(settings, durable, now_ms),
            log,
            memory_only: transcript.name == "snap",
            designated: designated(transcript, &life),
            observes: first.is_observer(life.sid),
            compares_votes: numbered.is_none(),
            conns: BTreeMap::new(),
            wanted: None,
            dialled: Vec::new(),
            held: Vec::new(),
            pings: VecDeque::new(),
            asked: VecDeque::new(),
            votes_recorded: BTreeMap::new(),
            votes_sent: BTreeMap::new(),
            roles: Vec::new(),
            differences: Vec::new(),
            trace: std::env::var_os("RINGKEEPER_REPLAY_TRACE").is_some(),
        };
        replay.settle();
        for (at_ms, event) in &transcript.events[begins..life.last] {
            replay.advance(*at_ms);
            replay.event(event);
        }
        Some(replay.verdict())
    }

    fn note(&self, text: impl FnOnce() -> String) {
        if self.trace {
            println!("{} server {}: {}", self.transcript.name, self.life.sid, text());
        }
    }

    fn differs(&mut self, rule: &'static str, what: String) {
        self.note(|| format!("DIFFERS {rule}: {what}"));
        self.differences.push(Difference { rule, what });
    }

    /// Lets the time come, deadline by deadline.
    fn advance(&mut self, to_ms: u64) {
        while self.zab.next_deadline_ms() <= to_ms {
            let at_ms = self.zab.next_deadline_ms();
            self.zab.handle_time(at_ms);
            self.settle();
        }
        self.zab.handle_time(to_ms);
        self.settle();
    }
}
