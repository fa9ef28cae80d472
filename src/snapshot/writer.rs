//! Writing: the state of one pinned zxid, walked without stopping anybody.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use flatbuffers::FlatBufferBuilder;

use super::block::{self, FOOTER, Footer, Kind, RAW_BYTES_MAX};
use super::content::{self, BlockRef, NodesBlock, SnapshotInfo};
use super::error::SnapshotError;
use super::output::Output;
use super::{RECEIVED, UNFINISHED, name};
use crate::protocol::Acl;
use crate::tree::bulk::digest_of;
use crate::tree::{AclId, Node, Pin, Reader, Walker};

/// How a snapshot is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// A block is closed when it has grown to this.
    pub block_bytes: usize,
    /// Not more than this is gone through, and written or read back, a second, so that the log has the disk and the
    /// server its core.
    pub bytes_per_s_max: u64,
    /// The time of day, in milliseconds since 1970; goes into the trailer for people.
    pub now_ms: i64,
}

impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions { block_bytes: 64 << 10, bytes_per_s_max: 64 << 20, now_ms: 0 }
    }
}

/// Sessions and ACL lists a block.
const ITEMS_PER_BLOCK: usize = 8192;

/// Writes the state at `pin` into `dir` as `snapshot.<zxid>`: beside first, then synced, renamed,
/// and the directory synced. Meant for a thread of its own, with a reader of its own
/// ([`crate::tree::Tree::background_reader`]), which quiesces between any two znodes and is parked
/// while a block is compressed and written. Once `stop` is set it gives up.
pub fn write(
    reader: &mut Reader,
    pin: &Pin,
    dir: &Path,
    options: &WriteOptions,
    stop: &AtomicBool,
) -> Result<SnapshotInfo, SnapshotError> {
    write_as(&name(pin.zxid()), reader, pin, dir, options, stop)
}

/// Writes a state that came from a leader, beside the own one: it counts for nothing until the log
/// was restarted behind its zxid ([`crate::log::Writer::restart_at`], the one synced record by which
/// it takes over); then [`super::settle_received`] gives it its name.
pub fn write_received(
    reader: &mut Reader,
    pin: &Pin,
    dir: &Path,
    options: &WriteOptions,
    stop: &AtomicBool,
) -> Result<SnapshotInfo, SnapshotError> {
    write_as(RECEIVED, reader, pin, dir, options, stop)
}

fn write_as(
    name: &str,
    reader: &mut Reader,
    pin: &Pin,
    dir: &Path,
    options: &WriteOptions,
    stop: &AtomicBool,
) -> Result<SnapshotInfo, SnapshotError> {
    std::fs::create_dir_all(dir)
        .map_err(|e| SnapshotError::io("create", dir.display().to_string(), e))?;
    let out = Output::create(&dir.join(UNFINISHED), options.bytes_per_s_max, stop)?;
    let info =
        SnapshotInfo { zxid: pin.zxid(), taken_ms: options.now_ms, ..SnapshotInfo::default() };
    let mut writing = Writing {
        out,
        options,
        info,
        blocks: Vec::new(),
        builder: FlatBufferBuilder::with_capacity(options.block_bytes * 2),
        staging: Vec::new(),
    };
    let sessions: Vec<(i64, i32)> = reader.sessions_at(pin).collect();
    reader.while_parked(|| writing.sessions(sessions))?;
    let acls = writing.nodes(reader, pin)?;
    reader.while_parked(|| {
        writing.acls(&acls)?;
        writing.finish(&dir.join(name))
    })
}

struct Writing<'a> {
    out: Output<'a>,
    options: &'a WriteOptions,
    info: SnapshotInfo,
    blocks: Vec<BlockRef>,
    builder: FlatBufferBuilder<'static>,
    staging: Vec<u8>,
}

/// Where the walk stands: the znodes from the root down to the last one.
struct Ancestors {
    path: String,
    /// Length of each one's path, and its ordinal.
    line: Vec<(usize, u32)>,
}

impl Ancestors {
    /// Goes to `node`, which comes next depth first; returns its parent's ordinal.
    fn enter(&mut self, node: &Node<'_>, ordinal: u32) -> u32 {
        self.path.clear();
        node.push_path(&mut self.path);
        let parent_len = self.path.rfind('/').unwrap_or(0).max(1);
        while self.line.last().is_some_and(|(len, _)| *len > parent_len) {
            self.line.pop();
        }
        let parent = self.line.last().map_or(0, |(_, parent)| *parent);
        self.line.push((self.path.len(), ordinal));
        parent
    }
}

impl Writing<'_> {
    fn put(&mut self, kind: Kind, raw: &[u8]) -> Result<(), SnapshotError> {
        self.staging.clear();
        let offset = self.out.position();
        let written = block::append(&mut self.staging, kind, raw);
        self.blocks.push(BlockRef {
            kind,
            offset,
            bytes: written.bytes as u32,
            raw_bytes: raw.len() as u32,
            crc: written.crc,
        });
        self.info.raw_bytes += raw.len() as u64;
        self.out.put(&self.staging)?;
        self.out.wait_for(self.info.raw_bytes)
    }

    /// Lends the builder to `build`, and puts what it builds.
    fn build(
        &mut self,
        kind: Kind,
        build: impl for<'b> FnOnce(&'b mut FlatBufferBuilder<'static>) -> &'b [u8],
    ) -> Result<(), SnapshotError> {
        let mut builder = std::mem::take(&mut self.builder);
        let put = self.put(kind, build(&mut builder));
        self.builder = builder;
        put
    }

    fn sessions(&mut self, mut sessions: Vec<(i64, i32)>) -> Result<(), SnapshotError> {
        // In order, so that the same state makes the same bytes.
        sessions.sort_unstable();
        self.info.sessions = sessions.len() as u64;
        for some in sessions.chunks(ITEMS_PER_BLOCK) {
            self.build(Kind::Sessions, |builder| content::sessions_block(builder, some))?;
        }
        Ok(())
    }

    /// Returns the ACL lists that the znodes refer to.
    fn nodes(&mut self, reader: &mut Reader, pin: &Pin) -> Result<Vec<Vec<Acl>>, SnapshotError> {
        let mut walker = Walker::new(pin);
        let mut ancestors = Ancestors { path: String::new(), line: Vec::new() };
        let mut acls = Acls::default();
        let (mut block, mut scratch) = (NodesBlock::default(), Vec::new());
        let mut ordinal = 0;
        while let Some(node) = walker.next(reader) {
            let parent = ancestors.enter(&node, ordinal);
            let bytes = node.data_len() + node.name().len();
            if bytes > RAW_BYTES_MAX / 2 {
                let (path, limit) = (ancestors.path, RAW_BYTES_MAX / 2);
                return Err(SnapshotError::TooLarge { path, bytes, limit });
            }
            // A large znode gets a block of its own rather than a huge one together.
            let node = if block.bytes() + bytes > self.options.block_bytes.saturating_mul(2) {
                reader.while_parked(|| self.flush(&mut block))?;
                walker.again(reader).expect("the pin keeps the znode")
            } else {
                node
            };
            let stat = node.stat_persisted();
            let digest = digest_of(&ancestors.path, node.data(), &stat, &mut scratch);
            self.info.digest = self.info.digest.wrapping_add(digest);
            self.info.data_bytes += node.data_len() as u64;
            self.info.nodes += 1;
            let (acl, is_new) = acls.place(node.acl());
            block.push(&node, &stat, parent, acl);
            let id = node.acl();
            if is_new {
                // The znode's version is pinned, and so is the list it refers to.
                acls.lists.push(reader.acl_list(id).to_vec());
            }
            ordinal += 1;
            if block.bytes() >= self.options.block_bytes {
                reader.while_parked(|| self.flush(&mut block))?;
            }
        }
        reader.while_parked(|| self.flush(&mut block))?;
        Ok(acls.lists)
    }

    fn flush(&mut self, block: &mut NodesBlock) -> Result<(), SnapshotError> {
        if block.is_empty() {
            return Ok(());
        }
        self.build(Kind::Nodes, |builder| block.finish(builder))
    }

    fn acls(&mut self, lists: &[Vec<Acl>]) -> Result<(), SnapshotError> {
        self.info.acl_lists = lists.len() as u64;
        let mut first = 1;
        for some in lists.chunks(ITEMS_PER_BLOCK) {
            self.build(Kind::Acls, |builder| content::acls_block(builder, first, some))?;
            first += some.len() as u32;
        }
        Ok(())
    }

    fn finish(mut self, path: &Path) -> Result<SnapshotInfo, SnapshotError> {
        let trailer_offset = self.out.position();
        let (info, blocks) = (self.info.clone(), std::mem::take(&mut self.blocks));
        self.build(Kind::Trailer, |builder| content::trailer_block(builder, &info, &blocks))?;
        let zxid = info.zxid;
        let footer = |file_bytes| Footer { trailer_offset, file_bytes, zxid }.encode().to_vec();
        let file_bytes = self.out.finish(path, footer, FOOTER)?;
        Ok(SnapshotInfo { file_bytes, ..info })
    }
}

/// The snapshot's own numbering of ACL lists.
#[derive(Default)]
struct Acls {
    places: HashMap<AclId, u32>,
    lists: Vec<Vec<Acl>>,
}

impl Acls {
    /// The place of a list, and whether it is new: then the caller adds it.
    fn place(&mut self, id: AclId) -> (u32, bool) {
        if id == AclId::OPEN {
            return (0, false);
        }
        let next = self.lists.len() as u32 + 1;
        let place = *self.places.entry(id).or_insert(next);
        (place, place == next)
    }
}
