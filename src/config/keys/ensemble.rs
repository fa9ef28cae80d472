//! Keys of ensembles. The lists of members (`server.N` and its kin) are judged together in
//! `load`, for one member alone is a standalone server in ZooKeeper too.

use crate::config::table::{Key, Kind};

const ALONE: &str = "this server stands alone";
const ENSEMBLES: &str = "ensembles";
const QUORUM_TLS: &str = "TLS between the members of an ensemble";
const QUORUM_SASL: &str = "SASL between the members of an ensemble";
const NO_ENSEMBLES: &str = "ensembles are not available yet";

/// Ensembles.
pub const ENSEMBLE: &[Key] = &[
    Key::ignored("server.*", "A member of the ensemble.", "it is the only member"),
    Key::refused("group.*", &[], "Members of a group of a hierarchical quorum.", NO_ENSEMBLES),
    Key::refused("weight.*", &[], "A member's weight in a hierarchical quorum.", NO_ENSEMBLES),
    Key::refused(
        "dynamicConfigFile",
        &[],
        "The file that lists the members.",
        "ensembles are not available yet; remove the key to run standalone",
    ),
    Key::refused(
        "standaloneEnabled",
        &["true"],
        "Whether a single member runs without a quorum.",
        "ensembles are not available yet, not even of one; remove the key to run standalone",
    ),
    Key::refused(
        "peerType",
        &["participant"],
        "Whether the member votes.",
        "observers need an ensemble, and ensembles are not available yet",
    ),
    Key::honoured(
        "reconfigEnabled",
        "false",
        Kind::Bool(|c, v| c.reconfig_enabled = v),
        "Enables reconfiguration; a standalone server then answers `reconfig` with UNIMPLEMENTED \
         instead of RECONFIGDISABLED, as ZooKeeper does.",
    ),
    Key::honoured(
        "readonlymode.enabled",
        "false",
        Kind::Bool(|c, v| c.read_only_mode_enabled = v),
        "Serves reads without a quorum; standalone it only puts `isro` on the white list.",
    ),
    Key::ignored("version", "The version of the members' list.", ALONE),
    Key::moot("initLimit", "Ticks a follower has to reach the leader's state.", ALONE),
    Key::moot("syncLimit", "Ticks a follower may lag behind.", ALONE),
    Key::ignored("connectToLearnerMasterLimit", "Ticks to connect to the leader.", ALONE),
    Key::ignored("electionAlg", "The election algorithm.", ALONE),
    Key::ignored("leaderServes", "Whether the leader serves clients.", ALONE),
    Key::ignored("maxTimeToWaitForEpoch", "How long a leader waits for its epoch.", ALONE)
        .also(&["leader.maxTimeToWaitForEpoch"]),
    Key::ignored("cnxTimeout", "Time-out of connections for elections.", ALONE),
    Key::ignored("quorumCnxnTimeoutMs", "Read time-out of connections for elections.", ALONE),
    Key::ignored("quorumListenOnAllIPs", "Listens for members on all addresses.", ALONE),
    Key::ignored("electionPortBindRetry", "Tries to bind the election port.", ALONE),
    Key::ignored("fastleader.*", "Intervals of the election's messages.", ALONE),
    Key::ignored("tcpKeepAlive", "TCP keep-alive between members.", ALONE),
    Key::ignored("observerMasterPort", "The port on which followers feed observers.", ALONE),
    Key::ignored("observerMaster.sizeLimit", "What a follower keeps for observers.", ALONE),
    Key::ignored("observer.*", "Delays and logging of observers.", ALONE),
    Key::ignored("syncEnabled", "Whether observers write log and snapshots.", ALONE),
    Key::ignored("localSessionsEnabled", "Sessions that the ensemble does not know.", ALONE),
    Key::ignored("localSessionsUpgradingEnabled", "Upgrades local sessions.", ALONE),
    Key::ignored("maxConcurrentSnapSyncs", "Members fed a snapshot at a time.", ALONE)
        .also(&["leader.maxConcurrentSnapSyncs"]),
    Key::ignored("maxConcurrentDiffSyncs", "Members fed transactions at a time.", ALONE)
        .also(&["leader.maxConcurrentDiffSyncs"]),
    Key::ignored("commitLogCount", "Transactions kept in memory for members.", ALONE),
    Key::ignored("snapshotSizeFactor", "When a member is fed from the log.", ALONE),
    Key::ignored("forceSnapshotSync", "Always feeds members a snapshot.", ALONE),
    Key::ignored("learner.*", "How a leader sends to its members.", ALONE),
    Key::ignored("leader.*", "How a leader logs and closes.", ALONE),
    Key::ignored("follower.*", "How a follower handles requests.", ALONE),
    Key::ignored("leaderConnectDelayDuringRetryMs", "Delay between tries.", ALONE),
    Key::ignored(
        "forward_learner_requests_to_commit_processor_disabled",
        "How requests of members are handled.",
        ALONE,
    ),
    Key::ignored("multiAddress.*", "Several addresses a member.", ALONE),
    Key::later("oraclePath", "The oracle of an ensemble of two.", ENSEMBLES),
    Key::later("sslQuorum", "TLS between members.", QUORUM_TLS),
    Key::later("portUnification", "TLS and plain members on one port.", QUORUM_TLS),
    Key::later("sslQuorumReloadCertFiles", "Reloads certificates.", QUORUM_TLS),
    Key::later("quorum.auth.*", "Authentication of members.", QUORUM_SASL),
    Key::ignored("quorum.cnxn.threads.size", "Threads for connections of members.", ALONE),
];
