//! What Apache ZooKeeper's servers sent each other, read and written again by ringkeeper's codecs: the same bytes.
//! `RINGKEEPER_TRANSCRIPTS` names a directory of other recordings (see tests/transcripts/README.md).

#[path = "transcripts/file.rs"]
mod file;
#[path = "transcripts/replay/mod.rs"]
mod replay;

use std::collections::{BTreeMap, BTreeSet};

use file::{Event, Port, Sid, Transcript};
use ringkeeper::zab::wire::{
    ElectionItem, ElectionReader, Limits, Members, QuorumReader, Side, encode_hello,
    encode_notification, encode_packet,
};
use ringkeeper::zab::{Mistake, Mistakes, Packet};

/// One direction of a connection.
struct Stream {
    reader: Reader,
    sent: Vec<u8>,
    again: Vec<u8>,
    names: Vec<&'static str>,
}

enum Reader {
    Quorum(QuorumReader, Side),
    Election(ElectionReader),
}

impl Stream {
    fn new(port: Port, dialled: bool) -> Stream {
        let reader = match (port, dialled) {
            (Port::Election, true) => Reader::Election(ElectionReader::of_dialler()),
            (Port::Election, false) => Reader::Election(ElectionReader::of_acceptor()),
            // Learners dial leaders.
            (Port::Quorum, true) => quorum(Side::Learner),
            (Port::Quorum, false) => quorum(Side::Leader),
        };
        Stream { reader, sent: Vec::new(), again: Vec::new(), names: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        match &mut self.reader {
            Reader::Quorum(reader, side) => {
                reader.push(bytes);
                // Packets, until a snapshot begins; its pieces, until it ends; and so on.
                loop {
                    let before = reader.consumed();
                    while let Some(packet) = reader.next_packet().expect("a packet") {
                        encode_packet(&packet, *side, &mut self.again);
                        check(&packet);
                        self.names.push(packet.name());
                    }
                    while let Some(piece) = reader.next_piece().expect("a piece") {
                        piece.encode(&mut self.again);
                    }
                    if reader.consumed() == before {
                        break;
                    }
                }
            }
            Reader::Election(reader) => {
                reader.push(bytes);
                while let Some(item) = reader.next_item().expect("an item") {
                    match item {
                        ElectionItem::Hello(hello) => encode_hello(&hello, &mut self.again),
                        ElectionItem::Notification(vote) => {
                            encode_notification(&vote, &mut self.again);
                            self.names.push("notification");
                        }
                        ElectionItem::Skipped(error) => panic!("{error}"),
                    }
                }
            }
        }
    }

    /// What has come and belongs to no whole message.
    fn left_over(&self) -> usize {
        match &self.reader {
            Reader::Quorum(reader, _) => reader.buffered(),
            Reader::Election(reader) => reader.buffered(),
        }
    }
}

fn quorum(side: Side) -> Reader {
    Reader::Quorum(QuorumReader::new(side, Limits::default()), side)
}

/// What a configuration says is what its text says, and the text is as we print it.
fn check(packet: &Packet) {
    let config = match packet {
        Packet::NewLeader { config, .. } => config.as_ref().expect("a configuration"),
        Packet::Proposal { config: Some(config), .. }
        | Packet::InformAndActivate { config: Some(config), .. } => config,
        _ => return,
    };
    let members = Members::parse(&config.text).expect("a configuration");
    assert_eq!(members.to_string(), &*config.text);
    assert!(config.servers.len() >= 2, "{config:?}");
}

/// Feeds the file to readers, in the recorded pieces or in pieces of `step` bytes.
fn read(transcript: &Transcript, step: usize) -> BTreeMap<(u32, Sid), Stream> {
    let mut ports = BTreeMap::new();
    let mut streams: BTreeMap<(u32, Sid), Stream> = BTreeMap::new();
    for (_, event) in &transcript.events {
        match event {
            Event::Dial { conn, from, port, .. } => {
                ports.insert(*conn, (*port, *from));
            }
            Event::Send { conn, from, bytes, .. } => {
                let (port, dialler) = ports[conn];
                let stream = streams
                    .entry((*conn, *from))
                    .or_insert_with(|| Stream::new(port, *from == dialler));
                bytes.chunks(step).for_each(|piece| stream.push(piece));
            }
            _ => {}
        }
    }
    streams
}

#[test]
fn every_recorded_byte_is_read_and_written_again() {
    for transcript in file::all() {
        for ((conn, from), stream) in read(&transcript, usize::MAX) {
            let place = format!("{}: connection {conn} from {from}", transcript.name);
            assert_eq!(stream.left_over(), 0, "{place}: {:?}", stream.names);
            assert!(stream.again == stream.sent, "{place}: {:?}", stream.names);
        }
    }
}

#[test]
fn it_does_not_matter_in_which_pieces_bytes_come() {
    for transcript in file::all() {
        for step in [1, 7] {
            for ((conn, from), stream) in read(&transcript, step) {
                let place = format!("{}: connection {conn} from {from}", transcript.name);
                assert!(stream.again == stream.sent, "{place}: {:?}", stream.names);
            }
        }
    }
}

#[test]
fn every_type_of_packet_is_recorded() {
    let mut seen = BTreeSet::new();
    for transcript in file::all() {
        seen.extend(read(&transcript, usize::MAX).into_values().flat_map(|stream| stream.names));
    }
    let all = [
        "notification",
        "REQUEST",
        "PROPOSAL",
        "ACK",
        "COMMIT",
        "PING",
        "REVALIDATE",
        "SYNC",
        "INFORM",
        "COMMITANDACTIVATE",
        "NEWLEADER",
        "FOLLOWERINFO",
        "UPTODATE",
        "DIFF",
        "TRUNC",
        "SNAP",
        "OBSERVERINFO",
        "LEADERINFO",
        "ACKEPOCH",
        "INFORMANDACTIVATE",
    ];
    assert_eq!(seen, BTreeSet::from(all));
}

#[test]
fn every_scenario_that_the_readme_counts_on_is_there() {
    let names: Vec<String> = file::all().into_iter().map(|transcript| transcript.name).collect();
    for name in ["start", "writes", "diff", "snap", "trunc", "leader-killed", "reconfig"] {
        assert!(names.iter().any(|have| have == name), "{name} is missing among {names:?}");
    }
}

/// Plays every server of every file; what differs, and what was compared.
fn replay_all(mistakes: Mistakes) -> (Vec<String>, replay::Seen) {
    let only = std::env::var("RINGKEEPER_REPLAY").ok();
    let (mut differences, mut seen) = (Vec::new(), replay::Seen::default());
    for transcript in file::all() {
        for (number, life) in replay::lives(&transcript).into_iter().enumerate() {
            let name = format!("{}/{number}: server {}", transcript.name, life.sid);
            if only.as_ref().is_some_and(|only| !name.starts_with(only)) {
                continue;
            }
            let Some((found, counted)) = replay::Replay::run(&transcript, life, mistakes) else {
                continue;
            };
            println!("{name}: {counted:?}");
            differences.extend(found.into_iter().map(|difference| format!("{name}: {difference}")));
            seen += counted;
        }
    }
    (differences, seen)
}

/// `RINGKEEPER_REPLAY=trunc/3` plays one server of one file, `RINGKEEPER_REPLAY_TRACE=1` tells every step.
#[test]
fn the_core_sends_what_apache_zookeeper_sent() {
    let (differences, seen) = replay_all(Mistakes::default());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{seen:?}");
    if std::env::var_os("RINGKEEPER_REPLAY").is_none() {
        // So that it is not by comparing nothing.
        assert!(seen.conns > 50 && seen.packets > 20 * seen.conns / 2, "{seen:?}");
        assert!(seen.votes > seen.conns && seen.other_syncs < seen.conns / 4, "{seen:?}");
        assert!(seen.in_order > seen.conns * 3 / 4, "{seen:?}");
    }
}

/// That the comparison can fail: of the mistakes that the simulator is proved with, those that show in a recording.
#[test]
fn planted_mistakes_show() {
    let planted = [
        Mistake::VoteByCommitted,
        Mistake::ReuseEpoch,
        Mistake::CommittedLeftOutOfSync,
        Mistake::ObserversCounted,
        Mistake::CounterRunsOver,
        Mistake::ActivateAtProposal,
    ];
    // A release build has none.
    for mistake in planted.into_iter().filter(|_| cfg!(debug_assertions)) {
        let (differences, _) = replay_all(Mistakes::plant(mistake));
        assert!(!differences.is_empty(), "{mistake:?} shows nowhere");
    }
}
