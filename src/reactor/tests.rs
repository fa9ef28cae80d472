//! The reactor against real sockets, files and threads. Every wait is for an event; a test that
//! would wait for ever is stopped by the time-outs of its sockets and channels.

use super::*;
use crate::lanes::{LaneRx, LaneTx, lane};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
enum Event {
    Opened(ConnId, SocketAddr),
    Bytes(ConnId, usize),
    Drained(ConnId),
    Closed(ConnId),
    DiskDone(u64, std::io::Result<usize>, AlignedBuf),
    Did(usize),
}

type Command = Box<dyn FnOnce(&mut dyn DynIo) -> usize + Send>;

/// What commands may use of `Io`, as a trait object.
trait DynIo {
    fn append(&mut self, c: ConnId, data: &[u8]) -> bool;
    fn backlog_of(&self, c: ConnId) -> usize;
    fn taken_of(&self, c: ConnId) -> usize;
    fn close_conn(&mut self, c: ConnId, after_flush: bool);
    fn set_paused(&mut self, c: ConnId, paused: bool);
    fn set_accept_paused(&mut self, paused: bool);
    fn start_write(&mut self, file: &LogFile, offset: u64, buf: AlignedBuf, token: u64);
    fn take_over(&mut self, stream: TcpStream) -> Option<ConnId>;
}

impl<I: Io<File = LogFile>> DynIo for I {
    fn append(&mut self, c: ConnId, data: &[u8]) -> bool {
        self.out(c).map(|out| out.extend_from_slice(data)).is_some()
    }
    fn backlog_of(&self, c: ConnId) -> usize {
        self.backlog(c)
    }
    fn taken_of(&self, c: ConnId) -> usize {
        self.taken(c) as usize
    }
    fn close_conn(&mut self, c: ConnId, after_flush: bool) {
        self.close(c, after_flush);
    }
    fn set_paused(&mut self, c: ConnId, paused: bool) {
        if paused { self.pause(c) } else { self.resume(c) }
    }
    fn set_accept_paused(&mut self, paused: bool) {
        if paused { self.pause_accept() } else { self.resume_accept() }
    }
    fn start_write(&mut self, file: &LogFile, offset: u64, buf: AlignedBuf, token: u64) {
        self.write(file, offset, buf, token);
    }
    fn take_over(&mut self, stream: TcpStream) -> Option<ConnId> {
        self.adopt(stream)
    }
}

/// Echoes (if told to) and reports everything; does what it is commanded in `step`.
struct Probe {
    echo: bool,
    open: HashMap<ConnId, usize>,
    events: Sender<Event>,
    commands: Receiver<Command>,
}

impl Resident for Probe {
    type File = LogFile;

    fn opened<I: Io>(&mut self, _: &mut I, c: ConnId, peer: SocketAddr, _: SocketAddr) {
        assert!(self.open.insert(c, 0).is_none());
        let _ = self.events.send(Event::Opened(c, peer));
    }
    fn bytes<I: Io>(&mut self, io: &mut I, c: ConnId, data: &[u8]) {
        assert!(!data.is_empty());
        *self.open.entry(c).or_default() += data.len();
        if self.echo {
            io.out(c).expect("bytes come from open connections only").extend_from_slice(data);
        }
        let _ = self.events.send(Event::Bytes(c, data.len()));
    }
    fn drained<I: Io>(&mut self, io: &mut I, c: ConnId) {
        assert_eq!(io.backlog(c), 0);
        let _ = self.events.send(Event::Drained(c));
    }
    fn closed<I: Io>(&mut self, io: &mut I, c: ConnId) {
        assert!(self.open.remove(&c).is_some(), "closed once, after it was opened");
        assert!(io.out(c).is_none() && io.backlog(c) == 0);
        let _ = self.events.send(Event::Closed(c));
    }
    fn disk_done<I: Io>(
        &mut self,
        _: &mut I,
        token: u64,
        result: std::io::Result<usize>,
        buf: AlignedBuf,
    ) {
        let _ = self.events.send(Event::DiskDone(token, result, buf));
    }
    fn step<I: Io<File = LogFile>>(&mut self, io: &mut I) -> Turn {
        while let Ok(command) = self.commands.try_recv() {
            let result = command(io);
            let _ = self.events.send(Event::Did(result));
        }
        Turn::Idle { deadline_ns: None }
    }
}

struct Rig {
    handle: Handle,
    address: SocketAddr,
    events: Receiver<Event>,
    commands: Sender<Command>,
}

impl Rig {
    fn new(echo: bool, change: impl FnOnce(&mut ReactorConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut cfg = ReactorConfig {
            name: "test".into(),
            listen: vec![listener],
            submissions: 256,
            completions: 1024,
            ..ReactorConfig::default()
        };
        change(&mut cfg);
        let (events_tx, events) = channel();
        let (commands, commands_rx) = channel();
        let handle = spawn(cfg, move || Probe {
            echo,
            open: HashMap::new(),
            events: events_tx,
            commands: commands_rx,
        })
        .unwrap();
        Self { handle, address, events, commands }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Connects, and waits until the resident knows.
    fn opened(&self) -> (TcpStream, ConnId) {
        let stream = self.connect();
        let local = stream.local_addr().unwrap();
        let c = self.wait(|event| match event {
            Event::Opened(c, peer) if *peer == local => Some(*c),
            _ => None,
        });
        (stream, c)
    }

    /// Runs a command in the reactor and waits for its result.
    fn command(&self, what: impl FnOnce(&mut dyn DynIo) -> usize + Send + 'static) -> usize {
        self.commands.send(Box::new(what)).unwrap();
        self.handle.waker.wake();
        self.wait(|event| if let Event::Did(result) = event { Some(*result) } else { None })
    }

    /// Waits for the first event that fits, dropping those before it.
    fn wait<T>(&self, mut fits: impl FnMut(&Event) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the event never came");
            if let Some(found) = fits(&event) {
                return found;
            }
        }
    }

    fn wait_closed(&self, c: ConnId) {
        self.wait(|event| matches!(event, Event::Closed(closed) if *closed == c).then_some(()));
    }

    fn end(self) -> std::sync::Arc<ReactorStats> {
        let stats = self.handle.stats.clone();
        self.handle.stop();
        self.handle.join().unwrap();
        assert_eq!(stats.connections.load(Relaxed), 0);
        stats
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn read_all(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    stream.read_exact(&mut data).unwrap();
    data
}

/// Resets the connection when it is dropped, as a peer that crashes does.
fn reset_on_drop(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn echoes_a_byte_at_a_time_and_a_mebibyte_at_once() {
    let rig = Rig::new(true, |_| ());
    let (mut stream, c) = rig.opened();
    for byte in 0..100u8 {
        stream.write_all(&[byte]).unwrap();
        assert_eq!(read_all(&mut stream, 1), [byte]);
    }
    let data = pattern(1 << 20);
    let mut writer = stream.try_clone().unwrap();
    let (sent, echoed) = std::thread::scope(|scope| {
        let sent = scope.spawn(|| writer.write_all(&data));
        (sent.join(), read_all(&mut stream, data.len()))
    });
    sent.unwrap().unwrap();
    assert!(echoed == data);
    drop((stream, writer));
    rig.wait_closed(c);
    rig.end();
}

#[test]
fn serves_many_connections_at_once() {
    let rig = Rig::new(true, |_| ());
    let mut streams: Vec<_> = (0..400).map(|_| rig.connect()).collect();
    for round in 0..3u32 {
        for (at, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&(round * 1000 + at as u32).to_le_bytes()).unwrap();
        }
        for (at, stream) in streams.iter_mut().enumerate() {
            assert_eq!(read_all(stream, 4), (round * 1000 + at as u32).to_le_bytes());
        }
    }
    drop(streams);
    let mut closed = 0;
    rig.wait(|event| {
        closed += usize::from(matches!(event, Event::Closed(_)));
        (closed == 400).then_some(())
    });
    rig.end();
}

#[test]
fn a_slow_reader_is_waited_for_and_told_of_once_drained() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    // Much more than two sockets hold, so that the last of it is not on its way before the counter below is seen to move:
    // the commands there would take the event of its end.
    let data = pattern(64 << 20);
    let copy = data.clone();
    rig.command(move |io| usize::from(io.append(c, &copy)));
    // The socket cannot take all of that, so a pass later most of it must still be here.
    let backlog = rig.command(move |io| io.backlog_of(c));
    assert!(backlog > 1 << 20, "{backlog}");
    // What is appended behind it waits its turn.
    rig.command(move |io| usize::from(io.append(c, b"the end")));
    // Read slowly enough for the socket to be full again and again: some piece is then taken in part.
    let mut received = 0;
    while rig.handle.stats.sends_waited.load(Relaxed) == 0 {
        let bytes = read_all(&mut stream, 64 << 10);
        assert!(bytes == data[received..][..bytes.len()]);
        received += bytes.len();
        rig.command(|_| 0);
    }
    assert!(read_all(&mut stream, data.len() - received) == data[received..]);
    assert_eq!(read_all(&mut stream, 7), b"the end");
    rig.wait(|event| matches!(event, Event::Drained(drained) if *drained == c).then_some(()));
    assert_eq!(rig.command(move |io| io.backlog_of(c)), 0);
    rig.end();
}

/// What the peer has taken is known while the socket stays too full for another piece.
#[test]
fn a_slow_reader_is_seen_to_get_on() {
    let rig = Rig::new(false, |_| ());
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Small, because the peer's kernel tells of what was read in steps of a part of its buffer.
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&rig.address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let c = rig.wait(|event| if let Event::Opened(c, _) = event { Some(*c) } else { None });
    let data = pattern(32 << 20);
    let copy = data.clone();
    rig.command(move |io| usize::from(io.append(c, &copy)));
    let mut taken = 0;
    let mut received = 0;
    // Each round reads a little, and waits until that is seen: far less than makes the socket writable again.
    while received < 1 << 20 {
        let bytes = read_all(&mut stream, 32 << 10);
        assert!(bytes[..] == data[received..received + bytes.len()]);
        received += bytes.len();
        let deadline = std::time::Instant::now() + PATIENCE;
        let before = taken;
        while taken == before {
            assert!(std::time::Instant::now() < deadline, "{received} read, {taken} known");
            taken = rig.command(move |io| io.taken_of(c));
        }
    }
    assert!(rig.command(move |io| io.backlog_of(c)) > 16 << 20, "the socket took it all");
    assert!(read_all(&mut stream, data.len() - received)[..] == data[received..]);
    rig.wait(|event| matches!(event, Event::Drained(drained) if *drained == c).then_some(()));
    while rig.command(move |io| io.taken_of(c)) < data.len() {}
    rig.end();
}

/// The time that a flush may take is counted from the last progress.
#[test]
fn a_flush_that_gets_on_is_not_given_up() {
    let rig = Rig::new(false, |cfg| cfg.linger_ms = 200);
    let (mut stream, c) = rig.opened();
    let data = pattern(16 << 20);
    let copy = data.clone();
    rig.command(move |io| {
        io.append(c, &copy);
        io.close_conn(c, true);
        0
    });
    let began = std::time::Instant::now();
    let mut received = Vec::new();
    // Slowly for several times as long, then the rest.
    while began.elapsed() < Duration::from_millis(1000) {
        received.extend(read_all(&mut stream, 64 << 10));
        std::thread::sleep(Duration::from_millis(10));
    }
    stream.read_to_end(&mut received).unwrap();
    assert!(received == data);
    rig.wait_closed(c);
    rig.end();
}

#[test]
fn closing_at_once_in_mid_send_drops_the_rest() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    rig.command(move |io| usize::from(io.append(c, &vec![7; 16 << 20])));
    assert!(rig.command(move |io| io.backlog_of(c)) > 0);
    rig.command(move |io| {
        io.close_conn(c, false);
        assert!(!io.append(c, b"more"));
        0
    });
    rig.wait_closed(c);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 16 << 20);
    rig.end();
}

#[test]
fn closing_after_the_flush_delivers_everything_first() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    let data = pattern(16 << 20);
    let copy = data.clone();
    rig.command(move |io| {
        io.append(c, &copy);
        io.close_conn(c, true);
        usize::from(io.append(c, b"too late"))
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == data);
    rig.wait_closed(c);
    rig.end();
}

#[test]
fn a_flush_that_never_ends_is_given_up() {
    let rig = Rig::new(false, |cfg| cfg.linger_ms = 50);
    let (stream, c) = rig.opened();
    rig.command(move |io| {
        io.append(c, &vec![7; 16 << 20]);
        io.close_conn(c, true);
        0
    });
    rig.wait_closed(c);
    drop(stream);
    rig.end();
}

#[test]
fn a_peer_that_dies_while_we_send_ends_the_connection() {
    for reset in [false, true] {
        let rig = Rig::new(false, |_| ());
        let (stream, c) = rig.opened();
        rig.command(move |io| usize::from(io.append(c, &vec![7; 16 << 20])));
        if reset {
            reset_on_drop(&stream);
        }
        drop(stream);
        rig.wait_closed(c);
        rig.end();
    }
}

#[test]
fn a_peer_that_ends_its_stream_still_gets_what_was_appended() {
    let rig = Rig::new(true, |_| ());
    let (mut stream, c) = rig.opened();
    let data = pattern(100_000);
    stream.write_all(&data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received == data);
    rig.wait_closed(c);
    rig.end();
}

#[test]
fn a_paused_connection_is_told_when_its_output_has_left() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    for round in 0..20 {
        // As much as fits the socket at once: nothing waits in the kernel, and the peer sends nothing meanwhile.
        rig.command(move |io| {
            assert!(io.append(c, &pattern(1000 + round)));
            io.set_paused(c, true);
            0
        });
        rig.wait(|event| matches!(event, Event::Drained(drained) if *drained == c).then_some(()));
        assert!(read_all(&mut stream, 1000 + round) == pattern(1000 + round));
        rig.command(move |io| {
            assert_eq!(io.backlog_of(c), 0);
            io.set_paused(c, false);
            0
        });
    }
    drop(stream);
    rig.wait_closed(c);
    rig.end();
}

#[test]
fn a_paused_connection_delivers_nothing_until_resumed() {
    let rig = Rig::new(true, |_| ());
    let (mut paused, p) = rig.opened();
    let (mut other, _) = rig.opened();
    for round in 0..20 {
        rig.command(move |io| {
            io.set_paused(p, true);
            0
        });
        let data = pattern(50_000 + round);
        paused.write_all(&data).unwrap();
        // The other connection's echo shows that passes go by.
        for _ in 0..3 {
            other.write_all(b"x").unwrap();
            assert_eq!(read_all(&mut other, 1), b"x");
        }
        let mut silent = true;
        while let Ok(event) = rig.events.try_recv() {
            silent &= !matches!(event, Event::Bytes(c, _) if c == p);
        }
        assert!(silent, "bytes of a paused connection");
        rig.command(move |io| {
            io.set_paused(p, false);
            if round % 2 == 1 {
                // Flapping must neither lose nor double anything.
                io.set_paused(p, true);
                io.set_paused(p, false);
            }
            0
        });
        assert!(read_all(&mut paused, data.len()) == data);
    }
    // The end of the stream waits for the resume as well.
    rig.command(move |io| {
        io.set_paused(p, true);
        0
    });
    paused.write_all(b"last words").unwrap();
    paused.shutdown(Shutdown::Write).unwrap();
    rig.command(move |io| {
        io.set_paused(p, false);
        0
    });
    let mut rest = Vec::new();
    paused.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"last words");
    rig.wait_closed(p);
    rig.end();
}

#[test]
fn too_many_connections_are_closed_at_once() {
    let rig = Rig::new(true, |cfg| cfg.connections_max = 2);
    let (first, a) = rig.opened();
    let (_second, _) = rig.opened();
    let mut third = rig.connect();
    assert_eq!(third.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(first);
    rig.wait_closed(a);
    let (mut fourth, _) = rig.opened();
    fourth.write_all(b"hello").unwrap();
    assert_eq!(read_all(&mut fourth, 5), b"hello");
    assert_eq!(rig.end().refused.load(Relaxed), 1);
}

#[test]
fn accepting_stops_and_goes_on() {
    let rig = Rig::new(true, |_| ());
    let (_first, _) = rig.opened();
    for _ in 0..3 {
        rig.command(|io| {
            io.set_accept_paused(true);
            0
        });
        // A round trip through the reactor: the cancellation has been entered.
        rig.command(|_| 0);
        let mut waiting = rig.connect();
        waiting.write_all(b"hello").unwrap();
        rig.command(|io| {
            io.set_accept_paused(false);
            0
        });
        assert_eq!(read_all(&mut waiting, 5), b"hello");
    }
    rig.end();
}

#[test]
fn a_stream_connected_elsewhere_is_adopted() {
    let rig = Rig::new(true, |_| ());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    ours.set_nonblocking(true).unwrap();
    rig.command(move |io| usize::from(io.take_over(ours).is_some()));
    theirs.write_all(b"hello").unwrap();
    assert_eq!(read_all(&mut theirs, 5), b"hello");
    rig.end();
}

/// Connections come and go in every way while the rings are far too small for them.
#[test]
fn thousands_of_connections_open_and_close_over_tiny_rings() {
    let rig = Rig::new(true, |cfg| {
        cfg.submissions = 8;
        cfg.completions = 16;
        cfg.recv_buffers_max = 4;
    });
    const CLIENTS: usize = 8;
    const EACH: usize = 300;
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let rig_connect = || {
                let stream = TcpStream::connect(rig.address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream
            };
            scope.spawn(move || {
                for round in 0..EACH {
                    let mut stream = rig_connect();
                    match (client + round) % 5 {
                        0 => {}
                        1 => stream.write_all(&pattern(10_000)).unwrap(),
                        2 => {
                            reset_on_drop(&stream);
                            let _ = stream.write_all(&pattern(10_000));
                        }
                        3 => {
                            stream.write_all(&pattern(9_000)).unwrap();
                            assert!(read_all(&mut stream, 9_000) == pattern(9_000));
                        }
                        _ => {
                            stream.write_all(&pattern(20_000)).unwrap();
                            stream.shutdown(Shutdown::Write).unwrap();
                            let mut echo = Vec::new();
                            stream.read_to_end(&mut echo).unwrap();
                            assert!(echo == pattern(20_000));
                        }
                    }
                }
            });
        }
    });
    // Those reset at once may be gone before they were accepted; all that were opened must close.
    let (mut last, _) = rig.opened();
    last.write_all(b"still here").unwrap();
    assert_eq!(read_all(&mut last, 10), b"still here");
    drop(last);
    let stats = rig.end();
    let accepted = stats.accepted.load(Relaxed);
    assert!(accepted > (CLIENTS * EACH * 3 / 5) as u64, "{accepted}");
    assert!(stats.recv_no_buffer.load(Relaxed) > 0, "the test is meant to run out of buffers");
}

#[test]
fn writes_complete_in_any_order_with_their_bytes_in_place() {
    let rig = Rig::new(false, |_| ());
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let path = dir.path().join("segment");
    const BLOCK: usize = ALIGN;
    const WRITES: usize = 64;
    std::fs::write(&path, vec![0; BLOCK * WRITES]).unwrap();
    let file = LogFile::open(&path).unwrap();
    rig.command(move |io| {
        for token in 0..WRITES {
            let mut buf = AlignedBuf::with_capacity(BLOCK);
            buf.resize(BLOCK, token as u8 + 1);
            // Backwards, so that order in the file is not the order of submission.
            io.start_write(&file, ((WRITES - 1 - token) * BLOCK) as u64, buf, token as u64);
        }
        0
    });
    let mut done = std::collections::HashSet::new();
    rig.wait(|event| {
        if let Event::DiskDone(token, result, buf) = event {
            assert_eq!(*result.as_ref().unwrap(), BLOCK);
            assert!(buf.iter().all(|byte| *byte == *token as u8 + 1));
            assert!(done.insert(*token));
        }
        (done.len() == WRITES).then_some(())
    });
    let content = std::fs::read(&path).unwrap();
    for (at, block) in content.chunks(BLOCK).enumerate() {
        assert!(block.iter().all(|byte| *byte == (WRITES - at) as u8));
    }
    assert_eq!(rig.end().writes.load(Relaxed), WRITES as u64);
}

#[test]
fn a_failed_write_brings_its_error_and_its_buffer() {
    let rig = Rig::new(false, |_| ());
    let read_only = LogFile::from_file(std::fs::File::open("/dev/null").unwrap());
    rig.command(move |io| {
        let mut buf = AlignedBuf::new();
        buf.extend_from_slice(b"lost");
        io.start_write(&read_only, 0, buf, 9);
        0
    });
    rig.wait(|event| match event {
        Event::DiskDone(9, result, buf) => {
            assert_eq!(result.as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF));
            assert_eq!(&buf[..], b"lost");
            Some(())
        }
        _ => None,
    });
    rig.end();
}

/// What had reached a socket before a full pass began was delivered when that pass completed.
#[test]
fn the_pass_clock_vouches_for_what_was_delivered() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    for _ in 0..50 {
        stream.write_all(b"renewal").unwrap();
        let written_ns = monotonic_ns();
        while rig.handle.clock.start_ns() <= written_ns {
            // An idle reactor makes passes of its own accord, but a wake makes it sooner.
            rig.handle.waker.wake();
            std::thread::yield_now();
        }
        let mut seen = 0;
        while let Ok(event) = rig.events.try_recv() {
            if let Event::Bytes(from, len) = event {
                assert_eq!(from, c);
                seen += len;
            }
        }
        assert_eq!(seen, 7);
    }
    rig.end();
}

#[test]
fn stopping_flushes_connections_and_finishes_writes() {
    let rig = Rig::new(false, |_| ());
    let (mut stream, c) = rig.opened();
    let data = pattern(8 << 20);
    let copy = data.clone();
    rig.command(move |io| usize::from(io.append(c, &copy)));
    let fd_held = stream.as_raw_fd();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map(|_| received)
    });
    assert!(fd_held >= 0);
    rig.end();
    assert!(reader.join().unwrap().unwrap() == data);
}

/// Two residents that answer each other through lanes, each asleep whenever it has nothing.
struct Player {
    to: LaneTx,
    from: LaneRx,
    other: Waker,
    left: u64,
    done: Sender<()>,
    /// For how long it polls for the ball.
    awake_ns: u64,
}

impl Resident for Player {
    type File = LogFile;

    fn opened<I: Io>(&mut self, _: &mut I, _: ConnId, _: SocketAddr, _: SocketAddr) {}
    fn bytes<I: Io>(&mut self, _: &mut I, _: ConnId, _: &[u8]) {}
    fn drained<I: Io>(&mut self, _: &mut I, _: ConnId) {}
    fn closed<I: Io>(&mut self, _: &mut I, _: ConnId) {}
    fn disk_done<I: Io>(&mut self, _: &mut I, _: u64, _: std::io::Result<usize>, _: AlignedBuf) {}
    fn step<I: Io>(&mut self, io: &mut I) -> Turn {
        while let Some(ball) = self.from.peek().map(<[u8]>::to_vec) {
            self.from.pop();
            if self.left == 0 {
                let _ = self.done.send(());
                continue;
            }
            self.left -= 1;
            self.to.batch().expect("one ball fits").extend_from_slice(&ball);
            self.to.flush();
            io.wake(&self.other);
        }
        match self.awake_ns {
            0 => Turn::Idle { deadline_ns: None },
            ns => Turn::Soon { poll_until_ns: io.now_ns() + ns, deadline_ns: None },
        }
    }
}

#[test]
fn two_reactors_wake_each_other_and_no_wake_is_lost() {
    const AWAKE_ALL_THE_TIME_NS: u64 = 3600 * 1_000_000_000;
    for (busy_poll_us, awake_ns) in [(0, 0), (20, 0), (0, 20_000), (0, AWAKE_ALL_THE_TIME_NS)] {
        let (a_to_b, b_from_a) = lane(4, 64);
        let (b_to_a, a_from_b) = lane(4, 64);
        let (mut serve, a_from_us) = lane(4, 64);
        let (wake_a, wake_b) = (Waker::new().unwrap(), Waker::new().unwrap());
        let (done, is_done) = channel();
        const HOPS: u64 = 5_000;
        // The ball is served into a third lane: a's first `from`, exchanged for b's answer lane.
        serve.batch().unwrap().extend_from_slice(b"ball");
        serve.flush();
        let cfg = |waker: &Waker| ReactorConfig {
            waker: Some(waker.clone()),
            busy_poll_us,
            submissions: 64,
            completions: 128,
            ..ReactorConfig::default()
        };
        let (done_a, done_b, to_b) = (done.clone(), done, wake_b.clone());
        struct Server(Player, Option<LaneRx>);
        impl Resident for Server {
            type File = LogFile;

            fn opened<I: Io>(&mut self, _: &mut I, _: ConnId, _: SocketAddr, _: SocketAddr) {}
            fn bytes<I: Io>(&mut self, _: &mut I, _: ConnId, _: &[u8]) {}
            fn drained<I: Io>(&mut self, _: &mut I, _: ConnId) {}
            fn closed<I: Io>(&mut self, _: &mut I, _: ConnId) {}
            fn disk_done<I: Io>(
                &mut self,
                _: &mut I,
                _: u64,
                _: std::io::Result<usize>,
                _: AlignedBuf,
            ) {
            }
            fn step<I: Io<File = LogFile>>(&mut self, io: &mut I) -> Turn {
                let turn = self.0.step(io);
                if let Some(answers) = self.1.take() {
                    self.0.from = answers;
                    return Turn::Again;
                }
                turn
            }
        }
        let a = spawn(cfg(&wake_a), move || {
            let (to, from, done) = (a_to_b, a_from_us, done_a);
            let player = Player { to, from, other: to_b, left: HOPS, done, awake_ns };
            Server(player, Some(a_from_b))
        })
        .unwrap();
        let to_a = wake_a.clone();
        let b = spawn(cfg(&wake_b), move || Player {
            to: b_to_a,
            from: b_from_a,
            other: to_a,
            left: HOPS,
            done: done_b,
            awake_ns,
        })
        .unwrap();
        is_done.recv_timeout(PATIENCE).expect("the ball was lost");
        for handle in [a, b] {
            handle.stop();
            let stats = handle.stats.clone();
            handle.join().unwrap();
            assert_eq!(stats.wakes_lost.load(Relaxed), 0);
            if awake_ns == AWAKE_ALL_THE_TIME_NS {
                assert_eq!(stats.waits.load(Relaxed) + stats.parks.load(Relaxed), 0);
            }
        }
    }
}

/// Wakes from ordinary threads, at every moment of falling asleep.
#[test]
fn wakes_from_threads_are_never_lost() {
    let rig = Rig::new(false, |_| ());
    for round in 0..2_000u32 {
        if round % 16 == 0 {
            // Long enough to reach each stage of parking in turn; any length is right.
            std::thread::park_timeout(Duration::from_micros(u64::from(round % 400)));
        }
        assert_eq!(rig.command(move |_| round as usize), round as usize);
    }
    rig.end();
}

const DESCRIPTORS_RUN_OUT: &str = "RINGKEEPER_TEST_DESCRIPTORS_RUN_OUT";

/// The server of the next test, in a process of its own because the limit is the process's.
#[test]
fn descriptors_run_out_server() {
    if std::env::var_os(DESCRIPTORS_RUN_OUT).is_none() {
        return;
    }
    let limit = libc::rlimit { rlim_cur: 48, rlim_max: 48 };
    // SAFETY: a valid limit; this process is ours alone.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let rig = Rig::new(true, |_| ());
    println!("\nport {}", rig.address.port());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let stats = rig.end();
    println!("\nerrors {}", stats.accept_errors.load(Relaxed));
}

#[test]
fn accepting_goes_on_when_descriptors_are_free_again() {
    use std::io::{BufRead, BufReader};
    let mut server = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reactor::tests::descriptors_run_out_server", "--nocapture"])
        .env(DESCRIPTORS_RUN_OUT, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut find = |name: &str| {
        let found = lines.find_map(|line| line.unwrap().strip_prefix(name)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("the server never said {name}"))
    };
    let port: u16 = find("port ");
    let mut clients: Vec<_> = (0..80u8)
        .map(|at| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&[at]).unwrap();
            stream
        })
        .collect();
    // The first are served; each that goes makes room for one that waits in the backlog.
    for (at, mut client) in clients.drain(..).enumerate() {
        assert_eq!(read_all(&mut client, 1), [at as u8]);
    }
    drop(server.stdin.take());
    let errors = find("errors ");
    assert!(errors > 0, "the test is meant to run out of descriptors");
    assert!(server.wait().unwrap().success());
}
