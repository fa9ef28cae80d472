//! What a run has seen: depth, not only number.

use crate::time::{Micros, SECOND};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident: $words:literal,)+) => {
        /// Counts of what happened.
        #[derive(Clone, Debug, Default)]
        pub struct Report {
            $($(#[doc = $doc])+ pub $name: u64,)+
            /// Virtual time, all of it.
            pub virtual_us: Micros,
        }

        impl Report {
            /// Adds another's counts.
            pub fn add(&mut self, other: &Report) {
                $(self.$name += other.$name;)+
                self.virtual_us += other.virtual_us;
            }

            /// The counts with their names.
            pub fn lines(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name),)+]
            }
        }
    };
}

counters! {
    /// Runs.
    runs: "runs",
    /// Events.
    events: "events",
    /// Leaders established.
    established: "elections won and established",
    /// Leaders that began to serve.
    looking: "times a server looked for a leader",
    /// DIFF.
    diffs: "syncs by DIFF",
    /// TRUNC.
    truncs: "syncs by TRUNC",
    /// SNAP.
    snaps: "syncs by SNAP",
    /// Received snapshots that took over.
    taken_over: "received snapshots that took over",
    /// Received snapshots that were dropped.
    dropped_staged: "received snapshots that were dropped",
    /// Logs cut.
    cuts: "logs cut",
    /// Memory undone.
    undone: "transactions undone in memory",
    /// Committed.
    committed: "transactions committed",
    /// Acknowledged.
    acknowledged: "writes acknowledged",
    /// Sessions.
    sessions: "sessions opened",
    /// Sessions that expired or closed.
    sessions_closed: "sessions closed or expired",
    /// Moves.
    moves: "session moves between servers",
    /// Refused as moved.
    moved_refused: "requests refused because the session had moved",
    /// Reads.
    reads: "reads checked",
    /// Syncs of clients.
    client_syncs: "sync requests answered",
    /// Reconfigurations proposed.
    reconfigs_proposed: "reconfigurations proposed",
    /// Reconfigurations committed.
    reconfigs: "reconfigurations committed",
    /// Hand-overs.
    hand_overs: "hand-overs proposed",
    /// Rollovers.
    rollovers: "zxid counters used up",
    /// Crashes.
    crashes: "crashes",
    /// Of these in the middle of a change of the disk.
    disk_crashes: "crashes in the middle of a change of the disk",
    /// Restarts.
    restarts: "starts from a disk",
    /// Damaged.
    damaged: "logs found damaged",
    /// Lost disks.
    lost: "disks lost",
    /// Rejoined.
    rejoined: "damaged servers that became intact again",
    /// Torn tails.
    torn: "torn tails cut at recovery",
    /// Failed writes.
    failed_writes: "log writes that failed",
    /// Full disks.
    full: "times a log had no room",
    /// Snapshots.
    snapshots: "snapshots taken",
    /// Partitions.
    partitions: "partitions",
    /// Aimed faults that met their moment.
    strikes: "blows of faults that waited for a moment of the protocol",
    /// One-way partitions with progress.
    progress: "one-way partitions in which progress was demanded",
    /// Pauses.
    pauses: "pauses",
    /// Said again.
    said_again: "things told to a core again",
    /// Garbage.
    garbage: "illegal messages",
    /// Breaches.
    breaches: "connections closed for a breach",
}

impl Report {
    /// Virtual hours.
    pub fn virtual_hours(&self) -> f64 {
        self.virtual_us as f64 / (3600 * SECOND) as f64
    }
}
