//! What a client may do wrong, by mistake or on purpose, against the real binary. Each attack must end in a protocol
//! error or a closed connection, be counted, and leave at most a log line a second of its kind, while a healthy session
//! goes on being served and the process's memory stays bounded.

#[path = "../common/mod.rs"]
mod common;
mod connections;
mod disk;
mod floods;
mod frames;
mod totals;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Client, Incoming, Server, number, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringkeeper::jute::Encode;
use ringkeeper::protocol::{
    AclRef, AddWatchRequest, AuthPacket, CreateRequest, DeleteRequest, ErrorCode, GetDataRequest,
    MultiOp, MultiResult, MultiResults, OpCode, SetDataRequest, end_multi, perms,
};
use socket2::{Domain, SockRef, Socket, Type};

const MIB: u64 = 1 << 20;

/// Two shards and the core apart, small log segments, and the lines of the test.
fn server(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &["--shards", "2", "--placement", "apart"])
}

/// A connection without a handshake.
fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    stream
}

/// A connection from `source` whose kernel takes little off the server that its owner does not read.
fn connect_from(source: &str, port: u16, receive_bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(receive_bytes).expect("a small buffer");
    socket
        .bind(&format!("{source}:0").parse::<SocketAddr>().expect("an address").into())
        .expect("bind");
    let to: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
    socket.connect(&to.into()).expect("connect");
    socket.into()
}

/// Everything until the server closes the connection, which it must.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("the server did not close it"),
        // Reset, because it had not read everything: closed all the same.
        _ => all,
    }
}

/// Sends what the server may refuse to read to its end.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// A session that writes and reads all the time; it must never notice what others do.
struct Healthy {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Healthy {
    fn start(server: &Server) -> Healthy {
        let mut c = Client::connect(server.port, 10_000).expect("connect");
        assert_eq!(c.create("/healthy", b"", 1).expect("create"), 0);
        let (rounds, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (rounds.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let value = counted.load(Ordering::Relaxed).to_string();
                c.set("/healthy", value.as_bytes()).expect("send").expect("set");
                let (data, _) = c.get("/healthy").expect("get").expect("its ephemeral is there");
                assert_eq!(data, value.as_bytes());
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Healthy { rounds, stop, thread: Some(thread) }
    }

    /// It is still served.
    fn is_served(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        until("the healthy session is served", || self.rounds.load(Ordering::Relaxed) > before + 1);
    }

    /// It was served all the time; and the server has neither panicked nor filled its log.
    fn end(mut self, server: &Server, began: Instant) {
        self.is_served();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("the healthy session");
        assert_eq!(server.word("ruok").expect("ruok"), "imok");
        let log = server.log();
        assert!(!log.contains("panicked"), "{log}");
        let seconds = began.elapsed().as_secs() as usize;
        for kind in [
            "refused a",
            "announced a frame",
            "first frame",
            "no request header",
            "opcode",
            "malformed",
            "has not read",
            "no handshake",
            "whitelist",
            "authentication",
            "multiRead",
        ] {
            let lines =
                log.lines().filter(|line| line.contains("WARN") && line.contains(kind)).count();
            assert!(lines <= seconds + 2, "{lines} lines of \"{kind}\" in {seconds} s\n{log}");
        }
    }
}
