//! Connections between servers as TCP gives them: bytes of one direction stay in order, a connection may
//! drop with messages in flight, and each end learns of that in its own time or not at all.
//!
//! A link (an ordered pair of servers) may be blocked: what is sent over it is held until it is not, and
//! nobody can connect across a pair of which one direction is blocked. So a partition is a set of blocked
//! links, and an asymmetric one blocks one direction only.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::ServerId;
use crate::random::Random;
use crate::time::Micros;

/// Which port a connection was made to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// Votes.
    Election,
    /// Learner to leader.
    Quorum,
}

/// A connection's number; never used twice.
pub type ConnId = u64;

/// One of a connection's ends: 0 dialled, 1 accepted.
pub type End = usize;

/// A connection.
#[derive(Debug)]
pub struct Conn<M> {
    /// To which port.
    pub port: Port,
    /// Who dialled, and who accepted.
    pub servers: [ServerId; 2],
    /// Whether each end still has it open.
    pub open: [bool; 2],
    /// When the last thing sent by each end arrives.
    last_at: [Micros; 2],
    /// What each end has sent so far, and what of it the other has taken.
    sent: [u64; 2],
    taken: [u64; 2],
    /// What has arrived and was not taken: its link is blocked, or something sent before it is still under way.
    waiting: [BTreeMap<u64, Packet<M>>; 2],
    /// Broken: no message gets through any more.
    broken: bool,
    /// Whether each end's system watches over something that it has sent.
    watched: [bool; 2],
}

/// What became of something that arrived.
#[derive(Debug)]
pub enum Arrival<M> {
    /// It is handed to this server.
    Deliver(ServerId, Packet<M>),
    /// It waits for its link, or nobody will ever see it.
    Nothing,
    /// This server has no such connection any more, and says so if it runs: see [`Network::reset`].
    Refused(ServerId),
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Packet<M> {
    /// A message.
    Message(M),
    /// The other end has closed.
    Closed,
}

/// Something that is under way: put it into the queue and hand it back when it is due.
#[derive(Debug)]
pub struct Transit<M> {
    /// When it arrives.
    pub at: Micros,
    /// The connection.
    pub conn: ConnId,
    /// The end that sent it.
    pub from: End,
    /// Its place among what that end sent.
    pub place: u64,
    /// What it is.
    pub packet: Packet<M>,
}

/// How the network behaves.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// The least time a message takes.
    pub delay_min_us: Micros,
    /// What is added on average.
    pub delay_spread_us: Micros,
    /// How many of a thousand messages are late by `delay_slow_us` on average.
    pub slow_per_mille: u64,
    /// How late.
    pub delay_slow_us: Micros,
}

/// All connections.
pub struct Network<M> {
    options: NetworkOptions,
    random: Random,
    conns: Vec<Option<Conn<M>>>,
    /// Blocked links, and by which faults: one that ends leaves what others block.
    blocked: BTreeMap<(ServerId, ServerId), BTreeSet<u64>>,
    /// Who cannot connect to whose quorum port, and by which faults.
    shut: BTreeMap<(ServerId, ServerId), BTreeSet<u64>>,
}

impl<M> Network<M> {
    /// A network without connections.
    pub fn new(options: NetworkOptions, random: Random) -> Network<M> {
        let (blocked, shut) = (BTreeMap::new(), BTreeMap::new());
        Network { options, random, conns: Vec::new(), blocked, shut }
    }

    /// No message is late any more.
    pub fn calm(&mut self) {
        self.options.slow_per_mille = 0;
    }

    /// How long the next message takes.
    pub fn delay(&mut self) -> Micros {
        let slow = self.random.chance(self.options.slow_per_mille);
        let late = if slow { self.random.spread(self.options.delay_slow_us) } else { 0 };
        self.options.delay_min_us + self.random.spread(self.options.delay_spread_us) + late
    }

    /// Whether nothing gets from one server to the other.
    pub fn is_blocked(&self, from: ServerId, to: ServerId) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    /// Whether a connection can be made to another server's port: both directions are needed for that.
    pub fn can_connect(&self, port: Port, from: ServerId, to: ServerId) -> bool {
        let shut = port == Port::Quorum && self.shut.contains_key(&(from, to));
        !shut && !self.is_blocked(from, to) && !self.is_blocked(to, from)
    }

    /// A fault keeps a server from connecting to another's quorum port.
    pub fn shut(&mut self, from: ServerId, to: ServerId, fault: u64) {
        self.shut.entry((from, to)).or_default().insert(fault);
    }

    /// A fault has ended, as far as it shut ports.
    pub fn unshut(&mut self, fault: u64) {
        self.shut.values_mut().for_each(|faults| _ = faults.remove(&fault));
        self.shut.retain(|_, faults| !faults.is_empty());
    }

    /// A connection was made.
    pub fn connect(&mut self, port: Port, from: ServerId, to: ServerId, now: Micros) -> ConnId {
        self.conns.push(Some(Conn {
            port,
            servers: [from, to],
            open: [true, true],
            last_at: [now, now],
            sent: [0, 0],
            taken: [0, 0],
            waiting: [BTreeMap::new(), BTreeMap::new()],
            broken: false,
            watched: [false, false],
        }));
        self.conns.len() as u64 - 1
    }

    /// A connection that at least one end has open.
    pub fn conn(&self, id: ConnId) -> Option<&Conn<M>> {
        self.conns.get(id as usize)?.as_ref()
    }

    /// How much an end has sent so far.
    pub fn sent(&self, id: ConnId, end: End) -> u64 {
        self.conn(id).map_or(0, |conn| conn.sent[end])
    }

    /// Sends from an end that has the connection open; on average `late` later than usual.
    pub fn send(
        &mut self,
        id: ConnId,
        from: End,
        message: M,
        now: Micros,
        late: Micros,
    ) -> Option<Transit<M>> {
        self.conn(id).filter(|conn| conn.open[from])?;
        let late = if late > 0 { self.random.spread(late) } else { 0 };
        Some(self.transit(id, from, Packet::Message(message), now + late))
    }

    fn transit(&mut self, id: ConnId, from: End, packet: Packet<M>, now: Micros) -> Transit<M> {
        let delay = self.delay();
        let Some(Some(conn)) = self.conns.get_mut(id as usize) else {
            return Transit { at: now + delay, conn: id, from, place: 0, packet };
        };
        let at = conn.last_at[from].max(now + delay);
        conn.last_at[from] = at;
        let place = conn.sent[from];
        conn.sent[from] += 1;
        Transit { at, conn: id, from, place, packet }
    }

    /// An end closes; the other learns of it behind what was sent before.
    pub fn close(&mut self, id: ConnId, end: End, now: Micros) -> Option<Transit<M>> {
        let conn = self.conns.get_mut(id as usize)?.as_mut()?;
        if !std::mem::replace(&mut conn.open[end], false) {
            return None;
        }
        if !conn.open[1 - end] {
            self.conns[id as usize] = None;
            return None;
        }
        Some(self.transit(id, end, Packet::Closed, now))
    }

    /// The connection is gone for both: what is in flight is lost, and each end is told in its own time,
    /// if `told` says so.
    pub fn drop_conn(&mut self, id: ConnId, told: [bool; 2], now: Micros) -> Vec<Transit<M>> {
        let Some(conn) = self.conns.get_mut(id as usize).and_then(Option::as_mut) else {
            return Vec::new();
        };
        conn.waiting = [BTreeMap::new(), BTreeMap::new()];
        conn.broken = true;
        let open = conn.open;
        let mut transits = Vec::new();
        for end in [0, 1] {
            if open[end] && told[end] {
                transits.push(self.transit(id, 1 - end, Packet::Closed, now));
            }
        }
        transits
    }

    /// Whether what an end sends now may never be acknowledged: then its system gives up after a while, see
    /// [`Network::give_up`]. `Some`: watch over it, from this place on.
    pub fn watch(&mut self, id: ConnId, from: End) -> Option<u64> {
        let Some(Some(conn)) = self.conns.get_mut(id as usize) else { return None };
        let [a, b] = conn.servers;
        let cut =
            conn.broken || self.blocked.contains_key(&(a, b)) || self.blocked.contains_key(&(b, a));
        let begins = cut && conn.open[from] && !std::mem::replace(&mut conn.watched[from], true);
        begins.then(|| conn.sent[from].saturating_sub(1))
    }

    /// What was sent at `place` is still not acknowledged: the sending end's connection is given up.
    /// Says whose that was, to which port and whom.
    pub fn give_up(
        &mut self,
        id: ConnId,
        from: End,
        place: u64,
    ) -> Option<(ServerId, Port, ServerId)> {
        let Some(Some(conn)) = self.conns.get_mut(id as usize) else { return None };
        conn.watched[from] = false;
        let link = (conn.servers[from], conn.servers[1 - from]);
        let cut = conn.broken || self.blocked.contains_key(&link);
        if !cut || conn.taken[from] > place && !conn.broken || !conn.open[from] {
            return None;
        }
        conn.open[from] = false;
        let found = (conn.servers[from], conn.port, conn.servers[1 - from]);
        if conn.open == [false, false] {
            self.conns[id as usize] = None;
        }
        Some(found)
    }

    /// A server has lost power: its ends are gone and nobody is told.
    pub fn vanish(&mut self, id: ConnId, end: End) {
        let Some(slot) = self.conns.get_mut(id as usize) else { return };
        if let Some(conn) = slot {
            conn.open[end] = false;
            if conn.open == [false, false] {
                *slot = None;
            }
        }
    }

    /// The end `from` sent to a server that does not know the connection: it is told so.
    pub fn reset(&mut self, id: ConnId, from: End, now: Micros) -> Option<Transit<M>> {
        self.conn(id).filter(|conn| conn.open[from])?;
        Some(self.transit(id, 1 - from, Packet::Closed, now))
    }

    /// Something has arrived; see [`Network::take`].
    pub fn arrive(&mut self, id: ConnId, from: End, place: u64, packet: Packet<M>) {
        let Some(Some(conn)) = self.conns.get_mut(id as usize) else { return };
        if conn.broken {
            if matches!(packet, Packet::Message(_)) {
                return;
            }
            // That it is broken is learned whatever was lost before.
            conn.taken[from] = place;
        }
        conn.waiting[from].insert(place, packet);
    }

    /// What is to be handed over next of what one end sent.
    pub fn take(&mut self, id: ConnId, from: End) -> Arrival<M> {
        let Some(Some(conn)) = self.conns.get_mut(id as usize) else { return Arrival::Nothing };
        if self.blocked.contains_key(&(conn.servers[from], conn.servers[1 - from])) {
            return Arrival::Nothing;
        }
        let Some(packet) = conn.waiting[from].remove(&conn.taken[from]) else {
            return Arrival::Nothing;
        };
        conn.taken[from] += 1;
        let to = conn.servers[1 - from];
        let is_message = matches!(packet, Packet::Message(_));
        if !conn.open[1 - from] {
            return if is_message { Arrival::Refused(to) } else { Arrival::Nothing };
        }
        if !is_message {
            conn.open[1 - from] = false;
            if !conn.open[from] {
                self.conns[id as usize] = None;
            }
        }
        Arrival::Deliver(to, packet)
    }

    /// A fault blocks one direction.
    pub fn block(&mut self, from: ServerId, to: ServerId, fault: u64) {
        self.blocked.entry((from, to)).or_default().insert(fault);
    }

    /// A fault blocks one direction no longer; returns the connections and ends whose packets can be taken now.
    pub fn unblock(&mut self, from: ServerId, to: ServerId, fault: u64) -> Vec<(ConnId, End)> {
        let Some(faults) = self.blocked.get_mut(&(from, to)) else { return Vec::new() };
        faults.remove(&fault);
        if !faults.is_empty() {
            return Vec::new();
        }
        self.open(from, to)
    }

    fn open(&mut self, from: ServerId, to: ServerId) -> Vec<(ConnId, End)> {
        self.blocked.remove(&(from, to));
        let mut released = Vec::new();
        for (id, conn) in self.conns.iter().enumerate() {
            let Some(conn) = conn else { continue };
            for end in [0, 1] {
                let link = (conn.servers[end], conn.servers[1 - end]) == (from, to);
                if link && !conn.waiting[end].is_empty() {
                    released.push((id as u64, end));
                }
            }
        }
        released
    }

    /// Unblocks everything.
    pub fn heal(&mut self) -> Vec<(ConnId, End)> {
        self.shut.clear();
        let blocked: Vec<_> = self.blocked.keys().copied().collect();
        blocked.into_iter().flat_map(|(from, to)| self.open(from, to)).collect()
    }

    /// Connections that a server has an end of, open or not.
    pub fn conns_of(&self, server: ServerId) -> Vec<(ConnId, End)> {
        let mut found = Vec::new();
        for (id, conn) in self.conns.iter().enumerate() {
            let Some(conn) = conn else { continue };
            for end in [0, 1] {
                if conn.servers[end] == server && conn.open[end] {
                    found.push((id as u64, end));
                }
            }
        }
        found
    }
}
