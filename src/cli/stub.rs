//! `ringkeeper stub`: a server that answers every request alike. It is what the reactor alone can
//! do, and so the mark that the whole server is measured against.

use crate::reactor::{
    AlignedBuf, ConnId, Io, LogFile, ReactorConfig, ReactorStats, Resident, Turn, monotonic_ns,
    spawn,
};
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;

/// What a getData of 128 bytes answers behind the header: length, data, Stat.
const REPLY_BYTES: usize = 4 + 128 + 68;
/// A NodeDataChanged notification of a path of 16 bytes: header, type, state, length, path.
const EVENT_BYTES: usize = 16 + 4 + 4 + 4 + 16;
/// Longer requests end the connection, as jute.maxbuffer does.
const FRAME_BYTES_MAX: usize = 1 << 20;
const SET_DATA: i32 = 5;
const CLOSE_SESSION: i32 = -11;
const PAYLOAD_FILL: u8 = b'x';

/// Options of `ringkeeper stub`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The port to listen on, on the loopback interface
    #[arg(long, default_value_t = 2181)]
    client_port: u16,
    /// Bytes of a reply behind its header
    #[arg(long, default_value_t = REPLY_BYTES)]
    reply_bytes: usize,
    /// On a setData, first send an event to all other connections
    #[arg(long)]
    fanout: bool,
    /// Pin the thread to this CPU
    #[arg(long)]
    cpu: Option<usize>,
    /// Poll so long before sleeping, microseconds
    #[arg(long, default_value_t = 0)]
    busy_poll_us: u32,
    /// Print the reactor's counters every so many seconds
    #[arg(long)]
    stats_s: Option<u64>,
}

/// Serves until it is killed.
///
/// # Errors
/// When the port cannot be bound or the reactor not be started.
pub fn run(args: Args) -> io::Result<()> {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.client_port)))?;
    let address = listener.local_addr()?;
    let cfg = ReactorConfig {
        name: "stub".into(),
        cpu: args.cpu,
        listen: vec![listener],
        busy_poll_us: args.busy_poll_us,
        ..ReactorConfig::default()
    };
    let (reply_bytes, fanout) = (args.reply_bytes, args.fanout);
    let handle = spawn(cfg, move || Stub::new(reply_bytes, fanout))?;
    println!("answering on {address}");
    if let Some(every_s) = args.stats_s.filter(|every_s| *every_s > 0) {
        let stats = handle.stats.clone();
        std::thread::spawn(move || print_stats(&stats, every_s));
    }
    handle.join()
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn print_stats(stats: &ReactorStats, every_s: u64) {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(every_s));
        println!("{stats:?}");
        debug_assert!(stats.passes.load(Relaxed) > 0);
    }
}

/// What the stub knows of one connection.
#[derive(Default)]
struct Client {
    generation: u32,
    session: bool,
    /// The beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
}

struct Stub {
    reply: Vec<u8>,
    event: Option<Vec<u8>>,
    clients: Vec<Client>,
    open: HashSet<ConnId>,
    sessions: i64,
}

impl Stub {
    fn new(reply_bytes: usize, fanout: bool) -> Self {
        // As in a getData reply: the length of the data, the data, a Stat.
        let mut reply = vec![PAYLOAD_FILL; reply_bytes];
        if let Some(data_bytes) = reply_bytes.checked_sub(4 + 68) {
            reply[..4].copy_from_slice(&(data_bytes as i32).to_be_bytes());
            reply[4 + data_bytes..].fill(0);
        }
        let event = fanout.then(|| {
            let mut event = Vec::new();
            put_header(&mut event, EVENT_BYTES, -1, -1);
            for field in [3i32, 3, 16] {
                event.extend_from_slice(&field.to_be_bytes());
            }
            event.extend_from_slice(b"/stub/some-node0");
            event
        });
        Self {
            reply,
            event,
            clients: Vec::new(),
            open: HashSet::new(),
            sessions: monotonic_ns() as i64,
        }
    }

    /// Answers one request (the frame without its length). False: the connection is to be closed.
    fn answer<I: Io>(&mut self, io: &mut I, c: ConnId, frame: &[u8]) -> bool {
        let client = &mut self.clients[c.index as usize];
        if !client.session {
            client.session = true;
            self.sessions += 1;
            let Some(out) = io.out(c) else { return true };
            // ConnectRequest: protocol, lastZxidSeen, timeout, session, password.
            let timeout_ms = frame.get(12..16).unwrap_or(&[0, 0, 0x75, 0x30]);
            out.extend_from_slice(&37u32.to_be_bytes());
            out.extend_from_slice(&0u32.to_be_bytes());
            out.extend_from_slice(timeout_ms);
            out.extend_from_slice(&self.sessions.to_be_bytes());
            out.extend_from_slice(&16u32.to_be_bytes());
            out.extend_from_slice(&[7; 16]);
            out.push(0);
            return true;
        }
        let (Some(xid), Some(op)) = (int(frame, 0), int(frame, 4)) else { return false };
        if op == SET_DATA
            && let Some(event) = &self.event
        {
            for other in self.open.iter().filter(|other| **other != c) {
                if let Some(out) = io.out(*other) {
                    out.extend_from_slice(event);
                }
            }
        }
        let Some(out) = io.out(c) else { return true };
        let payload = if op == CLOSE_SESSION { &[][..] } else { &self.reply };
        put_header(out, 16 + payload.len(), xid, 1);
        out.extend_from_slice(payload);
        op != CLOSE_SESSION
    }

    /// Answers all whole frames; how many bytes those were, or `None` to close.
    fn answer_all<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) -> Option<usize> {
        let mut used = 0;
        while let Some(len) = int(data, used) {
            let len = usize::try_from(len).ok().filter(|len| *len <= FRAME_BYTES_MAX)?;
            let Some(frame) = data.get(used + 4..used + 4 + len) else { break };
            if !self.answer(io, c, frame) {
                return None;
            }
            used += 4 + len;
        }
        Some(used)
    }
}

impl Resident for Stub {
    type File = LogFile;

    fn opened<I: Io>(&mut self, _: &mut I, c: ConnId, _: SocketAddr, _: SocketAddr) {
        let at = c.index as usize;
        if self.clients.len() <= at {
            self.clients.resize_with(at + 1, Client::default);
        }
        self.clients[at] = Client { generation: c.generation, ..Client::default() };
        self.open.insert(c);
    }

    fn bytes<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) {
        let client = &mut self.clients[c.index as usize];
        debug_assert_eq!(client.generation, c.generation);
        if client.partial.is_empty() {
            match self.answer_all(io, c, data) {
                Some(used) if used == data.len() => {}
                Some(used) => self.clients[c.index as usize].partial = data[used..].to_vec(),
                None => io.close(c, true),
            }
            return;
        }
        let mut whole = std::mem::take(&mut client.partial);
        whole.extend_from_slice(data);
        match self.answer_all(io, c, &whole) {
            Some(used) if used == whole.len() => {}
            Some(used) => {
                whole.drain(..used);
                self.clients[c.index as usize].partial = whole;
            }
            None => io.close(c, true),
        }
    }

    fn drained<I: Io>(&mut self, _: &mut I, _: ConnId) {}

    fn closed<I: Io>(&mut self, _: &mut I, c: ConnId) {
        self.clients[c.index as usize] = Client::default();
        self.open.remove(&c);
    }

    fn disk_done<I: Io>(&mut self, _: &mut I, _: u64, _: io::Result<usize>, _: AlignedBuf) {}

    fn step<I: Io>(&mut self, _: &mut I) -> Turn {
        Turn::Idle { deadline_ns: None }
    }
}

/// The length prefix and a ReplyHeader without error. `len` counts what follows the prefix.
fn put_header(out: &mut Vec<u8>, len: usize, xid: i32, zxid: i64) {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&(len as u32).to_be_bytes());
    header[4..8].copy_from_slice(&xid.to_be_bytes());
    header[8..16].copy_from_slice(&zxid.to_be_bytes());
    out.extend_from_slice(&header);
}

fn int(data: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::testing::FakeIo;

    fn connect(io: &mut FakeIo, stub: &mut Stub) -> ConnId {
        let c = io.open(stub);
        let mut request = 44u32.to_be_bytes().to_vec();
        request.extend_from_slice(&[0; 12]);
        request.extend_from_slice(&4000u32.to_be_bytes());
        request.extend_from_slice(&[0; 28]);
        io.deliver(stub, c, &request);
        io.run(stub);
        let response = io.take_sent(c);
        assert_eq!(
            (response.len(), int(&response, 0), int(&response, 8)),
            (41, Some(37), Some(4000))
        );
        c
    }

    fn request(xid: i32, op: i32) -> Vec<u8> {
        [8i32, xid, op].iter().flat_map(|field| field.to_be_bytes()).collect()
    }

    #[test]
    fn answers_requests_however_they_are_cut() {
        let (mut io, mut stub) = (FakeIo::new(), Stub::new(REPLY_BYTES, false));
        let c = connect(&mut io, &mut stub);
        let requests = [request(1, 4), request(-2, 11), request(3, 4)].concat();
        for cut in 0..=requests.len() {
            io.deliver(&mut stub, c, &requests[..cut]);
            io.deliver(&mut stub, c, &requests[cut..]);
            io.run(&mut stub);
            let sent = io.take_sent(c);
            let xids: Vec<_> = sent.chunks(20 + REPLY_BYTES).map(|r| int(r, 4).unwrap()).collect();
            assert_eq!(xids, [1, -2, 3]);
            assert_eq!(int(&sent, 20), Some(128));
        }
        io.deliver(&mut stub, c, &request(4, CLOSE_SESSION));
        io.run(&mut stub);
        assert!(io.take_sent(c).len() == 20 && !io.is_open(c));
    }

    #[test]
    fn fanout_tells_all_others_before_it_replies() {
        let (mut io, mut stub) = (FakeIo::new(), Stub::new(10, true));
        let clients: Vec<_> = (0..3).map(|_| connect(&mut io, &mut stub)).collect();
        io.deliver(&mut stub, clients[0], &request(7, SET_DATA));
        io.run(&mut stub);
        assert_eq!(int(&io.take_sent(clients[0]), 4), Some(7));
        for other in &clients[1..] {
            let event = io.take_sent(*other);
            assert_eq!((event.len(), int(&event, 4)), (4 + EVENT_BYTES, Some(-1)));
        }
    }

    #[test]
    fn a_frame_too_long_closes() {
        let (mut io, mut stub) = (FakeIo::new(), Stub::new(0, false));
        let c = connect(&mut io, &mut stub);
        io.deliver(&mut stub, c, &i32::MAX.to_be_bytes());
        io.run(&mut stub);
        assert!(!io.is_open(c));
    }
}
