//! What blocks hold, built and read: znodes, sessions, ACL lists, the trailer.

use flatbuffers::{FlatBufferBuilder, Vector, WIPOffset};

use super::block::Kind;
use super::generated as fb;
use crate::protocol::{Acl, AclRef, Zxid};
use crate::tree::{Node, StatPersisted};

/// What a snapshot is of, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The state of exactly this zxid.
    pub zxid: Zxid,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: i64,
    /// Digest of the state (digest version 2).
    pub digest: i64,
    /// Znodes, the root among them.
    pub nodes: u64,
    /// Sessions.
    pub sessions: u64,
    /// ACL lists besides world:anyone:ALL.
    pub acl_lists: u64,
    /// Bytes of all znodes' data.
    pub data_bytes: u64,
    /// Bytes of all blocks, uncompressed.
    pub raw_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
}

/// Where a block lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockRef {
    pub kind: Kind,
    pub offset: u64,
    pub bytes: u32,
    pub raw_bytes: u32,
    pub crc: u32,
}

/// A byte vector, copied as one piece (with a zero behind it, which nobody sees).
fn bytes<'f>(builder: &mut FlatBufferBuilder<'f>, from: &[u8]) -> WIPOffset<Vector<'f, u8>> {
    WIPOffset::new(builder.create_byte_string(from).value())
}

/// Collects znodes until a block is full.
#[derive(Default)]
pub(super) struct NodesBlock {
    first_ordinal: u32,
    nodes: Vec<fb::Node>,
    names: Vec<u8>,
    data: Vec<u8>,
}

impl NodesBlock {
    /// Adds the znode of the next ordinal.
    pub fn push(&mut self, node: &Node<'_>, stat: &StatPersisted, parent: u32, acl: u32) {
        let (name, data) = (node.name().as_bytes(), node.data());
        self.nodes.push(fb::Node::new(
            stat.czxid,
            stat.mzxid,
            stat.pzxid,
            stat.ctime_ms,
            stat.mtime_ms,
            stat.ephemeral_owner,
            stat.version,
            stat.cversion,
            stat.aversion,
            parent,
            acl,
            data.map_or(-1, |d| d.len() as i32),
            name.len() as u32,
        ));
        self.names.extend_from_slice(name);
        self.data.extend_from_slice(data.unwrap_or_default());
    }

    /// Bytes it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * size_of::<fb::Node>() + self.names.len() + self.data.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Builds the block and begins the next.
    pub fn finish<'b>(&mut self, builder: &'b mut FlatBufferBuilder<'static>) -> &'b [u8] {
        builder.reset();
        let data = bytes(builder, &self.data);
        let names = bytes(builder, &self.names);
        let nodes = builder.create_vector(&self.nodes);
        let args = fb::NodesArgs {
            first_ordinal: self.first_ordinal,
            nodes: Some(nodes),
            names: Some(names),
            data: Some(data),
        };
        let table = fb::Nodes::create(builder, &args);
        builder.finish_minimal(table);
        self.first_ordinal += self.nodes.len() as u32;
        self.nodes.clear();
        self.names.clear();
        self.data.clear();
        builder.finished_data()
    }
}

/// Builds a block of sessions.
pub(super) fn sessions_block<'b>(
    builder: &'b mut FlatBufferBuilder<'static>,
    sessions: &[(i64, i32)],
) -> &'b [u8] {
    builder.reset();
    let sessions = sessions.iter().map(|(id, timeout_ms)| fb::Session::new(*id, *timeout_ms));
    let sessions = builder.create_vector_from_iter(sessions);
    let table = fb::Sessions::create(builder, &fb::SessionsArgs { sessions: Some(sessions) });
    builder.finish_minimal(table);
    builder.finished_data()
}

/// Builds a block of ACL lists; `first` is the place of the first of them.
pub(super) fn acls_block<'b>(
    builder: &'b mut FlatBufferBuilder<'static>,
    first: u32,
    lists: &[Vec<Acl>],
) -> &'b [u8] {
    builder.reset();
    let mut made = Vec::with_capacity(lists.len());
    for list in lists {
        let mut entries = Vec::with_capacity(list.len());
        for acl in list {
            let scheme = Some(builder.create_string(&acl.scheme));
            let id = Some(builder.create_string(&acl.id));
            let args = fb::AclArgs { perms: acl.perms, scheme, id };
            entries.push(fb::Acl::create(builder, &args));
        }
        let entries = Some(builder.create_vector(&entries));
        made.push(fb::AclList::create(builder, &fb::AclListArgs { entries }));
    }
    let lists = Some(builder.create_vector(&made));
    let table = fb::Acls::create(builder, &fb::AclsArgs { first, lists });
    builder.finish_minimal(table);
    builder.finished_data()
}

/// Builds the trailer.
pub(super) fn trailer_block<'b>(
    builder: &'b mut FlatBufferBuilder<'static>,
    info: &SnapshotInfo,
    blocks: &[BlockRef],
) -> &'b [u8] {
    builder.reset();
    let writer = builder.create_string(concat!("ringkeeper ", env!("CARGO_PKG_VERSION")));
    let blocks = blocks.iter().map(|b| {
        fb::BlockRef::new(b.offset, b.bytes, b.raw_bytes, b.crc, fb::BlockKind(b.kind as u8))
    });
    let blocks = builder.create_vector_from_iter(blocks);
    let args = fb::TrailerArgs {
        zxid: info.zxid,
        taken_ms: info.taken_ms,
        digest: info.digest,
        nodes: info.nodes,
        sessions: info.sessions,
        acl_lists: info.acl_lists,
        data_bytes: info.data_bytes,
        raw_bytes: info.raw_bytes,
        blocks: Some(blocks),
        writer: Some(writer),
    };
    let table = fb::Trailer::create(builder, &args);
    builder.finish_minimal(table);
    builder.finished_data()
}

/// Reads a trailer; `file_bytes` is not in it.
pub(super) fn read_trailer(raw: &[u8]) -> Result<(SnapshotInfo, Vec<BlockRef>), String> {
    let trailer = flatbuffers::root::<fb::Trailer<'_>>(raw).map_err(|e| e.to_string())?;
    let mut blocks = Vec::with_capacity(trailer.blocks().len());
    for block in trailer.blocks() {
        let kind = Kind::from_byte(block.kind().0).ok_or("a block of unknown kind")?;
        let (offset, bytes) = (block.offset(), block.stored_bytes());
        blocks.push(BlockRef {
            kind,
            offset,
            bytes,
            raw_bytes: block.raw_bytes(),
            crc: block.crc(),
        });
    }
    let info = SnapshotInfo {
        zxid: trailer.zxid(),
        taken_ms: trailer.taken_ms(),
        digest: trailer.digest(),
        nodes: trailer.nodes(),
        sessions: trailer.sessions(),
        acl_lists: trailer.acl_lists(),
        data_bytes: trailer.data_bytes(),
        raw_bytes: trailer.raw_bytes(),
        file_bytes: 0,
    };
    Ok((info, blocks))
}

/// A znode as a block tells it.
pub(super) struct ReadNode<'a> {
    pub name: &'a str,
    pub data: Option<&'a [u8]>,
    pub stat: StatPersisted,
    pub parent: u32,
    pub acl: u32,
}

/// Reads a block of znodes one by one; the first must have the ordinal `ordinal`.
pub(super) fn read_nodes(
    raw: &[u8],
    ordinal: u32,
    each: &mut dyn FnMut(u32, &ReadNode<'_>) -> Result<(), String>,
) -> Result<u32, String> {
    let table = flatbuffers::root::<fb::Nodes<'_>>(raw).map_err(|e| e.to_string())?;
    if table.first_ordinal() != ordinal {
        return Err(format!("it begins with znode {}, not {ordinal}", table.first_ordinal()));
    }
    let names = std::str::from_utf8(table.names().bytes()).map_err(|e| format!("a name: {e}"))?;
    let data = table.data().bytes();
    let (mut name_at, mut data_at) = (0usize, 0usize);
    let mut ordinal = ordinal;
    for node in table.nodes() {
        let name_end = name_at.saturating_add(node.name_length() as usize);
        let name = names.get(name_at..name_end).ok_or("a name beyond the names")?;
        name_at = name_end;
        let bytes = match usize::try_from(node.data_length()) {
            Err(_) => None,
            Ok(len) => {
                let end = data_at.saturating_add(len);
                let bytes = data.get(data_at..end).ok_or("data beyond the data")?;
                data_at = end;
                Some(bytes)
            }
        };
        each(
            ordinal,
            &ReadNode {
                name,
                data: bytes,
                stat: stat_of(node),
                parent: node.parent(),
                acl: node.acl(),
            },
        )?;
        ordinal = ordinal.checked_add(1).ok_or("too many znodes")?;
    }
    if (name_at, data_at) != (names.len(), data.len()) {
        return Err("bytes that belong to no znode".into());
    }
    Ok(ordinal)
}

fn stat_of(node: &fb::Node) -> StatPersisted {
    StatPersisted {
        czxid: node.czxid(),
        mzxid: node.mzxid(),
        ctime_ms: node.ctime_ms(),
        mtime_ms: node.mtime_ms(),
        version: node.version(),
        cversion: node.cversion(),
        aversion: node.aversion(),
        ephemeral_owner: node.ephemeral_owner(),
        pzxid: node.pzxid(),
    }
}

/// Reads a block of sessions.
pub(super) fn read_sessions(
    raw: &[u8],
    each: &mut dyn FnMut(i64, i32) -> Result<(), String>,
) -> Result<u64, String> {
    let table = flatbuffers::root::<fb::Sessions<'_>>(raw).map_err(|e| e.to_string())?;
    for session in table.sessions() {
        each(session.id(), session.timeout_ms())?;
    }
    Ok(table.sessions().len() as u64)
}

/// Reads a block of ACL lists, the first of which must be at place `first`.
pub(super) fn read_acls(
    raw: &[u8],
    first: u32,
    each: &mut dyn FnMut(&[AclRef<'_>]) -> Result<(), String>,
) -> Result<u32, String> {
    let table = flatbuffers::root::<fb::Acls<'_>>(raw).map_err(|e| e.to_string())?;
    if table.first() != first {
        return Err(format!("it begins with ACL list {}, not {first}", table.first()));
    }
    for list in table.lists() {
        let entries = list.entries().iter();
        let list: Vec<AclRef<'_>> =
            entries.map(|a| AclRef { perms: a.perms(), scheme: a.scheme(), id: a.id() }).collect();
        each(&list)?;
    }
    u32::try_from(table.lists().len())
        .ok()
        .and_then(|len| first.checked_add(len))
        .ok_or_else(|| "too many ACL lists".into())
}

/// Reads the content of a block by itself, without a tree: how many things are in it. For tools
/// and fuzzing; [`super::verify`] does more.
pub fn inspect(kind: Kind, raw: &[u8]) -> Result<u64, String> {
    match kind {
        Kind::Trailer => read_trailer(raw).map(|(_, blocks)| blocks.len() as u64),
        Kind::Sessions => read_sessions(raw, &mut |_, _| Ok(())),
        Kind::Nodes => {
            let table = flatbuffers::root::<fb::Nodes<'_>>(raw).map_err(|e| e.to_string())?;
            let first = table.first_ordinal();
            read_nodes(raw, first, &mut |_, _| Ok(())).map(|next| u64::from(next - first))
        }
        Kind::Acls => {
            let table = flatbuffers::root::<fb::Acls<'_>>(raw).map_err(|e| e.to_string())?;
            let first = table.first();
            read_acls(raw, first, &mut |_| Ok(())).map(|next| u64::from(next - first))
        }
    }
}
