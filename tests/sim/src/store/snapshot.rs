//! Snapshots as bytes: the real tree walked at a pin, and loaded into a fresh one.
//!
//! The product's own files need a real file system and threads; what counts here is that a snapshot
//! is exactly the state of one zxid, travels to learners, and may be half on the disk.

use ringkeeper::jute::{DecodeError, Decoder, Encode};
use ringkeeper::protocol::{Acl, AclRef, Zxid};
use ringkeeper::tree::{self, LoadNode, StatPersisted, TreeConfig, TreeWriter, Walker};

/// Why bytes are no snapshot.
#[derive(Debug)]
pub enum BadSnapshot {
    /// The checksum is another.
    Torn,
    /// The bytes are whole and say nonsense, or the tree does not take them.
    Wrong(String),
}

impl From<DecodeError> for BadSnapshot {
    fn from(error: DecodeError) -> Self {
        BadSnapshot::Wrong(error.to_string())
    }
}

/// The bounds of a simulated tree.
pub fn tree_config() -> TreeConfig {
    TreeConfig {
        readers_max: 4,
        nodes_max: 1 << 16,
        sessions_max: 1 << 12,
        ..TreeConfig::default()
    }
}

/// The state at `zxid`, which must be published.
pub fn encode(tree: &TreeWriter, zxid: Zxid) -> Vec<u8> {
    let mut out = vec![0; 4];
    let shared = tree.shared();
    let mut reader = shared.background_reader().expect("a snapshot's reader slot is free");
    let Some(pin) =
        (if zxid == tree.published() { Some(reader.pin()) } else { reader.pin_at(zxid) })
    else {
        panic!("a snapshot of 0x{zxid:x} was asked for, published is 0x{:x}", tree.published());
    };
    let mut sessions: Vec<(i64, i32)> = reader.sessions_at(&pin).collect();
    sessions.sort_unstable();
    put_sessions(&mut out, zxid, &sessions);
    let mut walker = Walker::new(&pin);
    loop {
        let id = {
            let Some(node) = walker.next(&mut reader) else { break };
            put_node(&mut out, &node.path(), node.data(), &node.stat_persisted());
            node.acl()
        };
        put_acl(&mut out, reader.acl_list(id));
    }
    seal(out)
}

/// The mistake of ZOOKEEPER-1549: the newest state, uncommitted changes included, named by an older zxid.
/// Made of the writer's own view, which is the newest.
pub fn encode_newest(tree: &TreeWriter, zxid: Zxid) -> Vec<u8> {
    let mut out = vec![0; 4];
    let sessions: Vec<(i64, i32)> =
        tree.sessions().map(|(id, info)| (id, info.timeout_ms)).collect();
    put_sessions(&mut out, zxid, &sessions);
    let root = tree.get("/").expect("there is a root");
    for node in root.subtree() {
        put_node(&mut out, &node.path(), node.data(), &node.stat_persisted());
        put_acl(&mut out, tree.acl_list(node.acl()));
    }
    seal(out)
}

pub(super) fn put_sessions(out: &mut Vec<u8>, zxid: Zxid, sessions: &[(i64, i32)]) {
    out.put_i64(zxid);
    out.put_count(sessions.len());
    for (id, timeout_ms) in sessions {
        out.put_i64(*id);
        out.put_i32(*timeout_ms);
    }
}

pub(super) fn put_node(out: &mut Vec<u8>, path: &str, data: Option<&[u8]>, stat: &StatPersisted) {
    out.put_str(path);
    out.put_buffer(data);
    let times = [stat.czxid, stat.mzxid, stat.ctime_ms, stat.mtime_ms];
    for number in times.into_iter().chain([stat.ephemeral_owner, stat.pzxid]) {
        out.put_i64(number);
    }
    for number in [stat.version, stat.cversion, stat.aversion] {
        out.put_i32(number);
    }
}

pub(super) fn put_acl(out: &mut Vec<u8>, acl: &[Acl]) {
    out.put_count(acl.len());
    for entry in acl {
        out.put_i32(entry.perms);
        out.put_str(&entry.scheme);
        out.put_str(&entry.id);
    }
}

pub(super) fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The zxid of a snapshot whose checksum is right.
pub fn zxid_of(bytes: &[u8]) -> Result<Zxid, BadSnapshot> {
    let (crc, body) = bytes.split_first_chunk::<4>().ok_or(BadSnapshot::Torn)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(BadSnapshot::Torn);
    }
    Ok(Decoder::new(body).i64()?)
}

/// A tree with the state of a snapshot, published at its zxid.
pub fn load(bytes: &[u8]) -> Result<(Zxid, TreeWriter), BadSnapshot> {
    let zxid = zxid_of(bytes)?;
    let wrong = |error: tree::TreeError| BadSnapshot::Wrong(error.to_string());
    let mut tree = tree::new(tree_config());
    tree.begin_load().map_err(wrong)?;
    let mut input = Decoder::new(&bytes[12..]);
    for _ in 0..input.count(12)?.unwrap_or(0) {
        let (id, timeout_ms) = (input.i64()?, input.i32()?);
        tree.load_session(id, timeout_ms).map_err(wrong)?;
    }
    while !input.is_empty() {
        load_node(&mut tree, &mut input)?;
    }
    tree.finish_load(zxid, false).map_err(wrong)?;
    tree.publish(zxid);
    Ok((zxid, tree))
}

/// A node as a snapshot has it.
pub(super) struct NodeRef<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub stat: StatPersisted,
    pub acl: Vec<AclRef<'a>>,
}

pub(super) fn read_node<'a>(input: &mut Decoder<'a>) -> Result<NodeRef<'a>, DecodeError> {
    let (path, data) = (input.str()?, input.buffer()?);
    let stat = StatPersisted {
        czxid: input.i64()?,
        mzxid: input.i64()?,
        ctime_ms: input.i64()?,
        mtime_ms: input.i64()?,
        ephemeral_owner: input.i64()?,
        pzxid: input.i64()?,
        version: input.i32()?,
        cversion: input.i32()?,
        aversion: input.i32()?,
    };
    let mut acl = Vec::new();
    for _ in 0..input.count(12)?.unwrap_or(0) {
        acl.push(AclRef { perms: input.i32()?, scheme: input.str()?, id: input.str()? });
    }
    Ok(NodeRef { path, data, stat, acl })
}

fn load_node(tree: &mut TreeWriter, input: &mut Decoder<'_>) -> Result<(), BadSnapshot> {
    let wrong = |error: tree::TreeError| BadSnapshot::Wrong(error.to_string());
    let NodeRef { path, data, stat, acl } = read_node(input)?;
    let acl = tree.intern_acl(&acl).map_err(wrong)?;
    tree.load_node(&LoadNode { path, data, acl, stat }).map_err(wrong)
}
