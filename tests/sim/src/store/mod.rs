//! What a server keeps: the real log and the real tree over a simulated disk, snapshots and epochs.
//!
//! Owns the order of the steps by which a state is recovered, taken over from a leader, cut and purged.
//! Never decides what is committed, and knows nothing of peers.

pub mod epochs;
pub mod snapshot;
pub mod stream;

use std::sync::Arc;

use ringkeeper::log::{self, LogError, LogOptions, SpareMaker, Writer};
use ringkeeper::protocol::Zxid;
use ringkeeper::tree::{self, TreeWriter, apply};
use ringkeeper::txn;

use crate::disk::{Disk, Volume};

/// Which of the states on the disk is in force.
const MANIFEST: &str = "manifest";
/// Snapshots that are kept.
const RETAIN: usize = 2;

/// A logged transaction: its zxid and its bytes.
pub type Logged = (Zxid, Arc<[u8]>);

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
    pub log: Vec<Logged>,
    /// What the log knows to be committed.
    pub committed: Zxid,
    /// Whether a torn tail was cut.
    pub torn: bool,
}

/// An open store: a snapshot and the log behind it. A disk may hold two, one of them in force and one
/// that came from a leader and is to take its place.
pub struct Store {
    /// Which of the states on the disk this is.
    pub number: u64,
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

fn snapshot_name(number: u64, zxid: Zxid) -> String {
    format!("{number}/snapshot.{zxid:016x}")
}

fn unfinished_name(number: u64) -> String {
    format!("{number}/unfinished")
}

fn snapshots_on(disk: &Disk, number: u64) -> Vec<Zxid> {
    let prefix = format!("{number}/snapshot.");
    let names = disk.names();
    let zxids =
        names.iter().filter_map(|n| Zxid::from_str_radix(n.strip_prefix(&prefix)?, 16).ok());
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
            LogError::Damaged { .. }
            | LogError::Missing { .. }
            | LogError::NoBeginning { .. }
            | LogError::CutShort { .. }
            | LogError::Gap { .. }
            | LogError::Inconsistent { .. } => StoreError::Damaged(error.to_string()),
            other => StoreError::Wrong(other.to_string()),
        }
    }

    /// What an error of the disk means.
    pub fn of_disk(disk: &Disk, error: std::io::Error) -> StoreError {
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
    /// Opens the state in force, or begins anew: the newest snapshot is loaded, the log behind it
    /// replayed up to what is known to be committed, and opened for writing. States that are not in
    /// force go.
    pub fn start(disk: &Disk, options: LogOptions) -> Result<(Store, Found), StoreError> {
        let failed = |error| StoreError::of_disk(disk, error);
        let number = in_force(disk);
        for name in disk.names() {
            let other = name.split_once('/').is_some_and(|(n, _)| n.parse() != Ok(number));
            if other || name == unfinished_name(number) {
                disk.remove(&name).map_err(failed)?;
            }
        }
        for other in [number.wrapping_sub(1), number + 1] {
            disk.volume(other).remove_all().map_err(failed)?;
        }
        Store::open(disk, number, options)
    }

    fn open(disk: &Disk, number: u64, options: LogOptions) -> Result<(Store, Found), StoreError> {
        let log_failed = |error| StoreError::of_log(disk, error);
        let (base, mut tree) = load_newest(disk, number)?;
        let mut found = Vec::new();
        let mut collect = |bytes: &[u8]| -> Result<(), log::BoxError> {
            let (header, _, _) = txn::decode_record(bytes)?;
            found.push((header.zxid, Arc::from(bytes)));
            Ok(())
        };
        let volume = Arc::new(disk.volume(number));
        let (recovered, tail) = log::recover_in(volume, base, &mut collect).map_err(log_failed)?;
        let committed = recovered.committed_zxid.max(base);
        for (_, bytes) in found.iter().take_while(|(zxid, _)| *zxid <= committed) {
            apply_bytes(&mut tree, bytes).map_err(StoreError::Wrong)?;
        }
        tree.publish(committed);
        let (log, maker) = Writer::open(tail, options).map_err(log_failed)?;
        let snapshots = snapshots_on(disk, number);
        let found = Found { base, log: found, committed, torn: recovered.cut.is_some() };
        Ok((Store { number, disk: disk.clone(), log, maker, tree, snapshots }, found))
    }

    /// Puts a leader's snapshot beside the state in force, durably, with a log of its own behind it.
    pub fn stage(
        disk: &Disk,
        number: u64,
        bytes: &[u8],
        options: LogOptions,
    ) -> Result<(Store, Found), StoreError> {
        let failed = |error| StoreError::of_disk(disk, error);
        Store::clear(disk, number)?;
        let zxid = snapshot::zxid_of(bytes).map_err(|e| StoreError::Damaged(format!("{e:?}")))?;
        write_snapshot(disk, number, zxid, bytes).map_err(failed)?;
        Store::open(disk, number, options)
    }

    /// Removes a state that is not in force.
    pub fn clear(disk: &Disk, number: u64) -> Result<(), StoreError> {
        let failed = |error| StoreError::of_disk(disk, error);
        let prefix = format!("{number}/");
        for name in disk.names().iter().filter(|name| name.starts_with(&prefix)) {
            disk.remove(name).map_err(failed)?;
        }
        disk.volume(number).remove_all().map_err(failed)
    }

    /// Puts this state in force, by one durable step.
    pub fn take_over(&self) -> Result<(), StoreError> {
        let number = self.number.to_string();
        let done = epochs::replace(&self.disk, MANIFEST, number.as_bytes());
        done.map_err(|error| StoreError::of_disk(&self.disk, error))
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
        write_snapshot(&disk, self.number, zxid, &bytes).map_err(failed)?;
        self.snapshots.push(zxid);
        while self.snapshots.len() > RETAIN {
            let oldest = self.snapshots.remove(0);
            disk.remove(&snapshot_name(self.number, oldest)).map_err(failed)?;
        }
        disk.sync_names().map_err(failed)?;
        self.log.purge(self.snapshots[0]);
        Ok(())
    }

    /// Cuts the log behind `zxid`, durably; nothing may be in flight.
    pub fn truncate(&mut self, zxid: Zxid) -> Result<Zxid, StoreError> {
        // It needs a fresh segment at once.
        while self.maker.turn() {}
        self.log.truncate_to(zxid).map_err(|error| StoreError::of_log(&self.disk, error))
    }
}

/// The number of the state in force.
pub fn in_force(disk: &Disk) -> u64 {
    let bytes = disk.read(MANIFEST);
    bytes.map_or(0, |bytes| {
        let text = std::str::from_utf8(&bytes).expect("the manifest is text");
        text.parse().expect("the manifest names a state")
    })
}

fn write_snapshot(disk: &Disk, number: u64, zxid: Zxid, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = unfinished_name(number);
    disk.write(&unfinished, bytes)?;
    disk.sync(&unfinished)?;
    disk.rename(&unfinished, &snapshot_name(number, zxid))?;
    disk.sync_names()
}

fn load_newest(disk: &Disk, number: u64) -> Result<(Zxid, TreeWriter), StoreError> {
    let all = snapshots_on(disk, number);
    for zxid in all.iter().rev() {
        let Some(bytes) = disk.read(&snapshot_name(number, *zxid)) else { continue };
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
