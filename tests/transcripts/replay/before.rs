//! What a recording tells of a life before it is played: how it begins, with which configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeeper::zab::{EnsembleConfig, Packet, Zxid};

use super::Life;
use super::conn::Reader;
use crate::file::{Event, Port, Sid, Transcript};

/// The first event in which the server takes part.
pub(super) fn begins(transcript: &Transcript, life: &Life) -> Option<usize> {
    let involves = |event: &Event| match event {
        Event::Dial { from, to, .. } => *from == life.sid || *to == life.sid,
        _ => false,
    };
    let events = &transcript.events[life.first..life.last];
    events.iter().position(|(_, event)| involves(event)).map(|at| life.first + at)
}

/// What a server sent to those that dialled its quorum port, while it lived.
fn sent_as_leader(transcript: &Transcript, life: &Life) -> Vec<Packet> {
    let mut readers = BTreeMap::new();
    let mut packets = Vec::new();
    for (_, event) in &transcript.events[life.first..life.last] {
        match event {
            Event::Dial { conn, to, port: Port::Quorum, .. } if *to == life.sid => {
                readers.insert(*conn, Reader::new(Port::Quorum, false));
            }
            Event::Send { conn, from, bytes, .. } if *from == life.sid => {
                if let Some(reader) = readers.get_mut(conn) {
                    packets.extend(reader.packets(bytes));
                }
            }
            _ => {}
        }
    }
    packets
}

/// The configuration that a leader began with, if it gave it a number that it did not have in the votes: the one of its
/// epoch, as ZooKeeper's does where reconfiguration is enabled. The core does not number configurations; here it is
/// given one that is.
pub(super) fn numbered_config(transcript: &Transcript, life: &Life) -> Option<Arc<EnsembleConfig>> {
    let sent = sent_as_leader(transcript, life);
    let (epoch, config) = sent.into_iter().find_map(|packet| match packet {
        Packet::NewLeader { epoch, config: Some(config) } => Some((epoch, config)),
        _ => None,
    })?;
    (config.version == epoch << 32).then_some(config)
}

/// Whom a leader designated other than itself.
pub(super) fn designated(transcript: &Transcript, life: &Life) -> BTreeMap<Zxid, Sid> {
    let designated = |packet| match packet {
        Packet::CommitAndActivate { zxid, designated_leader } if designated_leader != life.sid => {
            Some((zxid, designated_leader))
        }
        _ => None,
    };
    sent_as_leader(transcript, life).into_iter().filter_map(designated).collect()
}

/// The configuration that the server's first vote names.
pub(super) fn first_config(transcript: &Transcript, life: &Life) -> Option<Arc<EnsembleConfig>> {
    let mut readers = BTreeMap::new();
    for (_, event) in &transcript.events[life.first..life.last] {
        match event {
            Event::Dial { conn, from, port: Port::Election, .. } => {
                readers.insert(*conn, Reader::new(Port::Election, *from == life.sid));
            }
            Event::Send { conn, from, bytes, .. } if *from == life.sid => {
                let votes = readers.get_mut(conn).map(|reader| reader.votes(bytes));
                if let Some(vote) = votes.unwrap_or_default().first() {
                    return vote.config.clone();
                }
            }
            _ => {}
        }
    }
    None
}
