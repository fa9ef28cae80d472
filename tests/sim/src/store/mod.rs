//! What a server keeps: the real log and the real tree over a simulated disk, snapshots and epochs.
//!
//! Owns the order of the steps by which a state is recovered, taken over from a leader, cut and purged.
//! Never decides what is committed, and knows nothing of peers.

pub mod epochs;
pub mod snapshot;

use std::sync::Arc;

use ringkeeper::log::{self, LogError, LogOptions, SpareMaker, Writer};
use ringkeeper::protocol::Zxid;
use ringkeeper::tree::{self, TreeWriter, apply};
use ringkeeper::txn;

use crate::check::Mark;
use crate::disk::{Disk, Volume};

/// A snapshot that came from a leader and has not taken over.
const RECEIVED: &str = "snapshot-received";
/// A snapshot in the making.
const UNFINISHED: &str = "snapshot-unfinished";
/// Snapshots that are kept.
const RETAIN: usize = 2;

/// Why a store cannot be opened, or not go on.
#[derive(Debug)]
pub enum StoreError {
    /// The process dies in a change of the disk.
    Died,
    /// There is no room on the disk.
    NoSpace,
    /// The log or the snapshots are damaged: their history is lost here.
    Damaged(String),
    /// Something that must not be.
    Wrong(String),
}

/// What a start has found.
#[derive(Debug)]
pub struct Found {
    /// The zxid of the snapshot.
    pub base: Zxid,
    /// The log behind it.
    pub log: Vec<Mark>,
    /// The epoch promised.
    pub accepted_epoch: i64,
    /// The epoch whose history this is.
    pub current_epoch: i64,
    /// Whether the log or the disk was blank.
    pub is_new: bool,
}

/// An open store.
pub struct Store {
    /// The disk.
    pub disk: Disk,
    /// The log.
    pub log: Writer<Volume>,
    /// Makes the log's spare segments; the driver says when.
    pub maker: SpareMaker<Volume>,
    /// The tree: published is what is committed, beyond it what is logged or proposed.
    pub tree: TreeWriter,
    /// Zxids of the snapshots, oldest first.
    pub snapshots: Vec<Zxid>,
}

/// A hash of a transaction's bytes.
pub fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for piece in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash ^ bytes.len() as u64
}

fn snapshot_name(zxid: Zxid) -> String {
    format!("snapshot.{zxid:016x}")
}

fn snapshots_on(disk: &Disk) -> Vec<Zxid> {
    let names = disk.names();
    let zxids =
        names.iter().filter_map(|n| Zxid::from_str_radix(n.strip_prefix("snapshot.")?, 16).ok());
    let mut zxids: Vec<Zxid> = zxids.collect();
    zxids.sort_unstable();
    zxids
}

impl StoreError {
    fn of_log(disk: &Disk, error: LogError) -> StoreError {
        if disk.is_dead() {
            return StoreError::Died;
        }
        match error {
            LogError::NoSpace { .. } => StoreError::NoSpace,
            LogError::Damaged { .. } | LogError::Gap { .. } => {
                StoreError::Damaged(error.to_string())
            }
            // Rot in the first frame of a segment is not told from a segment that is no part of the log.
            LogError::Inconsistent { .. } => StoreError::Damaged(error.to_string()),
            other => StoreError::Wrong(other.to_string()),
        }
    }

    fn of_disk(disk: &Disk, error: std::io::Error) -> StoreError {
        match error.raw_os_error() {
            _ if disk.is_dead() => StoreError::Died,
            Some(28) => StoreError::NoSpace,
            _ => StoreError::Wrong(error.to_string()),
        }
    }
}

/// Applies one logged transaction; checks the digest it carries.
pub fn apply_bytes(tree: &mut TreeWriter, bytes: &[u8]) -> Result<txn::TxnHeader, String> {
    let (header, body, digest) = txn::decode_record(bytes).map_err(|e| e.to_string())?;
    apply::apply(tree, &header, &body).map_err(|e| e.to_string())?;
    if let Some(digest) = digest
        && digest.tree_digest != tree.digest()
    {
        let (is, was) = (tree.digest(), digest.tree_digest);
        return Err(format!("digest {is:x} behind 0x{:x}, the leader's was {was:x}", header.zxid));
    }
    Ok(header)
}

impl Store {
    /// Opens what is on the disk, or begins anew: a received snapshot is settled, the newest snapshot
    /// loaded, the log behind it replayed and opened for writing. What is logged is applied and not
    /// published.
    pub fn start(disk: &Disk, options: LogOptions) -> Result<(Store, Found), StoreError> {
        let failed = |error| StoreError::of_disk(disk, error);
        let log_failed = |error| StoreError::of_log(disk, error);
        let volume = Arc::new(disk.volume());
        if disk.read(UNFINISHED).is_some() {
            disk.remove(UNFINISHED).map_err(failed)?;
        }
        settle_received(disk, log::restarted_at(&*volume).map_err(log_failed)?)?;
        let (base, mut tree) = load_newest(disk)?;
        let mut found = Vec::new();
        let mut replay = |bytes: &[u8]| -> Result<(), log::BoxError> {
            let header = apply_bytes(&mut tree, bytes)?;
            found.push((header.zxid, hash_of(bytes)));
            Ok(())
        };
        let (recovered, tail) = log::recover_in(volume, base, &mut replay).map_err(log_failed)?;
        let is_new = recovered.frames == 0 && base == 0;
        let (log, maker) = Writer::open(tail, options).map_err(log_failed)?;
        let found = Found {
            base,
            log: found,
            accepted_epoch: epochs::read(disk, epochs::ACCEPTED).unwrap_or(0),
            current_epoch: epochs::read(disk, epochs::CURRENT).unwrap_or(0),
            is_new,
        };
        let snapshots = snapshots_on(disk);
        Ok((Store { disk: disk.clone(), log, maker, tree, snapshots }, found))
    }

    /// Takes a snapshot of what is published, and lets go of what it makes superfluous.
    pub fn take_snapshot(&mut self) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        let failed = |error| StoreError::of_disk(&disk, error);
        let zxid = self.tree.published();
        if self.snapshots.last().is_some_and(|newest| *newest >= zxid) {
            return Ok(());
        }
        let bytes = snapshot::encode(&self.tree, zxid);
        disk.write(UNFINISHED, &bytes).map_err(failed)?;
        disk.sync(UNFINISHED).map_err(failed)?;
        disk.rename(UNFINISHED, &snapshot_name(zxid)).map_err(failed)?;
        disk.sync_names().map_err(failed)?;
        self.snapshots.push(zxid);
        self.purge()
    }

    fn purge(&mut self) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        let failed = |error| StoreError::of_disk(&disk, error);
        while self.snapshots.len() > RETAIN {
            disk.remove(&snapshot_name(self.snapshots.remove(0))).map_err(failed)?;
        }
        disk.sync_names().map_err(failed)?;
        if let Some(oldest) = self.snapshots.first() {
            self.log.purge(*oldest);
        }
        Ok(())
    }

    /// Puts a leader's snapshot beside the own state, durably. It counts for nothing yet.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        let failed = |error| StoreError::of_disk(&disk, error);
        disk.write(UNFINISHED, bytes).map_err(failed)?;
        disk.sync(UNFINISHED).map_err(failed)?;
        disk.rename(UNFINISHED, RECEIVED).map_err(failed)?;
        disk.sync_names().map_err(failed)
    }

    /// Lets the received snapshot take over, by the one synced record that restarts the log behind it.
    pub fn take_over(&mut self, zxid: Zxid) -> Result<(), StoreError> {
        let disk = self.disk.clone();
        self.need_spare()?;
        self.log.restart_at(zxid).map_err(|error| StoreError::of_log(&disk, error))?;
        settle_received(&disk, Some(zxid))?;
        self.snapshots = snapshots_on(&disk);
        Ok(())
    }

    /// Cuts the log behind `zxid`, durably.
    pub fn truncate(&mut self, zxid: Zxid) -> Result<Zxid, StoreError> {
        self.need_spare()?;
        self.log.truncate_to(zxid).map_err(|error| StoreError::of_log(&self.disk, error))
    }

    /// Cutting and restarting need a fresh segment at once.
    fn need_spare(&mut self) -> Result<(), StoreError> {
        while self.maker.turn() {}
        if self.disk.is_dead() { Err(StoreError::Died) } else { Ok(()) }
    }
}

/// As `snapshot::settle_received`: a received snapshot has taken over if the log was restarted behind it.
fn settle_received(disk: &Disk, restarted_at: Option<Zxid>) -> Result<(), StoreError> {
    let failed = |error| StoreError::of_disk(disk, error);
    let Some(bytes) = disk.read(RECEIVED) else { return Ok(()) };
    let zxid = snapshot::zxid_of(&bytes).ok();
    match zxid.filter(|zxid| Some(*zxid) == restarted_at) {
        Some(zxid) => {
            for own in snapshots_on(disk).into_iter().filter(|own| *own > zxid) {
                disk.remove(&snapshot_name(own)).map_err(failed)?;
            }
            disk.rename(RECEIVED, &snapshot_name(zxid)).map_err(failed)?;
        }
        None => disk.remove(RECEIVED).map_err(failed)?,
    }
    disk.sync_names().map_err(failed)
}

fn load_newest(disk: &Disk) -> Result<(Zxid, TreeWriter), StoreError> {
    let all = snapshots_on(disk);
    for zxid in all.iter().rev() {
        let Some(bytes) = disk.read(&snapshot_name(*zxid)) else { continue };
        match snapshot::load(&bytes) {
            Ok(loaded) => return Ok(loaded),
            Err(snapshot::BadSnapshot::Torn) => {}
            Err(snapshot::BadSnapshot::Wrong(why)) => return Err(StoreError::Wrong(why)),
        }
    }
    if all.is_empty() {
        return Ok((0, tree::new(snapshot::tree_config())));
    }
    Err(StoreError::Damaged("no snapshot is usable".into()))
}
