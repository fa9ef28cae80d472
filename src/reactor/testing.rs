//! A deterministic [`Io`] in memory: for unit tests of residents, and for the simulator.
//!
//! Nothing happens by itself. The test delivers bytes, runs passes, takes output, completes writes
//! in whatever order it likes, and moves the clock.

use super::{AlignedBuf, ConnId, Io, LogFile, Resident, Turn, Waker};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// One connection as the fake keeps it.
#[derive(Debug, Default)]
struct FakeConn {
    generation: u32,
    open: bool,
    /// Appended by the resident, not yet taken by the fake kernel.
    out: Vec<u8>,
    /// Taken by the fake kernel, not yet by the test.
    sent: Vec<u8>,
    /// Bytes ever taken by the fake kernel.
    taken: u64,
    /// How many more bytes the fake socket takes; `None`: as many as come.
    room: Option<usize>,
    was_full: bool,
    paused: bool,
    /// Delivered while paused.
    kept: Vec<u8>,
    closing: Option<CloseKind>,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum CloseKind {
    AfterFlush,
    AtOnce,
}

/// A write that the resident started and the test has not completed.
#[derive(Debug)]
pub struct FakeWrite {
    /// The file it goes to.
    pub file: LogFile,
    /// Offset in the file, bytes.
    pub offset: u64,
    /// What is written.
    pub buf: AlignedBuf,
    /// The resident's token.
    pub token: u64,
}

/// See the module's words.
#[derive(Debug, Default)]
pub struct FakeIo {
    /// The clock; move it as you like, forward only.
    pub now_ns: u64,
    /// Writes in flight, in the order they were started.
    pub writes: VecDeque<FakeWrite>,
    /// Wakers rung in the last pass, each once.
    pub wakes: Vec<Waker>,
    /// Whether the resident has stopped accepting.
    pub accept_paused: bool,
    conns: Vec<FakeConn>,
}

impl FakeIo {
    /// No connection, time 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client connects: the resident is told. Peer and local address are made up.
    pub fn open<R: Resident<File = LogFile>>(&mut self, resident: &mut R) -> ConnId {
        let c = self.connect();
        let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 40_000 + c.index as u16));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 2181));
        resident.opened(self, c, peer, local);
        c
    }

    /// Makes a connection without telling anybody, as [`Io::adopt`] does.
    pub fn connect(&mut self) -> ConnId {
        let free = self.conns.iter().position(|conn| !conn.open);
        let index = free.unwrap_or_else(|| {
            self.conns.push(FakeConn::default());
            self.conns.len() - 1
        });
        let generation = self.conns[index].generation.wrapping_add(1);
        self.conns[index] = FakeConn { generation, open: true, ..FakeConn::default() };
        ConnId { index: index as u32, generation }
    }

    /// The client sends. Kept if the resident has paused the connection.
    ///
    /// # Panics
    /// If the connection is gone.
    pub fn deliver<R: Resident<File = LogFile>>(
        &mut self,
        resident: &mut R,
        c: ConnId,
        data: &[u8],
    ) {
        let conn = self.conn_mut(c).expect("delivers to a connection that is gone");
        if conn.closing.is_some() {
        } else if conn.paused || !conn.kept.is_empty() {
            conn.kept.extend_from_slice(data);
        } else {
            resident.bytes(self, c, data);
        }
    }

    /// The client goes away: the resident is told, unless the connection is gone already.
    pub fn hang_up<R: Resident<File = LogFile>>(&mut self, resident: &mut R, c: ConnId) {
        if let Some(conn) = self.conn_mut(c) {
            conn.open = false;
            resident.closed(self, c);
        }
    }

    /// Limits what the client's socket takes from here on; `None`: as much as comes.
    pub fn set_room(&mut self, c: ConnId, room: Option<usize>) {
        if let Some(conn) = self.conn_mut(c) {
            conn.room = room;
        }
    }

    /// What has reached the client since the last call, also from a connection that has closed
    /// (until its place is used again).
    pub fn take_sent(&mut self, c: ConnId) -> Vec<u8> {
        match self.conns.get_mut(c.index as usize) {
            Some(conn) if conn.generation == c.generation => std::mem::take(&mut conn.sent),
            _ => Vec::new(),
        }
    }

    /// Whether the connection is open (a close that waits for its flush counts as open).
    pub fn is_open(&self, c: ConnId) -> bool {
        self.conn(c).is_some()
    }

    /// Whether reading is paused.
    pub fn is_paused(&self, c: ConnId) -> bool {
        self.conn(c).is_some_and(|conn| conn.paused)
    }

    /// Completes the write with this token, whichever place it has.
    ///
    /// # Panics
    /// If there is no such write.
    pub fn complete<R: Resident<File = LogFile>>(
        &mut self,
        resident: &mut R,
        token: u64,
        result: io::Result<usize>,
    ) {
        let at = self.writes.iter().position(|write| write.token == token);
        let write = at.and_then(|at| self.writes.remove(at)).expect("no such write in flight");
        resident.disk_done(self, token, result, write.buf);
    }

    /// Completes every write in flight, in order, each in full.
    pub fn complete_all<R: Resident<File = LogFile>>(&mut self, resident: &mut R) {
        while let Some(write) = self.writes.pop_front() {
            let bytes = write.buf.len();
            resident.disk_done(self, write.token, Ok(bytes), write.buf);
        }
    }

    /// One pass: what was kept and resumed, closes, `step`, then sends.
    pub fn pass<R: Resident<File = LogFile>>(&mut self, resident: &mut R) -> Turn {
        self.wakes.clear();
        for index in 0..self.conns.len() {
            self.deliver_kept(resident, index);
            self.settle(resident, index);
        }
        let turn = resident.step(self);
        for index in 0..self.conns.len() {
            self.send(index);
        }
        for waker in &self.wakes {
            waker.bell().ring();
        }
        turn
    }

    /// Passes until the resident is idle and nothing is left to send or close.
    ///
    /// # Panics
    /// After a thousand passes: the resident never comes to rest.
    pub fn run<R: Resident<File = LogFile>>(&mut self, resident: &mut R) -> Option<u64> {
        for _ in 0..1000 {
            let turn = self.pass(resident);
            let pending = self.conns.iter().any(|conn| {
                let flushed = conn.out.is_empty() || conn.closing == Some(CloseKind::AtOnce);
                conn.open
                    && (conn.closing.is_some() && flushed
                        || conn.was_full && conn.out.is_empty()
                        || !conn.paused && !conn.kept.is_empty())
            });
            match turn {
                Turn::Idle { deadline_ns } | Turn::Soon { deadline_ns, .. } if !pending => {
                    return deadline_ns;
                }
                Turn::Gather { until_ns, .. } if !pending => return Some(until_ns),
                _ => {}
            }
        }
        panic!("the resident never comes to rest");
    }

    fn id(&self, index: usize) -> ConnId {
        ConnId { index: index as u32, generation: self.conns[index].generation }
    }

    fn conn(&self, c: ConnId) -> Option<&FakeConn> {
        let conn = self.conns.get(c.index as usize)?;
        (conn.open && conn.generation == c.generation).then_some(conn)
    }

    fn conn_mut(&mut self, c: ConnId) -> Option<&mut FakeConn> {
        let conn = self.conns.get_mut(c.index as usize)?;
        (conn.open && conn.generation == c.generation).then_some(conn)
    }

    fn deliver_kept<R: Resident<File = LogFile>>(&mut self, resident: &mut R, index: usize) {
        let c = self.id(index);
        let conn = &mut self.conns[index];
        if conn.open && !conn.paused && !conn.kept.is_empty() {
            let kept = std::mem::take(&mut conn.kept);
            if conn.closing.is_none() {
                resident.bytes(self, c, &kept);
            }
        }
    }

    /// Completes closes that wait for nothing any more, and tells of drained sockets.
    fn settle<R: Resident<File = LogFile>>(&mut self, resident: &mut R, index: usize) {
        let c = self.id(index);
        let conn = &mut self.conns[index];
        if !conn.open {
            return;
        }
        if conn.closing == Some(CloseKind::AtOnce) {
            conn.out.clear();
        }
        if conn.closing.is_some() && conn.out.is_empty() {
            conn.open = false;
            resident.closed(self, c);
        } else if conn.was_full && conn.out.is_empty() {
            conn.was_full = false;
            if conn.closing.is_none() {
                resident.drained(self, c);
            }
        }
    }

    fn send(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        if !conn.open || conn.closing == Some(CloseKind::AtOnce) {
            return;
        }
        let taken = conn.room.unwrap_or(usize::MAX).min(conn.out.len());
        conn.sent.extend(conn.out.drain(..taken));
        conn.taken += taken as u64;
        if let Some(room) = &mut conn.room {
            *room -= taken;
        }
        conn.was_full |= !conn.out.is_empty() || conn.paused && taken > 0;
    }
}

impl Io for FakeIo {
    type File = LogFile;

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn out(&mut self, c: ConnId) -> Option<&mut Vec<u8>> {
        self.conn_mut(c).filter(|conn| conn.closing.is_none()).map(|conn| &mut conn.out)
    }

    fn backlog(&self, c: ConnId) -> usize {
        self.conn(c).map_or(0, |conn| conn.out.len())
    }

    fn taken(&self, c: ConnId) -> u64 {
        self.conn(c).map_or(0, |conn| conn.taken)
    }

    fn held(&self, c: ConnId) -> usize {
        self.backlog(c)
    }

    fn output_bytes(&mut self) -> usize {
        let kept = |conn: &&FakeConn| conn.open && conn.closing != Some(CloseKind::AtOnce);
        self.conns.iter().filter(kept).map(|conn| conn.out.len()).sum()
    }

    fn close(&mut self, c: ConnId, after_flush: bool) {
        if let Some(conn) = self.conn_mut(c)
            && conn.closing != Some(CloseKind::AtOnce)
        {
            conn.closing =
                Some(if after_flush { CloseKind::AfterFlush } else { CloseKind::AtOnce });
        }
    }

    fn pause(&mut self, c: ConnId) {
        if let Some(conn) = self.conn_mut(c) {
            conn.paused = true;
        }
    }

    fn resume(&mut self, c: ConnId) {
        if let Some(conn) = self.conn_mut(c) {
            conn.paused = false;
        }
    }

    fn pause_accept(&mut self) {
        self.accept_paused = true;
    }

    fn resume_accept(&mut self) {
        self.accept_paused = false;
    }

    fn write(&mut self, file: &LogFile, offset: u64, buf: AlignedBuf, token: u64) {
        self.writes.push_back(FakeWrite { file: file.clone(), offset, buf, token });
    }

    fn wake(&mut self, who: &Waker) {
        if !self.wakes.contains(who) {
            self.wakes.push(who.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Echoes; "full" is answered by `drained`; "bye" closes after the echo.
    #[derive(Default)]
    struct Echo {
        log: Vec<String>,
    }

    impl Resident for Echo {
        type File = LogFile;

        fn opened<I: Io>(&mut self, _: &mut I, _: ConnId, _: SocketAddr, _: SocketAddr) {
            self.log.push("opened".into());
        }
        fn bytes<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) {
            io.out(c).expect("an open connection").extend_from_slice(data);
            if data == b"bye" {
                io.close(c, true);
            }
        }
        fn drained<I: Io>(&mut self, _: &mut I, _: ConnId) {
            self.log.push("drained".into());
        }
        fn closed<I: Io>(&mut self, io: &mut I, c: ConnId) {
            assert!(io.out(c).is_none());
            self.log.push("closed".into());
        }
        fn disk_done<I: Io>(
            &mut self,
            _: &mut I,
            token: u64,
            result: io::Result<usize>,
            _: AlignedBuf,
        ) {
            self.log.push(format!("write {token} {}", result.is_ok()));
        }
        fn step<I: Io>(&mut self, _: &mut I) -> Turn {
            Turn::Idle { deadline_ns: None }
        }
    }

    #[test]
    fn a_paused_connection_keeps_what_arrives() {
        let (mut io, mut echo) = (FakeIo::new(), Echo::default());
        let c = io.open(&mut echo);
        io.pause(c);
        io.deliver(&mut echo, c, b"later");
        io.run(&mut echo);
        assert!(io.take_sent(c).is_empty() && io.is_paused(c));
        io.resume(c);
        io.run(&mut echo);
        assert_eq!(io.take_sent(c), b"later");
    }

    #[test]
    fn a_full_socket_backs_up_drains_and_then_closes() {
        let (mut io, mut echo) = (FakeIo::new(), Echo::default());
        let c = io.open(&mut echo);
        io.set_room(c, Some(2));
        io.deliver(&mut echo, c, b"full");
        io.run(&mut echo);
        assert_eq!((io.backlog(c), io.take_sent(c)), (2, b"fu".to_vec()));
        io.set_room(c, None);
        io.run(&mut echo);
        assert_eq!((io.backlog(c), io.take_sent(c)), (0, b"ll".to_vec()));
        io.deliver(&mut echo, c, b"bye");
        assert!(io.out(c).is_none(), "nothing more is taken once it closes");
        io.run(&mut echo);
        assert_eq!(io.take_sent(c), b"bye");
        assert!(!io.is_open(c));
        assert_eq!(echo.log, ["opened", "drained", "closed"]);
        let next = io.open(&mut echo);
        assert_eq!(next.index, c.index);
        assert!(next != c && io.out(c).is_none() && io.out(next).is_some());
    }

    #[test]
    fn writes_complete_in_any_order_and_wakes_are_sent_once() {
        let (mut io, mut echo) = (FakeIo::new(), Echo::default());
        let file = LogFile::from_file(tempfile::tempfile().unwrap());
        for token in 0..3 {
            io.write(&file, token * 4096, AlignedBuf::with_capacity(1), token);
        }
        io.complete(&mut echo, 2, Ok(4096));
        io.complete(&mut echo, 0, Err(io::ErrorKind::StorageFull.into()));
        io.complete_all(&mut echo);
        assert_eq!(echo.log, ["write 2 true", "write 0 false", "write 1 true"]);
        let waker = Waker::new().unwrap();
        io.wake(&waker);
        io.wake(&waker);
        assert_eq!(io.wakes, [waker]);
    }
}
