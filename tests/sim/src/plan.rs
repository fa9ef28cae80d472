//! What a seed stands for: the ensemble, how its world behaves, and which faults happen when.
//!
//! Swarm-style: each seed draws which kinds of faults are on and how often they come, so that rare
//! combinations are met and no fault drowns the others. A plan is data: taking a fault out of it changes
//! nothing else of it.

use ringkeeper::zab::{EnsembleConfig, Server, ServerKind, Sid};

use crate::aim::{self, Aim};
use crate::config;
use crate::network::NetworkOptions;
use crate::odd::{self, Oddities};
use crate::random::Random;
use crate::time::{MS, Micros, SECOND};

/// Transactions that every epoch has room for.
const EPOCH_LEAST: i64 = 8;

/// How a server's disk behaves.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// A write takes at least this.
    pub write_min_us: Micros,
    /// And this more on average.
    pub write_spread_us: Micros,
    /// Bytes of a log segment.
    pub segment_bytes: u64,
    /// Segments made ahead.
    pub spares: usize,
    /// Making one takes this.
    pub spare_us: Micros,
    /// Bytes of a frame at the most.
    pub frame_bytes_max: usize,
    /// Log writes at one time.
    pub in_flight_max: usize,
    /// Transactions between two snapshots.
    pub snapshot_every: usize,
}

/// How clients behave.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How many there are.
    pub count: usize,
    /// Between two requests of one, on average.
    pub think_us: Micros,
    /// Requests of one without an answer.
    pub pipeline: usize,
    /// How long one waits for an answer before it goes to another server.
    pub patience_us: Micros,
    /// Session timeout.
    pub timeout_ms: i32,
    /// Of a thousand requests those before which it moves to another server.
    pub move_per_mille: u64,
    /// Of a thousand requests those that close the session.
    pub close_per_mille: u64,
}

/// What does not work between servers that are cut off and the rest.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Nothing gets to them.
    Deaf,
    /// Nothing comes from them.
    Mute,
    /// Nobody can connect to their quorum ports: they can be elected, and cannot lead.
    Shut,
}

/// A thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed, or the power fails, and comes back.
    Crash {
        /// Which server.
        server: Sid,
        /// Whether the power fails.
        power: bool,
        /// When it comes back.
        down_us: Micros,
    },
    /// The process is killed when it has carried out so many more actions of the core.
    CrashAtAction {
        /// Which server.
        server: Sid,
        /// How many.
        actions: u64,
        /// When it comes back.
        down_us: Micros,
    },
    /// The power fails in the disk's synchronous change number so many from now.
    CrashInDisk {
        /// Which server.
        server: Sid,
        /// How many changes.
        changes: u64,
    },
    /// Every server loses power at about the same time.
    Blackout {
        /// When they begin to come back.
        down_us: Micros,
    },
    /// The process stands still.
    Pause {
        /// Which server.
        server: Sid,
        /// How long.
        for_us: Micros,
    },
    /// The server's clocks jump ahead; the one that tells the time of day may jump back.
    ClockJump {
        /// Which server.
        server: Sid,
        /// The monotonic clock, ahead.
        ahead_ms: u64,
        /// The time of day.
        wall_ms: i64,
    },
    /// Connections between two servers drop, with what is in flight.
    CutConnections {
        /// One.
        a: Sid,
        /// The other.
        b: Sid,
        /// Which of them are told.
        told: [bool; 2],
    },
    /// Some servers cannot talk to the others.
    Partition {
        /// Those on one side.
        side: Vec<Sid>,
        /// From this side to the other nothing gets through.
        out: bool,
        /// From the other side to this.
        back: bool,
        /// How long.
        for_us: Micros,
    },
    /// A one-way partition in which a quorum can talk, while nothing else goes wrong; progress is demanded.
    OneWayQuorum {
        /// The servers that are cut off.
        side: Vec<Sid>,
        /// Those of the rest that they can talk with all the same.
        spared: Vec<Sid>,
        /// What does not work.
        way: Way,
    },
    /// Log writes take so many times as long.
    SlowDisk {
        /// Which server.
        server: Sid,
        /// How many times.
        times: u64,
        /// How long.
        for_us: Micros,
    },
    /// The next log write fails.
    FailWrite {
        /// Which server.
        server: Sid,
    },
    /// No file can be made.
    FullDisk {
        /// Which server.
        server: Sid,
        /// How long.
        for_us: Micros,
    },
    /// Bits of the log turn over, and the server restarts.
    Rot {
        /// Which server.
        server: Sid,
        /// How many.
        bits: u64,
    },
    /// The disk is replaced by an empty one.
    Lose {
        /// Which server.
        server: Sid,
    },
    /// The members change.
    Reconfigure {
        /// What an administrator asks for, drawn when its time comes.
        draw: u64,
    },
    /// The leader is asked to hand over.
    HandOver {
        /// To which, drawn when its time comes.
        draw: u64,
    },
    /// All followers lose their leader at once, and it is not told.
    Rift {
        /// What is aimed at then, drawn when its time comes.
        draw: u64,
    },
    /// From now on a moment of the protocol is waited for, and something happens then.
    Aimed(Aim),
}

/// A fault and when it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Its number in the seed's plan; stays when others are taken out.
    pub number: usize,
    /// When.
    pub at: Micros,
    /// What.
    pub fault: Fault,
}

/// All that a seed stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The members at first.
    pub config: EnsembleConfig,
    /// All servers there are: members, and those that may join.
    pub servers: Vec<Sid>,
    /// `tickTime`.
    pub tick_ms: u64,
    /// `initLimit`.
    pub init_limit: u64,
    /// `syncLimit`.
    pub sync_limit: u64,
    /// One server without an ensemble.
    pub standalone: bool,
    /// The configuration of the first start gets the version of the first leader.
    pub stamp_first_config: bool,
    /// Transactions that a leader keeps in memory.
    pub window: usize,
    /// Bytes of them.
    pub window_bytes: usize,
    /// Proposals that may wait for a quorum.
    pub outstanding_max: usize,
    /// Connections of learners at the most.
    pub learners_max: usize,
    /// The counter that epochs begin with.
    pub first_counter: i64,
    /// The network.
    pub network: NetworkOptions,
    /// The disks.
    pub disk: DiskOptions,
    /// The clients.
    pub clients: ClientOptions,
    /// What the servers do differently.
    pub odd: Oddities,
    /// How long things go wrong.
    pub fault_time: Micros,
    /// What goes wrong.
    pub faults: Vec<Timed>,
}

/// Voters with groups and weights, now and then.
fn draw_config(random: &mut Random) -> EnsembleConfig {
    let voters = *random.pick(&[1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7]);
    let observers = if random.chance(300) { random.between(1, 2) as i64 } else { 0 };
    let mut servers: Vec<Server> =
        (1..=voters).map(|sid| config::server(sid, ServerKind::Participant)).collect();
    if voters >= 3 && random.chance(120) {
        let groups = if voters >= 5 { random.between(1, 3) as i64 } else { 1 };
        for (at, server) in servers.iter_mut().enumerate() {
            server.group = Some(at as i64 % groups + 1);
            server.weight = *random.pick(&[1, 1, 1, 2, 3, 0]);
        }
        if servers.iter().all(|s| s.weight == 0) {
            servers[0].weight = 1;
        }
    }
    servers.extend((voters + 1..=voters + observers).map(|sid| {
        let mut observer = config::server(sid, ServerKind::Observer);
        observer.group = None;
        observer
    }));
    config::make(0, servers)
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut random = Random::new(seed, "plan", 0);
        let config = draw_config(&mut random);
        let members = config.servers.len() as i64;
        let joiners = if random.chance(250) { random.between(1, 2) as i64 } else { 0 };
        let tick_ms = *random.pick(&[100, 200, 500, 1000]);
        let mut plan = Plan {
            seed,
            servers: (1..=members + joiners).collect(),
            config,
            tick_ms,
            init_limit: random.between(5, 15),
            sync_limit: random.between(3, 6),
            standalone: false,
            stamp_first_config: false,
            window: *random.pick(&[0, 3, 10, 40, 500]),
            window_bytes: 16 << 20,
            outstanding_max: 100_000,
            learners_max: 1024,
            first_counter: if random.chance(60) {
                // An epoch must have room for what a server that has lost its history waits for, or it comes back in none.
                0xffff_fffe - EPOCH_LEAST + 1 - random.below(52) as i64
            } else {
                1
            },
            network: draw_network(&mut random),
            disk: draw_disk(&mut random),
            clients: draw_clients(&mut random, tick_ms),
            odd: odd::draw(&mut random, &mut Random::new(seed, "odd", 0), tick_ms),
            fault_time: random.between(3, 15) * tick_ms * 10 * MS,
            faults: Vec::new(),
        };
        odd::draw_rarities(&mut plan);
        plan.faults = draw_faults(&plan);
        aim_faults(&mut plan);
        draw_upheavals(&mut plan);
        plan
    }

    /// How long the ensemble may take to become level once nothing goes wrong any more: a learner may
    /// have just begun an `initLimit` that leads nowhere, then votes back off, then it syncs.
    pub fn settle_us(&self) -> Micros {
        (self.init_limit * 12 + self.sync_limit * 12) * self.tick_ms * MS + 120 * SECOND
    }
}

fn draw_network(random: &mut Random) -> NetworkOptions {
    let slow = random.chance(250);
    NetworkOptions {
        delay_min_us: random.between(20, 300),
        delay_spread_us: *random.pick(&[50, 200, 1_000, 10_000]),
        slow_per_mille: if slow { random.between(1, 50) } else { 0 },
        delay_slow_us: *random.pick(&[10_000, 100_000, 500_000]),
    }
}

fn draw_disk(random: &mut Random) -> DiskOptions {
    let tiny = random.chance(300);
    let segment_bytes =
        if tiny { 4096 * random.between(4, 8) } else { 4096 * random.between(16, 32) };
    DiskOptions {
        write_min_us: 50,
        write_spread_us: *random.pick(&[50, 500, 5_000, 30_000]),
        segment_bytes,
        spares: random.between(1, 3) as usize,
        spare_us: *random.pick(&[1_000, 10_000, 200_000]),
        frame_bytes_max: 4096 * random.between(1, 3) as usize,
        in_flight_max: random.between(1, 6) as usize,
        snapshot_every: *random.pick(&[5, 20, 60, 200]),
    }
}

fn draw_clients(random: &mut Random, tick_ms: u64) -> ClientOptions {
    ClientOptions {
        count: random.between(1, 5) as usize,
        think_us: tick_ms * MS * *random.pick(&[1, 2, 5]) / 2,
        pipeline: *random.pick(&[1, 1, 3, 8]),
        patience_us: tick_ms * MS * random.between(3, 10),
        timeout_ms: (tick_ms * random.between(4, 20)) as i32,
        move_per_mille: *random.pick(&[0, 10, 100]),
        close_per_mille: *random.pick(&[0, 5, 40]),
    }
}

/// The kinds of faults, each on or off in a seed and with a weight of its own.
fn draw_faults(plan: &Plan) -> Vec<Timed> {
    let mut random = Random::new(plan.seed, "faults", 0);
    let kinds = 16;
    let mut weights: Vec<u64> =
        (0..kinds).map(|_| if random.chance(350) { random.between(1, 10) } else { 0 }).collect();
    // Crashes are the bread of it.
    if weights[0] + weights[1] + weights[2] == 0 && random.chance(700) {
        weights[random.below(3) as usize] = 5;
    }
    let sum: u64 = weights.iter().sum();
    let tick_us = plan.tick_ms * MS;
    let gap_us = tick_us * *random.pick(&[3, 8, 15, 30]);
    let mut faults = Vec::new();
    let mut at = tick_us + random.spread(gap_us);
    while at < plan.fault_time && sum > 0 {
        let mut lot = random.below(sum);
        let kind = weights.iter().position(|w| {
            let hit = lot < *w;
            lot = lot.saturating_sub(*w);
            hit
        });
        let mut own = Random::new(plan.seed, "fault", faults.len() as u64);
        let fault = draw_fault(kind.unwrap_or(0), plan, &mut own);
        faults.push(Timed { number: faults.len(), at, fault });
        // Faults come alone, and in flocks.
        at += if random.chance(250) { random.spread(tick_us / 4) } else { random.spread(gap_us) };
    }
    faults
}

/// In some seeds faults wait for a moment of the protocol. Numbered behind the others.
fn aim_faults(plan: &mut Plan) {
    let mut random = Random::new(plan.seed, "aims", 0);
    if !random.chance(600) {
        return;
    }
    for _ in 0..random.between(1, 8) {
        let at = random.below(plan.fault_time);
        let fault = Fault::Aimed(aim::draw(plan, &mut random));
        plan.faults.push(Timed { number: plan.faults.len(), at, fault });
    }
}

/// In few seeds the members change while leaders die, or leaders are left without knowing it. Numbered behind the others.
fn draw_upheavals(plan: &mut Plan) {
    let mut random = Random::new(plan.seed, "upheavals", 0);
    let changes = random.chance(60);
    let rifts = !changes && random.chance(80);
    if !(changes || rifts) || plan.servers.len() < 3 || !plan.odd.old_votes.is_empty() {
        return;
    }
    let push = |plan: &mut Plan, at, fault| {
        plan.faults.push(Timed { number: plan.faults.len(), at, fault });
    };
    if rifts {
        plan.odd.lies_per_mille = *random.pick(&[300, 700]);
    }
    if changes && random.chance(300) {
        plan.odd.garbage_per_mille = plan.odd.garbage_per_mille.max(5);
    }
    for _ in 0..random.between(2, 6) {
        let at = random.below(plan.fault_time);
        if rifts {
            push(plan, at, Fault::Rift { draw: random.bits() });
            continue;
        }
        let aim = aim::draw_upheaval(plan, &mut random);
        push(plan, at, Fault::Aimed(aim));
        push(plan, at + 1, Fault::Reconfigure { draw: random.bits() });
    }
}

fn some_of(servers: &[Sid], random: &mut Random) -> Vec<Sid> {
    let count = random.between(1, (servers.len() as u64).saturating_sub(1).max(1));
    let mut left = servers.to_vec();
    (0..count).map(|_| left.swap_remove(random.below(left.len() as u64) as usize)).collect()
}

fn draw_fault(kind: usize, plan: &Plan, random: &mut Random) -> Fault {
    let servers = &plan.servers;
    let tick_us = plan.tick_ms * MS;
    let server = *random.pick(servers);
    let down_us = random.spread(tick_us * 4) + MS;
    let for_us = random.spread(tick_us * 8) + MS;
    match kind {
        0 => Fault::Crash { server, power: random.chance(500), down_us },
        1 => Fault::CrashAtAction { server, actions: random.spread(12), down_us },
        2 => Fault::CrashInDisk { server, changes: random.below(8) },
        3 => Fault::Pause { server, for_us },
        4 => Fault::ClockJump {
            server,
            ahead_ms: if random.chance(500) { random.spread(plan.tick_ms * 4) } else { 0 },
            wall_ms: random.spread(100_000) as i64 - 100_000,
        },
        5 => Fault::CutConnections {
            a: server,
            b: *random.pick(servers),
            told: [random.chance(800), random.chance(800)],
        },
        6 => Fault::Partition { side: some_of(servers, random), out: true, back: true, for_us },
        7 => {
            let out = random.chance(500);
            Fault::Partition { side: some_of(servers, random), out, back: !out, for_us }
        }
        8 => Fault::SlowDisk { server, times: random.between(3, 100), for_us },
        9 => Fault::FailWrite { server },
        10 => Fault::FullDisk { server, for_us },
        11 => Fault::Rot { server, bits: random.between(1, 3) },
        12 => Fault::Lose { server },
        13 => Fault::Reconfigure { draw: random.bits() },
        14 => Fault::HandOver { draw: random.bits() },
        _ if random.chance(300) => Fault::Blackout { down_us },
        _ => {
            let side = some_of(servers, random);
            let spared = if random.chance(400) { some_of(servers, random) } else { Vec::new() };
            let way = *random.pick(&[Way::Deaf, Way::Mute, Way::Shut]);
            Fault::OneWayQuorum { side, spared, way }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_means_the_same() {
        for seed in 0..50 {
            assert_eq!(format!("{:?}", Plan::of(seed)), format!("{:?}", Plan::of(seed)));
        }
    }
}
