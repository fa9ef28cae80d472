//! A blocking client for what happens outside the measured windows: preparing nodes, checking
//! afterwards, asking a server whether it is ready.

use crate::error::{Doing, PerfError, Result};
use crate::load::closed::check_reply;
use crate::wire::{self, ConnectResponse, Reader, ReplyHeader, Stat};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One session.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    consumed: usize,
    next_xid: i32,
}

impl Client {
    /// Opens a session; `patience` bounds every wait for an answer.
    pub fn connect(addr: SocketAddr, patience: Duration) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&addr, patience).doing(|| format!("connect to {addr}"))?;
        stream.set_read_timeout(Some(patience)).doing(|| "set a time-out".into())?;
        stream.set_nodelay(true).doing(|| "set TCP_NODELAY".into())?;
        let mut client = Self { stream, received: Vec::new(), consumed: 0, next_xid: 1 };
        let mut request = Vec::new();
        wire::connect(&mut request, 30_000);
        client.send(&request)?;
        let body = client.frame()?;
        let response =
            ConnectResponse::read(body).map_err(|source| PerfError::Wire { session: 0, source })?;
        if response.session_id == 0 {
            let what = format!("session refused: {response:?}");
            return Err(PerfError::Wrong { session: 0, what });
        }
        Ok(client)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).doing(|| "send a request".into())
    }

    fn frame(&mut self) -> Result<&[u8]> {
        loop {
            let pending = &self.received[self.consumed..];
            let found = wire::next_frame(pending)
                .map_err(|source| PerfError::Wire { session: 0, source })?;
            if let Some((body, used)) = found {
                let start = self.consumed + used - body.len();
                self.consumed += used;
                return Ok(&self.received[start..self.consumed]);
            }
            self.received.drain(..self.consumed);
            self.consumed = 0;
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk).doing(|| "receive a reply".into())? {
                0 => return Err(PerfError::Closed { session: 0, state: "waiting for a reply" }),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }

    fn xid(&mut self) -> i32 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    /// Creates these nodes, pipelined; any failure is an error.
    pub fn create_all(&mut self, paths: &[String], data: &[u8]) -> Result<()> {
        for some in paths.chunks(256) {
            let mut requests = Vec::new();
            let first = self.next_xid;
            for path in some {
                let xid = self.xid();
                wire::create(&mut requests, xid, path, data);
            }
            self.send(&requests)?;
            for (path, xid) in some.iter().zip(first..) {
                let bytes = wire::REPLY_HEADER_BYTES + 4 + path.len();
                let body = self.frame()?;
                check_reply(0, body, xid, bytes)?;
            }
        }
        Ok(())
    }

    /// Data and Stat of a node.
    pub fn get_data(&mut self, path: &str) -> Result<(Vec<u8>, Stat)> {
        let xid = self.xid();
        let mut request = Vec::new();
        wire::get_data(&mut request, xid, path, false);
        self.send(&request)?;
        let body = self.frame()?;
        let mut reader = Reader::new(body);
        let mut decode = || {
            let header = ReplyHeader::read(&mut reader)?;
            if header.xid != xid || header.err != 0 {
                return Ok(Err(format!("getData {path}: expected xid {xid}, got {header:?}")));
            }
            Ok(Ok((reader.buffer("data")?.to_vec(), Stat::read(&mut reader)?)))
        };
        decode()
            .map_err(|source| PerfError::Wire { session: 0, source })?
            .map_err(|what| PerfError::Wrong { session: 0, what })
    }
}

/// Asks a four-letter word; the server answers and hangs up.
pub fn four_letters(addr: SocketAddr, word: &str, patience: Duration) -> Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&addr, patience).doing(|| format!("connect to {addr}"))?;
    stream.set_read_timeout(Some(patience)).doing(|| "set a time-out".into())?;
    stream.write_all(word.as_bytes()).doing(|| format!("send {word}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(|| format!("answer to {word}"))?;
    Ok(answer)
}
