//! A constant-answer server on a plain epoll loop: the floor under everything that is measured
//! here, and a server for this program's own tests.
//!
//! The first frame of a connection is answered as a handshake, every later one by a reply of fixed
//! size with the request's xid and err 0. With fan-out, a setData makes it write a watch event for
//! the request's path to all other connections first. It checks nothing and stores nothing.

use crate::error::{Doing, Result};
use crate::sys::{Epoll, Interest};
use crate::wire::{self, Reader, op};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

const LISTENER: usize = usize::MAX;

/// What the stub answers.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// Bytes of a reply behind its header.
    pub reply_bytes: usize,
    /// Tell all other connections of a setData.
    pub fanout: bool,
}

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
    unsent: Vec<u8>,
    shaken: bool,
}

/// Serves until the process ends or a system call fails.
pub fn serve(listener: &TcpListener, answers: Answers) -> Result<()> {
    listener.set_nonblocking(true).doing(|| "set the listener non-blocking".into())?;
    let mut epoll = Epoll::new(1024).doing(|| "epoll_create1".into())?;
    epoll.add(listener.as_raw_fd(), LISTENER, Interest::Read).doing(|| "epoll_ctl".into())?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut out = Vec::with_capacity(256 * 1024);
    loop {
        let found = epoll.wait(3_600_000_000_000).doing(|| "epoll_pwait2".into())?;
        for index in 0..found {
            let ready = epoll.ready(index);
            if ready.token == LISTENER {
                accept_all(listener, &epoll, &mut connections)?;
                continue;
            }
            out.clear();
            let mut told = Vec::new();
            let alive = match &mut connections[ready.token] {
                Some(connection) => {
                    step(connection, &mut buffer, &mut out, &mut told, answers)
                        && send(connection, &out, &epoll, ready.token)
                }
                None => true,
            };
            if !alive {
                connections[ready.token] = None;
            }
            if !told.is_empty() {
                tell(&mut connections, ready.token, &told, &epoll);
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    connections: &mut Vec<Option<Connection>>,
) -> Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).doing(|| "accept".into()),
        };
        stream.set_nonblocking(true).doing(|| "set a socket non-blocking".into())?;
        stream.set_nodelay(true).doing(|| "set TCP_NODELAY".into())?;
        let token = connections.len();
        epoll.add(stream.as_raw_fd(), token, Interest::Read).doing(|| "epoll_ctl".into())?;
        let connection = Connection { stream, partial: vec![], unsent: vec![], shaken: false };
        connections.push(Some(connection));
    }
}

/// Reads once and appends the answers; false when the connection is over.
fn step(
    connection: &mut Connection,
    buffer: &mut [u8],
    out: &mut Vec<u8>,
    told: &mut Vec<u8>,
    answers: Answers,
) -> bool {
    let kept = connection.partial.len();
    if kept * 2 > buffer.len() {
        return false;
    }
    let count = match (&connection.stream).read(&mut buffer[kept..]) {
        Ok(0) => return false,
        Ok(count) => count,
        Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
    };
    buffer[..kept].copy_from_slice(&connection.partial);
    connection.partial.clear();
    let mut rest = &buffer[..kept + count];
    loop {
        match wire::next_frame(rest) {
            Ok(Some((body, used))) => {
                answer(connection.shaken, body, out, told, answers);
                connection.shaken = true;
                rest = &rest[used..];
            }
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    connection.partial.extend_from_slice(rest);
    true
}

fn answer(shaken: bool, body: &[u8], out: &mut Vec<u8>, told: &mut Vec<u8>, answers: Answers) {
    if !shaken {
        wire::frame(out, |w| {
            w.int(0).int(30_000).long(1).buffer(&[0; 16]).boolean(false);
        });
        return;
    }
    let start = out.len();
    let body_bytes = wire::REPLY_HEADER_BYTES + answers.reply_bytes;
    out.resize(start + 4 + body_bytes, 0);
    out[start..start + 4].copy_from_slice(&(body_bytes as u32).to_be_bytes());
    if let Some(xid) = body.get(..4) {
        out[start + 4..start + 8].copy_from_slice(xid);
    }
    if answers.fanout {
        let mut reader = Reader::new(body);
        let _ = reader.int("xid");
        if reader.int("type") == Ok(op::SET_DATA) {
            wire::frame(told, |w| {
                w.int(wire::XID_NOTIFICATION).long(0).int(0);
                w.int(wire::EVENT_DATA_CHANGED).int(3).text(reader.text("path").unwrap_or(""));
            });
        }
    }
}

fn tell(connections: &mut [Option<Connection>], from: usize, told: &[u8], epoll: &Epoll) {
    for (token, slot) in connections.iter_mut().enumerate() {
        if token == from {
            continue;
        }
        if let Some(connection) = slot.as_mut().filter(|c| c.shaken)
            && !send(connection, told, epoll, token)
        {
            *slot = None;
        }
    }
}

/// Sends what waits and then `out`; what does not fit waits. False when the connection is over.
fn send(connection: &mut Connection, out: &[u8], epoll: &Epoll, token: usize) -> bool {
    let waited = !connection.unsent.is_empty();
    if waited {
        connection.unsent.extend_from_slice(out);
    }
    let queue = std::mem::take(&mut connection.unsent);
    let bytes = if waited { &queue[..] } else { out };
    let mut sent = 0;
    while sent < bytes.len() {
        match (&connection.stream).write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(_) => return false,
        }
    }
    connection.unsent = bytes[sent..].to_vec();
    let waits = !connection.unsent.is_empty();
    if waits == waited {
        return true;
    }
    let interest = if waits { Interest::ReadWrite } else { Interest::Read };
    epoll.modify(connection.stream.as_raw_fd(), token, interest).is_ok()
}
