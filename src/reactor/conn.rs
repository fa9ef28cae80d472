//! The table of connections: what is kept of each, and the rules of its life.
//!
//! A place is used again only after the kernel has ended every operation on its socket, so no
//! completion ever meets the wrong connection. An idle connection holds no buffer.

use super::{ConnId, api};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What the connection's output is doing.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Sending {
    Idle,
    /// Submitted without waiting; known to have left if it does not complete as short or failed.
    Now,
    /// The socket was full, or there is much to send: the kernel waits for room, takes what fits of a
    /// piece, and completes.
    Waiting,
}

/// How far the connection's end is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Life {
    /// The place is free.
    Free,
    Open,
    /// Takes nothing more; ends when what it has is sent.
    Flushing,
    /// Ends as soon as the kernel has let go of it.
    Closing,
}

/// One connection.
pub(super) struct Conn {
    /// Being built; leaves with the next send.
    pub(super) out: Vec<u8>,
    /// In the kernel's hands from `sent` on; does not move until that send has ended.
    pub(super) sending: Vec<u8>,
    pub(super) sent: usize,
    /// Bytes that the kernel has taken in the connection's life.
    pub(super) handed: u64,
    /// Memory of its output that is in the driver's sum.
    pub(super) weighed: usize,
    /// Arrived while reading was paused.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every idle connection")]
    pub(super) kept: Option<Box<Vec<u8>>>,
    socket: Option<OwnedFd>,
    generation: u32,
    pub(super) life: Life,
    pub(super) send: Sending,
    /// A receive is in the kernel.
    pub(super) recv_armed: bool,
    /// Its cancellation is on the way.
    pub(super) recv_cancelled: bool,
    pub(super) send_cancelled: bool,
    pub(super) paused: bool,
    /// One send was not enough; told with `drained` once it has caught up.
    pub(super) was_full: bool,
    /// The peer has ended its stream, and the resident does not know yet.
    pub(super) peer_ended: bool,
    /// It stays until the resident closes it, whether or not the peer has ended its stream.
    pub(super) outlives_input: bool,
    /// Which of the driver's lists it is on.
    pub(super) on_dirty: bool,
    pub(super) on_rearm: bool,
    pub(super) on_ending: bool,
    pub(super) on_resumed: bool,
    pub(super) on_linger: bool,
}

impl Conn {
    fn new(socket: OwnedFd, generation: u32) -> Self {
        Self { life: Life::Open, socket: Some(socket), ..Self::free(generation) }
    }

    fn free(generation: u32) -> Self {
        Self {
            out: Vec::new(),
            sending: Vec::new(),
            sent: 0,
            handed: 0,
            weighed: 0,
            kept: None,
            socket: None,
            generation,
            life: Life::Free,
            send: Sending::Idle,
            recv_armed: false,
            recv_cancelled: false,
            send_cancelled: false,
            paused: false,
            was_full: false,
            peer_ended: false,
            outlives_input: false,
            on_dirty: false,
            on_rearm: false,
            on_ending: false,
            on_resumed: false,
            on_linger: false,
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Bytes appended and not known to be taken by the kernel.
    pub(super) fn backlog(&self) -> usize {
        self.out.len() + self.sending.len().saturating_sub(self.sent)
    }

    /// Memory that its output holds and will hold for a while: none once it is closing.
    pub(super) fn weight(&self) -> usize {
        match self.life {
            Life::Open | Life::Flushing => self.out.capacity() + self.sending.capacity(),
            Life::Free | Life::Closing => 0,
        }
    }

    /// Bytes that have left for good: taken by the kernel, and then by the peer's.
    pub(super) fn taken(&self) -> u64 {
        let mut queued: libc::c_int = 0;
        // SAFETY: SIOCOUTQ writes one int; a descriptor that is none makes it fail.
        let asked = unsafe { libc::ioctl(self.fd(), libc::TIOCOUTQ, &raw mut queued) };
        let queued = if asked == 0 { queued.max(0) as u64 } else { 0 };
        self.handed.saturating_sub(queued)
    }

    /// Whether the kernel has any operation on the socket.
    pub(super) fn is_in_kernel(&self) -> bool {
        self.recv_armed || self.send != Sending::Idle
    }
}

/// All connections of a reactor.
pub(super) struct Conns {
    conns: Vec<Conn>,
    free: Vec<u32>,
    max: usize,
}

impl Conns {
    pub(super) fn new(max: usize) -> Self {
        Self { conns: Vec::new(), free: Vec::new(), max: max.min(u32::MAX as usize) }
    }

    pub(super) fn len(&self) -> usize {
        self.conns.len() - self.free.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// `None`, and the socket closed, when the table is full.
    pub(super) fn insert(&mut self, socket: OwnedFd) -> Option<api::ConnId> {
        if self.is_full() {
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => {
                let conn = &mut self.conns[index as usize];
                *conn = Conn::new(socket, conn.generation);
                index
            }
            None => {
                self.conns.push(Conn::new(socket, 0));
                self.conns.len() as u32 - 1
            }
        };
        Some(ConnId { index, generation: self.conns[index as usize].generation })
    }

    /// Ends a connection: closes the socket and frees the place. The kernel must have let go of it.
    pub(super) fn remove(&mut self, index: u32) {
        let conn = &mut self.conns[index as usize];
        assert!(conn.life != Life::Free && !conn.is_in_kernel(), "a socket closed while in use");
        debug_assert!(conn.weighed == 0, "what has gone is still weighed");
        *conn = Conn::free(conn.generation.wrapping_add(1));
        self.free.push(index);
    }

    /// The connection, if it is this one and its place is in use.
    pub(super) fn get(&self, c: ConnId) -> Option<&Conn> {
        let conn = self.conns.get(c.index as usize)?;
        (conn.generation == c.generation && conn.life != Life::Free).then_some(conn)
    }

    pub(super) fn get_mut(&mut self, c: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(c.index as usize)?;
        (conn.generation == c.generation && conn.life != Life::Free).then_some(conn)
    }

    /// The connection at an index that the driver itself has noted.
    pub(super) fn at(&mut self, index: u32) -> &mut Conn {
        &mut self.conns[index as usize]
    }

    /// The connection a completion belongs to.
    pub(super) fn of(&mut self, user_data: u64) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(user_data as u32 as usize)?;
        let same = u64::from(conn.generation & 0xff_ffff) == user_data >> 32 & 0xff_ffff;
        debug_assert!(same && conn.life != Life::Free, "a completion outlived its connection");
        (same && conn.life != Life::Free).then_some(conn)
    }

    pub(super) fn id(&self, index: u32) -> ConnId {
        ConnId { index, generation: self.conns[index as usize].generation }
    }

    /// All connections in use.
    pub(super) fn ids(&self) -> impl Iterator<Item = ConnId> + '_ {
        let in_use = self.conns.iter().enumerate().filter(|(_, conn)| conn.life != Life::Free);
        in_use.map(|(index, conn)| ConnId { index: index as u32, generation: conn.generation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> OwnedFd {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()
    }

    #[test]
    fn a_place_used_again_is_another_connection() {
        let mut conns = Conns::new(2);
        let (a, b) = (conns.insert(socket()).unwrap(), conns.insert(socket()).unwrap());
        assert!(conns.is_full() && conns.insert(socket()).is_none());
        conns.remove(a.index);
        assert!(conns.get(a).is_none() && conns.get(b).is_some());
        let c = conns.insert(socket()).unwrap();
        assert!(c.index == a.index && c != a && conns.get(a).is_none());
        assert_eq!(conns.ids().count(), 2);
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Conn>() <= 128, "{} bytes", size_of::<Conn>());
    }
}
