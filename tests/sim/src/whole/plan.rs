//! What a seed stands for: the server's shape, how fast all is, which faults are on and how hard.

use crate::random::Random;
use crate::time::{MS, Micros, SECOND};

/// See the module's documentation. Times in microseconds, chances in thousandths.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Shards.
    pub shards: usize,
    /// Whether the core shares the first one's thread.
    pub together: bool,
    /// Clients.
    pub clients: usize,
    /// How long faults and load last.
    pub load: Micros,
    /// What a pass takes, on the average.
    pub pass: Micros,
    /// What it takes a sleeping thread to wake.
    pub wake: Micros,
    /// What bytes take between client and server.
    pub net: Micros,
    /// What a log write takes.
    pub disk: Micros,
    /// How many of them take much longer.
    pub disk_slow: u64,
    /// How often a thread stands still, in ten thousand passes.
    pub stall: u64,
    /// For how long.
    pub stall_for: Micros,
    /// How far crashes are apart; 0: none.
    pub crash_every: Micros,
    /// How often the power fails, and not the process alone.
    pub power: u64,
    /// How many starts die as well.
    pub die_in_start: u64,
    /// Bytes that the system holds for a client.
    pub room: usize,
    /// How many clients read slowly.
    pub slow: u64,
    /// How many bytes arrive cut into pieces.
    pub pieces: u64,
    /// How often a client drops its connection, before it does what it would have done.
    pub drop: u64,
    /// How often it moves its session to another connection while the first stands.
    pub moves: u64,
    /// How often it is silent for longer than its session lives.
    pub silent: u64,
    /// How often it closes its session.
    pub close: u64,
    /// How many requests write.
    pub write: u64,
    /// How many reads set a watch.
    pub watch: u64,
    /// Requests that a client sends at once, at the most.
    pub burst: u64,
    /// Requests that it has under way, at the most.
    pub pipeline: usize,
    /// How far its bursts are apart.
    pub think: Micros,
    /// Session time-outs that are asked for.
    pub timeout_ms: [u64; 2],
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of data at the most.
    pub data: u64,
    /// Whether there is a znode with so many children that listing it takes slices.
    pub crowd: bool,
    /// Slots of lanes and of the commit ring.
    pub slots: usize,
    /// What a look at the clock takes, nanoseconds.
    pub look_ns: u64,
}

impl Plan {
    /// What `seed` stands for.
    pub fn of(seed: u64) -> Plan {
        let mut r = Random::new(seed, "whole plan", 0);
        let r = &mut r;
        let on = |r: &mut Random, per_mille: u64, low: u64, high: u64| match r.chance(per_mille) {
            true => r.between(low, high),
            false => 0,
        };
        let crowd = r.chance(60);
        Plan {
            seed,
            shards: r.between(1, 3) as usize,
            together: r.chance(400),
            clients: r.between(2, 9) as usize,
            load: r.between(SECOND / 2, 2 * SECOND),
            pass: r.between(1, 40),
            wake: r.between(1, 200),
            net: *r.pick(&[5, 30, 200, 2 * MS]),
            disk: *r.pick(&[30, 90, 400, 3 * MS]),
            disk_slow: on(r, 500, 1, 200),
            stall: on(r, 600, 1, 60),
            stall_for: *r.pick(&[300, 3 * MS, 40 * MS, 300 * MS]),
            crash_every: on(r, 600, 60, 800) * MS,
            power: *r.pick(&[0, 500, 1000]),
            die_in_start: on(r, 400, 100, 600),
            room: *r.pick(&[if crowd { 8 << 10 } else { 64 }, 1 << 10, 16 << 10, 1 << 20]),
            slow: on(r, 400, 50, 500),
            pieces: *r.pick(&[0, 200, 900]),
            drop: on(r, 700, 2, 40),
            moves: on(r, 700, 2, 60),
            silent: on(r, 500, 1, 10),
            close: on(r, 400, 1, 10),
            write: *r.pick(&[150, 400, 700]),
            watch: *r.pick(&[0, 200, 600]),
            burst: *r.pick(&[1, 4, 12]),
            pipeline: *r.pick(&[1, 8, 40]),
            think: *r.pick(&[100, 700, 5 * MS]),
            timeout_ms: *r.pick(&[[300, 1000], [2000, 8000]]),
            segment_bytes: *r.pick(&[32, 64, 256]) * 4096,
            data: *r.pick(&[8, 200, 1500]),
            crowd,
            slots: *r.pick(&[2, 4, 32]),
            look_ns: if crowd { 50_000 } else { *r.pick(&[0, 1_000, 50_000]) },
        }
    }
}
