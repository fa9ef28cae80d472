//! What the residents see as [`Io`]: connections, their lives, and everything that waits for the
//! next `enter`. Receiving is in `recv.rs`, sending in `send.rs`, the pass itself in `pass.rs`.

use super::buffers::OutPool;
use super::config::{Counts, ReactorConfig};
use super::conn::{Conns, Life, Sending};
use super::disk::Writes;
use super::ring::{Kind, Ring};
use super::{AlignedBuf, ConnId, Io, LogFile, Waker};
use io_uring::{opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// Memory that idle output buffers may hold, over all connections.
const POOL_BYTES_MAX: usize = 8 << 20;

/// A listening socket and its multishot accept.
pub(super) struct Listener {
    pub(super) socket: TcpListener,
    pub(super) armed: bool,
    pub(super) cancelled: bool,
    /// Not armed again before this: accepting failed.
    pub(super) retry_at_ns: u64,
    /// Not complained of again before this.
    pub(super) quiet_until_ns: u64,
}

/// A flushing connection that is given up at a deadline, unless it has got on until then.
pub(super) struct Linger {
    deadline_ns: u64,
    conn: ConnId,
    /// What its peer had taken when the deadline was set.
    taken: u64,
}

pub(super) struct Driver {
    pub(super) ring: Ring,
    pub(super) conns: Conns,
    pub(super) pool: OutPool,
    pub(super) listeners: Vec<Listener>,
    pub(super) writes: Writes,
    pub(super) now_ns: u64,
    pub(super) accept_paused: bool,
    pub(super) stopping: bool,
    /// Memory of the output of all connections, and the one whose output was given out last: it may have grown since.
    output_bytes: usize,
    pub(super) given_out: Option<u32>,
    /// Connections with something to send.
    pub(super) dirty: Vec<u32>,
    /// Connections whose send of the last gathering is not yet known to have left.
    pub(super) in_flight: Vec<u32>,
    /// Whether one of those is of a paused connection: then the next pass, which finds it out, does not wait.
    pub(super) paused_sends: bool,
    /// Connections that caught up after their socket had been full, or while they are paused.
    pub(super) drained: Vec<u32>,
    /// Connections to receive from (again).
    pub(super) rearm: Vec<u32>,
    /// Connections whose reading was resumed.
    pub(super) resumed: Vec<u32>,
    /// Connections that may have come to their end.
    pub(super) ending: Vec<u32>,
    /// When flushing connections are given up; in order, for all get the same time.
    pub(super) linger: VecDeque<Linger>,
    linger_ns: u64,
    /// Reactors to wake at the end of the pass.
    wakes: Vec<Waker>,
    /// All reactors ever woken from here; completions name them by index.
    peers: Vec<Waker>,
    pub(super) own: Waker,
    pub(super) counts: Counts,
}

impl Driver {
    pub(super) fn new(cfg: &mut ReactorConfig, ring: Ring, own: Waker) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for socket in cfg.listen.drain(..) {
            // Accepting through the ring must wait, not fail; and connections inherit TCP_NODELAY.
            socket.set_nonblocking(false)?;
            socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
            listeners.push(Listener {
                socket,
                armed: false,
                cancelled: false,
                retry_at_ns: 0,
                quiet_until_ns: 0,
            });
        }
        Ok(Self {
            ring,
            conns: Conns::new(cfg.connections_max),
            pool: OutPool::new(POOL_BYTES_MAX),
            listeners,
            writes: Writes::default(),
            now_ns: super::monotonic_ns(),
            accept_paused: false,
            stopping: false,
            output_bytes: 0,
            given_out: None,
            dirty: Vec::new(),
            in_flight: Vec::new(),
            paused_sends: false,
            drained: Vec::new(),
            rearm: Vec::new(),
            resumed: Vec::new(),
            ending: Vec::new(),
            linger: VecDeque::new(),
            linger_ns: u64::from(cfg.linger_ms) * 1_000_000,
            wakes: Vec::new(),
            peers: Vec::new(),
            own,
            counts: Counts::default(),
        })
    }

    /// Takes a connected socket into the table; receiving starts at the end of the pass.
    pub(super) fn open(&mut self, socket: OwnedFd) -> Option<ConnId> {
        let c = self.conns.insert(socket)?;
        self.note_rearm(c.index);
        Some(c)
    }

    /// Brings the sum of all output's memory up to date with this connection's.
    pub(super) fn weigh(&mut self, index: u32) {
        let conn = self.conns.at(index);
        let weight = conn.weight();
        let before = std::mem::replace(&mut conn.weighed, weight);
        self.output_bytes = self.output_bytes + weight - before;
    }

    pub(super) fn note_dirty(&mut self, index: u32) {
        if !std::mem::replace(&mut self.conns.at(index).on_dirty, true) {
            self.dirty.push(index);
        }
    }

    pub(super) fn note_rearm(&mut self, index: u32) {
        if !std::mem::replace(&mut self.conns.at(index).on_rearm, true) {
            self.rearm.push(index);
        }
    }

    pub(super) fn note_ending(&mut self, index: u32) {
        if !std::mem::replace(&mut self.conns.at(index).on_ending, true) {
            self.ending.push(index);
        }
    }

    /// Ends a connection now, and drops what it had to send.
    pub(super) fn break_off(&mut self, index: u32) {
        self.conns.at(index).life = Life::Closing;
        self.advance_end(index);
        self.note_ending(index);
    }

    /// Ends a connection when it has sent what it has.
    pub(super) fn end_after_flush(&mut self, index: u32) {
        self.conns.at(index).life = Life::Flushing;
        self.advance_end(index);
        self.note_ending(index);
        let deadline_ns = self.now_ns + self.linger_ns;
        let c = self.conns.id(index);
        let conn = self.conns.at(index);
        if conn.life == Life::Flushing && !std::mem::replace(&mut conn.on_linger, true) {
            let taken = conn.taken();
            self.linger.push_back(Linger { deadline_ns, conn: c, taken });
        }
    }

    /// Takes an ending connection as far as it goes; true: nothing of it is left in the kernel.
    pub(super) fn advance_end(&mut self, index: u32) -> bool {
        let conn = self.conns.at(index);
        if conn.life == Life::Flushing && conn.out.is_empty() && conn.send == Sending::Idle {
            conn.life = Life::Closing;
        }
        if conn.life != Life::Closing {
            return false;
        }
        conn.kept = None;
        self.weigh(index);
        let conn = self.conns.at(index);
        let out = std::mem::take(&mut conn.out);
        let generation = conn.generation();
        let cancel_recv = conn.recv_armed && !std::mem::replace(&mut conn.recv_cancelled, true);
        let cancel_send =
            conn.send == Sending::Waiting && !std::mem::replace(&mut conn.send_cancelled, true);
        let done = !conn.is_in_kernel();
        self.pool.give(out);
        if cancel_recv {
            self.cancel(Kind::Recv.user_data(generation, index));
        }
        if cancel_send {
            self.cancel(Kind::SendWait.user_data(generation, index));
        }
        done
    }

    /// Cancels an operation by its user data; its own completion tells that it has ended.
    pub(super) fn cancel(&mut self, user_data: u64) {
        let entry = opcode::AsyncCancel::new(user_data)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Kind::Ignore.user_data(0, 0));
        // SAFETY: a cancellation points to nothing.
        unsafe { self.ring.push(entry) };
    }

    /// Gives up connections that have flushed for so long without getting on.
    pub(super) fn expire_linger(&mut self) {
        while let Some(linger) = self.linger.pop_front_if(|l| l.deadline_ns <= self.now_ns) {
            let conn = self.conns.get(linger.conn).filter(|conn| conn.life == Life::Flushing);
            let Some(taken) = conn.map(|conn| conn.taken()) else { continue };
            if taken > linger.taken {
                let deadline_ns = self.now_ns + self.linger_ns;
                self.linger.push_back(Linger { deadline_ns, taken, ..linger });
            } else {
                self.counts.conn_errors += 1;
                self.break_off(linger.conn.index);
            }
        }
    }

    /// Stops receiving from a connection; what is on the way still completes.
    fn cancel_recv(&mut self, index: u32) {
        let conn = self.conns.at(index);
        if conn.recv_armed && !std::mem::replace(&mut conn.recv_cancelled, true) {
            let user_data = Kind::Recv.user_data(conn.generation(), index);
            self.cancel(user_data);
        }
    }

    /// Queues the wakes of this pass.
    pub(super) fn send_wakes(&mut self) {
        while let Some(who) = self.wakes.pop() {
            if !who.bell().ring() {
                self.counts.wakes_spared += 1;
                continue;
            }
            self.counts.wakes_sent += 1;
            let Some(ring) = who.ring_fd() else {
                who.write_event();
                continue;
            };
            let known = self.peers.iter().position(|peer| *peer == who);
            let peer = known.unwrap_or_else(|| {
                self.peers.push(who);
                self.peers.len() - 1
            });
            let message = Kind::Wake.user_data(0, 0);
            let entry = opcode::MsgRingData::new(types::Fd(ring), 0, message, None)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS)
                .user_data(Kind::WakeFailed.user_data(0, peer as u32));
            // SAFETY: points to nothing; `peers` keeps the descriptor open.
            unsafe { self.ring.push(entry) };
        }
    }

    /// A message could not be delivered: the eventfd is the other way.
    pub(super) fn wake_failed(&mut self, peer: u32) {
        if let Some(peer) = self.peers.get(peer as usize) {
            peer.write_event();
        }
    }

    /// Whether something waits for the next pass that no completion will announce.
    pub(super) fn has_pending(&self) -> bool {
        !(self.resumed.is_empty() && self.ending.is_empty() && self.drained.is_empty())
            || self.paused_sends
    }

    /// When the driver itself next has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        let linger = self.linger.front().map(|linger| linger.deadline_ns);
        let accept = self.listeners.iter().filter(|l| !l.armed && l.retry_at_ns > 0);
        let accept = accept.map(|listener| listener.retry_at_ns).min();
        match (linger, if self.accept_paused { None } else { accept }) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Io for Driver {
    type File = LogFile;

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn out(&mut self, c: ConnId) -> Option<&mut Vec<u8>> {
        let conn = self.conns.get_mut(c).filter(|conn| conn.life == Life::Open)?;
        if conn.out.capacity() == 0 {
            conn.out = self.pool.take();
        }
        if !std::mem::replace(&mut conn.on_dirty, true) {
            self.dirty.push(c.index);
        }
        if let Some(last) = self.given_out.replace(c.index)
            && last != c.index
        {
            self.weigh(last);
        }
        Some(&mut self.conns.at(c.index).out)
    }

    fn backlog(&self, c: ConnId) -> usize {
        self.conns.get(c).map_or(0, |conn| conn.backlog())
    }

    fn taken(&self, c: ConnId) -> u64 {
        self.conns.get(c).map_or(0, |conn| conn.taken())
    }

    fn held(&self, c: ConnId) -> usize {
        self.conns.get(c).map_or(0, |conn| conn.weight())
    }

    fn output_bytes(&mut self) -> usize {
        if let Some(last) = self.given_out {
            self.weigh(last);
        }
        self.output_bytes
    }

    fn close(&mut self, c: ConnId, after_flush: bool) {
        match self.conns.get(c).map(|conn| conn.life) {
            Some(Life::Open) if after_flush => self.end_after_flush(c.index),
            Some(Life::Open | Life::Flushing) if !after_flush => self.break_off(c.index),
            _ => {}
        }
    }

    fn outlive_input(&mut self, c: ConnId) {
        if let Some(conn) = self.conns.get_mut(c) {
            conn.outlives_input = true;
        }
    }

    fn pause(&mut self, c: ConnId) {
        if let Some(conn) = self.conns.get_mut(c)
            && conn.life == Life::Open
            && !std::mem::replace(&mut conn.paused, true)
        {
            self.paused_sends |= conn.send == Sending::Now;
            self.cancel_recv(c.index);
        }
    }

    fn resume(&mut self, c: ConnId) {
        if let Some(conn) = self.conns.get_mut(c)
            && std::mem::replace(&mut conn.paused, false)
            && !std::mem::replace(&mut conn.on_resumed, true)
        {
            self.resumed.push(c.index);
        }
    }

    fn pause_accept(&mut self) {
        self.accept_paused = true;
        for index in 0..self.listeners.len() {
            let listener = &mut self.listeners[index];
            if listener.armed && !std::mem::replace(&mut listener.cancelled, true) {
                self.cancel(Kind::Accept.user_data(0, index as u32));
            }
        }
    }

    fn resume_accept(&mut self) {
        // Listeners are armed at the end of the pass, those being cancelled when that is done.
        self.accept_paused = self.stopping;
    }

    fn write(&mut self, file: &LogFile, offset: u64, buf: AlignedBuf, token: u64) {
        let (slot, start, len) = self.writes.begin(file, buf, token);
        let entry = opcode::Write::new(types::Fd(file.as_raw_fd()), start, len)
            .offset(offset)
            .build()
            .user_data(Kind::Disk.user_data(0, slot));
        // SAFETY: `writes` keeps the buffer and the file, unmoved, until this slot completes.
        unsafe { self.ring.push(entry) };
    }

    fn wake(&mut self, who: &Waker) {
        if !self.wakes.contains(who) {
            self.wakes.push(who.clone());
        }
    }

    fn adopt(&mut self, stream: TcpStream) -> Option<ConnId> {
        stream.set_nonblocking(false).ok()?;
        stream.set_nodelay(true).ok()?;
        self.open(stream.into())
    }
}
