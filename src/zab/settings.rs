//! What a core is started with.

use std::sync::Arc;

use super::ensemble::EnsembleConfig;
use super::mistake::Mistakes;
use super::types::{Epoch, Sid, Zxid};

/// The settings of one server's core. Times are in milliseconds of the driver's monotonic clock.
#[derive(Debug, Clone)]
pub struct ZabConfig {
    /// This server.
    pub sid: Sid,
    /// One server and no ensemble, as ZooKeeper's standalone mode: no elections, no epochs, zxids go on counting where
    /// the log ends. Otherwise an ensemble, if only of one.
    pub standalone: bool,
    /// The unit of the limits below.
    pub tick_ms: u64,
    /// Ticks that connecting and synchronising may take.
    pub init_limit: u64,
    /// Ticks that a peer may be silent.
    pub sync_limit: u64,
    /// How long to wait for a better vote once a quorum agrees, unless every voter has been heard.
    pub finalize_wait_ms: u64,
    /// First interval of repeating a vote; it doubles.
    pub notification_min_ms: u64,
    /// Last interval of repeating a vote.
    pub notification_max_ms: u64,
    /// Between two attempts to connect to the leader.
    pub connect_retry_ms: u64,
    /// Attempts to connect to the leader before looking for another one.
    pub connect_tries: u32,
    /// Transactions kept in memory for learners that are a little behind (`commitLogCount`). What is proposed and not
    /// committed is kept besides. 0: an ensemble of one keeps nothing.
    pub window_txns_max: usize,
    /// Bytes of them.
    pub window_bytes_max: usize,
    /// Proposals that may wait for a quorum; more are refused.
    pub outstanding_max: usize,
    /// Connections of learners at the most; more are closed.
    pub learners_max: usize,
    /// Counter of an epoch's first transaction: 1. Tests of the rollover begin higher, on all servers alike.
    pub first_counter: i64,
    /// Always send learners a snapshot (`zookeeper.forceSnapshotSync`).
    pub force_snapshot: bool,
    /// Give the configuration of the first start, version 0, the version epoch << 32 of the first leader, as ZooKeeper
    /// does with `reconfigEnabled`.
    pub stamp_first_config: bool,
    /// The mistake planted in this instance: for proving the simulator. None in release builds.
    pub mistakes: Mistakes,
}

impl ZabConfig {
    /// How long connecting and being brought level may take (`initLimit`), milliseconds.
    pub(super) fn init_ms(&self) -> u64 {
        self.init_limit * self.tick_ms
    }

    /// ZooKeeper's defaults for one server.
    pub fn new(sid: Sid) -> ZabConfig {
        ZabConfig {
            sid,
            standalone: false,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            finalize_wait_ms: 200,
            notification_min_ms: 200,
            notification_max_ms: 60_000,
            connect_retry_ms: 100,
            connect_tries: 5,
            window_txns_max: 500,
            window_bytes_max: 16 << 20,
            outstanding_max: 100_000,
            learners_max: 1024,
            first_counter: 1,
            force_snapshot: false,
            stamp_first_config: false,
            mistakes: Mistakes::default(),
        }
    }
}

/// What a server finds on its disk when it starts.
#[derive(Debug, Clone)]
pub struct Durable {
    /// The greatest epoch of a leader that this server promised to follow.
    pub accepted_epoch: Epoch,
    /// The epoch of the last leader whose whole history this server has had on its medium.
    pub current_epoch: Epoch,
    /// The last transaction of the log, or the zxid of the snapshot that it begins after.
    pub last_logged: Zxid,
    /// What is known to be committed. What is logged beyond waits for the ensemble.
    pub committed: Zxid,
    /// Whether this server still has what it acknowledged. `false`: its log, snapshot or epochs were lost, damaged, or
    /// replaced by an empty disk. Such a server neither votes nor is counted, until an established leader with a
    /// quorum that does not count it has brought it up to date ([`Action::StoreEpochs`](super::Action::StoreEpochs)
    /// then says `intact: true`). The driver must store `false` **before** it starts a core with it.
    pub intact: bool,
    /// The configuration in force.
    pub config: Arc<EnsembleConfig>,
    /// A reconfiguration that is logged beyond `committed`.
    pub proposed_config: Option<(Zxid, Arc<EnsembleConfig>)>,
}
