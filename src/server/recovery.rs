//! From what is on the disk to a tree, and a log that goes on where it ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::config::Config;
use crate::ensemble::DigestLog;
use crate::log::{self, LogOptions};
use crate::metrics::{Counter, Summary, Writer};
use crate::protocol::Zxid;
use crate::snapshot;
use crate::tree::{self, TreeConfig, TreeWriter};
use crate::txn;

use super::dirs::{self, own_dir};
use super::{ServerError, log_mark, plan};

/// What recovery hands to the server.
pub(super) struct Recovered {
    pub tree: TreeWriter,
    pub log: log::Writer,
    pub spares: log::SpareThread,
    pub last_zxid: Zxid,
    pub digests: DigestLog,
    pub report: Report,
}

/// What recovery took and found, for the metrics.
#[derive(Debug, Default)]
pub(super) struct Report {
    snapshot_ns: u64,
    replay_ns: u64,
    /// Transactions that were replayed.
    pub transactions: u64,
    /// Bytes of those.
    pub bytes: u64,
    digest_mismatches: u64,
}

impl Report {
    pub(super) fn record(&self, metrics: &Writer) {
        metrics.record(Summary::SnapLoadTime, self.snapshot_ns);
        metrics.record(Summary::TxnsLoadTime, self.replay_ns);
        metrics.record(Summary::TxnsLoaded, self.transactions);
        metrics.record(Summary::DbInitTime, self.snapshot_ns + self.replay_ns);
        metrics.add(Counter::DigestMismatches, self.digest_mismatches);
    }
}

/// Transactions replayed before what they replaced is freed: one at a time a good part would go into looking who reads.
const RECLAIM_EVERY: usize = 64;

/// Loads the newest snapshot and replays the log behind it.
pub(super) fn recover(config: &Config) -> Result<Recovered, ServerError> {
    let tree_config = TreeConfig {
        digest: config.digest_enabled,
        extended_types: config.extended_types_enabled,
        // The shards, the snapshot's, the desk's.
        readers_max: plan::SHARDS_MAX + 9,
        ..TreeConfig::default()
    };
    let began = Instant::now();
    let (mut report, mut digests) = (Report::default(), DigestLog::default());
    let loaded = snapshot::load_newest(&own_dir(&config.data_dir), &tree_config)?;
    for unusable in &loaded.passed_over {
        tracing::warn!(
            "a newer snapshot is not usable, an older one and the log make up for it: {unusable}"
        );
    }
    let mut tree = loaded.tree;
    report.snapshot_ns = began.elapsed().as_nanos() as u64;
    let log_dir = dirs::log_dir(config);
    let from_zxid = loaded.info.map_or(0, |info| info.zxid);
    let mut applied = 0usize;
    let mut apply = |bytes: &[u8]| -> Result<(), log::BoxError> {
        let (header, body, digest) = txn::decode_record(bytes)?;
        tree::apply::apply(&mut tree, &header, &body)?;
        if let Some(digest) = digest
            && digest.version == txn::DIGEST_VERSION
            && config.digest_enabled
            && digest.tree_digest != tree.digest()
        {
            report.digest_mismatches += 1;
            tracing::error!(
                "the tree's digest at zxid 0x{:x} is not the logged one: this server's state differs from what it was",
                header.zxid
            );
        }
        if config.digest_enabled {
            digests.note(header.zxid, tree.digest());
        }
        tree.publish(header.zxid);
        report.bytes += bytes.len() as u64;
        applied += 1;
        if applied.is_multiple_of(RECLAIM_EVERY) {
            tree.reclaim(usize::MAX);
        }
        Ok(())
    };
    let disk = log::RealDir::new(&log_dir, config.force_sync).map_err(|error| {
        ServerError::Directory { dir: log_dir.clone(), key: "dataLogDir", error }
    })?;
    let (found, tail) = log::recover_in(Arc::new(disk), from_zxid, &mut apply)?;
    report.replay_ns = began.elapsed().as_nanos() as u64 - report.snapshot_ns;
    report.transactions = found.transactions;
    if let Some(cut) = &found.cut {
        tracing::warn!(
            "{} has a torn tail at offset {} ({}): cut; nothing that is known to have been acknowledged was there",
            cut.name,
            cut.offset,
            cut.reason
        );
    }
    // A snapshot is taken of what is durable in the log only: one that ends before it has lost something, and it may have
    // held more, behind the snapshot.
    if tail.ends_at().unwrap_or(0) < from_zxid {
        let (dir, log_zxid) = (log_dir.clone(), tail.ends_at());
        let lost = ServerError::LostLog { dir, log_zxid, snapshot_zxid: from_zxid };
        log_mark::unless_accepted(config, lost)?;
    }
    // A standalone server is its own quorum: what it has logged is committed.
    let segment_bytes = plan::segment_bytes(config);
    let options = LogOptions { segment_bytes, ..LogOptions::default() };
    let (log, spares) = log::open(tail, options).map_err(|error| match error {
        log::LogError::NoSpace { .. } => no_room(&log_dir, segment_bytes),
        error => error.into(),
    })?;
    log_mark::store(config, log.log_id())?;
    tell_of_room(&log, &log_dir, segment_bytes);
    Ok(Recovered { tree, log, spares, last_zxid: found.last_zxid, digests, report })
}

fn no_room(dir: &Path, segment_bytes: u64) -> ServerError {
    let free_bytes = log::free_bytes(dir).unwrap_or_default();
    ServerError::NoRoom { dir: dir.into(), segment_bytes, free_bytes }
}

/// A log that can be opened is served, also where it cannot go on for long.
fn tell_of_room(log: &log::Writer, dir: &Path, segment_bytes: u64) {
    match log::free_bytes(dir) {
        Ok(free_bytes) if free_bytes < segment_bytes && log.spares() == 0 => tracing::error!(
            "{}: {free_bytes} bytes are free, too few for the next segment of the log, which takes {segment_bytes} \
             (preAllocSize). Reads are served, and writes as long as the last segment has room, {} bytes at the most; then they are \
             refused until there is room, and no client can open a session. Free some, no restart is needed",
            dir.display(),
            log.writes_bytes()
        ),
        _ => {}
    }
}
