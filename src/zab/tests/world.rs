//! A few cores with toy disks and a toy network, driven by hand: for scenarios that a person writes. (What searches for
//! scenarios is the simulator; it has real logs and trees.)
//!
//! Everything happens in one fixed order, as soon as it can, except what a scenario holds back: completions of a
//! server's disk, links that are cut, servers that are down. Checked at every step: histories of applied transactions
//! are prefixes of one another, nothing committed is lost, one established leader an epoch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::types::Show;
use super::super::*;

type Log = Vec<(Zxid, Option<Arc<EnsembleConfig>>)>;

/// What travels on a connection.
#[derive(Debug, Clone)]
enum Item {
    Packet(Packet),
    Snapshot { zxid: Zxid, history: Log },
}

#[derive(Debug)]
struct Conn {
    /// The dialer, the acceptor.
    ends: [Sid; 2],
    /// To the dialer, to the acceptor.
    queues: [VecDeque<Item>; 2],
    /// Ends that have closed it.
    closed: [bool; 2],
}

#[derive(Debug, Clone)]
enum Done {
    Durable(Zxid, Generation),
    Epochs { token: u64, accepted: Epoch, current: Epoch, intact: bool },
    Truncated(Zxid, Generation),
    Staged(ConnId),
    TakenOver(Generation),
}

/// What a server's disk holds.
#[derive(Debug, Clone, Default)]
struct Disk {
    /// What is written, synced or not; what a snapshot holds is its beginning.
    log: Log,
    /// The first transactions of it that are a snapshot: they cannot be cut.
    snapshot: usize,
    /// Zxid of the snapshot (which may be an epoch << 32).
    base: Zxid,
    /// How many are on the medium.
    synced: usize,
}

impl Disk {
    fn last(&self) -> Zxid {
        self.log.last().map_or(0, |(zxid, _)| *zxid).max(self.base)
    }
}

/// A server.
pub struct Node {
    pub zab: Option<Zab>,
    disk: Disk,
    staged: Option<Disk>,
    /// The toy tree: what is applied, and how much of it is published.
    memory: Vec<Zxid>,
    published: Zxid,
    accepted: Epoch,
    current: Epoch,
    intact: bool,
    config: Arc<EnsembleConfig>,
    /// Completions that wait; a held disk gives none.
    done: VecDeque<Done>,
    held: bool,
    log_held: bool,
    /// Its log can be cut nowhere.
    uncut: bool,
    pub role: Role,
}

impl Node {
    /// Whether it still has all that it acknowledged.
    pub fn is_intact(&self) -> bool {
        self.intact
    }
}

/// See the [module](self).
pub struct World {
    pub now: u64,
    pub nodes: BTreeMap<Sid, Node>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    election: VecDeque<(Sid, Sid, Notification)>,
    /// The newest notification between two servers that are cut off from one another.
    unsent: BTreeMap<(Sid, Sid), Notification>,
    cut: BTreeSet<(Sid, Sid)>,
    /// Every transaction that was ever published anywhere, in order.
    committed: Vec<Zxid>,
    leaders: BTreeMap<Epoch, Sid>,
    pub notes: Vec<String>,
    pub trace: bool,
    settings: ZabConfig,
    /// Barriers asked for: by whom, and which transaction it became.
    barriers: Vec<(Sid, u64, Option<Zxid>)>,
}

impl World {
    /// Servers that have never run. `settings` are those of each, but for the sid.
    pub fn new(config: &EnsembleConfig, settings: ZabConfig) -> World {
        let mut world = World {
            now: 0,
            nodes: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            election: VecDeque::new(),
            unsent: BTreeMap::new(),
            cut: BTreeSet::new(),
            committed: Vec::new(),
            leaders: BTreeMap::new(),
            notes: Vec::new(),
            trace: false,
            settings,
            barriers: Vec::new(),
        };
        for server in &config.servers {
            world.add(server.sid, config);
        }
        world
    }

    /// One more server, with this configuration to begin with.
    pub fn add(&mut self, sid: Sid, config: &EnsembleConfig) {
        let node = Node {
            zab: None,
            disk: Disk::default(),
            staged: None,
            memory: Vec::new(),
            published: 0,
            accepted: 0,
            current: 0,
            intact: true,
            config: Arc::new(config.clone()),
            done: VecDeque::new(),
            held: false,
            log_held: false,
            uncut: false,
            role: Role::Looking,
        };
        self.nodes.insert(sid, node);
    }

    fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Starts a server with what its disk holds.
    pub fn start(&mut self, sid: Sid) {
        let node = self.nodes.get_mut(&sid).unwrap();
        assert!(node.zab.is_none(), "{sid} runs");
        let committed = node.published.min(node.disk.last());
        node.published = committed;
        let proposed = node
            .disk
            .log
            .iter()
            .rev()
            .find_map(|(zxid, config)| Some((*zxid, config.clone()?)))
            .filter(|(zxid, _)| *zxid > committed);
        let durable = Durable {
            accepted_epoch: node.accepted,
            current_epoch: node.current,
            last_logged: node.disk.last(),
            committed,
            intact: node.intact,
            config: Arc::clone(&node.config),
            proposed_config: proposed,
        };
        node.memory = node.disk.log.iter().map(|(zxid, _)| *zxid).collect();
        node.memory.retain(|zxid| *zxid <= committed);
        let settings = ZabConfig { sid, ..self.settings.clone() };
        node.zab = Some(Zab::new(settings, durable, self.now));
        self.perform(sid);
    }

    /// Kills a server; what was not synced is gone.
    pub fn crash(&mut self, sid: Sid) {
        let node = self.nodes.get_mut(&sid).unwrap();
        node.zab = None;
        node.staged = None;
        node.role = Role::Looking;
        node.done.clear();
        node.held = false;
        node.log_held = false;
        node.disk.log.truncate(node.disk.synced);
        node.memory.clear();
        let gone: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.ends.contains(&sid))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            let conn = self.conns.get_mut(&id).unwrap();
            let end = usize::from(conn.ends[1] == sid);
            conn.closed[end] = true;
            conn.queues[end].clear();
            // What is in flight is lost with it.
            conn.queues[1 - end].clear();
        }
        self.barriers.retain(|(other, _, _)| *other != sid);
        self.election.retain(|(from, to, _)| *from != sid && *to != sid);
        self.unsent.retain(|(from, to), _| *from != sid && *to != sid);
    }

    /// Takes a server's data away.
    pub fn lose(&mut self, sid: Sid, intact: bool) {
        let node = self.nodes.get_mut(&sid).unwrap();
        assert!(node.zab.is_none(), "{sid} runs");
        node.disk = Disk::default();
        node.published = 0;
        node.accepted = 0;
        node.current = 0;
        node.intact = intact;
    }

    /// Lets a server that is down have promised itself to an epoch, as if to a leader that is gone.
    pub fn promise(&mut self, sid: Sid, epoch: Epoch) {
        let node = self.nodes.get_mut(&sid).unwrap();
        assert!(node.zab.is_none(), "{sid} runs");
        node.accepted = epoch;
    }

    /// Holds a disk's completions back, or lets them go.
    pub fn hold(&mut self, sid: Sid, held: bool) {
        let node = self.nodes.get_mut(&sid).unwrap();
        node.held = held;
        node.log_held = false;
    }

    /// Holds back what the log of a server completes; its epochs are stored.
    pub fn hold_log(&mut self, sid: Sid) {
        self.nodes.get_mut(&sid).unwrap().log_held = true;
    }

    /// From now on a server's log can be cut nowhere.
    pub fn uncut(&mut self, sid: Sid) {
        self.nodes.get_mut(&sid).unwrap().uncut = true;
    }

    /// Cuts what `from` sends to `to`; connections between them break.
    pub fn cut(&mut self, from: Sid, to: Sid) {
        self.cut.insert((from, to));
        for conn in self.conns.values_mut() {
            if conn.ends == [from, to] || conn.ends == [to, from] {
                conn.closed = [true, true];
                conn.queues = [VecDeque::new(), VecDeque::new()];
            }
        }
        let broken: Vec<ConnId> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.closed == [true, true])
            .map(|(id, _)| *id)
            .collect();
        for id in broken {
            let conn = self.conns.remove(&id).unwrap();
            for end in conn.ends {
                self.with(end, |zab| zab.handle_closed(id));
            }
        }
    }

    /// Mends all links.
    pub fn heal(&mut self) {
        self.cut.clear();
        for ((from, to), message) in std::mem::take(&mut self.unsent) {
            self.election.push_back((from, to, message));
        }
        let sids: Vec<Sid> = self.nodes.keys().copied().collect();
        for sid in &sids {
            for peer in &sids {
                self.with(*sid, |zab| zab.handle_election_link(*peer));
            }
        }
    }

    fn is_cut(&self, from: Sid, to: Sid) -> bool {
        self.cut.contains(&(from, to))
    }

    fn up(&self, sid: Sid) -> bool {
        self.nodes.get(&sid).is_some_and(|node| node.zab.is_some())
    }

    fn with(&mut self, sid: Sid, act: impl FnOnce(&mut Zab)) {
        if let Some(zab) = self.nodes.get_mut(&sid).and_then(|node| node.zab.as_mut()) {
            act(zab);
            self.perform(sid);
        }
    }

    /// Proposes `count` transactions at a server, which must lead.
    pub fn propose(&mut self, sid: Sid, count: usize) -> Result<Zxid, Refusal> {
        let mut last = 0;
        for _ in 0..count {
            let node = self.nodes.get_mut(&sid).unwrap();
            let zab = node.zab.as_mut().unwrap();
            last = zab.next_zxid()?;
            node.memory.push(last);
            let proposed = zab.propose(last, Arc::from(&last.to_be_bytes()[..]));
            proposed.expect("what has a number, and is in memory, is taken");
            self.perform(sid);
        }
        Ok(last)
    }

    /// Proposes a reconfiguration at a server, which must lead.
    pub fn reconfig(
        &mut self,
        sid: Sid,
        config: &EnsembleConfig,
        heir: Option<Sid>,
    ) -> Result<Zxid, Refusal> {
        let node = self.nodes.get_mut(&sid).unwrap();
        let zab = node.zab.as_mut().unwrap();
        zab.check_reconfig(config, heir)?;
        let zxid = zab.next_zxid()?;
        let config = Arc::new(EnsembleConfig { version: zxid, ..config.clone() });
        node.memory.push(zxid);
        let proposed = zab.propose_reconfig(zxid, Arc::from(&zxid.to_be_bytes()[..]), config, heir);
        proposed.expect("what was checked, and is in memory, is taken");
        self.perform(sid);
        Ok(zxid)
    }

    /// A client's request at a learner.
    pub fn forward(&mut self, sid: Sid, kind: i32) -> Result<(), Refusal> {
        let request =
            LearnerRequest { session: 0, cxid: 0, kind, body: Arc::from([]), auth: Vec::new() };
        self.nodes.get_mut(&sid).unwrap().zab.as_mut().unwrap().forward(request)?;
        self.perform(sid);
        Ok(())
    }

    /// A client's session comes to a learner.
    pub fn revalidate(&mut self, sid: Sid, session: i64) -> Result<(), Refusal> {
        self.nodes.get_mut(&sid).unwrap().zab.as_mut().unwrap().revalidate(session, 1000)?;
        self.perform(sid);
        Ok(())
    }

    // ---- carrying out

    fn perform(&mut self, sid: Sid) {
        let mut actions = Vec::new();
        self.nodes.get_mut(&sid).unwrap().zab.as_mut().unwrap().take_actions(&mut actions);
        for action in actions {
            if self.trace {
                println!("{:>8} {sid}: {action:?}", self.now);
            }
            self.carry_out(sid, action);
        }
        self.check(sid);
    }

    fn carry_out(&mut self, sid: Sid, action: Action) {
        match action {
            Action::SendElection { to, message } => {
                if self.is_cut(sid, to) {
                    self.unsent.insert((sid, to), message);
                } else if self.up(to) {
                    self.election.push_back((sid, to, message));
                } else {
                    self.unsent.insert((sid, to), message);
                }
            }
            Action::Connect { to, attempt } => self.connect(sid, to, attempt),
            Action::Close { conn, reason } => {
                if let CloseReason::Breach(what) = &reason {
                    self.note(format!("{sid} closes: {what}"));
                }
                if let Some(conn) = self.conns.get_mut(&conn) {
                    let end = usize::from(conn.ends[1] == sid);
                    conn.closed[end] = true;
                    conn.queues[end].clear();
                }
            }
            Action::Send { conn, packet } => self.send(sid, conn, Item::Packet(packet)),
            Action::StreamLog { conn, after, through } => {
                let log = self.nodes[&sid].disk.log.clone();
                for (zxid, config) in log.into_iter().filter(|(z, _)| *z > after && *z <= through) {
                    let txn = Arc::from(&zxid.to_be_bytes()[..]);
                    self.send(sid, conn, Item::Packet(Packet::Proposal { zxid, txn, config }));
                    self.send(sid, conn, Item::Packet(Packet::Commit { zxid }));
                }
            }
            Action::LookUp { conn, zxid } => {
                let disk = &self.nodes[&sid].disk;
                let floor = disk.log[disk.snapshot..]
                    .iter()
                    .rev()
                    .map(|(z, _)| *z)
                    .chain(Some(disk.base))
                    .find(|z| *z <= zxid);
                let answer = LookUpAnswer { floor, too_much: false };
                self.with(sid, |zab| zab.handle_lookup(conn, answer));
            }
            Action::PinSnapshot { conn } => {
                let zxid = self.nodes[&sid].published;
                self.with(sid, |zab| zab.handle_snapshot_pinned(conn, zxid));
            }
            Action::SendSnapshot { conn, zxid } => {
                let mut history = self.nodes[&sid].disk.log.clone();
                history.retain(|(z, _)| *z <= zxid);
                self.send(sid, conn, Item::Packet(Packet::Snap { zxid }));
                self.send(sid, conn, Item::Snapshot { zxid, history });
            }
            Action::UnpinSnapshot { .. } => {}
            other => self.carry_out_own(sid, other),
        }
    }

    /// Actions that concern the server itself.
    fn carry_out_own(&mut self, sid: Sid, action: Action) {
        let node = self.nodes.get_mut(&sid).unwrap();
        let leads = matches!(node.role, Role::Leading { .. });
        let disk = node.staged.as_mut().unwrap_or(&mut node.disk);
        match action {
            Action::Append { generation, zxid, txn } => {
                assert_eq!(&*txn, &zxid.to_be_bytes()[..]);
                assert!(zxid > disk.last(), "{sid} appends {} after its end", Show(zxid));
                disk.log.push((zxid, None));
                if !leads {
                    node.memory.push(zxid);
                }
                node.done.push_back(Done::Durable(zxid, generation));
            }
            Action::SyncLog { generation } => {
                node.done.push_back(Done::Durable(disk.last(), generation));
            }
            Action::Truncate { generation, to } => {
                let known = to == disk.base
                    || disk.log[disk.snapshot..].iter().any(|(zxid, _)| *zxid == to)
                    || (counter_of(to) == 0 && to > disk.base);
                if known && !node.uncut {
                    disk.log.retain(|(zxid, _)| *zxid <= to);
                    disk.synced = disk.log.len();
                    node.memory.retain(|zxid| *zxid <= to);
                }
                node.done.push_back(Done::Truncated(disk.last(), generation));
            }
            Action::StoreEpochs { token, accepted, current, intact } => {
                node.done.push_back(Done::Epochs { token, accepted, current, intact });
            }
            Action::StageSnapshot { conn, zxid } => {
                let queue = &mut self.conns.get_mut(&conn).unwrap();
                let end = usize::from(queue.ends[1] == sid);
                match queue.queues[end].pop_front() {
                    Some(Item::Snapshot { zxid: sent, history }) => {
                        assert_eq!(sent, zxid);
                        let len = history.len();
                        node.memory = history.iter().map(|(zxid, _)| *zxid).collect();
                        node.staged =
                            Some(Disk { log: history, snapshot: len, base: zxid, synced: len });
                        node.done.push_back(Done::Staged(conn));
                    }
                    other => panic!("no snapshot after SNAP but {other:?}"),
                }
            }
            Action::TakeOver { generation } => node.done.push_back(Done::TakenOver(generation)),
            Action::DropStaged { committed } => {
                node.staged = None;
                node.memory = node.disk.log.iter().map(|(zxid, _)| *zxid).collect();
                node.memory.retain(|zxid| *zxid <= committed);
            }
            Action::Undo { to } => node.memory.retain(|zxid| *zxid <= to),
            Action::Replay { through } => {
                let known = node.memory.last().copied().unwrap_or(0);
                let more = disk.log.iter().map(|(zxid, _)| *zxid);
                node.memory.extend(more.filter(|zxid| *zxid > known && *zxid <= through));
            }
            Action::Commit { through } => {
                assert!(through > node.published, "{sid} publishes {} again", Show(through));
                node.published = through;
                self.commit(sid);
            }
            Action::Proposed { config } => {
                if let Some((zxid, config)) = config
                    && let Some(entry) = disk.log.iter_mut().find(|(known, _)| *known == zxid)
                {
                    entry.1 = Some(config);
                }
            }
            Action::Activate { config } => {
                node.config = config;
                let version = node.config.version;
                self.note(format!("{sid} activates {}", Show(version)));
            }
            Action::Role(role) => {
                node.role = role;
                if let Role::Leading { epoch, serving: true } = role {
                    let first = *self.leaders.entry(epoch).or_insert(sid);
                    assert_eq!(first, sid, "two leaders of epoch {epoch}");
                }
            }
            Action::Request { conn, request, .. } => {
                // A request of kind 9 is a sync; any other becomes a transaction.
                if request.kind == 9 {
                    self.with(sid, |zab| zab.learner_sync(conn));
                } else {
                    match self.propose(sid, 1) {
                        Ok(zxid) => {
                            let token = u64::try_from(request.cxid).unwrap();
                            for barrier in &mut self.barriers {
                                if barrier.0 == request.session && barrier.1 == token {
                                    barrier.2 = Some(zxid);
                                }
                            }
                        }
                        Err(refusal) => self.note(format!("{sid} refuses a request: {refusal}")),
                    }
                }
            }
            Action::Revalidate { conn, session, .. } => {
                self.with(sid, |zab| zab.revalidated(conn, session, true));
            }
            Action::Touched { sid: learner, sessions } => {
                self.note(format!("{sid}: {learner} heard from {} sessions", sessions.len()));
            }
            Action::AnswerPing { conn, zxid } => {
                self.send(sid, conn, Item::Packet(Packet::Ping { zxid, touched: Vec::new() }));
            }
            Action::Revalidated { session, valid } => {
                self.note(format!("{sid}: session {session} valid {valid}"));
            }
            Action::Synced => self.note(format!("{sid} is synced")),
            Action::Barrier { token } => {
                // Its own request, which becomes a transaction at the leader.
                let request = LearnerRequest {
                    session: sid,
                    cxid: i32::try_from(token).unwrap(),
                    kind: 1,
                    body: Arc::from([]),
                    auth: Vec::new(),
                };
                self.barriers.retain(|(other, _, _)| *other != sid);
                self.barriers.push((sid, token, None));
                self.with(sid, |zab| zab.forward(request).unwrap());
            }
            other => unreachable!("{other:?}"),
        }
    }

    /// A server has published: is it one history?
    fn commit(&mut self, sid: Sid) {
        let node = &self.nodes[&sid];
        let known: Vec<Zxid> =
            node.memory.iter().copied().filter(|zxid| *zxid <= node.published).collect();
        let level = known.len().min(self.committed.len());
        assert_eq!(known[..level], self.committed[..level], "{sid} has another history");
        if known.len() > self.committed.len() {
            self.committed = known;
        }
        let published = self.nodes[&sid].published;
        let done = self.barriers.iter().position(|(other, _, zxid)| {
            *other == sid && zxid.is_some_and(|zxid| zxid <= published)
        });
        if let Some(at) = done {
            let (_, token, _) = self.barriers.remove(at);
            self.with(sid, |zab| zab.handle_barrier(token));
        }
    }

    fn check(&self, sid: Sid) {
        let node = &self.nodes[&sid];
        assert!(node.memory.is_sorted(), "{sid}: {:?}", node.memory);
    }

    fn connect(&mut self, from: Sid, to: Sid, attempt: u64) {
        if !self.up(to) || self.is_cut(from, to) || self.is_cut(to, from) {
            return self.with(from, |zab| zab.handle_connect_failed(attempt));
        }
        self.next_conn += 1;
        let id = ConnId(self.next_conn);
        self.conns.insert(
            id,
            Conn { ends: [from, to], queues: Default::default(), closed: [false, false] },
        );
        self.with(to, |zab| zab.handle_accepted(id));
        self.with(from, |zab| zab.handle_connected(attempt, id));
    }

    fn send(&mut self, from: Sid, id: ConnId, item: Item) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let to = usize::from(conn.ends[0] == from);
        if !conn.closed[0] && !conn.closed[1] {
            conn.queues[to].push_back(item);
        }
    }

    // ---- letting happen

    /// One thing that can happen now. `false`: nothing can.
    pub fn step(&mut self) -> bool {
        let sids: Vec<Sid> = self.nodes.keys().copied().collect();
        for sid in sids {
            let node = self.nodes.get_mut(&sid).unwrap();
            let held =
                |done: &Done| node.held || node.log_held && matches!(done, Done::Durable(..));
            if node.zab.is_some()
                && let Some(at) = node.done.iter().position(|done| !held(done))
                && let Some(done) = node.done.remove(at)
            {
                self.complete(sid, done);
                return true;
            }
        }
        if let Some((from, to, message)) = self.election.pop_front() {
            if !self.is_cut(from, to) {
                self.with(to, |zab| zab.handle_notification(from, message));
            }
            return true;
        }
        let ids: Vec<ConnId> = self.conns.keys().copied().collect();
        for id in ids {
            for end in 0..2 {
                let conn = self.conns.get_mut(&id).unwrap();
                let sid = conn.ends[end];
                if conn.closed[end] {
                    continue;
                }
                let wants = self.nodes[&sid].zab.as_ref().is_some_and(|zab| zab.wants_input(id));
                if wants && let Some(item) = conn.queues[end].pop_front() {
                    let Item::Packet(packet) = item else { panic!("a snapshot unasked for") };
                    if self.trace {
                        println!("{:>8} {sid}: <- {packet:?}", self.now);
                    }
                    self.with(sid, |zab| zab.handle_packet(id, packet));
                    return true;
                }
                if conn.closed[1 - end] && conn.queues[end].is_empty() {
                    conn.closed[end] = true;
                    self.with(sid, |zab| zab.handle_closed(id));
                    return true;
                }
            }
            if self.conns[&id].closed == [true, true] {
                self.conns.remove(&id);
            }
        }
        false
    }

    fn complete(&mut self, sid: Sid, done: Done) {
        let node = self.nodes.get_mut(&sid).unwrap();
        match done {
            Done::Durable(zxid, generation) => {
                let disk = node.staged.as_mut().unwrap_or(&mut node.disk);
                let upto = disk.log.partition_point(|(known, _)| *known <= zxid);
                disk.synced = disk.synced.max(upto);
                self.with(sid, |zab| zab.handle_durable(zxid, generation));
            }
            Done::Epochs { token, accepted, current, intact } => {
                assert!(accepted >= node.accepted && current >= node.current, "epochs go back");
                node.accepted = accepted;
                node.current = current;
                node.intact = intact;
                self.with(sid, |zab| zab.handle_epochs_stored(token));
            }
            Done::Truncated(last, generation) => {
                self.with(sid, |zab| zab.handle_truncated(last, generation));
            }
            Done::Staged(conn) => self.with(sid, |zab| zab.handle_snapshot_staged(conn)),
            Done::TakenOver(generation) => {
                if let Some(disk) = node.staged.take() {
                    node.disk = disk;
                }
                self.with(sid, |zab| zab.handle_taken_over(generation));
            }
        }
    }

    /// Lets everything happen that can without time passing.
    pub fn settle(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Lets `ms` pass.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            self.settle();
            let deadlines = self.nodes.values().filter_map(|node| node.zab.as_ref());
            let next = deadlines.map(Zab::next_deadline_ms).min().unwrap_or(u64::MAX);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            let sids: Vec<Sid> = self.nodes.keys().copied().collect();
            for sid in sids {
                let now = self.now;
                self.with(sid, |zab| zab.handle_time(now));
            }
        }
        self.now = end;
        let sids: Vec<Sid> = self.nodes.keys().copied().collect();
        for sid in sids {
            self.with(sid, |zab| zab.handle_time(end));
        }
        self.settle();
    }

    // ---- looking

    /// Whether a server serves, and has published all that was ever published.
    pub fn is_level(&self, node: &Node) -> bool {
        let serving = match node.role {
            Role::Looking => false,
            Role::Leading { serving, .. } | Role::Learning { serving, .. } => serving,
        };
        let known = node.memory.iter().filter(|zxid| **zxid <= node.published).count();
        serving && node.intact && known == self.committed.len()
    }

    /// A line a server.
    pub fn state(&self) -> String {
        let mut out = String::new();
        for (sid, node) in &self.nodes {
            let role = match (&node.zab, node.role) {
                (None, _) => "down".to_owned(),
                (_, Role::Looking) => "looking".to_owned(),
                (_, Role::Leading { epoch, serving }) => {
                    format!("leads epoch {epoch}{}", if serving { "" } else { ", not yet" })
                }
                (_, Role::Learning { leader, epoch, observer, serving }) => format!(
                    "{} {leader} in epoch {epoch}{}",
                    if observer { "observes" } else { "follows" },
                    if serving { "" } else { ", not yet" }
                ),
            };
            let mut synced = node.disk.base;
            if node.disk.synced > 0 {
                synced = synced.max(node.disk.log[node.disk.synced - 1].0);
            }
            write!(
                out,
                "{sid}: {role}; accepted {} current {} logged {}",
                node.accepted,
                node.current,
                Show(node.disk.last())
            )
            .unwrap();
            if synced != node.disk.last() {
                write!(out, " (synced {})", Show(synced)).unwrap();
            }
            write!(out, " committed {}", Show(node.published)).unwrap();
            if !node.intact {
                write!(out, ", not intact").unwrap();
            }
            writeln!(out).unwrap();
        }
        out
    }
}
