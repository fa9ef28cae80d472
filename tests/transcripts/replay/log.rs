//! A server's log as the recording tells it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeeper::zab::{EnsembleConfig, Packet, Txn, Zxid};

use super::Life;
use super::conn::Reader;
use crate::file::{Event, Port, Sid, Transcript};

/// A server's log as the recording tells it.
#[derive(Debug, Default, Clone)]
pub(super) struct Log {
    pub(super) entries: BTreeMap<Zxid, (Txn, Option<Arc<EnsembleConfig>>)>,
    /// What the log begins after.
    pub(super) base: Zxid,
    pub(super) committed: Zxid,
}

impl Log {
    /// What a server had learned before an event.
    pub(super) fn before(transcript: &Transcript, life: &Life) -> Log {
        let mut log = Log::default();
        let mut conns: BTreeMap<u32, (Sid, Sid, Port, Reader, Reader)> = BTreeMap::new();
        for (_, event) in &transcript.events[..life.first] {
            match event {
                Event::Dial { conn, from, to, port } => {
                    let readers = (Reader::new(*port, true), Reader::new(*port, false));
                    conns.insert(*conn, (*from, *to, *port, readers.0, readers.1));
                }
                Event::Send { conn, from, bytes, arrived } => {
                    let (dialler, acceptor, _, dialled, accepted) =
                        conns.get_mut(conn).expect("a connection");
                    let (reader, to) = match from == dialler {
                        true => (dialled, *acceptor),
                        false => (accepted, *dialler),
                    };
                    let packets = reader.packets(bytes);
                    if *from == life.sid || (to == life.sid && *arrived) {
                        packets.into_iter().for_each(|packet| log.learn(packet));
                    }
                }
                _ => {}
            }
        }
        log.entries.retain(|zxid, _| *zxid <= life.disk.logged);
        log.committed = log.committed.min(life.disk.logged);
        log
    }

    pub(super) fn learn(&mut self, packet: Packet) {
        match packet {
            Packet::Proposal { zxid, txn, config } => {
                self.entries.insert(zxid, (txn, config));
            }
            Packet::Inform { zxid, txn } => {
                self.entries.insert(zxid, (txn, None));
                self.committed = self.committed.max(zxid);
            }
            Packet::InformAndActivate { zxid, txn, config, .. } => {
                self.entries.insert(zxid, (txn, config));
                self.committed = self.committed.max(zxid);
            }
            Packet::Commit { zxid } | Packet::CommitAndActivate { zxid, .. } => {
                self.committed = self.committed.max(zxid);
            }
            _ => {}
        }
    }

    pub(super) fn cut(&mut self, to: Zxid) {
        self.entries.retain(|zxid, _| *zxid <= to);
    }

    pub(super) fn last(&self) -> Zxid {
        self.entries.last_key_value().map_or(self.base, |(zxid, _)| (*zxid).max(self.base))
    }
}
