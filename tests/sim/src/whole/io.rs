//! What a thread asks of its reactor: its connections' output, log writes, wakes and the time.

use std::cell::Cell;

use ringkeeper::log::Write;
use ringkeeper::reactor::{AlignedBuf, ConnId, Io, Waker};

use crate::disk::Segment;

/// A connection as its thread's reactor keeps it.
pub struct Conn {
    /// Which link it is an end of.
    pub link: usize,
    /// Tells apart connections that used this place in turn.
    pub generation: u32,
    /// What the resident appended and the system has not taken.
    pub out: Vec<u8>,
    /// Of these bytes the frames have been looked at.
    pub tapped: usize,
    /// One send was not enough for its output.
    pub was_full: bool,
    /// Whether it is not read.
    pub paused: bool,
    /// What came while it was paused.
    pub kept: Vec<u8>,
    /// The peer will send no more.
    pub peer_ended: bool,
    /// How it is being closed.
    pub closing: Option<Closing>,
    /// Bytes that the peer has read.
    pub taken: u64,
}

/// How a connection is closed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// What was appended leaves first.
    AfterFlush,
    /// It does not.
    AtOnce,
}

/// See the module's documentation.
#[derive(Default)]
pub struct ThreadIo {
    /// When the pass began.
    pub now_ns: u64,
    /// The wall clock is ahead of it by so much.
    pub wall_ahead_ms: i64,
    /// What a look at the clock takes.
    pub look_ns: u64,
    /// How often it was looked at in this pass.
    pub looks: Cell<u64>,
    /// By [`ConnId::index`].
    pub conns: Vec<Option<Conn>>,
    /// How often each place was used.
    pub generations: Vec<u32>,
    /// Connections that are read again.
    pub resumed: Vec<ConnId>,
    /// Writes that were begun in this pass.
    pub writes: Vec<Write<Segment>>,
    /// Who is to be woken at its end.
    pub wakes: Vec<Waker>,
}

impl ThreadIo {
    /// A connection was accepted.
    pub fn open(&mut self, link: usize) -> ConnId {
        let index = self.conns.iter().position(Option::is_none).unwrap_or_else(|| {
            self.conns.push(None);
            self.generations.push(0);
            self.conns.len() - 1
        });
        self.generations[index] += 1;
        let generation = self.generations[index];
        self.conns[index] = Some(Conn {
            link,
            generation,
            out: Vec::new(),
            tapped: 0,
            was_full: false,
            paused: false,
            kept: Vec::new(),
            peer_ended: false,
            closing: None,
            taken: 0,
        });
        ConnId { index: index as u32, generation }
    }

    /// The connection, if it is there.
    pub fn get(&self, c: ConnId) -> Option<&Conn> {
        self.conns.get(c.index as usize)?.as_ref().filter(|conn| conn.generation == c.generation)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, c: ConnId) -> Option<&mut Conn> {
        let conn = self.conns.get_mut(c.index as usize)?.as_mut();
        conn.filter(|conn| conn.generation == c.generation)
    }

    /// All that are there.
    pub fn ids(&self) -> Vec<ConnId> {
        let ids = self.conns.iter().enumerate().filter_map(|(index, conn)| {
            let generation = conn.as_ref()?.generation;
            Some(ConnId { index: index as u32, generation })
        });
        ids.collect()
    }
}

impl Io for ThreadIo {
    type File = Segment;

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn clock_ns(&self) -> u64 {
        self.looks.set(self.looks.get() + 1);
        self.now_ns + self.looks.get() * self.look_ns
    }

    fn wall_clock_ms(&self) -> i64 {
        (self.now_ns / 1_000_000) as i64 + self.wall_ahead_ms
    }

    fn fatal(&mut self, why: &str) -> ! {
        panic!("the process ends: {why}")
    }

    fn out(&mut self, c: ConnId) -> Option<&mut Vec<u8>> {
        self.get_mut(c).filter(|conn| conn.closing.is_none()).map(|conn| &mut conn.out)
    }

    fn backlog(&self, c: ConnId) -> usize {
        self.get(c).map_or(0, |conn| conn.out.len())
    }

    fn taken(&self, c: ConnId) -> u64 {
        self.get(c).map_or(0, |conn| conn.taken)
    }

    fn held(&self, c: ConnId) -> usize {
        self.backlog(c)
    }

    fn output_bytes(&mut self) -> usize {
        let kept = |conn: &&Conn| conn.closing != Some(Closing::AtOnce);
        self.conns.iter().flatten().filter(kept).map(|conn| conn.out.len()).sum()
    }

    fn close(&mut self, c: ConnId, after_flush: bool) {
        if let Some(conn) = self.get_mut(c)
            && conn.closing != Some(Closing::AtOnce)
        {
            conn.closing = Some(if after_flush { Closing::AfterFlush } else { Closing::AtOnce });
        }
    }

    fn pause(&mut self, c: ConnId) {
        if let Some(conn) = self.get_mut(c) {
            conn.paused = true;
        }
    }

    fn resume(&mut self, c: ConnId) {
        if let Some(conn) = self.get_mut(c) {
            conn.paused = false;
            self.resumed.push(c);
        }
    }

    fn pause_accept(&mut self) {}

    fn resume_accept(&mut self) {}

    fn write(&mut self, file: &Segment, offset: u64, buf: AlignedBuf, token: u64) {
        self.writes.push(Write { file: file.clone(), offset, buf, token });
    }

    fn wake(&mut self, who: &Waker) {
        if !self.wakes.contains(who) {
            self.wakes.push(who.clone());
        }
    }
}
