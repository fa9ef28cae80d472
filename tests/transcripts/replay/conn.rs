//! One connection, and what each side sent on it.

use std::collections::VecDeque;

use ringkeeper::zab::wire::{ElectionItem, ElectionReader, Limits, QuorumReader, Side};
use ringkeeper::zab::{Notification, Packet};

use crate::file::{Port, Sid};

/// One connection as the replayed server has it.
pub(super) struct Conn {
    pub(super) port: Port,
    pub(super) peer: Sid,
    pub(super) dialled_by_us: bool,
    pub(super) theirs: Reader,
    pub(super) ours: Reader,
    /// Packets of the peer that the core does not want yet.
    pub(super) inbox: VecDeque<Packet>,
    pub(super) peer_ended: bool,
    /// The core knows the connection.
    pub(super) open: bool,
    /// The core closed it, and why.
    pub(super) closed: Option<String>,
    pub(super) recorded: Vec<Packet>,
    pub(super) sent: Vec<Packet>,
}

pub(super) enum Reader {
    Quorum(QuorumReader),
    Election(ElectionReader),
}

impl Reader {
    pub(super) fn new(port: Port, dialler: bool) -> Reader {
        match (port, dialler) {
            (Port::Quorum, true) => {
                Reader::Quorum(QuorumReader::new(Side::Learner, Limits::default()))
            }
            (Port::Quorum, false) => {
                Reader::Quorum(QuorumReader::new(Side::Leader, Limits::default()))
            }
            (Port::Election, true) => Reader::Election(ElectionReader::of_dialler()),
            (Port::Election, false) => Reader::Election(ElectionReader::of_acceptor()),
        }
    }

    pub(super) fn packets(&mut self, bytes: &[u8]) -> Vec<Packet> {
        let Reader::Quorum(reader) = self else { return Vec::new() };
        reader.push(bytes);
        let mut packets = Vec::new();
        loop {
            let before = reader.consumed();
            while let Some(packet) = reader.next_packet().expect("a packet") {
                packets.push(packet);
            }
            while reader.next_piece().expect("a piece").is_some() {}
            if reader.consumed() == before {
                return packets;
            }
        }
    }

    pub(super) fn votes(&mut self, bytes: &[u8]) -> Vec<Notification> {
        let Reader::Election(reader) = self else { return Vec::new() };
        reader.push(bytes);
        let mut votes = Vec::new();
        while let Some(item) = reader.next_item().expect("an item") {
            if let ElectionItem::Notification(vote) = item {
                votes.push(vote);
            }
        }
        votes
    }
}
