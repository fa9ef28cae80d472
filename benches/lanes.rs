//! What a hop between two threads costs: through a lane alone, and through a lane and a wake.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::lanes::{LaneRx, LaneTx, commit_ring, lane};
use ringkeeper::reactor::{
    AlignedBuf, ConnId, Handle, Io, LogFile, ReactorConfig, Resident, Turn, Waker, spawn,
};
use std::hint::{black_box, spin_loop};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MESSAGE: [u8; 64] = [7; 64];
const BATCH: usize = 32;

fn within_a_thread(c: &mut Criterion) {
    let mut group = c.benchmark_group("lane");
    group.throughput(Throughput::Elements(BATCH as u64));
    let (mut tx, mut rx) = lane(16, 1 << 16);
    group.bench_function("a batch of 32 in and out", |b| {
        b.iter(|| {
            for _ in 0..BATCH {
                tx.batch().expect("room").extend_from_slice(&MESSAGE);
            }
            tx.flush();
            let bytes = rx.peek().map_or(0, |batch| batch.len());
            rx.pop();
            black_box(bytes)
        });
    });
    let (mut tx, mut readers) = commit_ring(2, 16);
    group.bench_function("a commit batch of 32 to two readers", |b| {
        b.iter(|| {
            let batch = tx.batch().expect("room");
            batch.last_zxid = 1;
            for _ in 0..BATCH {
                batch.bytes.extend_from_slice(&MESSAGE);
            }
            tx.publish();
            for rx in &mut readers {
                black_box(rx.peek().map_or(0, |batch| batch.bytes.len()));
                rx.pop();
            }
        });
    });
    group.finish();
}

/// There and back between two threads that poll.
fn between_polling_threads(c: &mut Criterion) {
    let (mut there, mut arrived) = lane(4, 1 << 16);
    let (mut back, mut returned) = lane(4, 1 << 16);
    let echo = std::thread::spawn(move || {
        loop {
            let Some(batch) = arrived.peek() else {
                spin_loop();
                continue;
            };
            let end = batch.is_empty() || batch[0] == 0;
            arrived.pop();
            if end {
                return;
            }
            back.batch().expect("room").push(1);
            back.flush();
        }
    });
    c.bench_function("hop/there and back, both polling", |b| {
        b.iter(|| {
            there.batch().expect("room").push(1);
            there.flush();
            while returned.is_empty() {
                spin_loop();
            }
            returned.pop();
        });
    });
    there.batch().expect("room").push(0);
    there.flush();
    echo.join().expect("the echo thread ended well");
}

/// Passes a ball on, as often as it is told to.
struct Player {
    to: LaneTx,
    from: LaneRx,
    other: Waker,
    /// Balls still to be served by this player; written by the benchmark.
    serves: Arc<AtomicU64>,
    rallies: Arc<AtomicU64>,
    serving: bool,
    in_play: bool,
}

impl Player {
    fn hit<I: Io>(&mut self, io: &mut I) {
        self.to.batch().expect("one ball fits").push(1);
        self.to.flush();
        io.wake(&self.other);
    }
}

impl Resident for Player {
    type File = LogFile;

    fn opened<I: Io>(&mut self, _: &mut I, _: ConnId, _: SocketAddr, _: SocketAddr) {}
    fn bytes<I: Io>(&mut self, _: &mut I, _: ConnId, _: &[u8]) {}
    fn drained<I: Io>(&mut self, _: &mut I, _: ConnId) {}
    fn closed<I: Io>(&mut self, _: &mut I, _: ConnId) {}
    fn disk_done<I: Io>(&mut self, _: &mut I, _: u64, _: std::io::Result<usize>, _: AlignedBuf) {}
    fn step<I: Io>(&mut self, io: &mut I) -> Turn {
        let came = !self.from.is_empty();
        if came {
            self.from.pop();
        }
        if !self.serving {
            if came {
                self.hit(io);
            }
            return Turn::Idle { deadline_ns: None };
        }
        if came {
            self.in_play = false;
            self.rallies.fetch_add(1, Ordering::Release);
            self.serves.fetch_sub(1, Ordering::AcqRel);
        }
        if !self.in_play && self.serves.load(Ordering::Acquire) > 0 {
            self.in_play = true;
            self.hit(io);
        }
        Turn::Idle { deadline_ns: None }
    }
}

struct Match {
    players: [Handle; 2],
    serves: Arc<AtomicU64>,
    rallies: Arc<AtomicU64>,
}

impl Match {
    fn new(busy_poll_us: u32) -> Self {
        let wakers = [Waker::new().expect("a waker"), Waker::new().expect("a waker")];
        let (a_to, b_from) = lane(4, 64);
        let (b_to, a_from) = lane(4, 64);
        let serves = Arc::new(AtomicU64::new(0));
        let rallies = Arc::new(AtomicU64::new(0));
        let start = |at: usize, to, from| {
            let cfg = ReactorConfig {
                name: "bench".into(),
                cpu: Some(at),
                busy_poll_us,
                waker: Some(wakers[at].clone()),
                ..ReactorConfig::default()
            };
            let other = wakers[1 - at].clone();
            let (serves, rallies, serving) = (serves.clone(), rallies.clone(), at == 0);
            spawn(cfg, move || Player { to, from, other, serves, rallies, serving, in_play: false })
                .expect("a reactor")
        };
        let players = [start(0, a_to, a_from), start(1, b_to, b_from)];
        Self { players, serves, rallies }
    }

    fn play(&self, count: u64) -> Duration {
        let until = self.rallies.load(Ordering::Acquire) + count;
        let begin = Instant::now();
        self.serves.store(count, Ordering::Release);
        self.players[0].waker.wake();
        while self.rallies.load(Ordering::Acquire) < until {
            std::thread::sleep(Duration::from_micros(100));
        }
        begin.elapsed()
    }

    fn end(self) {
        for player in self.players {
            player.stop();
            player.join().expect("the reactor ended well");
        }
    }
}

fn between_reactors(c: &mut Criterion) {
    for (name, busy_poll_us) in [("parked", 0), ("polling 50 µs first", 50)] {
        let game = Match::new(busy_poll_us);
        c.bench_function(&format!("hop/there and back between reactors, {name}"), |b| {
            b.iter_custom(|count| game.play(count));
        });
        game.end();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = within_a_thread, between_polling_threads, between_reactors
}
criterion_main!(benches);
