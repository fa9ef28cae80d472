//! A snapshot as it follows SNAP on a connection: ZooKeeper's pieces, made of a snapshot's bytes and read into them.

use std::collections::BTreeMap;

use ringkeeper::jute::{DecodeError, Decoder};
use ringkeeper::protocol::{Acl, AclRef, Zxid};
use ringkeeper::tree::StatPersisted;
use ringkeeper::zab::wire::{AclEntry, NodeStat, SnapshotPiece};

use super::snapshot::{self, put_acl, put_node, put_sessions, seal};

/// A stat as a `$to`: the tree's and the wire's have the same fields.
macro_rules! stat_as {
    ($to:ident, $stat:expr) => {
        $to {
            czxid: $stat.czxid,
            mzxid: $stat.mzxid,
            ctime_ms: $stat.ctime_ms,
            mtime_ms: $stat.mtime_ms,
            version: $stat.version,
            cversion: $stat.cversion,
            aversion: $stat.aversion,
            ephemeral_owner: $stat.ephemeral_owner,
            pzxid: $stat.pzxid,
        }
    };
}

/// The number of the list by which everybody may do everything; it is never sent.
const OPEN: i64 = -1;

fn is_open(list: &[AclEntry]) -> bool {
    matches!(list, [only] if (only.perms, &*only.scheme, &*only.id) == (31, "world", "anyone"))
}

/// The path of the root is empty on the wire: `/` ends the nodes.
const ROOT: &str = "/";

/// Appends what is sent of a snapshot behind SNAP.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    put_pieces(bytes, out).expect("a snapshot that was made here can be read");
}

fn put_pieces(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut input = Decoder::new(bytes.get(12..).unwrap_or_default());
    let sessions = input.count(12)?.unwrap_or(0);
    SnapshotPiece::Sessions(sessions as u32).encode(out);
    for _ in 0..sessions {
        SnapshotPiece::Session { id: input.i64()?, timeout_ms: input.i32()? }.encode(out);
    }
    let mut lists: Vec<Vec<AclEntry>> = Vec::new();
    let mut nodes = Vec::new();
    while !input.is_empty() {
        let node = snapshot::read_node(&mut input)?;
        let list: Vec<AclEntry> = node.acl.iter().map(entry).collect();
        let acl = match lists.iter().position(|known| *known == list) {
            _ if is_open(&list) => OPEN,
            Some(at) => at as i64 + 1,
            None => {
                lists.push(list);
                lists.len() as i64
            }
        };
        let path = if node.path == ROOT { "" } else { node.path };
        SnapshotPiece::Node { path, data: node.data, acl, stat: stat_as!(NodeStat, node.stat) }
            .encode(&mut nodes);
    }
    SnapshotPiece::AclLists(lists.len() as u32).encode(out);
    for (at, entries) in lists.into_iter().enumerate() {
        SnapshotPiece::AclList { id: at as i64 + 1, entries }.encode(out);
    }
    out.extend_from_slice(&nodes);
    SnapshotPiece::End.encode(out);
    Ok(())
}

fn entry(acl: &AclRef<'_>) -> AclEntry {
    AclEntry { perms: acl.perms, scheme: acl.scheme.to_owned(), id: acl.id.to_owned() }
}

/// A snapshot that is being received.
pub struct Received {
    zxid: Zxid,
    sessions: Vec<(i64, i32)>,
    lists: BTreeMap<i64, Vec<Acl>>,
    nodes: Vec<u8>,
}

impl Received {
    /// The one that SNAP has announced.
    pub fn new(zxid: Zxid) -> Received {
        let everybody = Acl { perms: 31, scheme: "world".into(), id: "anyone".into() };
        let lists = [(OPEN, vec![everybody])].into();
        Received { zxid, sessions: Vec::new(), lists, nodes: Vec::new() }
    }

    /// Takes a piece. `Some`: that was the last one; the snapshot's bytes.
    pub fn take(&mut self, piece: &SnapshotPiece<'_>) -> Result<Option<Vec<u8>>, String> {
        match piece {
            SnapshotPiece::Sessions(_) | SnapshotPiece::AclLists(_) => {}
            SnapshotPiece::Session { id, timeout_ms } => self.sessions.push((*id, *timeout_ms)),
            SnapshotPiece::AclList { id, entries } => {
                let list = entries.iter().map(|entry| Acl {
                    perms: entry.perms,
                    scheme: entry.scheme.clone(),
                    id: entry.id.clone(),
                });
                self.lists.insert(*id, list.collect());
            }
            SnapshotPiece::Node { path, data, acl, stat } => {
                let path = if path.is_empty() { ROOT } else { path };
                let list = self.lists.get(acl).ok_or("a node names an ACL list that is none")?;
                put_node(&mut self.nodes, path, *data, &stat_as!(StatPersisted, stat));
                put_acl(&mut self.nodes, list);
            }
            SnapshotPiece::End => {
                let mut out = vec![0; 4];
                put_sessions(&mut out, self.zxid, &self.sessions);
                out.append(&mut self.nodes);
                return Ok(Some(seal(out)));
            }
        }
        Ok(None)
    }
}
