//! A shard: the half of the server that clients talk to.
//!
//! It owns its connections, the live half of their sessions, their watches and their output, and answers every
//! read at its own zxid, without a lock. It forwards what must be ordered to the ensemble core through its
//! request lane, and learns what was committed from the commit ring: for each entry in zxid order first the watch
//! events for its sessions, then the replies it owes, then it moves its zxid on (invariants R1–R4 and R10 of
//! ARCHITECTURE.md are kept here). It never changes the tree, never touches a disk, never waits for the core.
//!
//! - [`admission`]: who is let in while many ask
//! - [`conn`]: one connection's state and its frames; [`input`]: what it has sent and is not taken yet
//! - [`flow`]: when a connection is read and when it is not, and its deadlines
//! - [`handshake`]: connect requests, four-letter words, and what becomes of them
//! - [`serve`]: one request: answered here, held behind a write, or forwarded
//! - [`load`]: how many requests are under way on all shards
//! - [`throttle`]: requests that wait while too many are
//! - [`large`]: the room for large requests
//! - [`reads`] and [`watching`]: the answers; [`long`]: those that take long, made in slices
//! - [`budget`] and [`memory`]: what all connections together may hold
//! - [`view`]: what four-letter words are told of it
//! - [`commits`]: working through the commit ring

pub mod admission;
pub mod budget;
mod commits;
pub mod conn;
mod flow;
mod handshake;
mod input;
mod large;
pub mod load;
mod long;
#[cfg(test)]
mod long_tests;
mod memory;
mod reads;
mod serve;
pub mod throttle;
mod view;
mod watching;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admin::ShardDesk;
use crate::admin::words::WhiteList;
use crate::auth::{self, AuthConfig, IdentityTable};
use crate::lanes::request::{Request, RequestKind};
use crate::lanes::{CommitRx, LaneTx};
use crate::metrics::{Counter, Gauge, Writer};
use crate::planted::{self, Planted};
use crate::protocol::Zxid;
use crate::reactor::{ConnId, Io, Turn, Waker};
use crate::session::HeardSlots;
use crate::tree::Reader;
use crate::watch::WatchTable;

use admission::{Admission, TooMany};
use budget::Share;
use conn::{Conn, Phase};
use load::{Load, Shown};
use memory::Waiting;
use throttle::{RequestThrottle, Throttle};

/// The bounds of a shard; each has a stated answer when it is reached.
#[derive(Debug, Clone)]
pub struct ShardLimits {
    /// `jute.maxbuffer`: a frame longer than this closes its connection.
    pub frame_bytes_max: usize,
    /// Unsent output at which a connection is no longer read (back-pressure).
    pub output_pause_bytes: usize,
    /// Unsent output at which a connection is closed: it does not read what it asked to be told.
    pub output_close_bytes: usize,
    /// Requests of one connection that are with the core or held, at which it is no longer read.
    pub pending_max: usize,
    /// Reads of one connection held behind its writes, at which it is no longer read. Their answers are made all
    /// at once when the write commits, so this bounds a burst of output.
    pub held_max: usize,
    /// Bytes of those reads' requests, likewise.
    pub held_bytes_max: usize,
    /// `largeRequestThreshold`: a longer request is a large one; `usize::MAX` if none is.
    pub large_request_bytes: usize,
    /// `globalOutstandingLimit`: requests under way on all shards beyond which a connection that has some of them is
    /// not read.
    pub outstanding_max: u64,
    /// The request throttle, if there is one.
    pub throttle: Option<RequestThrottle>,
    /// How long a connection may take to send its `ConnectRequest`.
    pub handshake_timeout_ms: u64,
}

/// What a shard shares with the rest of the server.
#[derive(Clone)]
pub struct ShardLinks {
    /// Identities of connections, by number.
    pub identities: Arc<IdentityTable>,
    /// Where the shard marks that it heard from a session.
    pub heard: Arc<HeardSlots>,
    /// The limits at the door, over all shards.
    pub admission: Arc<Admission>,
    /// Wakes the ensemble core; `None` where both live on one thread.
    pub core_waker: Option<Waker>,
    /// Number of watches of this shard, for the core: a shard without watches is not woken for events.
    pub watch_count: Arc<AtomicU64>,
    /// Authentication schemes.
    pub auth: Arc<AuthConfig>,
    /// How many requests each shard has under way.
    pub shown: Shown,
    /// The way to the thread that answers four-letter words.
    pub desk: ShardDesk,
    /// The words that are answered.
    pub white_list: WhiteList,
}

/// What a shard is made of.
pub struct ShardParts {
    /// Its number, by which answers are routed to it.
    pub index: u16,
    /// Its reader of the tree.
    pub reader: Reader,
    /// Its way to the core.
    pub lane: LaneTx,
    /// Its end of the commit ring.
    pub commits: CommitRx,
    /// What it shares with the rest of the server.
    pub links: ShardLinks,
    /// Its bounds.
    pub limits: ShardLimits,
    /// Its part of what all connections' unsent output may hold.
    pub output: Share,
    /// Its part of what all connections' requests may hold that are not whole or not answered yet.
    pub input: Share,
    /// Its watches.
    pub watches: WatchTable,
    /// What its thread counts.
    pub metrics: Writer,
}

/// One shard. See the module's documentation.
pub struct Shard {
    commits: CommitRx,
    state: State,
}

/// Everything of a shard but its end of the commit ring, so that an entry can be borrowed while it is acted on.
pub(crate) struct State {
    index: u16,
    reader: Reader,
    lane: LaneTx,
    lane_dirty: bool,
    links: ShardLinks,
    limits: ShardLimits,
    load: Load,
    throttle: Option<Throttle>,
    metrics: Writer,
    output: Share,
    input: Share,
    waiting: Waiting,
    /// By `ConnId::index`.
    conns: Vec<Option<Box<Conn>>>,
    watches: WatchTable,
    /// Held reads of all connections.
    held: usize,
    /// Connect requests that are with the core.
    connecting: usize,
    /// Connections with an answer that is made in slices: the first one's is being made, the others wait in line.
    longs: std::collections::VecDeque<ConnId>,
    /// The reader has let its versions go.
    parked: bool,
    /// Connections that go on when the lane has room again.
    stalled: Vec<ConnId>,
    /// Messages that may not be lost and found the lane full: disconnects, and identity lists to release. A few a
    /// connection at the most.
    lost: Vec<Request<'static>>,
    /// Connections that have not sent their handshake yet, oldest first.
    shaking_hands: std::collections::VecDeque<ConnId>,
    /// The zxid that reads are answered at: the last committed entry worked through.
    zxid: Zxid,
    next_tick_ns: u64,
    /// Reused buffers.
    scratch: Vec<u8>,
    told: Vec<u32>,
}

impl Shard {
    /// A shard made of its parts.
    pub fn new(parts: ShardParts) -> Shard {
        let ShardParts {
            index,
            reader,
            lane,
            commits,
            links,
            limits,
            output,
            input,
            watches,
            metrics,
        } = parts;
        let zxid = reader.zxid();
        Shard {
            commits,
            state: State {
                index,
                reader,
                lane,
                lane_dirty: false,
                load: Load::new(links.shown.clone(), index as usize),
                throttle: limits.throttle.map(Throttle::new),
                links,
                limits,
                metrics,
                output,
                input,
                waiting: Waiting::default(),
                conns: Vec::new(),
                watches,
                held: 0,
                connecting: 0,
                longs: std::collections::VecDeque::new(),
                parked: false,
                stalled: Vec::new(),
                lost: Vec::new(),
                shaking_hands: std::collections::VecDeque::new(),
                zxid,
                next_tick_ns: 0,
                scratch: Vec::new(),
                told: Vec::new(),
            },
        }
    }

    /// A connection was accepted.
    pub fn opened<I: Io>(&mut self, io: &mut I, id: ConnId, peer: SocketAddr) {
        self.state.opened(io, id, peer);
    }

    /// Bytes came in. What was committed before is worked through first, so that no answer shows an older state
    /// than any shard of this server has shown (R10).
    pub fn bytes<I: Io>(&mut self, io: &mut I, id: ConnId, data: &[u8]) {
        if !planted::is(Planted::ReadBeforeDrain) {
            self.drain_commits(io);
        }
        self.state.bytes(io, id, data);
    }

    /// The connection's output has left after its socket had been full, or while it is paused.
    pub fn drained<I: Io>(&mut self, io: &mut I, id: ConnId) {
        self.drain_commits(io);
        self.state.try_resume(io, id);
    }

    /// The connection is gone.
    pub fn closed<I: Io>(&mut self, _io: &mut I, id: ConnId) {
        self.state.closed(id);
    }

    /// Once a pass: commits, what was stalled, deadlines, and handing the requests over.
    pub fn step<I: Io>(&mut self, io: &mut I) -> Turn {
        self.drain_commits(io);
        self.state.unstall(io);
        self.state.letters(io);
        self.state.tick(io);
        self.state.load.exchange(io.now_ns());
        self.state.let_go(io);
        self.state.slice(io);
        self.state.keep_to_bounds(io);
        self.state.flush_lane(io);
        self.state.reader.quiesce();
        if !self.state.longs.is_empty() {
            return Turn::Again;
        }
        Turn::Idle { deadline_ns: Some(self.state.deadline_ns(io.now_ns())) }
    }

    /// Before the thread sleeps: versions are let go where none can be asked for. False if there is work after all.
    pub fn before_park(&mut self) -> bool {
        if !self.commits.is_empty() || !self.state.longs.is_empty() {
            return false;
        }
        // What an answer of the core lets go on (reads held behind it, what has come in and was not taken, the names of
        // ephemerals) is looked up at the zxid of an entry that is still to come, and so are the ACLs of events, while
        // later ones are published already: those versions must stay. Answers and events wake this shard soon.
        let asks = self.state.load.own() > 0 || self.state.connecting > 0;
        if !asks && self.state.watches.is_empty() || planted::is(Planted::ReadersLetGo) {
            self.state.reader.park();
            self.state.parked = true;
        }
        true
    }

    /// After the thread slept. What was committed meanwhile is worked through before the tree is touched again.
    pub fn after_park(&mut self) {
        if std::mem::take(&mut self.state.parked) {
            self.state.reader.unpark();
        }
    }
}

impl State {
    fn opened<I: Io>(&mut self, io: &mut I, id: ConnId, peer: SocketAddr) {
        let index = id.index as usize;
        if self.conns.len() <= index {
            self.conns.resize_with(index + 1, || None);
        }
        debug_assert!(
            self.conns[index].is_none(),
            "the reactor reuses an index only after closed()"
        );
        let now_ns = io.now_ns();
        if let Err(too_many) = self.links.admission.open(peer.ip()) {
            self.turn_away(peer, too_many);
            io.close(id, false);
            return;
        }
        let identities = match self.links.identities.acquire(&auth::initial_identities(peer.ip())) {
            Ok(identities) => identities,
            Err(full) => {
                let why = format_args!("refused a connection from {}: {full}", peer.ip());
                self.complain(Counter::ConnectionsRejected, why);
                self.links.admission.close(peer.ip());
                io.close(id, false);
                return;
            }
        };
        let conn = Box::new(Conn::new(id, peer, identities, now_ns, io.wall_clock_ms()));
        self.conns[index] = Some(conn);
        self.metrics.change(Gauge::Connections, 1);
        self.shaking_hands.push_back(id);
    }

    fn turn_away(&mut self, peer: SocketAddr, too_many: TooMany) {
        self.metrics.count(Counter::ConnectionsRejected);
        match too_many {
            TooMany::InAll(max) => self.complain(
                Counter::RefusedTotal,
                format_args!("refused a connection from {peer}: the server has {max} already; raise maxCnxns and ulimit -n"),
            ),
            TooMany::OfAddress(max) => self.complain(
                Counter::RefusedPerAddress,
                format_args!(
                    "refused a connection from {}: it has {max} already; close some or raise maxClientCnxns",
                    peer.ip()
                ),
            ),
        }
    }

    fn bytes<I: Io>(&mut self, io: &mut I, id: ConnId, data: &[u8]) {
        let Some(mut conn) = self.take(id) else { return };
        conn.fed_ns = io.now_ns();
        self.metrics.add(Counter::BytesReceived, data.len() as u64);
        if conn.phase == Phase::Live {
            self.links.heard.touch(conn.slot, io.now_ns() / 1_000_000);
        }
        if conn.input.is_empty() {
            let used = self.frames(io, &mut conn, data);
            conn.input.append(&data[used..]);
        } else {
            conn.input.append(data);
            self.input(io, &mut conn);
        }
        if (conn.phase == Phase::Connecting || self.awaits_turn(&conn)) && self.congested(io, &conn)
        {
            self.pause(io, &mut conn);
        }
        self.pause_if_much_waits(io, &mut conn);
        self.put_back(conn);
    }

    /// Works through what waits in the connection's input buffer.
    fn input<I: Io>(&mut self, io: &mut I, conn: &mut Conn) {
        if conn.input.is_empty() {
            return;
        }
        let mut input = std::mem::take(&mut conn.input);
        let used = self.frames(io, conn, input.rest());
        input.consume(used);
        conn.input = input;
    }

    fn closed(&mut self, id: ConnId) {
        let Some(mut conn) = self.take(id) else { return };
        self.forget_input(&conn);
        self.end_turn(&mut conn);
        self.end_connect(&mut conn);
        self.metrics.change(Gauge::Connections, -1);
        if conn.phase == Phase::Live {
            self.metrics.count(Counter::ConnectionsDropped);
        }
        self.no_longer_under_way(conn.pending.len() + usize::from(conn.long.is_some()));
        self.drop_waiting(&conn);
        self.links.admission.close(conn.peer.ip());
        self.end_large_of(&conn);
        self.held -= conn.held;
        self.watches.remove_conn(id.index);
        self.publish_watch_count();
        if conn.phase == Phase::Handshake {
            self.links.identities.release(conn.identities_number);
        } else {
            self.tell(RequestKind::Disconnect, &conn);
        }
    }

    /// Tells the core of a connection what may not be lost: without room in the lane it is kept until there is.
    fn tell(&mut self, kind: RequestKind, conn: &Conn) {
        let message = Request {
            kind,
            op: 0,
            cxid: 0,
            identities: conn.identities_number,
            conn: conn.id,
            session_id: conn.session_id,
            slot: conn.slot,
            generation: conn.generation,
            body: b"",
        };
        if !self.forward(&message) {
            self.lost.push(message);
        }
    }

    /// Puts a message into the lane; false if it is full.
    fn forward(&mut self, message: &Request<'_>) -> bool {
        match self.lane.batch() {
            Some(batch) => {
                message.put(batch);
                self.lane_dirty = true;
                true
            }
            None => false,
        }
    }

    fn flush_lane<I: Io>(&mut self, io: &mut I) {
        if !std::mem::take(&mut self.lane_dirty) {
            return;
        }
        if self.lane.flush()
            && let Some(waker) = &self.links.core_waker
        {
            io.wake(waker);
        }
    }

    fn publish_watch_count(&self) {
        let count = self.watches.counts().all_watches;
        self.links.watch_count.store(count as u64, Ordering::Relaxed);
        self.metrics.set(Gauge::Watches, count as i64);
    }

    /// Takes a connection out of the table so that it and the shard can be changed together.
    fn take(&mut self, id: ConnId) -> Option<Box<Conn>> {
        let slot = self.conns.get_mut(id.index as usize)?;
        if slot.as_ref()?.id != id {
            return None;
        }
        slot.take()
    }

    fn put_back(&mut self, mut conn: Box<Conn>) {
        self.weigh_input(&mut conn);
        let index = conn.id.index as usize;
        debug_assert!(self.conns[index].is_none());
        self.conns[index] = Some(conn);
    }

    fn get(&self, id: ConnId) -> Option<&Conn> {
        let conn = self.conns.get(id.index as usize)?.as_deref()?;
        (conn.id == id).then_some(conn)
    }

    fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(id.index as usize)?.as_deref_mut()?;
        (conn.id == id).then_some(conn)
    }
}
