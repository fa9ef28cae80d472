//! Faults that are aimed: they wait for a moment of the protocol, and strike then.
//!
//! The worst moments are short: between a word that was said and what it promises being on the medium, between a
//! proposal that few have and its commit. Faults drawn by the clock alone hardly ever hit them.
//! Owns what may be waited for and what happens then. Carrying it out is the world's part.

use ringkeeper::zab::{Packet, Sid, counter_of};

use crate::plan::Plan;
use crate::random::Random;
use crate::time::{MS, Micros};

/// What is waited for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A server sends such a packet.
    Sends(&'static str),
    /// A server takes such a packet.
    Takes(&'static str),
    /// A server begins to do something.
    Begins(Deed),
}

/// What a server may begin to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It looks for a leader.
    Look,
    /// It was elected.
    Lead,
    /// It leads in earnest.
    Establish,
    /// It serves as a learner.
    Serve,
    /// It stores its epochs.
    Store,
    /// It cuts its log.
    Cut,
    /// It keeps a snapshot beside the state in force.
    Stage,
    /// That takes the place of the state in force.
    TakeOver,
    /// It proposes other members; the other server is any one.
    Propose,
}

/// What happens to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Its process is killed, or the power fails.
    Crash {
        /// Whether the power fails.
        power: bool,
        /// When it comes back.
        down_us: Micros,
    },
    /// Nothing gets to it (`deaf`) or from it (`mute`).
    Isolate {
        /// Nothing gets to it.
        deaf: bool,
        /// Nothing comes from it.
        mute: bool,
        /// How long.
        for_us: Micros,
    },
    /// It and the other one cannot talk.
    Part {
        /// How long.
        for_us: Micros,
    },
    /// Its connections with the other one drop, with what is in flight.
    Drop,
    /// It stands still.
    Pause {
        /// How long.
        for_us: Micros,
    },
    /// Its disk takes so many times as long.
    Slow {
        /// How many times.
        times: u64,
        /// How long.
        for_us: Micros,
    },
    /// Its disk is replaced by an empty one.
    Lose,
    /// It is asked to hand over, if it leads.
    HandOver {
        /// To which, drawn when its time comes.
        draw: u64,
    },
}

/// A blow, to whom, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// It hits the other end of the packet's connection (a learner's leader, where there is no packet).
    pub peer: bool,
    /// So long after the moment.
    pub after_us: Micros,
    /// What.
    pub blow: Blow,
}

/// An aimed fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The moment.
    pub moment: Moment,
    /// At this server; at any.
    pub server: Option<Sid>,
    /// So many such moments are let go by.
    pub skip: u64,
    /// What happens then.
    pub strikes: Vec<Strike>,
}

/// A packet's name here: an acknowledgement of NEWLEADER is not one of a proposal.
pub fn word(packet: &Packet) -> &'static str {
    match packet {
        Packet::Ack { zxid } if counter_of(*zxid) == 0 => "ACK of NEWLEADER",
        other => other.name(),
    }
}

const WORDS: &[&str] = &[
    "FOLLOWERINFO",
    "LEADERINFO",
    "ACKEPOCH",
    "DIFF",
    "TRUNC",
    "SNAP",
    "NEWLEADER",
    "ACK of NEWLEADER",
    "UPTODATE",
    "PROPOSAL",
    "ACK",
    "COMMIT",
    "COMMITANDACTIVATE",
];

const DEEDS: &[Deed] = &[
    Deed::Look,
    Deed::Lead,
    Deed::Establish,
    Deed::Serve,
    Deed::Store,
    Deed::Cut,
    Deed::Stage,
    Deed::TakeOver,
];

/// Draws one.
pub fn draw(plan: &Plan, random: &mut Random) -> Aim {
    let server = random.chance(300).then(|| *random.pick(&plan.servers));
    let (moment, strikes) =
        if random.chance(600) { known(plan, random) } else { any(plan, random) };
    let often = matches!(moment, Moment::Sends("PROPOSAL" | "ACK" | "COMMIT"))
        || matches!(moment, Moment::Takes("PROPOSAL" | "ACK" | "COMMIT"));
    let skip = if often { random.spread(20) } else { *random.pick(&[0, 0, 0, 1, 3]) };
    Aim { moment, server, skip, strikes }
}

fn any(plan: &Plan, random: &mut Random) -> (Moment, Vec<Strike>) {
    let moment = match random.below(3) {
        0 => Moment::Sends(WORDS[random.below(WORDS.len() as u64) as usize]),
        1 => Moment::Takes(WORDS[random.below(WORDS.len() as u64) as usize]),
        _ => Moment::Begins(*random.pick(DEEDS)),
    };
    let strikes = (0..random.between(1, 3)).map(|_| {
        let for_us = lasts(plan, random);
        let blow = match random.below(7) {
            0 | 1 => crash(plan, random),
            2 => away(random, for_us),
            3 => Blow::Part { for_us },
            4 => Blow::Drop,
            5 => Blow::Pause { for_us },
            _ => Blow::Slow { times: random.between(3, 100), for_us },
        };
        Strike { peer: random.chance(400), after_us: soon(plan, random), blow }
    });
    (moment, strikes.collect())
}

/// The moments that are known to be the dangerous ones, each with what makes it so.
fn known(plan: &Plan, random: &mut Random) -> (Moment, Vec<Strike>) {
    let for_us = lasts(plan, random);
    let own = |after_us, blow| Strike { peer: false, after_us, blow };
    let peers = |after_us, blow| Strike { peer: true, after_us, blow };
    let (first, second) = (soon(plan, random), soon(plan, random));
    let crash_own = own(first, crash(plan, random));
    let away_own = own(first, away(random, for_us));
    let away_peer = peers(second, away(random, for_us));
    let slow = Blow::Slow { times: random.between(20, 200), for_us };
    match random.below(11) {
        // A promise is given, and whoever gave it dies.
        0 => (Moment::Sends("ACKEPOCH"), vec![crash_own]),
        1 => (Moment::Sends("LEADERINFO"), vec![crash_own]),
        // The leader's history is half there, and both are gone: whose is in force?
        2 => (Moment::Takes("NEWLEADER"), vec![crash_own, away_peer]),
        3 => (Moment::Begins(Deed::Stage), vec![crash_own, away_peer]),
        4 => (Moment::Begins(Deed::TakeOver), vec![crash_own, away_peer]),
        5 => (Moment::Begins(Deed::Cut), vec![crash_own]),
        // A proposal that few have: the leader's own disk is slow, and one that has it goes and comes again.
        6 => (Moment::Sends("PROPOSAL"), vec![own(0, slow), peers(first, Blow::Drop)]),
        // It comes back while what it has written is still under way; whose write is it that ends then?
        8 | 9 => (Moment::Takes("PROPOSAL"), vec![own(0, slow), own(first, Blow::Drop)]),
        7 => (Moment::Sends("PROPOSAL"), vec![away_own]),
        // The old and the new members part.
        _ => (Moment::Sends("COMMITANDACTIVATE"), vec![away_own, peers(second, Blow::Drop)]),
    }
}

/// Other members are proposed, and whoever proposed them dies; who comes back without a history may be the one that the
/// next leader brings level first.
pub fn draw_upheaval(plan: &Plan, random: &mut Random) -> Aim {
    let after_us = soon(plan, random);
    let mut strikes = vec![Strike { peer: false, after_us, blow: crash(plan, random) }];
    if random.chance(700) {
        strikes.push(Strike { peer: true, after_us: 0, blow: Blow::Lose });
    }
    Aim { moment: Moment::Begins(Deed::Propose), server: None, skip: 0, strikes }
}

/// What happens while a leader does not know that it has been left: one who has promised itself to the next leader loses
/// that one; the next leader hands over; one who serves under it loses its history.
pub fn draw_rift(plan: &Plan, random: &mut Random) -> Aim {
    let (moment, blow) = match random.below(3) {
        0 => (Moment::Sends("ACKEPOCH"), Blow::Drop),
        1 => (Moment::Begins(Deed::Establish), Blow::HandOver { draw: random.bits() }),
        _ => (Moment::Begins(Deed::Serve), Blow::Lose),
    };
    let quarters = *random.pick(&[0, 1, 4]);
    let after_us = random.spread(plan.tick_ms * MS * quarters / 4);
    let strikes = vec![Strike { peer: false, after_us, blow }];
    Aim { moment, server: None, skip: 0, strikes }
}

fn crash(plan: &Plan, random: &mut Random) -> Blow {
    let down_us = random.spread(plan.tick_ms * MS * 2) + MS;
    Blow::Crash { power: random.chance(700), down_us }
}

fn away(random: &mut Random, for_us: Micros) -> Blow {
    let way = random.below(4);
    Blow::Isolate { deaf: way != 0, mute: way != 1, for_us }
}

fn lasts(plan: &Plan, random: &mut Random) -> Micros {
    random.spread(plan.tick_ms * MS * 8) + MS
}

/// At once, or within what a disk or a message takes.
fn soon(plan: &Plan, random: &mut Random) -> Micros {
    let mean = *random.pick(&[0, 100, plan.disk.write_spread_us, plan.tick_ms * MS / 4]);
    random.spread(mean)
}
