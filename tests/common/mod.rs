//! What the tests against the real binary share: starting it, and a small blocking client that shows every byte's
//! meaning (order of replies and events, zxids, errors) instead of hiding it as a client library would.

#![allow(dead_code)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringkeeper::jute::Decoder;
use ringkeeper::protocol::{
    AclRef, ConnectRequest, ConnectResponse, CreateRequest, EventType, GetDataRequest, OpCode,
    ReplyHeader, RequestHeader, SetDataRequest, Stat, WatcherEvent, begin_frame, end_frame, perms,
};

/// A running server; killed when dropped.
pub struct Server {
    child: Option<Child>,
    pub port: u16,
    pub dir: PathBuf,
    config: PathBuf,
    args: Vec<String>,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Server {
    /// Starts a server in `dir` with extra lines of configuration and extra flags, and waits until it serves.
    pub fn start(dir: &Path, config_lines: &str, args: &[&str]) -> Server {
        let port = free_port();
        let config = dir.join("zoo.cfg");
        let text = format!(
            "clientPort={port}\nclientPortAddress=127.0.0.1\ndataDir={}\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n{config_lines}\n",
            dir.join("data").display()
        );
        std::fs::write(&config, text).expect("write zoo.cfg");
        let args = args.iter().map(|a| a.to_string()).collect();
        let mut server = Server { child: None, port, dir: dir.to_path_buf(), config, args };
        server.start_again();
        server
    }

    /// Starts it again on the same data and port.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("server.log"))
            .expect("open the server's log");
        let child = Command::new(env!("CARGO_BIN_EXE_ringkeeper"))
            .arg("server")
            .arg("--config")
            .arg(&self.config)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("start ringkeeper");
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.word("ruok").ok().as_deref() != Some("imok") {
            let exited = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
            assert!(exited.is_none(), "the server ended: {exited:?}\n{}", self.log());
            assert!(Instant::now() < deadline, "the server does not serve\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything the server has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).unwrap_or_default()
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("it runs").id() as i32
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) of a child that has not been waited for.
        let sent = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(sent, 0, "kill: {}", io::Error::last_os_error());
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().expect("wait for the server");
        }
    }

    /// SIGTERM, and waits until it is gone; its exit status.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        self.stop_by(libc::SIGTERM)
    }

    /// The same by another signal.
    pub fn stop_by(&mut self, signal: i32) -> std::process::ExitStatus {
        self.signal(signal);
        self.child.take().expect("it runs").wait().expect("wait for the server")
    }

    /// A number that `mntr` shows; 0 where it shows none.
    pub fn metric(&self, name: &str) -> i64 {
        let text = self.word("mntr").expect("mntr");
        assert!(text.contains("zk_znode_count"), "mntr says: {text}");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix("zk_")?.split_once('\t'));
        let found = lines.find(|(found, _)| *found == name);
        found.map_or(0, |(_, value)| value.trim().parse().expect("a number"))
    }

    /// Bytes of memory that the process has resident.
    pub fn resident_bytes(&self) -> u64 {
        let status = format!("/proc/{}/statm", self.pid());
        let status = std::fs::read_to_string(status).expect("/proc");
        let pages = status.split(' ').nth(1).expect("resident pages");
        pages.parse::<u64>().expect("a number") * 4096
    }

    /// Asks a four-letter word.
    pub fn word(&self, word: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = &log[log.len().saturating_sub(4000)..];
            eprintln!("--- the server's last words ---\n{tail}");
        }
    }
}

/// Waits until `done`, and fails after a minute.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One frame from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Reply { xid: i32, zxid: i64, err: i32, body: Vec<u8> },
    Event { zxid: i64, kind: EventType, path: String },
}

impl Incoming {
    /// The reply's parts; panics on an event.
    pub fn reply(self) -> (i32, i64, i32, Vec<u8>) {
        match self {
            Incoming::Reply { xid, zxid, err, body } => (xid, zxid, err, body),
            Incoming::Event { .. } => panic!("an event where a reply was due: {self:?}"),
        }
    }
}

/// A blocking client of one connection.
pub struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    next_xid: i32,
    pub session_id: i64,
    pub password: Vec<u8>,
    pub timeout_ms: i32,
}

/// world:anyone, everything.
pub fn open_acl() -> Vec<AclRef<'static>> {
    vec![AclRef { perms: perms::ALL, scheme: "world", id: "anyone" }]
}

impl Client {
    /// Opens a new session over a connection that somebody made.
    pub fn over(stream: TcpStream, timeout_ms: i32) -> io::Result<Client> {
        Client::handshake(stream, timeout_ms, 0, &[0; 16], 0)
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Opens a new session.
    pub fn connect(port: u16, timeout_ms: i32) -> io::Result<Client> {
        Client::attach(port, timeout_ms, 0, &[0; 16], 0)
    }

    /// Attaches to a session; session 0 in the result says that it was refused.
    pub fn attach(
        port: u16,
        timeout_ms: i32,
        session_id: i64,
        password: &[u8],
        last_zxid_seen: i64,
    ) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        Client::handshake(stream, timeout_ms, session_id, password, last_zxid_seen)
    }

    fn handshake(
        stream: TcpStream,
        timeout_ms: i32,
        session_id: i64,
        password: &[u8],
        last_zxid_seen: i64,
    ) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut client = Client {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            next_xid: 1,
            session_id: 0,
            password: Vec::new(),
            timeout_ms: 0,
        };
        let frame = begin_frame(&mut client.output);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            timeout_ms,
            session_id,
            password: Some(password),
            read_only: Some(false),
        }
        .encode(&mut client.output);
        end_frame(&mut client.output, frame);
        client.flush()?;
        let body = client.frame()?;
        let r = ConnectResponse::decode(&mut Decoder::new(&body)).expect("a connect response");
        client.session_id = r.session_id;
        client.timeout_ms = r.timeout_ms;
        client.password = r.password.unwrap_or_default().to_vec();
        Ok(client)
    }

    /// Appends a request to the output; returns its xid.
    pub fn request(&mut self, op: OpCode, body: impl FnOnce(&mut Vec<u8>)) -> i32 {
        let xid = self.next_xid;
        self.next_xid += 1;
        self.request_with_xid(xid, op, body);
        xid
    }

    pub fn request_with_xid(&mut self, xid: i32, op: OpCode, body: impl FnOnce(&mut Vec<u8>)) {
        let frame = begin_frame(&mut self.output);
        RequestHeader { xid, op_raw: op.code() }.encode(&mut self.output);
        body(&mut self.output);
        end_frame(&mut self.output, frame);
    }

    /// Sends what was appended.
    pub fn flush(&mut self) -> io::Result<()> {
        let output = std::mem::take(&mut self.output);
        self.stream.write_all(&output)
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Puts back what was read off the stream by other hands; it comes first in what is received next.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.input.splice(0..0, bytes.iter().copied());
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = [0u8; 65536];
        loop {
            if let Some((prefix, rest)) = self.input.split_first_chunk::<4>() {
                let length = i32::from_be_bytes(*prefix) as usize;
                if rest.len() >= length {
                    let body = rest[..length].to_vec();
                    self.input.drain(..4 + length);
                    return Ok(body);
                }
            }
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.input.extend_from_slice(&chunk[..n]),
            }
        }
    }

    /// The next frame.
    pub fn receive(&mut self) -> io::Result<Incoming> {
        let frame = self.frame()?;
        let mut d = Decoder::new(&frame);
        let header = ReplyHeader::decode(&mut d).expect("a reply header");
        if header.xid == -1 {
            let e = WatcherEvent::decode(&mut d).expect("an event");
            let kind = EventType::from_i32(e.kind).expect("a known event");
            return Ok(Incoming::Event { zxid: header.zxid, kind, path: e.path.to_string() });
        }
        let body = d.remaining().to_vec();
        Ok(Incoming::Reply { xid: header.xid, zxid: header.zxid, err: header.err, body })
    }

    /// Whether the server closed the connection (waits for it).
    pub fn is_closed(&mut self) -> bool {
        matches!(self.frame(), Err(e) if e.kind() != io::ErrorKind::WouldBlock)
    }

    /// Sends what was appended and waits for one reply, which must be to the last request.
    pub fn call(
        &mut self,
        op: OpCode,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<(i64, i32, Vec<u8>)> {
        let want = self.request(op, body);
        self.flush()?;
        loop {
            if let Incoming::Reply { xid, zxid, err, body } = self.receive()? {
                assert_eq!(xid, want, "replies come in the order of requests (R1)");
                return Ok((zxid, err, body));
            }
        }
    }

    pub fn put_create(&mut self, path: &str, data: &[u8], flags: i32) -> i32 {
        let acl = open_acl();
        self.request(OpCode::Create, |out| {
            CreateRequest { path, data: Some(data), acl, flags }.encode(out)
        })
    }

    pub fn put_set(&mut self, path: &str, data: &[u8]) -> i32 {
        self.request(OpCode::SetData, |out| {
            SetDataRequest { path, data: Some(data), version: -1 }.encode(out)
        })
    }

    pub fn put_get(&mut self, path: &str, watch: bool) -> i32 {
        self.request(OpCode::GetData, |out| GetDataRequest { path, watch }.encode(out))
    }

    /// Creates, and says which error came back.
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> io::Result<i32> {
        let acl = open_acl();
        let r = self.call(OpCode::Create, |out| {
            CreateRequest { path, data: Some(data), acl, flags }.encode(out)
        })?;
        Ok(r.1)
    }

    /// Sets data; the write's zxid or the error.
    pub fn set(&mut self, path: &str, data: &[u8]) -> io::Result<Result<i64, i32>> {
        let (zxid, err, _) = self.call(OpCode::SetData, |out| {
            SetDataRequest { path, data: Some(data), version: -1 }.encode(out)
        })?;
        Ok(if err == 0 { Ok(zxid) } else { Err(err) })
    }

    /// Reads data; the error if there is one.
    pub fn get(&mut self, path: &str) -> io::Result<Result<(Vec<u8>, Stat), i32>> {
        let (_, err, body) =
            self.call(OpCode::GetData, |out| GetDataRequest { path, watch: false }.encode(out))?;
        Ok(if err == 0 { Ok(data_of(&body)) } else { Err(err) })
    }

    /// A ping, answered.
    pub fn ping(&mut self) -> io::Result<()> {
        self.request_with_xid(-2, OpCode::Ping, |_| {});
        self.flush()?;
        loop {
            if let Incoming::Reply { xid: -2, .. } = self.receive()? {
                return Ok(());
            }
        }
    }

    /// Closes the session.
    pub fn close(mut self) -> io::Result<()> {
        let (_, err, _) = self.call(OpCode::CloseSession, |_| {})?;
        assert_eq!(err, 0);
        Ok(())
    }

    /// Drops the connection, keeps the session.
    pub fn hang_up(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A getData reply's body.
pub fn data_of(body: &[u8]) -> (Vec<u8>, Stat) {
    let mut d = Decoder::new(body);
    let data = d.buffer().expect("data").unwrap_or_default().to_vec();
    (data, Stat::decode(&mut d).expect("a Stat"))
}

/// Text that a number was written as.
pub fn number(data: &[u8]) -> u64 {
    std::str::from_utf8(data).expect("text").parse().expect("a number")
}
