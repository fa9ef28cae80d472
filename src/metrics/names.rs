//! What is counted, by name: one line each, from which the enums, the names that the
//! four-letter word `mntr` prints and the manual are made.

/// Declares an enum of dense indexes with a name and a sentence for each.
macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $text:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum $kind {
            $(#[doc = $text] $variant,)*
        }

        impl $kind {
            /// All, in the order of their indexes.
            pub const ALL: &'static [$kind] = &[$($kind::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name, without the leading `zk_` of `mntr`.
            pub const fn name(self) -> &'static str {
                match self { $($kind::$variant => $name,)* }
            }

            /// One sentence.
            pub const fn text(self) -> &'static str {
                match self { $($kind::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// What only grows. Names that ZooKeeper has mean what they mean there.
    Counter {
        PacketsReceived "packets_received" "Requests and four-letter words received."
        PacketsSent "packets_sent" "Replies and watch events sent."
        BytesReceived "bytes_received_count" "Bytes received from clients."
        ResponseBytes "response_bytes" "Bytes of replies sent."
        WatchBytes "watch_bytes" "Bytes of watch events sent."
        ConnectionRequests "connection_request_count" "Connect requests received."
        ConnectionRevalidations "connection_revalidate_count" "Connect requests for an existing session."
        ConnectionsRejected "connection_rejected" "Connections refused by a limit on their number."
        ConnectionsDropped "connection_drop_count" "Connections closed while their session lived on."
        SessionlessExpired "sessionless_connections_expired" "Connections closed that made no session in time."
        SessionsExpired "stale_sessions_expired" "Sessions that expired."
        ExpiriesPostponed "expiries_postponed" "Times that expired sessions stayed because the log had no space for their end."
        RequestsThrottled "request_throttle_wait_count" "Requests that waited in the throttle."
        ThrottledOps "throttled_ops" "Requests answered with THROTTLEDOP."
        StaleRequests "stale_requests" "Requests found stale."
        StaleRequestsDropped "stale_requests_dropped" "Stale requests dropped."
        StaleReplies "stale_replies" "Replies whose connection was gone."
        LargeRequestsRejected "large_requests_rejected" "Large requests beyond the limit in flight."
        Proposals "proposal_count" "Transactions proposed."
        Commits "commit_count" "Transactions committed."
        SnapshotErrors "snapshot_error_count" "Snapshots that failed."
        DigestMismatches "digest_mismatches_count" "Digests that differed from the log's at the start."
        AuthFailed "auth_failed_count" "Authentications that failed."
        FsyncThresholdExceeded "fsync_threshold_exceed_count" "Log writes slower than the warning threshold."
        RefusedBadFrame "refused_bad_frame" "Connections closed for a negative or absurd length."
        RefusedOversize "refused_oversize" "Connections closed for a request beyond jute.maxbuffer."
        RefusedBadRequest "refused_bad_request" "Connections closed for a request that could not be decoded."
        RefusedBadConnect "refused_bad_connect" "Connections closed for a bad connect request."
        RefusedUnknownOp "refused_unknown_op" "Requests with an unknown operation."
        RefusedZxidAhead "refused_zxid_ahead" "Clients that had seen a later state than this server."
        RefusedPerAddress "refused_per_address" "Connections refused because their address had too many."
        RefusedTotal "refused_total" "Connections refused because the server had too many."
        RefusedByThrottle "refused_by_throttle" "Connections refused by the connection throttle."
        RefusedSlowReader "refused_slow_reader" "Connections closed because they did not read."
        RefusedMemory "refused_memory" "Connections closed because all together held too much memory."
        RefusedTooManyWatches "refused_too_many_watches" "Watches refused beyond the limit of a connection."
        RefusedUnauthenticated "refused_unauthenticated" "Requests refused before authentication."
        RefusedNoSpace "refused_no_space" "Writes refused because the log had no space."
        RefusedWord "refused_word" "Four-letter words that are not on the white list."
        QuotaExceeded "quota_exceeded" "Times a write went beyond a soft quota, or beyond a hard one that is not enforced."
        PausedOutput "paused_output" "Times a connection was not read because it did not read."
        PausedMemory "paused_memory" "Times a connection was not read because all together held much memory."
        PausedOutstanding "paused_outstanding" "Times reading paused for too many outstanding requests."
        PausedLane "paused_lane" "Times reading paused because the way to the core was full."
        PausedVersions "paused_versions" "Times the core took no requests because old versions had reached their bound."
        LongAnswers "long_answers" "Answers made in slices, because they would have taken long."
        LostWakes "lost_wakes" "Sleeps ended by the safety timer with work waiting."
        WatchEvents "watch_events" "Watch events sent."
        LogWrites "log_writes" "Writes to the log."
        LogBytes "log_bytes" "Bytes written to the log."
    }
}

named! {
    /// What goes up and down. Every thread sets its own part; reading adds them up.
    Gauge {
        Connections "num_alive_connections" "Open connections."
        Outstanding "outstanding_requests" "Requests taken in and not yet answered."
        Watches "watch_count" "Watches set."
        Znodes "znode_count" "Nodes in the tree."
        Ephemerals "ephemerals_count" "Ephemeral nodes."
        DataSize "approximate_data_size" "Bytes of paths and data."
        Sessions "global_sessions" "Live sessions."
        LastZxid "last_zxid" "The last transaction published."
        TreeSuperseded "tree_superseded_bytes" "Bytes replaced or deleted that a shard may still read."
        TreePinned "tree_pinned_bytes" "Bytes replaced or deleted that a snapshot or a long answer keeps."
        TreeUnlinked "tree_unlinked_bytes" "Bytes out of the tree that a reading thread has yet to let go of."
        OutputBacklog "output_backlog_bytes" "Memory held by output that is not yet sent."
        InputBacklog "input_backlog_bytes" "Memory held by requests that are not whole or not answered yet."
    }
}

named! {
    /// Distributions. Times are recorded in ns and printed in ms, all else as it is.
    Summary {
        ReadLatency "readlatency" "Time from receiving a read to its reply."
        UpdateLatency "updatelatency" "Time from receiving a write to its reply."
        FsyncTime "fsynctime" "Time of a synced write to the log."
        SnapshotTime "snapshottime" "Time to write a snapshot."
        DbInitTime "dbinittime" "Time to recover at the start."
        SnapLoadTime "startup_snap_load_time" "Time to load the snapshot at the start."
        TxnsLoadTime "startup_txns_load_time" "Time to replay the log at the start."
        TxnsLoaded "startup_txns_loaded" "Transactions replayed at the start."
        PropagationLatency "propagation_latency" "Time from proposing the first write of a batch to the publication of all of them."
        BatchSize "sync_processor_batch_size" "Transactions that shared a write to the log."
        TokenDeficit "connection_token_deficit" "Tokens that the connection throttle lacked when it let one in."
        ThrottleQueueTime "request_throttle_queue_time_ms" "Time that a request waited in the throttle."
        PrepTime "prep_process_time" "Time to prepare a request that is ordered, the mean of those taken at once."
        NodeCreatedWatches "node_created_watch_count" "Watchers of a shard told of one creation."
        NodeDeletedWatches "node_deleted_watch_count" "Watchers of a shard told of one deletion."
        NodeChangedWatches "node_changed_watch_count" "Watchers of a shard told of one change of data."
        NodeChildrenWatches "node_children_watch_count" "Watchers of a shard told of one change of children."
        ResponseSize "client_response_size" "Bytes of a reply."
    }
}

impl Summary {
    /// Recorded in ns, printed in ms.
    pub const fn is_time(self) -> bool {
        !matches!(
            self,
            Summary::TxnsLoaded
                | Summary::BatchSize
                | Summary::TokenDeficit
                | Summary::NodeCreatedWatches
                | Summary::NodeDeletedWatches
                | Summary::NodeChangedWatches
                | Summary::NodeChildrenWatches
                | Summary::ResponseSize
        )
    }

    /// Printed with percentiles (ZooKeeper's `DetailLevel.ADVANCED`).
    pub const fn has_percentiles(self) -> bool {
        matches!(
            self,
            Summary::ReadLatency
                | Summary::UpdateLatency
                | Summary::PropagationLatency
                | Summary::FsyncTime
                | Summary::ThrottleQueueTime
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// All sources but those that only read metrics.
    fn sources(directory: PathBuf, text: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_owned();
            if path.is_dir() && name != "metrics" && name != "words" {
                sources(path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// A zero that nobody counts would be a lie.
    #[test]
    fn everything_that_is_listed_is_written() {
        let mut text = String::new();
        sources(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let check = |name: String| {
            let part_of_a_name = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric());
            let found = text
                .match_indices(&name)
                .any(|(at, _)| !text.get(at + name.len()..).is_some_and(part_of_a_name));
            assert!(found, "nothing writes {name}");
        };
        Counter::ALL.iter().for_each(|one| check(format!("Counter::{one:?}")));
        Gauge::ALL.iter().for_each(|one| check(format!("Gauge::{one:?}")));
        Summary::ALL.iter().for_each(|one| check(format!("Summary::{one:?}")));
    }
}
