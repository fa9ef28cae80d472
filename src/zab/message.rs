//! The messages of the election port and of the quorum port, decoded. Their bytes are `wire`'s.

use std::sync::Arc;

use super::ensemble::EnsembleConfig;
use super::types::{Epoch, Sid, Txn, Zxid};

/// What a server says that it is doing, on the election port. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum PeerState {
    /// It looks for a leader.
    Looking = 0,
    /// It follows one.
    Following = 1,
    /// It leads.
    Leading = 2,
    /// It observes.
    Observing = 3,
}

/// A message of the election port (ZooKeeper's `FastLeaderElection.Notification`).
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// What the sender does.
    pub state: PeerState,
    /// Whom it votes for. `i64::MIN` from one that does not vote.
    pub leader: Sid,
    /// The last logged zxid of the one it votes for. −1 counts for nothing; `i64::MIN` from one that does not vote.
    pub zxid: Zxid,
    /// The sender's round.
    pub election_epoch: i64,
    /// The current epoch of the one it votes for. `i64::MIN` from one that does not vote.
    pub peer_epoch: Epoch,
    /// The message's version: 2 with a configuration, 1 without, 0 from servers older than 3.4.6.
    pub version: i32,
    /// The sender's active configuration. `None` in versions below 2, and when its text could not be read.
    pub config: Option<Arc<EnsembleConfig>>,
}

/// The first message on a connection of the election port (ZooKeeper's `QuorumCnxManager.InitialMessage`). The core
/// never sees it: links of the election port are the driver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The dialer. `i64::MAX` asks for a number as a nameless observer.
    pub sid: Sid,
    /// Its election addresses, `host:port`; empty from servers older than 3.5.
    pub addresses: Vec<String>,
}

/// What a learner says of itself in [`Packet::FollowerInfo`] and [`Packet::ObserverInfo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// The learner. `None` from servers that send no data.
    pub sid: Option<Sid>,
    /// 0x10000 from every server since 3.4; less from older ones, which are refused.
    pub protocol_version: i32,
    /// The version of its active configuration; 0 from servers older than 3.5.
    pub config_version: i64,
}

/// A client's identity as a request carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthInfo {
    /// The scheme.
    pub scheme: String,
    /// The identity.
    pub id: String,
}

/// A client's request that a learner forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnerRequest {
    /// The client's session.
    pub session: i64,
    /// The client's number of the request.
    pub cxid: i32,
    /// The opcode.
    pub kind: i32,
    /// The request's body.
    pub body: Arc<[u8]>,
    /// Who the client is.
    pub auth: Vec<AuthInfo>,
}

/// A session that a learner's client renewed: id and timeout in milliseconds.
pub type Touched = (i64, i32);

/// A packet of the quorum port, by type (ZooKeeper's `QuorumPacket`).
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// 11, learner → leader, the first one of a participant.
    FollowerInfo {
        /// The epoch it has promised not to go below.
        accepted_epoch: Epoch,
        /// Who it is.
        info: LearnerInfo,
    },
    /// 16, learner → leader, the first one of an observer.
    ObserverInfo {
        /// The epoch it has promised not to go below.
        accepted_epoch: Epoch,
        /// Who it is.
        info: LearnerInfo,
    },
    /// 17, leader → learner: the epoch to come.
    LeaderInfo {
        /// The new epoch (the zxid's high half).
        epoch: Epoch,
        /// 0x10000.
        protocol_version: i32,
    },
    /// 18, learner → leader: the epoch is accepted.
    AckEpoch {
        /// The learner's last logged zxid; −1 if it has no history to be counted with.
        last_zxid: Zxid,
        /// Its current epoch; `None` (−1 on the wire) if it had accepted this epoch before.
        current_epoch: Option<Epoch>,
    },
    /// 13, leader → learner: what follows continues the learner's history.
    Diff {
        /// The leader's last committed zxid.
        zxid: Zxid,
    },
    /// 14, leader → learner: cut the log, then as after a DIFF.
    Trunc {
        /// The last transaction to keep.
        zxid: Zxid,
    },
    /// 15, leader → learner: a snapshot follows in the stream.
    Snap {
        /// The zxid of the snapshot.
        zxid: Zxid,
    },
    /// 10, leader → learner: that was the leader's history.
    NewLeader {
        /// The epoch (the zxid is epoch << 32).
        epoch: Epoch,
        /// The last configuration that the leader has seen, committed or not. `None` if it sent none.
        config: Option<Arc<EnsembleConfig>>,
    },
    /// 12, leader → learner: a quorum has that history; serve.
    UpToDate,
    /// 2, leader → follower.
    Proposal {
        /// The transaction's zxid.
        zxid: Zxid,
        /// Its bytes.
        txn: Txn,
        /// The configuration that it proposes, if it is a reconfiguration.
        config: Option<Arc<EnsembleConfig>>,
    },
    /// 3, learner → leader: durable.
    Ack {
        /// A transaction's zxid, or epoch << 32 for NEWLEADER and UPTODATE.
        zxid: Zxid,
    },
    /// 4, leader → follower.
    Commit {
        /// The transaction's zxid.
        zxid: Zxid,
    },
    /// 9, leader → follower: a reconfiguration is committed.
    CommitAndActivate {
        /// The transaction's zxid.
        zxid: Zxid,
        /// Who should lead the new configuration.
        designated_leader: Sid,
    },
    /// 8, leader → observer: a committed transaction.
    Inform {
        /// The transaction's zxid.
        zxid: Zxid,
        /// Its bytes.
        txn: Txn,
    },
    /// 19, leader → observer: a committed reconfiguration.
    InformAndActivate {
        /// The transaction's zxid.
        zxid: Zxid,
        /// Who should lead the new configuration.
        designated_leader: Sid,
        /// Its bytes.
        txn: Txn,
        /// The configuration. `None` if its text could not be read: a breach.
        config: Option<Arc<EnsembleConfig>>,
    },
    /// 5, both ways.
    Ping {
        /// The leader's last proposed zxid; the answer repeats it.
        zxid: Zxid,
        /// In answers: sessions heard from since the last one.
        touched: Vec<Touched>,
    },
    /// 6, learner → leader: is this session alive?
    Revalidate {
        /// The session.
        session: i64,
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// 6, leader → learner.
    Revalidated {
        /// The session.
        session: i64,
        /// Whether it is alive, and now the learner's.
        valid: bool,
    },
    /// 1, learner → leader.
    Request(LearnerRequest),
    /// 7, leader → learner: the oldest unanswered sync request is answered.
    Sync,
}

impl Packet {
    /// The packet's name as ZooKeeper writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Packet::FollowerInfo { .. } => "FOLLOWERINFO",
            Packet::ObserverInfo { .. } => "OBSERVERINFO",
            Packet::LeaderInfo { .. } => "LEADERINFO",
            Packet::AckEpoch { .. } => "ACKEPOCH",
            Packet::Diff { .. } => "DIFF",
            Packet::Trunc { .. } => "TRUNC",
            Packet::Snap { .. } => "SNAP",
            Packet::NewLeader { .. } => "NEWLEADER",
            Packet::UpToDate => "UPTODATE",
            Packet::Proposal { .. } => "PROPOSAL",
            Packet::Ack { .. } => "ACK",
            Packet::Commit { .. } => "COMMIT",
            Packet::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Packet::Inform { .. } => "INFORM",
            Packet::InformAndActivate { .. } => "INFORMANDACTIVATE",
            Packet::Ping { .. } => "PING",
            Packet::Revalidate { .. } | Packet::Revalidated { .. } => "REVALIDATE",
            Packet::Request(_) => "REQUEST",
            Packet::Sync => "SYNC",
        }
    }
}
