//! Loading and verifying: blocks are read, checked and decompressed on helper threads, taken in
//! order by the caller's.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::block::{self, FOOTER, Footer, Kind};
use super::content::{self, BlockRef, ReadNode, SnapshotInfo};
use super::error::SnapshotError;
use crate::tree::bulk::digest_of;
use crate::tree::{AclId, LoadNode, TreeError, TreeWriter};

/// Decompressed blocks that wait to be taken.
const BLOCKS_AHEAD: usize = 8;
/// More helpers than this find nothing to do: one thread takes what they make.
const HELPERS_MAX: usize = 4;

/// A block that a helper has read: its place in the order, and its content.
type Came = (usize, Result<Vec<u8>, SnapshotError>);

/// What is done with each block; an error says what is wrong with it.
type Take<'t> = dyn FnMut(Kind, &[u8]) -> Result<(), String> + 't;

/// A snapshot file whose trailer was found.
pub(super) struct Opened {
    file: File,
    name: String,
    pub info: SnapshotInfo,
    blocks: Vec<BlockRef>,
}

impl Opened {
    /// Opens a snapshot and reads its footer and trailer.
    pub fn open(path: &Path) -> Result<Opened, SnapshotError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|e| SnapshotError::io("open", &name, e))?;
        let meta = file.metadata().map_err(|e| SnapshotError::io("measure", &name, e))?;
        let len = meta.len();
        let damaged = |offset, reason: String| {
            let name = name.clone();
            SnapshotError::Damaged { name, offset, reason }
        };
        let read = |offset: u64, bytes: usize| -> Result<Vec<u8>, SnapshotError> {
            let mut buf = vec![0; bytes];
            let read = file.read_exact_at(&mut buf, offset);
            read.map(|()| buf).map_err(|e| SnapshotError::io("read", &name, e))
        };
        if len < FOOTER as u64 {
            return Err(damaged(0, format!("it has only {len} bytes")));
        }
        let footer_at = len - FOOTER as u64;
        let footer = Footer::decode(&read(footer_at, FOOTER)?)
            .map_err(|e| damaged(footer_at, format!("footer: {e}")))?;
        if footer.file_bytes != len || footer.trailer_offset > footer_at {
            let reason = format!("it has {len} bytes, its footer says {}", footer.file_bytes);
            return Err(damaged(footer_at, reason));
        }
        let at = footer.trailer_offset;
        let (kind, raw) = block::read(&read(at, (footer_at - at) as usize)?)
            .map_err(|e| damaged(at, format!("trailer: {e}")))?;
        if kind != Kind::Trailer {
            return Err(damaged(at, "the trailer is another block".into()));
        }
        let (info, blocks) = content::read_trailer(&raw).map_err(|e| damaged(at, e))?;
        if info.zxid != footer.zxid {
            return Err(damaged(at, "footer and trailer are of different zxids".into()));
        }
        let info = SnapshotInfo { file_bytes: len, ..info };
        Ok(Opened { file, name, info, blocks })
    }

    /// Has the kernel read no more at a time than is asked for: what it reads ahead, megabytes at once, the log's next write
    /// waits behind, some 3 ms.
    fn read_gently(&self) {
        // Advice: where it is not taken, reading is a little rougher.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::Random);
    }

    fn damaged(&self, block: &BlockRef, reason: impl ToString) -> SnapshotError {
        let (name, offset) = (self.name.clone(), block.offset);
        SnapshotError::Damaged { name, offset, reason: reason.to_string() }
    }

    /// Reads, checks and decompresses a block.
    fn read(&self, block: &BlockRef) -> Result<Vec<u8>, SnapshotError> {
        if block.offset.saturating_add(u64::from(block.bytes)) > self.info.file_bytes {
            return Err(self.damaged(block, "it ends beyond the file"));
        }
        let mut stored = vec![0; block.bytes as usize];
        let read = self.file.read_exact_at(&mut stored, block.offset);
        read.map_err(|e| SnapshotError::io("read", &self.name, e))?;
        let (kind, raw) = block::read(&stored).map_err(|e| self.damaged(block, e))?;
        let crc = stored.get(4..8) == Some(&block.crc.to_le_bytes());
        if kind != block.kind || !crc || raw.len() != block.raw_bytes as usize {
            return Err(self.damaged(block, "it is not the block that the trailer names"));
        }
        Ok(raw)
    }

    /// Hands all blocks to `take`: ACL lists first, then the others in the order they lie in.
    fn each_block(&self, take: &mut Take<'_>) -> Result<(), SnapshotError> {
        let acls = self.blocks.iter().filter(|b| b.kind == Kind::Acls);
        let others = self.blocks.iter().filter(|b| b.kind != Kind::Acls);
        let order: Vec<&BlockRef> = acls.chain(others).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let helpers = cores.min(HELPERS_MAX).min(order.len());
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (to, from) = sync_channel(BLOCKS_AHEAD);
            for _ in 0..helpers {
                let to = to.clone();
                scope.spawn(|| self.help(&order, &next, &stop, to));
            }
            drop(to);
            let taken = self.take_in_order(&order, &from, take);
            stop.store(true, Ordering::Relaxed);
            taken
        })
    }

    fn help(
        &self,
        order: &[&BlockRef],
        next: &AtomicUsize,
        stop: &AtomicBool,
        to: SyncSender<Came>,
    ) {
        while !stop.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = order.get(at) else { return };
            if to.send((at, self.read(block))).is_err() {
                return;
            }
        }
    }

    fn take_in_order(
        &self,
        order: &[&BlockRef],
        from: &Receiver<Came>,
        take: &mut Take<'_>,
    ) -> Result<(), SnapshotError> {
        // What came early; at most as many as there are helpers and places in the channel.
        let mut early = BTreeMap::new();
        for (at, block) in order.iter().enumerate() {
            let raw = loop {
                if let Some(raw) = early.remove(&at) {
                    break raw;
                }
                let Ok((came, raw)) = from.recv() else {
                    return Err(self.damaged(block, "the threads that read it have ended"));
                };
                early.insert(came, raw);
            };
            take(block.kind, &raw?).map_err(|e| self.damaged(block, e))?;
        }
        Ok(())
    }

    /// Do the counts come to what the trailer says?
    fn check(&self, found: &SnapshotInfo) -> Result<(), SnapshotError> {
        let said = &self.info;
        let expected = SnapshotInfo {
            nodes: said.nodes,
            sessions: said.sessions,
            acl_lists: said.acl_lists,
            data_bytes: said.data_bytes,
            digest: said.digest,
            raw_bytes: said.raw_bytes,
            ..SnapshotInfo::default()
        };
        if *found == expected {
            return Ok(());
        }
        Err(SnapshotError::Damaged {
            name: self.name.clone(),
            offset: 0,
            reason: format!("it holds {found:?}, its trailer says {expected:?}"),
        })
    }
}

/// The paths from the root down to the znode last read.
#[derive(Default)]
struct Ancestors {
    path: String,
    line: Vec<(u32, usize)>,
}

impl Ancestors {
    /// Goes to the next znode; its path is in `path` then.
    fn enter(&mut self, ordinal: u32, node: &ReadNode<'_>) -> Result<(), String> {
        if ordinal == 0 {
            self.path.push('/');
            self.line.push((0, 1));
            return if node.name.is_empty() { Ok(()) } else { Err("the root has a name".into()) };
        }
        while self.line.last().is_some_and(|(ordinal, _)| *ordinal != node.parent) {
            self.line.pop();
        }
        let Some((_, len)) = self.line.last() else {
            return Err(format!("znode {ordinal} does not come behind its parent"));
        };
        self.path.truncate(*len);
        if *len > 1 {
            self.path.push('/');
        }
        self.path.push_str(node.name);
        self.line.push((ordinal, self.path.len()));
        Ok(())
    }
}

/// Reads all of a snapshot back: every block's CRC, every length, the counts and the digest. `goes_on` is asked behind
/// each block, with the bytes that have been gone through; it may wait, which holds up those who read ahead as well.
pub(super) fn verify(
    path: &Path,
    goes_on: &mut dyn FnMut(u64) -> bool,
) -> Result<SnapshotInfo, SnapshotError> {
    let opened = Opened::open(path)?;
    opened.read_gently();
    let mut found = SnapshotInfo::default();
    let (mut ordinal, mut scratch, mut ancestors) = (0, Vec::new(), Ancestors::default());
    let mut stopped = false;
    let read = opened.each_block(&mut |kind, raw| {
        found.raw_bytes += raw.len() as u64;
        stopped = !goes_on(found.raw_bytes);
        if stopped {
            return Err("stopped".into());
        }
        match kind {
            Kind::Nodes => {
                ordinal = content::read_nodes(raw, ordinal, &mut |ordinal, node| {
                    ancestors.enter(ordinal, node)?;
                    let digest = digest_of(&ancestors.path, node.data, &node.stat, &mut scratch);
                    found.digest = found.digest.wrapping_add(digest);
                    found.data_bytes += node.data.map_or(0, <[u8]>::len) as u64;
                    match u64::from(node.acl) <= found.acl_lists {
                        true => Ok(()),
                        false => Err(format!("an ACL list {} that is not there", node.acl)),
                    }
                })?;
                found.nodes = u64::from(ordinal);
            }
            Kind::Sessions => found.sessions += content::read_sessions(raw, &mut |_, _| Ok(()))?,
            Kind::Acls => {
                let first = found.acl_lists as u32 + 1;
                let next = content::read_acls(raw, first, &mut |_| Ok(()))?;
                found.acl_lists = u64::from(next - 1);
            }
            Kind::Trailer => return Err("a trailer in the middle".into()),
        }
        Ok(())
    });
    if stopped {
        return Err(SnapshotError::Stopped);
    }
    read?;
    opened.check(&found)?;
    Ok(opened.info)
}

/// Loads a snapshot into a fresh tree, and publishes it. After an error the tree is of no use.
///
/// # Errors
/// `Damaged` if the file is not as it was written, `Refused` if the tree does not take it.
pub fn load(path: &Path, tree: &mut TreeWriter) -> Result<SnapshotInfo, SnapshotError> {
    let opened = Opened::open(path)?;
    let mut loading = Loading {
        tree,
        acls: vec![AclId::OPEN],
        found: SnapshotInfo::default(),
        ancestors: Ancestors::default(),
        ordinal: 0,
        refused: None,
    };
    let begun = loading.tree.begin_load();
    begun.map_err(|source| opened.refused("a loaded tree", source))?;
    let taken = opened.each_block(&mut |kind, raw| loading.take(kind, raw));
    if let Some((path, source)) = loading.refused.take() {
        return Err(opened.refused(&path, source));
    }
    taken?;
    let Loading { tree, mut found, .. } = loading;
    // A tree that keeps no digest says 0.
    found.digest = if tree.digest() == 0 { opened.info.digest } else { tree.digest() };
    opened.check(&found)?;
    let finished = tree.finish_load(opened.info.zxid, false);
    finished.map_err(|source| opened.refused("the end", source))?;
    tree.publish(opened.info.zxid);
    Ok(opened.info)
}

impl Opened {
    fn refused(&self, path: &str, source: TreeError) -> SnapshotError {
        SnapshotError::Refused { name: self.name.clone(), path: path.to_owned(), source }
    }
}

struct Loading<'t> {
    tree: &'t mut TreeWriter,
    acls: Vec<AclId>,
    found: SnapshotInfo,
    ancestors: Ancestors,
    ordinal: u32,
    refused: Option<(String, TreeError)>,
}

impl Loading<'_> {
    fn take(&mut self, kind: Kind, raw: &[u8]) -> Result<(), String> {
        self.found.raw_bytes += raw.len() as u64;
        match kind {
            Kind::Nodes => {
                let ordinal = self.ordinal;
                self.ordinal = content::read_nodes(raw, ordinal, &mut |ordinal, node| {
                    self.node(ordinal, node)
                })?;
                self.found.nodes = u64::from(self.ordinal);
                Ok(())
            }
            Kind::Sessions => {
                let tree = &mut *self.tree;
                let read = content::read_sessions(raw, &mut |id, timeout_ms| {
                    tree.load_session(id, timeout_ms).map_err(|e| e.to_string())
                });
                self.found.sessions += read?;
                Ok(())
            }
            Kind::Acls => {
                let (tree, acls) = (&mut *self.tree, &mut self.acls);
                let first = acls.len() as u32;
                content::read_acls(raw, first, &mut |list| {
                    acls.push(tree.intern_acl(list).map_err(|e| e.to_string())?);
                    Ok(())
                })?;
                self.found.acl_lists = self.acls.len() as u64 - 1;
                Ok(())
            }
            Kind::Trailer => Err("a trailer in the middle".into()),
        }
    }

    fn node(&mut self, ordinal: u32, node: &ReadNode<'_>) -> Result<(), String> {
        self.ancestors.enter(ordinal, node)?;
        self.found.data_bytes += node.data.map_or(0, <[u8]>::len) as u64;
        let acl = self.acls.get(node.acl as usize).copied();
        let acl = acl.ok_or_else(|| format!("an ACL list {} that is not there", node.acl))?;
        let path = &self.ancestors.path;
        let load = LoadNode { path, data: node.data, acl, stat: node.stat };
        self.tree.load_node(&load).map_err(|source| {
            self.refused = Some((path.clone(), source));
            source.to_string()
        })
    }
}
