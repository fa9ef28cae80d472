//! One server of a recording played by ringkeeper's core: it is given what the others sent, when they sent it, and what
//! it sends is compared with what the recorded server sent.
//!
//! The driver here has a disk that is always done at once (a leader's own log excepted: its completions are given at
//! the recorded COMMIT, so that commits fall where they fell), and clients that do what the recorded server's clients
//! did: proposals, forwarded requests, sessions heard from and answers about sessions are the recorded ones.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use ringkeeper::zab::wire::{
    ElectionItem, ElectionReader, Limits, QuorumReader, Side, encode_notification, encode_packet,
};
use ringkeeper::zab::{
    Action, ConnId, Durable, EnsembleConfig, Generation, LookUpAnswer, Mistakes, Notification,
    Packet, PeerState, Role, Txn, Zab, ZabConfig, Zxid,
};

use super::file::{Event, OnDisk, Port, Sid, Transcript};

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

/// One connection as the replayed server has it.
struct Conn {
    port: Port,
    peer: Sid,
    dialled_by_us: bool,
    theirs: Reader,
    ours: Reader,
    /// Packets of the peer that the core does not want yet.
    inbox: VecDeque<Packet>,
    peer_ended: bool,
    /// The core knows the connection.
    open: bool,
    /// The core closed it, and why.
    closed: Option<String>,
    recorded: Vec<Packet>,
    sent: Vec<Packet>,
}

enum Reader {
    Quorum(QuorumReader),
    Election(ElectionReader),
}

impl Reader {
    fn new(port: Port, dialler: bool) -> Reader {
        match (port, dialler) {
            (Port::Quorum, true) => {
                Reader::Quorum(QuorumReader::new(Side::Learner, Limits::default()))
            }
            (Port::Quorum, false) => {
                Reader::Quorum(QuorumReader::new(Side::Leader, Limits::default()))
            }
            (Port::Election, true) => Reader::Election(ElectionReader::of_dialler()),
            (Port::Election, false) => Reader::Election(ElectionReader::of_acceptor()),
        }
    }

    fn packets(&mut self, bytes: &[u8]) -> Vec<Packet> {
        let Reader::Quorum(reader) = self else { return Vec::new() };
        reader.push(bytes);
        let mut packets = Vec::new();
        loop {
            let before = reader.consumed();
            while let Some(packet) = reader.next_packet().expect("a packet") {
                packets.push(packet);
            }
            while reader.next_piece().expect("a piece").is_some() {}
            if reader.consumed() == before {
                return packets;
            }
        }
    }

    fn votes(&mut self, bytes: &[u8]) -> Vec<Notification> {
        let Reader::Election(reader) = self else { return Vec::new() };
        reader.push(bytes);
        let mut votes = Vec::new();
        while let Some(item) = reader.next_item().expect("an item") {
            if let ElectionItem::Notification(vote) = item {
                votes.push(vote);
            }
        }
        votes
    }
}

/// A server's log as the recording tells it.
#[derive(Debug, Default, Clone)]
struct Log {
    entries: BTreeMap<Zxid, (Txn, Option<Arc<EnsembleConfig>>)>,
    /// What the log begins after.
    base: Zxid,
    committed: Zxid,
}

impl Log {
    /// What a server had learned before an event.
    fn before(transcript: &Transcript, life: &Life) -> Log {
        let mut log = Log::default();
        let mut conns: BTreeMap<u32, (Sid, Sid, Port, Reader, Reader)> = BTreeMap::new();
        for (_, event) in &transcript.events[..life.first] {
            match event {
                Event::Dial { conn, from, to, port } => {
                    let readers = (Reader::new(*port, true), Reader::new(*port, false));
                    conns.insert(*conn, (*from, *to, *port, readers.0, readers.1));
                }
                Event::Send { conn, from, bytes, arrived } => {
                    let (dialler, acceptor, _, dialled, accepted) =
                        conns.get_mut(conn).expect("a connection");
                    let (reader, to) = match from == dialler {
                        true => (dialled, *acceptor),
                        false => (accepted, *dialler),
                    };
                    let packets = reader.packets(bytes);
                    if *from == life.sid || (to == life.sid && *arrived) {
                        packets.into_iter().for_each(|packet| log.learn(packet));
                    }
                }
                _ => {}
            }
        }
        log.entries.retain(|zxid, _| *zxid <= life.disk.logged);
        log.committed = log.committed.min(life.disk.logged);
        log
    }

    fn learn(&mut self, packet: Packet) {
        match packet {
            Packet::Proposal { zxid, txn, config } => {
                self.entries.insert(zxid, (txn, config));
            }
            Packet::Inform { zxid, txn } => {
                self.entries.insert(zxid, (txn, None));
                self.committed = self.committed.max(zxid);
            }
            Packet::InformAndActivate { zxid, txn, config, .. } => {
                self.entries.insert(zxid, (txn, config));
                self.committed = self.committed.max(zxid);
            }
            Packet::Commit { zxid } | Packet::CommitAndActivate { zxid, .. } => {
                self.committed = self.committed.max(zxid);
            }
            _ => {}
        }
    }

    fn cut(&mut self, to: Zxid) {
        self.entries.retain(|zxid, _| *zxid <= to);
    }

    fn last(&self) -> Zxid {
        self.entries.last_key_value().map_or(self.base, |(zxid, _)| (*zxid).max(self.base))
    }
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

    fn event(&mut self, event: &Event) {
        let us = self.life.sid;
        match event {
            Event::Dial { conn, from, to, port } if *from == us || *to == us => {
                let dialled_by_us = *from == us;
                let peer = if dialled_by_us { *to } else { *from };
                self.note(|| {
                    format!(
                        "{port:?} connection {conn} with {peer}, {}",
                        if dialled_by_us { "dialled" } else { "accepted" }
                    )
                });
                let fresh = Conn {
                    port: *port,
                    peer,
                    dialled_by_us,
                    theirs: Reader::new(*port, !dialled_by_us),
                    ours: Reader::new(*port, dialled_by_us),
                    inbox: VecDeque::new(),
                    peer_ended: false,
                    open: false,
                    closed: None,
                    recorded: Vec::new(),
                    sent: Vec::new(),
                };
                self.conns.insert(*conn, fresh);
                match (port, dialled_by_us) {
                    (Port::Election, _) => self.zab.handle_election_link(peer),
                    (Port::Quorum, true) => self.dialled.push(*conn),
                    (Port::Quorum, false) => {
                        self.open(*conn);
                        self.zab.handle_accepted(ConnId(u64::from(*conn)));
                    }
                }
                self.settle();
            }
            Event::Send { conn, from, bytes, arrived } if self.conns.contains_key(conn) => {
                if *from == us {
                    self.recorded(*conn, bytes);
                } else if *arrived {
                    self.arrived(*conn, bytes);
                }
            }
            Event::End { conn, from } if self.conns.contains_key(conn) => {
                if *from == us {
                    self.recorded_end(*conn);
                } else {
                    if let Some(conn) = self.conns.get_mut(conn) {
                        conn.peer_ended = true;
                    }
                    self.settle();
                }
            }
            Event::Remark(remark) => {
                let sids: Vec<Sid> =
                    remark.split(' ').skip(1).map_while(|word| word.parse().ok()).collect();
                if remark.starts_with("sever ") && sids.contains(&us) {
                    for conn in self.conns.values_mut() {
                        conn.peer_ended |= sids.contains(&conn.peer);
                    }
                    self.settle();
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, conn: u32) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.open = true;
        }
    }

    // ---- what the others sent

    fn arrived(&mut self, number: u32, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let (peer, votes) = (conn.peer, conn.theirs.votes(bytes));
        let packets = conn.theirs.packets(bytes);
        conn.inbox.extend(packets);
        for vote in votes {
            self.note(|| format!("vote from {peer}: {}", show_vote(&vote)));
            self.zab.handle_notification(peer, vote);
            self.settle();
        }
        self.settle();
    }

    /// Gives the core what it wants, does what it asks, until there is nothing left of either.
    fn settle(&mut self) {
        loop {
            let mut actions = Vec::new();
            self.zab.take_actions(&mut actions);
            let mut busy = !actions.is_empty();
            actions.into_iter().for_each(|action| self.act(action));
            busy |= self.deliver();
            if !busy {
                return;
            }
        }
    }

    /// One packet, or the end of a connection.
    fn deliver(&mut self) -> bool {
        if let Some((to, attempt)) = self.wanted
            && let Some(at) = self.dialled.iter().position(|conn| self.conns[conn].peer == to)
        {
            let conn = self.dialled.remove(at);
            self.wanted = None;
            self.open(conn);
            self.zab.handle_connected(attempt, ConnId(u64::from(conn)));
            return true;
        }
        let open = |conn: &Conn| conn.port == Port::Quorum && conn.open;
        let numbers: Vec<u32> =
            self.conns.iter().filter(|(_, conn)| open(conn)).map(|(number, _)| *number).collect();
        for number in numbers {
            let id = ConnId(u64::from(number));
            let wanted = self.zab.wants_input(id);
            let conn = self.conns.get_mut(&number).expect("a connection");
            if let Some(packet) = wanted.then(|| conn.inbox.pop_front()).flatten() {
                self.note(|| format!("packet on {number}: {:.160}", format!("{packet:?}")));
                self.zab.handle_packet(id, packet);
                return true;
            }
            if conn.inbox.is_empty() && conn.peer_ended {
                conn.open = false;
                self.note(|| format!("connection {number} was ended"));
                self.zab.handle_closed(id);
                return true;
            }
        }
        false
    }

    // ---- what the recorded server sent: what its clients and its disk did, and what to compare with

    fn recorded(&mut self, number: u32, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let (peer, votes) = (conn.peer, conn.ours.votes(bytes));
        let packets = conn.ours.packets(bytes);
        for vote in votes {
            self.recorded_vote(peer, vote);
        }
        for packet in packets {
            self.recorded_packet(number, packet);
        }
    }

    /// Votes of servers that look are compared at the end. Of one that follows or leads, if the core does so too:
    /// it names the same leader, elected by the same vote.
    fn recorded_vote(&mut self, peer: Sid, vote: Notification) {
        self.note(|| format!("RECORDED vote to {peer}: {}", show_vote(&vote)));
        if vote.state == PeerState::Looking {
            return self.votes_recorded.entry(peer).or_default().push(vote);
        }
        if matches!(self.zab.role(), Role::Looking) || !self.compares_votes {
            return;
        }
        let sent = self.votes_sent.get(&peer).into_iter().flatten();
        let settled: Vec<&Notification> =
            sent.filter(|sent| sent.state != PeerState::Looking).collect();
        let same = |sent: &&Notification| {
            let epochs = sent.peer_epoch..=sent.peer_epoch + 1;
            (sent.state, sent.leader, sent.zxid, sent.election_epoch)
                == (vote.state, vote.leader, vote.zxid, vote.election_epoch)
                && (epochs.contains(&vote.peer_epoch) || sent.peer_epoch == vote.peer_epoch + 1)
        };
        // Whether it was asked, and how often, is a matter of timing.
        if let Some(last) = settled.last()
            && !settled.iter().copied().any(|sent| same(&sent))
        {
            let (vote, last) = (show_vote(&vote), show_vote(last));
            self.differs(
                "votes of a settled server",
                format!("to {peer}: {vote}, the core {last}"),
            );
        }
    }

    fn recorded_packet(&mut self, number: u32, packet: Packet) {
        let id = ConnId(u64::from(number));
        self.note(|| format!("RECORDED on {number}: {:.160}", format!("{packet:?}")));
        match &packet {
            Packet::Request(request) => {
                if let Err(refusal) = self.zab.forward(request.clone()) {
                    self.differs("a request is forwarded", format!("{refusal}"));
                }
            }
            Packet::Revalidate { session, timeout_ms } => {
                if let Err(refusal) = self.zab.revalidate(*session, *timeout_ms) {
                    self.differs("a session is asked about", format!("{refusal}"));
                }
            }
            Packet::Ping { touched, .. } if self.conns[&number].dialled_by_us => {
                match self.pings.pop_front() {
                    Some((conn, zxid)) => {
                        let touched = touched.clone();
                        self.sent(conn, Packet::Ping { zxid, touched });
                    }
                    None => self.differs("a ping is answered", "the core did not".into()),
                }
            }
            Packet::Revalidated { session, valid } => {
                let at = self.asked.iter().position(|asked| *asked == (id, *session));
                match at.and_then(|at| self.asked.remove(at)) {
                    Some(_) => self.zab.revalidated(id, *session, *valid),
                    None => self.differs("a session is asked about", "the core was not".into()),
                }
            }
            Packet::Proposal { zxid, txn, config } => {
                self.proposed(*zxid, txn, config.clone());
            }
            Packet::Inform { zxid, txn } => {
                self.proposed(*zxid, txn, None);
                self.release(*zxid);
            }
            Packet::InformAndActivate { zxid, txn, config, .. } => {
                self.proposed(*zxid, txn, config.clone());
                self.release(*zxid);
            }
            Packet::Commit { zxid } | Packet::CommitAndActivate { zxid, .. } => self.release(*zxid),
            _ => {}
        }
        self.settle();
        self.conns.get_mut(&number).expect("a connection").recorded.push(packet);
    }

    fn leads(&self) -> bool {
        matches!(self.zab.role(), Role::Leading { serving: true, .. })
    }

    /// The recorded leader proposes.
    fn proposed(&mut self, zxid: Zxid, txn: &Txn, config: Option<Arc<EnsembleConfig>>) {
        if zxid <= self.zab.last_logged() {
            return;
        }
        if !self.leads() {
            let role = self.zab.role();
            return self.differs("the recorded leader proposes", format!("{zxid:x}: {role:?}"));
        }
        let result = match config {
            Some(config) => {
                // Among equals each may choose: the core is told whom the recorded leader chose.
                let leader = self.designated.get(&zxid).copied();
                self.zab.propose_reconfig(zxid, Arc::clone(txn), config, leader)
            }
            None => self.zab.propose(zxid, Arc::clone(txn)),
        };
        if let Err(refusal) = result {
            self.differs("the recorded leader proposes", format!("{zxid:x}: {refusal}"));
        }
        self.settle();
    }

    /// The recorded leader commits: its own log was durable by then.
    fn release(&mut self, through: Zxid) {
        let due: Vec<(Zxid, Generation)> =
            self.held.iter().copied().filter(|(zxid, _)| *zxid <= through).collect();
        self.held.retain(|(zxid, _)| *zxid > through);
        for (zxid, generation) in due {
            self.zab.handle_durable(zxid, generation);
            self.settle();
        }
    }

    /// The recorded server ended a connection.
    fn recorded_end(&mut self, number: u32) {
        let conn = &self.conns[&number];
        if conn.port != Port::Quorum || !conn.open || conn.peer_ended {
            return;
        }
        let (peer, used_up) = (conn.peer, self.zab.last_logged() & 0xffff_ffff == 0xffff_fffe);
        if used_up && self.leads() {
            // The counter is used up: the transaction that did not fit shows in no packet.
            let next = self.zab.last_logged() + 1;
            let _ = self.zab.propose(next, Vec::new().into());
            self.settle();
        }
        if self.conns[&number].open {
            let what = format!("with {peer}: the core keeps it, {:?}", self.zab.role());
            self.differs("a connection is ended", what);
        }
    }

    // ---- what the core asks for

    fn act(&mut self, action: Action) {
        self.note(|| format!("    {:.200}", format!("{action:?}")));
        match action {
            Action::SendElection { to, message } => {
                self.votes_sent.entry(to).or_default().push(message);
            }
            Action::Connect { to, attempt } => self.wanted = Some((to, attempt)),
            Action::Close { conn, reason } => self.closed(conn, reason.to_string()),
            Action::Send { conn, packet } => self.sent(conn, packet),
            Action::StreamLog { conn, after, through } => {
                let entries: Vec<_> = self.log.entries.range(after + 1..=through).collect();
                let packets: Vec<_> = entries
                    .into_iter()
                    .flat_map(|(zxid, (txn, config))| {
                        let (txn, config) = (Arc::clone(txn), config.clone());
                        [
                            Packet::Proposal { zxid: *zxid, txn, config },
                            Packet::Commit { zxid: *zxid },
                        ]
                    })
                    .collect();
                packets.into_iter().for_each(|packet| self.sent(conn, packet));
            }
            Action::LookUp { conn, zxid } => {
                let begins = if self.memory_only { self.life.disk.snapshot } else { 0 };
                let entries = self.log.entries.range(..=zxid);
                let floor = entries.map(|(zxid, _)| *zxid).next_back().unwrap_or(self.log.base);
                let floor = (zxid >= begins).then_some(floor);
                self.zab.handle_lookup(conn, LookUpAnswer { floor, too_much: false });
            }
            Action::PinSnapshot { conn } => {
                let zxid = self.zab.committed();
                self.zab.handle_snapshot_pinned(conn, zxid);
            }
            Action::SendSnapshot { conn, zxid } => self.sent(conn, Packet::Snap { zxid }),
            Action::Append { generation, zxid, txn } => {
                self.log.entries.insert(zxid, (txn, None));
                match self.leads() {
                    true => self.held.push((zxid, generation)),
                    false => self.zab.handle_durable(zxid, generation),
                }
            }
            Action::SyncLog { generation } => {
                self.held.clear();
                self.zab.handle_durable(self.log.last(), generation);
            }
            Action::Truncate { generation, to } => {
                self.log.cut(to);
                let last = self.log.last();
                self.zab.handle_truncated(last, generation);
            }
            Action::StoreEpochs { token, .. } => self.zab.handle_epochs_stored(token),
            Action::StageSnapshot { conn, zxid } => {
                self.log = Log { base: zxid, ..Log::default() };
                self.zab.handle_snapshot_staged(conn);
            }
            Action::TakeOver { generation } => self.zab.handle_taken_over(generation),
            Action::Request { conn, request, .. } if request.kind == SYNC => {
                self.zab.learner_sync(conn);
            }
            Action::Revalidate { conn, session, .. } => self.asked.push_back((conn, session)),
            Action::AnswerPing { conn, zxid } => self.pings.push_back((conn, zxid)),
            Action::Role(role) => {
                self.roles.push(role);
                if !self.leads() {
                    self.held.clear();
                }
            }
            _ => {}
        }
    }

    fn sent(&mut self, conn: ConnId, packet: Packet) {
        let number = u32::try_from(conn.0).expect("a connection of the recording");
        self.conns.get_mut(&number).expect("a connection of the recording").sent.push(packet);
    }

    fn closed(&mut self, conn: ConnId, reason: String) {
        let number = u32::try_from(conn.0).expect("a connection of the recording");
        let conn = self.conns.get_mut(&number).expect("a connection of the recording");
        conn.open = false;
        conn.closed = Some(reason);
    }

    // ---- the comparison

    fn verdict(mut self) -> (Vec<Difference>, Seen) {
        let mut seen = Seen::default();
        for (number, conn) in std::mem::take(&mut self.conns) {
            if conn.port == Port::Quorum {
                self.compare(number, &conn, &mut seen);
            }
        }
        self.compare_votes(&mut seen);
        (self.differences, seen)
    }

    fn compare(&mut self, number: u32, conn: &Conn, seen: &mut Seen) {
        seen.conns += 1;
        let side = if conn.dialled_by_us { Side::Learner } else { Side::Leader };
        let counts = |packet: &&Packet| {
            // When a leader pings is a matter of its clock.
            conn.dialled_by_us || !matches!(packet, Packet::Ping { .. })
        };
        let mut ours: Vec<&Packet> = conn.sent.iter().filter(counts).collect();
        let mut theirs: Vec<&Packet> = conn.recorded.iter().filter(counts).collect();
        let place = format!("connection {number} with {}", conn.peer);
        if let (Some(our_sync), Some(their_sync)) = (sync_kind(&ours), sync_kind(&theirs))
            && our_sync != their_sync
        {
            seen.other_syncs += 1;
            self.note(|| format!("{place}: {our_sync} where {their_sync} was recorded"));
            let (our_part, their_part) = (take_sync(&mut ours), take_sync(&mut theirs));
            self.compare_syncs(&place, &our_part, &their_part);
        }
        let same_order = ours.len() >= theirs.len()
            && bytes(&ours[..theirs.len()], side) == bytes(&theirs, side);
        seen.in_order += usize::from(same_order);
        if !same_order {
            let names = |packets: &[&Packet]| {
                let name = |packet: &&Packet| show(packet);
                packets.iter().map(name).collect::<Vec<_>>().join(" ")
            };
            self.note(|| {
                format!("{place}:\n  recorded {}\n  the core {}", names(&theirs), names(&ours))
            });
        }
        // Each kind by itself.
        let mut names: Vec<&'static str> = theirs.iter().map(|packet| packet.name()).collect();
        names.extend(ours.iter().map(|packet| packet.name()));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |packets: &[&Packet]| -> Vec<Vec<u8>> {
                let of = packets.iter().filter(|packet| packet.name() == name);
                of.map(|packet| bytes(&[packet], side)).collect()
            };
            let (mut ours, mut theirs) = (of(&ours), of(&theirs));
            if self.observes && name == "ACKEPOCH" {
                // ZooKeeper's observers promise the epoch, though nobody counts it; ours do not.
                ours.iter_mut().chain(&mut theirs).for_each(|bytes| bytes.truncate(12));
            } else if name == "ACKEPOCH" {
                // ZooKeeper's followers never promise an epoch twice; ours do to the very leader whom they promised it.
                for (ours, theirs) in ours.iter_mut().zip(&mut theirs) {
                    if theirs.get(16..20) == Some(&[0xff; 4]) {
                        ours.truncate(12);
                        theirs.truncate(12);
                    }
                }
            }
            let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            seen.packets += same;
            if same < theirs.len() {
                let what = format!(
                    "{place}: number {same}: recorded {}, the core {}; it {}",
                    hex(&theirs[same]),
                    ours.get(same).map_or("sent none".into(), |bytes| hex(bytes)),
                    conn.closed.as_deref().unwrap_or("goes on"),
                );
                self.differs(name, what);
            } else if ours.len() > theirs.len() {
                let what =
                    format!("{place}: {name}: {} more than recorded", ours.len() - theirs.len());
                self.differs("nothing more is sent", what);
            }
        }
    }

    /// Two ways to bring one learner level: both must leave it with the same history.
    fn compare_syncs(&mut self, place: &str, ours: &[Packet], theirs: &[Packet]) {
        let floor = |zxid: Zxid| {
            let entries = self.log.entries.range(..=zxid);
            entries.map(|(zxid, _)| *zxid).next_back().unwrap_or(self.log.base)
        };
        let end = |packet: &Packet| match packet {
            Packet::Proposal { zxid, .. } => Some(*zxid),
            Packet::Snap { zxid } | Packet::Trunc { zxid } | Packet::Diff { zxid } => {
                Some(floor(*zxid))
            }
            _ => None,
        };
        let our_end = ours.iter().filter_map(end).max();
        let their_end = theirs.iter().filter_map(end).max();
        if our_end != their_end {
            let what = format!("{place}: through {our_end:x?}, recorded {their_end:x?}");
            self.differs("another sync leads to the same history", what);
        }
        // Each proposal is one of the log, and there is no gap.
        let sent: Vec<Zxid> = ours
            .iter()
            .filter_map(|packet| match packet {
                Packet::Proposal { zxid, .. } => Some(*zxid),
                _ => None,
            })
            .collect();
        if let (Some(first), Some(last)) = (sent.first(), sent.last()) {
            let all: Vec<Zxid> =
                self.log.entries.range(first..=last).map(|(zxid, _)| *zxid).collect();
            if all != sent {
                let what = format!("{place}: {sent:x?} of {all:x?}");
                self.differs("another sync leads to the same history", what);
            }
        }
    }

    /// Of each round, the last vote. What lies between depends on the order in which votes cross.
    fn compare_votes(&mut self, seen: &mut Seen) {
        if !self.compares_votes {
            return;
        }
        for (peer, mut votes) in std::mem::take(&mut self.votes_recorded) {
            // Who does not vote is answered as chance has it.
            votes.retain(|vote| {
                let votes = |sid| vote.config.as_ref().is_some_and(|c| c.is_participant(sid));
                votes(peer) && votes(self.life.sid) && vote.election_epoch > 0
            });
            let sent = distinct(&self.votes_sent.remove(&peer).unwrap_or_default());
            let recorded: BTreeMap<i64, Vec<u8>> =
                votes.iter().map(|vote| (vote.election_epoch, frame(vote))).collect();
            for (_, vote) in recorded {
                if sent.contains(&vote) {
                    seen.votes += 1;
                    continue;
                }
                let vote = show_vote(&read_vote(&vote));
                let sent: Vec<String> =
                    sent.iter().map(|sent| show_vote(&read_vote(sent))).collect();
                let what = format!("to {peer}: {vote}, but the core sent {sent:?}");
                self.differs("votes", what);
            }
        }
    }
}

/// How a learner was brought level.
fn sync_kind(packets: &[&Packet]) -> Option<&'static str> {
    let kind = |packet: &&&Packet| {
        matches!(packet, Packet::Diff { .. } | Packet::Trunc { .. } | Packet::Snap { .. })
    };
    packets.iter().find(kind).map(|packet| packet.name())
}

/// Takes everything from DIFF, TRUNC or SNAP to NEWLEADER out.
fn take_sync(packets: &mut Vec<&Packet>) -> Vec<Packet> {
    let starts = |packet: &&Packet| {
        matches!(packet, Packet::Diff { .. } | Packet::Trunc { .. } | Packet::Snap { .. })
    };
    let from = packets.iter().position(starts).unwrap_or(packets.len());
    let ends = |packet: &&Packet| matches!(packet, Packet::NewLeader { .. });
    let to = packets.iter().position(ends).unwrap_or(packets.len()).max(from);
    packets.drain(from..to).cloned().collect()
}

/// A packet in a word.
fn show(packet: &Packet) -> String {
    match packet {
        Packet::Proposal { zxid, .. } | Packet::Inform { zxid, .. } => {
            format!("{}:{zxid:x}", packet.name())
        }
        Packet::Commit { zxid } | Packet::Ack { zxid } => format!("{}:{zxid:x}", packet.name()),
        _ => packet.name().to_owned(),
    }
}

fn bytes(packets: &[&Packet], side: Side) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| encode_packet(packet, side, &mut out));
    out
}

fn hex(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let about = Some(bytes).filter(|bytes| bytes.len() > 60);
    match about {
        Some(bytes) => format!("{text} ({:?})", String::from_utf8_lossy(bytes)),
        None => text,
    }
}

fn frame(vote: &Notification) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_notification(vote, &mut bytes);
    bytes
}

/// The bytes of votes, without repetitions.
fn distinct(votes: &[Notification]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = votes.iter().map(frame).collect();
    all.dedup();
    all
}

fn read_vote(frame: &[u8]) -> Notification {
    ringkeeper::zab::wire::decode_notification(&frame[4..], 0).expect("a vote")
}

fn show_vote(vote: &Notification) -> String {
    let state = match vote.state {
        PeerState::Looking => "looking",
        PeerState::Following => "following",
        PeerState::Leading => "leading",
        PeerState::Observing => "observing",
    };
    format!(
        "{state} leader {} zxid {:x} round {} epoch {} config {:x}",
        vote.leader,
        vote.zxid,
        vote.election_epoch,
        vote.peer_epoch,
        vote.config.as_ref().map_or(-1, |config| config.version),
    )
}

/// The first event in which the server takes part.
fn begins(transcript: &Transcript, life: &Life) -> Option<usize> {
    let involves = |event: &Event| match event {
        Event::Dial { from, to, .. } => *from == life.sid || *to == life.sid,
        _ => false,
    };
    let events = &transcript.events[life.first..life.last];
    events.iter().position(|(_, event)| involves(event)).map(|at| life.first + at)
}

/// What a server sent to those that dialled its quorum port, while it lived.
fn sent_as_leader(transcript: &Transcript, life: &Life) -> Vec<Packet> {
    let mut readers = BTreeMap::new();
    let mut packets = Vec::new();
    for (_, event) in &transcript.events[life.first..life.last] {
        match event {
            Event::Dial { conn, to, port: Port::Quorum, .. } if *to == life.sid => {
                readers.insert(*conn, Reader::new(Port::Quorum, false));
            }
            Event::Send { conn, from, bytes, .. } if *from == life.sid => {
                if let Some(reader) = readers.get_mut(conn) {
                    packets.extend(reader.packets(bytes));
                }
            }
            _ => {}
        }
    }
    packets
}

/// The configuration that a leader began with, if it gave it a number that it did not have in the votes: the one of its
/// epoch, as ZooKeeper's does where reconfiguration is enabled. The core does not number configurations; here it is
/// given one that is.
fn numbered_config(transcript: &Transcript, life: &Life) -> Option<Arc<EnsembleConfig>> {
    let sent = sent_as_leader(transcript, life);
    let (epoch, config) = sent.into_iter().find_map(|packet| match packet {
        Packet::NewLeader { epoch, config: Some(config) } => Some((epoch, config)),
        _ => None,
    })?;
    (config.version == epoch << 32).then_some(config)
}

/// Whom a leader designated other than itself.
fn designated(transcript: &Transcript, life: &Life) -> BTreeMap<Zxid, Sid> {
    let designated = |packet| match packet {
        Packet::CommitAndActivate { zxid, designated_leader } if designated_leader != life.sid => {
            Some((zxid, designated_leader))
        }
        _ => None,
    };
    sent_as_leader(transcript, life).into_iter().filter_map(designated).collect()
}

/// The configuration that the server's first vote names.
fn first_config(transcript: &Transcript, life: &Life) -> Option<Arc<EnsembleConfig>> {
    let mut readers = BTreeMap::new();
    for (_, event) in &transcript.events[life.first..life.last] {
        match event {
            Event::Dial { conn, from, port: Port::Election, .. } => {
                readers.insert(*conn, Reader::new(Port::Election, *from == life.sid));
            }
            Event::Send { conn, from, bytes, .. } if *from == life.sid => {
                let votes = readers.get_mut(conn).map(|reader| reader.votes(bytes));
                if let Some(vote) = votes.unwrap_or_default().first() {
                    return vote.config.clone();
                }
            }
            _ => {}
        }
    }
    None
}
