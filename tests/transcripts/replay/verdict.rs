//! The comparison of what the core sent with what the recorded server sent.

use std::collections::BTreeMap;

use ringkeeper::zab::wire::{Side, encode_notification, encode_packet};
use ringkeeper::zab::{Notification, Packet, PeerState, Zxid};

use super::conn::Conn;
use super::{Difference, Replay, Seen};
use crate::file::Port;

impl Replay<'_> {
    pub(super) fn verdict(mut self) -> (Vec<Difference>, Seen) {
        let mut seen = Seen::default();
        for (number, conn) in std::mem::take(&mut self.conns) {
            if conn.port == Port::Quorum {
                self.compare(number, &conn, &mut seen);
            }
        }
        self.compare_votes(&mut seen);
        (self.differences, seen)
    }

    fn compare(&mut self, number: u32, conn: &Conn, seen: &mut Seen) {
        seen.conns += 1;
        let side = if conn.dialled_by_us { Side::Learner } else { Side::Leader };
        let counts = |packet: &&Packet| {
            // When a leader pings is a matter of its clock.
            conn.dialled_by_us || !matches!(packet, Packet::Ping { .. })
        };
        let mut ours: Vec<&Packet> = conn.sent.iter().filter(counts).collect();
        let mut theirs: Vec<&Packet> = conn.recorded.iter().filter(counts).collect();
        let place = format!("connection {number} with {}", conn.peer);
        if let (Some(our_sync), Some(their_sync)) = (sync_kind(&ours), sync_kind(&theirs))
            && our_sync != their_sync
        {
            seen.other_syncs += 1;
            self.note(|| format!("{place}: {our_sync} where {their_sync} was recorded"));
            let (our_part, their_part) = (take_sync(&mut ours), take_sync(&mut theirs));
            self.compare_syncs(&place, &our_part, &their_part);
        }
        let same_order = ours.len() >= theirs.len()
            && bytes(&ours[..theirs.len()], side) == bytes(&theirs, side);
        seen.in_order += usize::from(same_order);
        if !same_order {
            let names = |packets: &[&Packet]| {
                let name = |packet: &&Packet| show(packet);
                packets.iter().map(name).collect::<Vec<_>>().join(" ")
            };
            self.note(|| {
                format!("{place}:\n  recorded {}\n  the core {}", names(&theirs), names(&ours))
            });
        }
        // Each kind by itself.
        let mut names: Vec<&'static str> = theirs.iter().map(|packet| packet.name()).collect();
        names.extend(ours.iter().map(|packet| packet.name()));
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |packets: &[&Packet]| -> Vec<Vec<u8>> {
                let of = packets.iter().filter(|packet| packet.name() == name);
                of.map(|packet| bytes(&[packet], side)).collect()
            };
            let (mut ours, mut theirs) = (of(&ours), of(&theirs));
            if self.observes && name == "ACKEPOCH" {
                // ZooKeeper's observers promise the epoch, though nobody counts it; ours do not.
                ours.iter_mut().chain(&mut theirs).for_each(|bytes| bytes.truncate(12));
            } else if name == "ACKEPOCH" {
                // ZooKeeper's followers never promise an epoch twice; ours do to the very leader whom they promised it.
                for (ours, theirs) in ours.iter_mut().zip(&mut theirs) {
                    if theirs.get(16..20) == Some(&[0xff; 4]) {
                        ours.truncate(12);
                        theirs.truncate(12);
                    }
                }
            }
            let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            seen.packets += same;
            if same < theirs.len() {
                let what = format!(
                    "{place}: number {same}: recorded {}, the core {}; it {}",
                    hex(&theirs[same]),
                    ours.get(same).map_or("sent none".into(), |bytes| hex(bytes)),
                    conn.closed.as_deref().unwrap_or("goes on"),
                );
                self.differs(name, what);
            } else if ours.len() > theirs.len() {
                let what =
                    format!("{place}: {name}: {} more than recorded", ours.len() - theirs.len());
                self.differs("nothing more is sent", what);
            }
        }
    }

    /// Two ways to bring one learner level: both must leave it with the same history.
    fn compare_syncs(&mut self, place: &str, ours: &[Packet], theirs: &[Packet]) {
        let floor = |zxid: Zxid| {
            let entries = self.log.entries.range(..=zxid);
            entries.map(|(zxid, _)| *zxid).next_back().unwrap_or(self.log.base)
        };
        let end = |packet: &Packet| match packet {
            Packet::Proposal { zxid, .. } => Some(*zxid),
            Packet::Snap { zxid } | Packet::Trunc { zxid } | Packet::Diff { zxid } => {
                Some(floor(*zxid))
            }
            _ => None,
        };
        let our_end = ours.iter().filter_map(end).max();
        let their_end = theirs.iter().filter_map(end).max();
        if our_end != their_end {
            let what = format!("{place}: through {our_end:x?}, recorded {their_end:x?}");
            self.differs("another sync leads to the same history", what);
        }
        // Each proposal is one of the log, and there is no gap.
        let sent: Vec<Zxid> = ours
            .iter()
            .filter_map(|packet| match packet {
                Packet::Proposal { zxid, .. } => Some(*zxid),
                _ => None,
            })
            .collect();
        if let (Some(first), Some(last)) = (sent.first(), sent.last()) {
            let all: Vec<Zxid> =
                self.log.entries.range(first..=last).map(|(zxid, _)| *zxid).collect();
            if all != sent {
                let what = format!("{place}: {sent:x?} of {all:x?}");
                self.differs("another sync leads to the same history", what);
            }
        }
    }

    /// Of each round, the last vote. What lies between depends on the order in which votes cross.
    fn compare_votes(&mut self, seen: &mut Seen) {
        if !self.compares_votes {
            return;
        }
        for (peer, mut votes) in std::mem::take(&mut self.votes_recorded) {
            // Who does not vote is answered as chance has it.
            votes.retain(|vote| {
                let votes = |sid| vote.config.as_ref().is_some_and(|c| c.is_participant(sid));
                votes(peer) && votes(self.life.sid) && vote.election_epoch > 0
            });
            let sent = distinct(&self.votes_sent.remove(&peer).unwrap_or_default());
            let recorded: BTreeMap<i64, Vec<u8>> =
                votes.iter().map(|vote| (vote.election_epoch, frame(vote))).collect();
            for (_, vote) in recorded {
                if sent.contains(&vote) {
                    seen.votes += 1;
                    continue;
                }
                let vote = show_vote(&read_vote(&vote));
                let sent: Vec<String> =
                    sent.iter().map(|sent| show_vote(&read_vote(sent))).collect();
                let what = format!("to {peer}: {vote}, but the core sent {sent:?}");
                self.differs("votes", what);
            }
        }
    }
}

/// How a learner was brought level.
fn sync_kind(packets: &[&Packet]) -> Option<&'static str> {
    let kind = |packet: &&&Packet| {
        matches!(packet, Packet::Diff { .. } | Packet::Trunc { .. } | Packet::Snap { .. })
    };
    packets.iter().find(kind).map(|packet| packet.name())
}

/// Takes everything from DIFF, TRUNC or SNAP to NEWLEADER out.
fn take_sync(packets: &mut Vec<&Packet>) -> Vec<Packet> {
    let starts = |packet: &&Packet| {
        matches!(packet, Packet::Diff { .. } | Packet::Trunc { .. } | Packet::Snap { .. })
    };
    let from = packets.iter().position(starts).unwrap_or(packets.len());
    let ends = |packet: &&Packet| matches!(packet, Packet::NewLeader { .. });
    let to = packets.iter().position(ends).unwrap_or(packets.len()).max(from);
    packets.drain(from..to).cloned().collect()
}

/// A packet in a word.
fn show(packet: &Packet) -> String {
    match packet {
        Packet::Proposal { zxid, .. } | Packet::Inform { zxid, .. } => {
            format!("{}:{zxid:x}", packet.name())
        }
        Packet::Commit { zxid } | Packet::Ack { zxid } => format!("{}:{zxid:x}", packet.name()),
        _ => packet.name().to_owned(),
    }
}

fn bytes(packets: &[&Packet], side: Side) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| encode_packet(packet, side, &mut out));
    out
}

fn hex(bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let about = Some(bytes).filter(|bytes| bytes.len() > 60);
    match about {
        Some(bytes) => format!("{text} ({:?})", String::from_utf8_lossy(bytes)),
        None => text,
    }
}

fn frame(vote: &Notification) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_notification(vote, &mut bytes);
    bytes
}

/// The bytes of votes, without repetitions.
fn distinct(votes: &[Notification]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = votes.iter().map(frame).collect();
    all.dedup();
    all
}

fn read_vote(frame: &[u8]) -> Notification {
    ringkeeper::zab::wire::decode_notification(&frame[4..], 0).expect("a vote")
}

pub(super) fn show_vote(vote: &Notification) -> String {
    let state = match vote.state {
        PeerState::Looking => "looking",
        PeerState::Following => "following",
        PeerState::Leading => "leading",
        PeerState::Observing => "observing",
    };
    format!(
        "{state} leader {} zxid {:x} round {} epoch {} config {:x}",
        vote.leader,
        vote.zxid,
        vote.election_epoch,
        vote.peer_epoch,
        vote.config.as_ref().map_or(-1, |config| config.version),
    )
}
