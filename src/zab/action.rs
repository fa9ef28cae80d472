//! What the core asks of its driver.

use std::fmt;
use std::sync::Arc;

use super::ensemble::EnsembleConfig;
use super::message::{LearnerRequest, Notification, Packet, Touched};
use super::types::{ConnId, Epoch, Generation, Sid, Txn, Zxid};

/// One thing to do. The driver does them in the order given. It need not *finish* one before it begins the next: where
/// something must be on the medium first, the core itself waits for the driver's word before it gives out what comes
/// after (an ACK is given out only after [`Zab::handle_durable`](super::Zab::handle_durable) covered its transaction).
///
/// Three orders the driver owes:
/// - all that goes to one connection leaves in the order given, the streams of [`Action::StreamLog`] and
///   [`Action::SendSnapshot`] included;
/// - the log's actions (append, truncate, stage, take over, drop, sync) happen in the order given;
/// - memory's actions (undo, replay, commit, and the applying of what is appended) happen in the order given, and before
///   a [`Action::Role`] that comes after them: who serves makes transactions of memory, and shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    // ---- the election port
    /// Send this to a server's election port, best effort. One that could not be sent is replaced by the next one to
    /// that server; the newest is sent (again) when a link comes up.
    SendElection {
        /// The receiver.
        to: Sid,
        /// The message.
        message: Notification,
    },

    // ---- the quorum port
    /// Open a connection to this server's quorum port; answer with `handle_connected` or `handle_connect_failed`.
    Connect {
        /// Whom to.
        to: Sid,
        /// To be given back with the answer.
        attempt: u64,
    },
    /// Close this connection once what was sent on it has left (or cannot). The core has forgotten it: nothing of it
    /// is to be reported any more, and if it is it is ignored.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Send a packet.
    Send {
        /// The connection.
        conn: ConnId,
        /// The packet.
        packet: Packet,
    },
    /// Send each transaction of the log (`after`, `through`] as a PROPOSAL and its COMMIT. The log holds them all.
    StreamLog {
        /// The connection.
        conn: ConnId,
        /// Not this one any more.
        after: Zxid,
        /// The last one.
        through: Zxid,
    },
    /// Say which of our transactions a learner's last one stands next to: answer with `handle_lookup`. May read the
    /// disk, and take its time.
    LookUp {
        /// The learner's connection, to be given back.
        conn: ConnId,
        /// The learner's last zxid.
        zxid: Zxid,
    },
    /// Pin the published state for a snapshot: answer with `handle_snapshot_pinned`. What is pinned must hold nothing
    /// uncommitted (ZOOKEEPER-1549).
    PinSnapshot {
        /// The learner's connection, to be given back.
        conn: ConnId,
    },
    /// Send the packet SNAP with this zxid, then the pinned snapshot, then ZooKeeper's `BenWasHere`.
    SendSnapshot {
        /// The learner's connection.
        conn: ConnId,
        /// The zxid that was pinned.
        zxid: Zxid,
    },
    /// Drop the pinned snapshot: the learner is gone.
    UnpinSnapshot {
        /// The learner's connection.
        conn: ConnId,
    },

    // ---- the log
    /// Append a transaction to the log, and apply it to memory unless it is our own proposal (which was applied when
    /// it was made). Report with `handle_durable(zxid, generation)` once it **and all before it** are on the medium;
    /// one report may cover many.
    Append {
        /// To be given back.
        generation: Generation,
        /// The transaction's zxid, the next one of the log.
        zxid: Zxid,
        /// Its bytes.
        txn: Txn,
    },
    /// Report with `handle_durable(last zxid, generation)` once all that was appended so far is on the medium. Comes
    /// where the generation changed with writes in flight, whose own reports are dropped.
    SyncLog {
        /// To be given back.
        generation: Generation,
    },
    /// Cut the log so that `to` is its last transaction, durably, memory likewise. Answer with
    /// `handle_truncated(last, generation)`, `last` being the last zxid that the log then has. If the log has no
    /// transaction (and no snapshot that it begins at) of zxid `to` exactly, **change nothing**, and answer with the
    /// last zxid as it was. Deliver nothing from the connection before the answer.
    Truncate {
        /// To be given back.
        generation: Generation,
        /// What is to be last.
        to: Zxid,
    },
    /// Store both epochs and the flag, durably and as one; answer with `handle_epochs_stored(token)`.
    StoreEpochs {
        /// To be given back.
        token: u64,
        /// acceptedEpoch.
        accepted: Epoch,
        /// currentEpoch.
        current: Epoch,
        /// [`Durable::intact`](super::Durable::intact).
        intact: bool,
    },

    // ---- a snapshot from the leader
    /// Read the snapshot that comes next on this connection, and keep it **beside** the state in force. Answer with
    /// `handle_snapshot_staged` or `handle_snapshot_failed`. All later actions of the log and of memory concern the
    /// staged snapshot and a log of its own that begins after `zxid`, until [`Action::TakeOver`] or
    /// [`Action::DropStaged`]. Deliver nothing from the connection before the answer.
    StageSnapshot {
        /// The connection that it comes on.
        conn: ConnId,
        /// Its zxid.
        zxid: Zxid,
    },
    /// What is staged (the snapshot and the log after it, all durable) takes the place of the state in force, by one
    /// durable step; answer with `handle_taken_over(generation)`. Until then a restart finds the old state, whole.
    TakeOver {
        /// To be given back.
        generation: Generation,
    },
    /// What is staged is not wanted: the old state, which is still in force, is again the one that actions concern, with
    /// its memory at `committed`. It may come while the snapshot is still being read or written: that is broken off, and
    /// the actions behind it do not wait for the disk. What is answered about it then is ignored.
    DropStaged {
        /// Memory's zxid.
        committed: Zxid,
    },

    // ---- memory
    /// Undo memory down to this zxid. The log keeps what it has.
    Undo {
        /// The last transaction that memory is to hold.
        to: Zxid,
    },
    /// Apply to memory what the log holds beyond it, through this zxid, invisible to readers yet.
    Replay {
        /// The log's last zxid.
        through: Zxid,
    },
    /// Everything through this zxid is committed: publish it. It may be an epoch << 32, which no transaction has.
    Commit {
        /// The last committed zxid.
        through: Zxid,
    },

    // ---- configuration and role
    /// A configuration was proposed (`Some`) or is proposed no longer (`None`): its voters take part in elections.
    Proposed {
        /// The reconfiguration's zxid and the configuration.
        config: Option<(Zxid, Arc<EnsembleConfig>)>,
    },
    /// This configuration is in force now.
    Activate {
        /// The configuration.
        config: Arc<EnsembleConfig>,
    },
    /// The role changed, or whether clients are served in it.
    Role(Role),

    // ---- passed through, leader
    /// A learner forwards a request. For the opcode sync, call `learner_sync` when its turn comes.
    Request {
        /// The learner.
        sid: Sid,
        /// Its connection.
        conn: ConnId,
        /// The request.
        request: LearnerRequest,
    },
    /// A learner asks whether a session is alive; answer with `revalidated`.
    Revalidate {
        /// The learner.
        sid: Sid,
        /// Its connection.
        conn: ConnId,
        /// The session.
        session: i64,
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// A learner heard from these sessions.
    Touched {
        /// The learner.
        sid: Sid,
        /// The sessions.
        sessions: Vec<Touched>,
    },

    // ---- passed through, learner
    /// Answer a ping, at once: send [`Packet::Ping`] with this zxid and the sessions heard from.
    AnswerPing {
        /// The leader's connection.
        conn: ConnId,
        /// To be repeated.
        zxid: Zxid,
    },
    /// The leader's word on a session: the answer to the oldest of our questions about it that is open. It says nothing about
    /// a newer one. A driver that attaches a newer connection because of it breaks the order of the session: the client may
    /// be at another server when the leader comes to the newer question and hands the session over once more, and what
    /// it sent here before is then taken behind what it sends there.
    Revalidated {
        /// The session.
        session: i64,
        /// Whether it is alive, and ours now.
        valid: bool,
    },
    /// The oldest unanswered sync request that we forwarded is answered; everything committed before it was given out
    /// before this.
    Synced,
    /// Send a request of our own to the leader that becomes a transaction whatever comes of it (an error transaction
    /// will do), and call `handle_barrier(token)` when that very transaction has been committed here.
    Barrier {
        /// To be given back.
        token: u64,
    },
}

/// What a server does, and whether it serves clients in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Looks for a leader.
    Looking,
    /// Follows, or observes.
    Learning {
        /// Whom.
        leader: Sid,
        /// In which epoch; 0 as long as it is not known.
        epoch: Epoch,
        /// As an observer.
        observer: bool,
        /// UPTODATE has come: clients are served.
        serving: bool,
    },
    /// Leads.
    Leading {
        /// In which epoch; 0 as long as it is not known.
        epoch: Epoch,
        /// A quorum has its history: it proposes, and clients are served.
        serving: bool,
    },
}

/// Why a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer broke the protocol: what it did.
    Breach(String),
    /// The peer is not to blame: what is the matter.
    Refused(String),
    /// Nothing was heard in time: what was waited for.
    TimedOut(&'static str),
    /// Our role changed.
    RoleChange,
    /// A newer connection of the same server takes its place.
    Replaced,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Breach(what) => write!(f, "the peer broke the protocol: {what}"),
            CloseReason::Refused(what) => write!(f, "refused: {what}"),
            CloseReason::TimedOut(what) => write!(f, "timed out waiting for {what}"),
            CloseReason::RoleChange => f.write_str("our role changed"),
            CloseReason::Replaced => {
                f.write_str("a newer connection of the same server takes its place")
            }
        }
    }
}

/// Why something cannot be proposed or forwarded now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// We do not lead, or are not established yet.
    #[error("this server does not lead")]
    NotLeading,
    /// We are not in step with a leader.
    #[error("this server is not in step with a leader")]
    NotServing,
    /// Leadership is being handed over, or given up: nothing new until it has moved.
    #[error("leadership is moving to another server")]
    Moving,
    /// The epoch's counter is used up: a new epoch begins after an election.
    #[error("the zxid counter of this epoch is used up")]
    Rollover,
    /// Too much is proposed and not committed.
    #[error("too many proposals wait for a quorum")]
    Full,
    /// The zxid is not the next one.
    #[error("the zxid is not the next one")]
    WrongZxid,
    /// A reconfiguration is under way.
    #[error("another reconfiguration is under way")]
    ReconfigInProgress,
    /// The servers of the new configuration are not in step.
    #[error("no quorum of the new configuration is connected and in step")]
    NewConfigNoQuorum,
    /// The server to take over is not there, or not in step.
    #[error("the server that is to lead is no voter in step")]
    NotInStep,
}

/// What the driver finds for [`Action::LookUp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookUpAnswer {
    /// The greatest zxid at or below the one asked for that our log holds, or that it begins after (a snapshot's).
    /// `None` if the log begins later than that.
    pub floor: Option<Zxid>,
    /// Whether sending the log from there is thought dearer than a snapshot.
    pub too_much: bool,
}
