//! The type: what comes in, what goes out.

use std::sync::Arc;

use super::action::{Action, LookUpAnswer, Refusal, Role};
use super::ensemble::EnsembleConfig;
use super::message::{LearnerRequest, Notification, Packet};
use super::settings::{Durable, ZabConfig};
use super::types::{ConnId, Epoch, Generation, Sid, Txn, Zxid};

/// One server's part in the protocol.
///
/// Its methods are of four sorts. The order to call them in: first [`handle_time`](Zab::handle_time) with the present
/// time, then any number of the others, then [`take_actions`](Zab::take_actions), and carry those out in order; and
/// again at the latest at [`next_deadline_ms`](Zab::next_deadline_ms).
///
/// - **what comes in**: `handle_…`: the time, messages, connections, completions of what the actions asked for
/// - **what the server wants**: [`propose`](Zab::propose), [`propose_reconfig`](Zab::propose_reconfig),
///   [`forward`](Zab::forward), …: refused where the role does not allow it
/// - **what goes out**: [`take_actions`](Zab::take_actions)
/// - **what it is**: [`role`](Zab::role), [`committed`](Zab::committed), …
#[derive(Debug)]
pub struct Zab {}

#[allow(unused_variables)]
impl Zab {
    /// A core that begins to look for a leader. Actions wait to be taken already.
    pub fn new(config: ZabConfig, durable: Durable, now_ms: u64) -> Zab {
        Zab {}
    }

    // ---- what comes in: time

    /// The time, in milliseconds of a clock that never goes back (a smaller number than before is ignored). Deadlines
    /// that have passed are acted on.
    pub fn handle_time(&mut self, now_ms: u64) {}

    /// When [`handle_time`](Zab::handle_time) has something to do at the latest. `u64::MAX`: nothing is due.
    pub fn next_deadline_ms(&self) -> u64 {
        u64::MAX
    }

    // ---- what comes in: the election port

    /// A notification from a server.
    pub fn handle_notification(&mut self, from: Sid, notification: Notification) {}

    /// A link of the election port to this server has come up: it may have missed our last words.
    pub fn handle_election_link(&mut self, peer: Sid) {}

    // ---- what comes in: the quorum port

    /// A connection was accepted on the quorum port.
    pub fn handle_accepted(&mut self, conn: ConnId) {}

    /// The connection that [`Action::Connect`] asked for is open.
    pub fn handle_connected(&mut self, attempt: u64, conn: ConnId) {}

    /// The connection that [`Action::Connect`] asked for could not be opened.
    pub fn handle_connect_failed(&mut self, attempt: u64) {}

    /// A packet came. Not to be called for a connection whose answer to [`Action::Truncate`],
    /// [`Action::StageSnapshot`] or [`Action::TakeOver`] is owed: see [`wants_input`](Zab::wants_input).
    pub fn handle_packet(&mut self, conn: ConnId, packet: Packet) {}

    /// Bytes of something long (a snapshot) went out or came in: the peer is alive although no packet says so.
    pub fn handle_progress(&mut self, conn: ConnId) {}

    /// A connection broke, or the driver closed it (what it read made no packet).
    pub fn handle_closed(&mut self, conn: ConnId) {}

    // ---- what comes in: completions

    /// Everything in the log through `zxid` is on the medium.
    pub fn handle_durable(&mut self, zxid: Zxid, generation: Generation) {}

    /// [`Action::StoreEpochs`] is done.
    pub fn handle_epochs_stored(&mut self, token: u64) {}

    /// [`Action::Truncate`] is done, or could not be: the log's last zxid now.
    pub fn handle_truncated(&mut self, last: Zxid, generation: Generation) {}

    /// [`Action::StageSnapshot`] is done: the snapshot is read and durable, beside the state in force.
    pub fn handle_snapshot_staged(&mut self, conn: ConnId) {}

    /// [`Action::StageSnapshot`] failed: the snapshot was damaged, or there was no room.
    pub fn handle_snapshot_failed(&mut self, conn: ConnId) {}

    /// [`Action::TakeOver`] is done.
    pub fn handle_taken_over(&mut self, generation: Generation) {}

    /// The answer to [`Action::LookUp`].
    pub fn handle_lookup(&mut self, conn: ConnId, answer: LookUpAnswer) {}

    /// The answer to [`Action::PinSnapshot`]: the zxid of the pinned state.
    pub fn handle_snapshot_pinned(&mut self, conn: ConnId, zxid: Zxid) {}

    /// The transaction that [`Action::Barrier`] asked for is committed here.
    pub fn handle_barrier(&mut self, token: u64) {}

    // ---- what the server wants: leader

    /// The zxid for the next proposal.
    pub fn next_zxid(&self) -> Result<Zxid, Refusal> {
        Err(Refusal::NotLeading)
    }

    /// Proposes a transaction, which memory holds already. `zxid` must be [`next_zxid`](Zab::next_zxid).
    pub fn propose(&mut self, zxid: Zxid, txn: Txn) -> Result<(), Refusal> {
        Err(Refusal::NotLeading)
    }

    /// Proposes a reconfiguration. `config.version` must be `zxid`. `leader`: who is to lead once it is committed, for
    /// a hand-over; `None` keeps this server if it still may lead, and else picks one that has acknowledged most.
    /// A hand-over alone is a reconfiguration to the same servers.
    pub fn propose_reconfig(
        &mut self,
        zxid: Zxid,
        txn: Txn,
        config: Arc<EnsembleConfig>,
        leader: Option<Sid>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NotLeading)
    }

    /// Whether [`propose_reconfig`](Zab::propose_reconfig) would take this configuration: to be asked before the
    /// transaction is made.
    pub fn check_reconfig(
        &self,
        config: &EnsembleConfig,
        leader: Option<Sid>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NotLeading)
    }

    /// A learner's sync request has come to its turn: it is answered when all that was proposed before is committed.
    pub fn learner_sync(&mut self, conn: ConnId) {}

    /// The answer to [`Action::Revalidate`].
    pub fn revalidated(&mut self, conn: ConnId, session: i64, valid: bool) {}

    // ---- what the server wants: learner

    /// Forwards a client's request to the leader.
    pub fn forward(&mut self, request: LearnerRequest) -> Result<(), Refusal> {
        Err(Refusal::NotServing)
    }

    /// Asks the leader whether a session is alive.
    pub fn revalidate(&mut self, session: i64, timeout_ms: i32) -> Result<(), Refusal> {
        Err(Refusal::NotServing)
    }

    // ---- what goes out

    /// Moves the actions that have gathered behind those in `into`.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {}

    // ---- what it is

    /// The present role.
    pub fn role(&self) -> Role {
        Role::Looking
    }

    /// Whether packets of this connection may be delivered now. Asked before each packet; `false` for one that the
    /// core does not know.
    pub fn wants_input(&self, conn: ConnId) -> bool {
        false
    }

    /// What is known to be committed.
    pub fn committed(&self) -> Zxid {
        0
    }

    /// The last zxid of the log (of the staged one while one is staged).
    pub fn last_logged(&self) -> Zxid {
        0
    }

    /// Transactions proposed and not committed (0 unless leading).
    pub fn outstanding(&self) -> usize {
        0
    }

    /// acceptedEpoch and currentEpoch, as last stored.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (0, 0)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<EnsembleConfig> {
        todo!()
    }
}
