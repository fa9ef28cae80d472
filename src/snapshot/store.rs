//! The snapshots of a directory: which there are, which is the newest that is good, which may go.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::content::SnapshotInfo;
use super::error::SnapshotError;
use super::output::Pace;
use super::writer::{WriteOptions, write};
use super::{RECEIVED, UNFINISHED, loader};
use crate::protocol::Zxid;
use crate::tree::{self, Tree, TreeConfig, TreeWriter};

const PREFIX: &str = "snapshot.";

/// The name of the snapshot of `zxid`.
pub fn name(zxid: Zxid) -> String {
    format!("{PREFIX}{zxid:016x}")
}

/// The zxid in a snapshot's name; `None` for other files.
pub fn zxid_of(name: &str) -> Option<Zxid> {
    let digits = name.strip_prefix(PREFIX)?;
    let zxid = i64::from_str_radix(digits, 16).ok()?;
    (self::name(zxid) == name).then_some(zxid)
}

/// The snapshots in `dir`, newest first, good or not. A missing directory has none.
pub fn list(dir: &Path) -> Result<Vec<(Zxid, PathBuf)>, SnapshotError> {
    let error = |e| SnapshotError::io("list", dir.display().to_string(), e);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(error(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(error)?;
        if let Some(zxid) = entry.file_name().to_str().and_then(zxid_of) {
            found.push((zxid, entry.path()));
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// A snapshot that was read back and found good: what [`purge`] asks for before it removes
/// anything.
#[derive(Clone, Debug)]
pub struct Verified(SnapshotInfo);

impl Verified {
    /// What it is of.
    pub fn info(&self) -> &SnapshotInfo {
        &self.0
    }
}

/// Reads all of a snapshot back: each block's CRC, the counts, and the digest of the state.
pub fn verify(path: &Path) -> Result<Verified, SnapshotError> {
    loader::verify(path, &mut |_| true).map(Verified)
}

/// What [`load_newest`] came to.
pub struct Loaded {
    /// The tree, published at the snapshot's zxid.
    pub tree: TreeWriter,
    /// What was loaded; `None`: there was no snapshot, the tree is fresh.
    pub info: Option<SnapshotInfo>,
    /// Newer snapshots that could not be used, and why.
    pub passed_over: Vec<SnapshotError>,
}

/// Loads the newest snapshot in `dir` that is good. An unfinished one is removed.
///
/// # Errors
/// `NoneUsable` if there are snapshots and all are bad: an empty tree would not do then.
pub fn load_newest(dir: &Path, config: &TreeConfig) -> Result<Loaded, SnapshotError> {
    let unfinished = dir.join(UNFINISHED);
    if unfinished.exists() {
        let removed = std::fs::remove_file(&unfinished);
        removed.map_err(|e| SnapshotError::io("remove", unfinished.display().to_string(), e))?;
    }
    clear_unwanted(dir);
    let mut passed_over = Vec::new();
    let all = list(dir)?;
    for (_, path) in &all {
        let mut tree = tree::new(config.clone());
        match loader::load(path, &mut tree) {
            Ok(info) => return Ok(Loaded { tree, info: Some(info), passed_over }),
            Err(err) => {
                tracing::warn!("{err}");
                passed_over.push(err);
            }
        }
    }
    if passed_over.is_empty() {
        return Ok(Loaded { tree: tree::new(config.clone()), info: None, passed_over });
    }
    let newest = Box::new(passed_over.swap_remove(0));
    Err(SnapshotError::NoneUsable { count: all.len(), newest })
}

/// Goes on removing what an earlier process had begun to remove.
fn clear_unwanted(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_str().is_some_and(crate::log::is_unwanted) {
            crate::log::remove_leftover(&entry.path());
        }
    }
}

/// Settles what became of a snapshot that came from a leader. Call it at every start, before
/// [`load_newest`], and after the log was restarted: if `restarted_at` (see
/// [`crate::log::restarted_at`]) is its zxid, it has taken over and gets its name, and own snapshots
/// beyond it go; otherwise it has not, and goes itself. Says whether it has taken over.
pub fn settle_received(dir: &Path, restarted_at: Option<Zxid>) -> Result<bool, SnapshotError> {
    let received = dir.join(RECEIVED);
    if !received.exists() {
        return Ok(false);
    }
    let error = |what, path: &Path, e| SnapshotError::io(what, path.display().to_string(), e);
    let zxid = loader::Opened::open(&received).ok().map(|opened| opened.info.zxid);
    let takes_over = zxid.is_some() && zxid == restarted_at;
    match zxid.filter(|_| takes_over) {
        Some(zxid) => {
            for (_, path) in list(dir)?.iter().filter(|(own, _)| *own > zxid) {
                std::fs::remove_file(path).map_err(|e| error("remove", path, e))?;
            }
            let renamed = std::fs::rename(&received, dir.join(name(zxid)));
            renamed.map_err(|e| error("rename", &received, e))?;
        }
        None => std::fs::remove_file(&received).map_err(|e| error("remove", &received, e))?,
    }
    let synced = File::open(dir).and_then(|d| d.sync_all());
    synced.map_err(|e| error("sync", dir, e))?;
    Ok(takes_over)
}

/// Removes all but the `retain` newest snapshots; `newest` proves that one of those that stay is
/// good. Returns the zxid of the oldest that stays: the log must go back to it.
pub fn purge(dir: &Path, retain: usize, newest: &Verified) -> Result<Zxid, SnapshotError> {
    let all = list(dir)?;
    let retain = retain.max(1);
    let keep = all.iter().position(|(zxid, _)| *zxid == newest.0.zxid).unwrap_or(all.len());
    let mut removed = false;
    for (zxid, path) in all.iter().skip(retain.max(keep + 1)) {
        debug_assert!(*zxid < newest.0.zxid);
        let gone = crate::log::remove_gently(path);
        gone.map_err(|e| SnapshotError::io("remove", path.display().to_string(), e))?;
        removed = true;
    }
    if removed {
        let synced = File::open(dir).and_then(|d| d.sync_all());
        synced.map_err(|e| SnapshotError::io("sync", dir.display().to_string(), e))?;
    }
    let stays = all.get(..(retain.max(keep + 1)).min(all.len())).unwrap_or(&[]);
    Ok(stays.last().map_or(newest.0.zxid, |(zxid, _)| *zxid))
}

/// All that a snapshot thread does: pins what is published, writes it, reads it back, removes what
/// is older than the `retain` newest. Lowers the calling thread's priority. Returns the snapshot
/// and the zxid that the log must still go back to.
pub fn take(
    tree: &Arc<Tree>,
    dir: &Path,
    retain: usize,
    options: &WriteOptions,
    stop: &AtomicBool,
) -> Result<(Verified, Zxid), SnapshotError> {
    crate::log::lower_priority();
    let mut reader = tree.background_reader()?;
    let pin = reader.pin();
    let info = write(&mut reader, &pin, dir, options, stop)?;
    drop(pin);
    drop(reader);
    let mut pace = Pace::new(options.bytes_per_s_max);
    let mut goes_on = |bytes| pace.wait(bytes, stop).is_ok();
    let verified = loader::verify(&dir.join(name(info.zxid)), &mut goes_on).map(Verified)?;
    let oldest = purge(dir, retain, &verified)?;
    Ok((verified, oldest))
}
