//! The sockets of all sessions and one event loop over them.
//!
//! One `recv` and one `send` a ready connection and turn: replies are parsed where they were
//! received, and what they allow to be asked next leaves as one write. No allocation a request.
//! What the bytes mean is the business of a [`Handler`].

use crate::error::{Doing, PerfError, Result};
use crate::sys::{self, Epoll, Interest};
use crate::wire::{self, ConnectResponse};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Gives up when no byte comes for this long.
pub const SILENCE_LIMIT_S: u64 = 30;

const RECEIVE_BYTES: usize = 256 * 1024;

/// What is done with replies, and what is asked next.
pub trait Handler {
    /// One frame's body has come; `now_ns` is when it was received.
    fn reply(&mut self, session: usize, body: &[u8], now_ns: u64) -> Result<()>;

    /// All that had come for this session was handed over; appends the frames to send now.
    fn refill(&mut self, session: usize, now_ns: u64, out: &mut Vec<u8>);
}

struct Connection {
    stream: TcpStream,
    /// The front part of a frame whose rest has not come yet.
    partial: Vec<u8>,
    /// What the socket had no room for.
    unsent: Vec<u8>,
}

/// All sessions of one measurement, all to one server.
pub struct Pool {
    epoll: Epoll,
    connections: Vec<Connection>,
    receive: Box<[u8]>,
    out: Vec<u8>,
}

/// How the opening of many sessions went.
#[derive(Debug, Clone)]
pub struct Opened {
    /// From the first connect to the last ConnectResponse, in nanoseconds.
    pub elapsed_ns: u64,
    /// From each connect to its ConnectResponse, in nanoseconds.
    pub each_ns: Vec<u64>,
}

fn io_error(session: usize, doing: &str, source: io::Error) -> PerfError {
    PerfError::Io { what: format!("session {session}: {doing}"), source }
}

impl Pool {
    /// No sessions yet.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new(1024).doing(|| "epoll_create1".into())?,
            connections: Vec::new(),
            receive: vec![0; RECEIVE_BYTES].into_boxed_slice(),
            out: Vec::with_capacity(64 * 1024),
        })
    }

    /// Opens `count` sessions, at most `concurrency` in the making at a time.
    pub fn open(
        &mut self,
        addr: SocketAddr,
        count: usize,
        concurrency: usize,
        timeout_ms: i32,
    ) -> Result<Opened> {
        let first = self.connections.len();
        let start_ns = sys::now_ns();
        let mut opener = Opener {
            first,
            started_ns: Vec::with_capacity(count),
            each_ns: vec![0; count],
            done: 0,
        };
        while opener.done < count {
            while opener.started_ns.len() < count
                && opener.started_ns.len() - opener.done < concurrency
            {
                opener.started_ns.push(sys::now_ns());
                self.begin(addr, timeout_ms)?;
            }
            self.poll_or_fail(&mut opener, || "opening sessions".into())?;
        }
        Ok(Opened { elapsed_ns: sys::now_ns() - start_ns, each_ns: opener.each_ns })
    }

    fn begin(&mut self, addr: SocketAddr, timeout_ms: i32) -> Result<()> {
        let session = self.connections.len();
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))
            .doing(|| format!("socket for session {session} (is `ulimit -n` large enough?)"))?;
        let connecting = |error| io_error(session, "connect", error);
        socket.set_nonblocking(true).map_err(connecting)?;
        socket.set_tcp_nodelay(true).map_err(connecting)?;
        // Closing resets: no ports are left in TIME_WAIT for the next round to trip over.
        socket.set_linger(Some(Duration::ZERO)).map_err(connecting)?;
        match socket.connect(&addr.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(connecting(error));
            }
            _ => {}
        }
        let stream = TcpStream::from(socket);
        self.epoll.add(stream.as_raw_fd(), session, Interest::Read).map_err(connecting)?;
        self.connections.push(Connection { stream, partial: vec![], unsent: vec![] });
        self.out.clear();
        wire::connect(&mut self.out, timeout_ms);
        // Over loopback the connection stands already; if not, the handshake waits as unsent.
        self.send_out(session)
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Lets the handler send first, session by session.
    pub fn kick(&mut self, handler: &mut impl Handler) -> Result<()> {
        for session in 0..self.connections.len() {
            self.refill(session, sys::now_ns(), handler)?;
        }
        Ok(())
    }

    /// Asks the handler what this session sends now, and sends it.
    pub fn refill(
        &mut self,
        session: usize,
        now_ns: u64,
        handler: &mut impl Handler,
    ) -> Result<()> {
        self.out.clear();
        handler.refill(session, now_ns, &mut self.out);
        self.send_out(session)
    }

    /// Sends `self.out`; what does not fit is kept and leaves when there is room.
    fn send_out(&mut self, session: usize) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let connection = &mut self.connections[session];
        if !connection.unsent.is_empty() {
            connection.unsent.extend_from_slice(&self.out);
            return Ok(());
        }
        let mut sent = 0;
        while sent < self.out.len() {
            match (&connection.stream).write(&self.out[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.unsent.extend_from_slice(&self.out[sent..]);
                    let fd = connection.stream.as_raw_fd();
                    return self
                        .epoll
                        .modify(fd, session, Interest::ReadWrite)
                        .map_err(|error| io_error(session, "epoll_ctl", error));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(session, "send", error)),
            }
        }
        Ok(())
    }

    fn flush(&mut self, session: usize) -> Result<()> {
        let connection = &mut self.connections[session];
        let mut sent = 0;
        while sent < connection.unsent.len() {
            match (&connection.stream).write(&connection.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(session, "send", error)),
            }
        }
        connection.unsent.drain(..sent);
        if connection.unsent.is_empty() {
            self.epoll
                .modify(connection.stream.as_raw_fd(), session, Interest::Read)
                .map_err(|error| io_error(session, "epoll_ctl", error))?;
        }
        Ok(())
    }

    /// One turn: waits at most `timeout_ns`, handles what came, sends what follows from it.
    /// Returns how many connections were ready.
    pub fn poll(&mut self, timeout_ns: u64, handler: &mut impl Handler) -> Result<usize> {
        let found = self.epoll.wait(timeout_ns).doing(|| "epoll_pwait2".into())?;
        for index in 0..found {
            let ready = self.epoll.ready(index);
            if ready.writable && !self.connections[ready.token].unsent.is_empty() {
                self.flush(ready.token)?;
            }
            if ready.readable {
                let now_ns = self.receive(ready.token, handler)?;
                self.refill(ready.token, now_ns, handler)?;
            }
        }
        Ok(found)
    }

    /// Like [`Pool::poll`], but silence is an error.
    pub fn poll_or_fail(
        &mut self,
        handler: &mut impl Handler,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.poll(SILENCE_LIMIT_S * 1_000_000_000, handler)? == 0 {
            return Err(PerfError::Silent { seconds: SILENCE_LIMIT_S, what: what() });
        }
        Ok(())
    }

    /// Reads once (a level-triggered set reports the rest in the next turn) and hands over frames.
    fn receive(&mut self, session: usize, handler: &mut impl Handler) -> Result<u64> {
        let connection = &mut self.connections[session];
        let kept = connection.partial.len();
        if kept + RECEIVE_BYTES / 2 > self.receive.len() {
            // A frame longer than the buffer: grow for everybody, once.
            self.receive = vec![0; kept * 2 + RECEIVE_BYTES].into_boxed_slice();
        }
        let count = match (&connection.stream).read(&mut self.receive[kept..]) {
            Ok(0) => return Err(PerfError::Closed { session, state: "end of stream" }),
            Ok(count) => count,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(sys::now_ns());
            }
            Err(error) => return Err(io_error(session, "recv", error)),
        };
        let now_ns = sys::now_ns();
        self.receive[..kept].copy_from_slice(&connection.partial);
        connection.partial.clear();
        let mut rest = &self.receive[..kept + count];
        while let Some((body, used)) =
            wire::next_frame(rest).map_err(|source| PerfError::Wire { session, source })?
        {
            handler.reply(session, body, now_ns)?;
            rest = &rest[used..];
        }
        connection.partial.extend_from_slice(rest);
        Ok(now_ns)
    }

    /// Ends all sessions properly: a server that believed them alive would expire them in the
    /// middle of a later measurement.
    pub fn close(mut self) -> Result<()> {
        const SLICE: usize = 256;
        for first in (0..self.connections.len()).step_by(SLICE) {
            let last = (first + SLICE).min(self.connections.len());
            for session in first..last {
                self.out.clear();
                wire::close_session(&mut self.out, i32::MAX);
                self.send_out(session)?;
            }
            self.await_ends(last - first)?;
        }
        Ok(())
    }

    /// Waits until this many connections have answered or hung up, and watches them no longer.
    fn await_ends(&mut self, count: usize) -> Result<()> {
        let mut ended = 0;
        while ended < count {
            let found = self.epoll.wait(SILENCE_LIMIT_S * 1_000_000_000);
            let found = found.doing(|| "epoll_pwait2".into())?;
            if found == 0 {
                let what = "closing sessions".into();
                return Err(PerfError::Silent { seconds: SILENCE_LIMIT_S, what });
            }
            for index in 0..found {
                let session = self.epoll.ready(index).token;
                let stream = &self.connections[session].stream;
                self.epoll
                    .remove(stream.as_raw_fd())
                    .map_err(|error| io_error(session, "epoll_ctl", error))?;
                ended += 1;
            }
        }
        Ok(())
    }
}

struct Opener {
    first: usize,
    started_ns: Vec<u64>,
    each_ns: Vec<u64>,
    done: usize,
}

impl Handler for Opener {
    fn reply(&mut self, session: usize, body: &[u8], now_ns: u64) -> Result<()> {
        let response =
            ConnectResponse::read(body).map_err(|source| PerfError::Wire { session, source })?;
        let Some(index) = session.checked_sub(self.first) else {
            return Err(PerfError::Wrong { session, what: "a frame nobody asked for".into() });
        };
        if response.session_id == 0 || response.timeout_ms <= 0 {
            let what = format!("session refused: {response:?}");
            return Err(PerfError::Wrong { session, what });
        }
        if self.each_ns[index] != 0 {
            return Err(PerfError::Wrong { session, what: "a second answer to connect".into() });
        }
        self.each_ns[index] = (now_ns - self.started_ns[index]).max(1);
        self.done += 1;
        Ok(())
    }

    fn refill(&mut self, _session: usize, _now_ns: u64, _out: &mut Vec<u8>) {}
}
