//! Connections between clients and the server: bytes on their way, in pieces, late, lost with the connection; what the
//! system holds for a client that reads slowly.

use std::collections::VecDeque;

use ringkeeper::reactor::ConnId;

use super::Violation;
use super::thread::Arrived;
use super::world::{CALM_MEAN, Event, World};
use crate::time::{MS, Micros};

/// What a client sends.
pub enum Up {
    /// The connection itself.
    Open,
    /// Bytes.
    Data(Vec<u8>),
    /// Its end.
    End,
}

/// A connection between a client and the server.
pub struct Link {
    /// Whose.
    pub client: usize,
    /// With which thread.
    thread: usize,
    /// Of which process.
    pub process: u64,
    /// As the thread's reactor knows it.
    pub conn: Option<ConnId>,
    /// When the last of what the client sent arrives.
    up_at: Micros,
    /// What the system has for the client.
    pub down: VecDeque<u8>,
    /// The client is about to read.
    reading: bool,
    /// The client has closed it.
    pub client_closed: bool,
    /// What is on its way to the server is lost.
    is_cut: bool,
    /// The server has, or is gone.
    pub server_closed: bool,
    /// Whether the answer to the connect request has left.
    pub greeted: bool,
    /// What the client has read of a frame that is not whole.
    pub unparsed: Vec<u8>,
    /// Whether the client is slow.
    is_slow: bool,
}

impl World {
    /// A client connects.
    pub fn open_link(&mut self, client: usize, thread: usize) -> usize {
        let is_slow = self.net.chance(self.plan.slow);
        self.links.push(Link {
            client,
            thread,
            process: self.process,
            conn: None,
            up_at: 0,
            down: VecDeque::new(),
            reading: false,
            client_closed: false,
            is_cut: false,
            server_closed: false,
            greeted: false,
            unparsed: Vec::new(),
            is_slow,
        });
        let link = self.links.len() - 1;
        self.put_up(link, Up::Open);
        link
    }

    /// A client sends bytes, which may arrive in pieces.
    pub fn send_up(&mut self, link: usize, mut bytes: Vec<u8>) {
        while bytes.len() > 1 && self.net.chance(self.plan.pieces) {
            let rest = bytes.split_off(1 + self.net.below(bytes.len() as u64 - 1) as usize);
            self.put_up(link, Up::Data(bytes));
            bytes = rest;
        }
        self.put_up(link, Up::Data(bytes));
    }

    fn put_up(&mut self, link: usize, up: Up) {
        let at = self.queue.now() + 1 + self.way();
        let at = at.max(self.links[link].up_at);
        self.links[link].up_at = at;
        self.queue.put(at, Event::Up(link, up));
    }

    /// What bytes take this time; when the faults are over never long.
    fn way(&mut self) -> Micros {
        let mean = if self.is_calm { self.plan.net.min(CALM_MEAN) } else { self.plan.net };
        self.net.spread(mean)
    }

    /// A client closes a connection: what it sent before arrives, or it breaks.
    pub fn close_link(&mut self, link: usize) {
        if std::mem::replace(&mut self.links[link].client_closed, true) {
            return;
        }
        self.links[link].down.clear();
        if self.net.chance(500) {
            self.links[link].is_cut = true;
        }
        self.put_up(link, Up::End);
    }

    /// Something of a client's arrives at the server.
    pub fn come_up(&mut self, at: usize, up: Up) {
        let link = &mut self.links[at];
        if link.process != self.process || self.server.is_none() {
            link.server_closed = true;
            return self.read_soon(at);
        }
        let (thread, client) = (link.thread, link.client);
        if matches!(up, Up::Data(_)) && !link.is_cut {
            self.arrives(client, at);
        }
        let link = &self.links[at];
        let arrived = match up {
            Up::Open => Arrived::Open(at),
            Up::Data(_) if link.is_cut => return,
            Up::Data(bytes) => Arrived::Data(at, bytes),
            Up::End => Arrived::End(at),
        };
        self.arrive(thread, arrived);
    }

    /// There is something for a client to read.
    pub fn read_soon(&mut self, at: usize) {
        let mut after = 1 + self.way();
        let link = &mut self.links[at];
        if link.reading || link.client_closed {
            return;
        }
        link.reading = true;
        if link.is_slow && !self.is_calm {
            after += self.net.spread(20 * MS);
        }
        self.queue.put(self.queue.now() + after, Event::Read(at));
    }

    /// A client reads.
    pub fn read(&mut self, at: usize) -> Result<(), Violation> {
        let link = &mut self.links[at];
        link.reading = false;
        if link.client_closed {
            return Ok(());
        }
        let most = if link.is_slow && !self.is_calm { 300 } else { 1 << 16 };
        let n = (self.net.between(1, most) as usize).min(link.down.len());
        let bytes: Vec<u8> = link.down.drain(..n).collect();
        let (client, thread, conn) = (link.client, link.thread, link.conn);
        if n > 0 {
            let server = self.server.as_mut().filter(|_| self.links[at].process == self.process);
            if let Some(conn) = conn
                && let Some(conn) = server.and_then(|s| s.threads[thread].io.get_mut(conn))
            {
                conn.taken += n as u64;
                if !conn.out.is_empty() {
                    self.arrive(thread, Arrived::Room(at));
                }
            }
            self.heard(client, at, &bytes)?;
        }
        let link = &self.links[at];
        if !link.down.is_empty() {
            self.read_soon(at);
        } else if link.server_closed && !link.client_closed {
            self.links[at].client_closed = true;
            self.lost(client, at);
        }
        Ok(())
    }
}
