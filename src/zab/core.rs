//! The type: what comes in, what goes out.

use std::sync::Arc;

use super::action::{Action, CloseReason, LookUpAnswer, Refusal, Role};
use super::common::{Common, Kind, Turn};
use super::election::Looking;
use super::ensemble::EnsembleConfig;
use super::leader::Leader;
use super::learner::Learner;
use super::message::{LearnerRequest, Notification, Packet, PeerState};
use super::mistake::Mistake;
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
pub struct Zab {
    c: Common,
    part: Part,
    /// Connections that came while we did not lead, and until when they are kept: others may know before us that we are
    /// to lead.
    early: Vec<(ConnId, u64)>,
    /// The role that ended has to give up what it had beyond what is committed.
    falls_back: bool,
}

/// The role's own state.
#[derive(Debug)]
enum Part {
    Looking(Looking),
    Learner(Learner),
    Leader(Leader),
    /// While one role gives way to the next, which may have to wait until it is known what became of the log.
    None,
}

/// Rounds of elections are counted by elections: nobody comes near this, and one that says so would have us run out.
const ROUND_MAX: i64 = 1 << 62;

/// Connections kept while not leading.
const EARLY_MAX: usize = 64;

impl Zab {
    /// A core that begins to look for a leader. Actions wait to be taken already.
    pub fn new(config: ZabConfig, durable: Durable, now_ms: u64) -> Zab {
        let mut c = Common::new(config, durable, now_ms);
        let part = if c.config.standalone {
            Part::Leader(Leader::standalone(&mut c))
        } else {
            Part::Looking(Looking::begin(&mut c))
        };
        let mut zab = Zab { c, part, early: Vec::new(), falls_back: false };
        zab.settle();
        zab
    }

    // ---- what comes in: time

    /// The time, in milliseconds of a clock that never goes back (a smaller number than before is ignored). Deadlines
    /// that have passed are acted on.
    pub fn handle_time(&mut self, now_ms: u64) {
        self.c.now = self.c.now.max(now_ms);
        if self.c.now < self.next_deadline_ms() {
            return;
        }
        while let Some((conn, until)) = self.early.first().copied() {
            if self.c.now < until {
                break;
            }
            self.early.remove(0);
            self.c.close(conn, CloseReason::Refused("this server does not lead".into()));
        }
        match &mut self.part {
            Part::Looking(looking) => looking.time(&mut self.c),
            Part::Learner(learner) => learner.time(&mut self.c),
            Part::Leader(leader) => leader.time(&mut self.c),
            Part::None => {}
        }
        self.settle();
    }

    /// When [`handle_time`](Zab::handle_time) has something to do at the latest. `u64::MAX`: nothing is due.
    pub fn next_deadline_ms(&self) -> u64 {
        let early = self.early.first().map_or(u64::MAX, |(_, until)| *until);
        let part = match &self.part {
            Part::Looking(looking) => looking.deadline(),
            Part::Learner(learner) => learner.deadline(&self.c),
            Part::Leader(leader) => leader.deadline(&self.c),
            Part::None => u64::MAX,
        };
        early.min(part)
    }

    // ---- what comes in: the election port

    /// A notification from a server.
    pub fn handle_notification(&mut self, from: Sid, notification: Notification) {
        if from == self.c.sid()
            || self.c.config.standalone
            || !(0..ROUND_MAX).contains(&notification.election_epoch)
        {
            return;
        }
        if let Part::Learner(learner) = &mut self.part
            && learner.is_left_by(&self.c, from, &notification)
        {
            learner.look_again(&mut self.c);
            self.settle();
        }
        let answer_as = match &mut self.part {
            Part::Looking(looking) => {
                looking.notification(&mut self.c, from, &notification);
                return self.settle();
            }
            // The word of one that is not counted is not to be counted here either.
            Part::Learner(_) if self.c.kind() != Kind::Participant => PeerState::Observing,
            Part::Learner(_) => PeerState::Following,
            Part::Leader(_) => PeerState::Leading,
            Part::None => return,
        };
        if notification.state != PeerState::Looking {
            return;
        }
        if self.c.membership.is_voter(from) || self.c.may_answer(from) {
            self.c.notify(from, answer_as, self.c.vote);
        }
        if let Part::Leader(leader) = &mut self.part {
            leader.notification(&mut self.c, from, &notification);
        }
        self.settle();
    }

    /// A link of the election port to this server has come up: it may have missed our last words.
    pub fn handle_election_link(&mut self, peer: Sid) {
        if let Part::Looking(looking) = &mut self.part {
            looking.link(&mut self.c, peer);
        }
    }

    // ---- what comes in: the quorum port

    /// A connection was accepted on the quorum port.
    pub fn handle_accepted(&mut self, conn: ConnId) {
        match &mut self.part {
            Part::Leader(leader) if !self.c.config.standalone => {
                leader.accepted(&mut self.c, conn);
            }
            Part::Looking(_) | Part::Learner(_) | Part::None if self.early.len() < EARLY_MAX => {
                // As long as a learner would have gone on trying.
                let patience =
                    self.c.config.connect_retry_ms * u64::from(self.c.config.connect_tries);
                self.early.push((conn, self.c.now + patience));
            }
            _ => {
                let text = "this server does not lead".to_owned();
                self.c.close(conn, CloseReason::Refused(text));
            }
        }
    }

    /// The connection that [`Action::Connect`] asked for is open.
    pub fn handle_connected(&mut self, attempt: u64, conn: ConnId) {
        let wanted = match &mut self.part {
            Part::Learner(learner) => learner.connected(&mut self.c, attempt, conn),
            _ => false,
        };
        if !wanted {
            self.c.close(conn, CloseReason::RoleChange);
        }
    }

    /// The connection that [`Action::Connect`] asked for could not be opened.
    pub fn handle_connect_failed(&mut self, attempt: u64) {
        if let Part::Learner(learner) = &mut self.part {
            learner.connect_failed(&mut self.c, attempt);
            self.settle();
        }
    }

    /// A packet came. Not to be called for a connection whose answer to [`Action::Truncate`],
    /// [`Action::StageSnapshot`] or [`Action::TakeOver`] is owed: see [`wants_input`](Zab::wants_input).
    pub fn handle_packet(&mut self, conn: ConnId, packet: Packet) {
        match &mut self.part {
            Part::Learner(learner) => learner.packet(&mut self.c, conn, packet),
            Part::Leader(leader) => leader.packet(&mut self.c, conn, packet),
            Part::Looking(_) | Part::None => {}
        }
        self.settle();
    }

    /// Bytes of something long (a snapshot) went out or came in: the peer is alive although no packet says so.
    pub fn handle_progress(&mut self, conn: ConnId) {
        match &mut self.part {
            Part::Learner(learner) => learner.progress(&self.c, conn),
            Part::Leader(leader) => leader.progress(&self.c, conn),
            Part::Looking(_) | Part::None => {}
        }
    }

    /// A connection broke, or the driver closed it (what it read made no packet).
    pub fn handle_closed(&mut self, conn: ConnId) {
        self.early.retain(|(early, _)| *early != conn);
        match &mut self.part {
            Part::Learner(learner) => learner.closed(&mut self.c, conn),
            Part::Leader(leader) => leader.closed(&mut self.c, conn),
            Part::Looking(_) | Part::None => {}
        }
        self.settle();
    }

    // ---- what comes in: completions

    /// Everything in the log through `zxid` is on the medium.
    pub fn handle_durable(&mut self, zxid: Zxid, generation: Generation) {
        if generation != self.c.history.generation() && !self.c.has(Mistake::StaleCompletionCounted)
        {
            return;
        }
        self.c.history.set_durable(zxid);
        match &mut self.part {
            Part::Learner(learner) => learner.durable(&mut self.c),
            Part::Leader(leader) => leader.durable(&mut self.c),
            Part::Looking(_) | Part::None => {}
        }
        self.settle();
    }

    /// [`Action::StoreEpochs`] is done.
    pub fn handle_epochs_stored(&mut self, token: u64) {
        self.c.set_stored(token);
        match &mut self.part {
            Part::Learner(learner) => learner.stored(&mut self.c),
            Part::Leader(leader) => leader.stored(&mut self.c),
            Part::Looking(_) | Part::None => {}
        }
        self.settle();
    }

    /// [`Action::Truncate`] is done, or could not be: the log's last zxid now.
    pub fn handle_truncated(&mut self, last: Zxid, generation: Generation) {
        if let Some(done) = self.c.truncated(last, generation) {
            self.as_learner(|learner, c| learner.truncated(c, done));
            self.settle();
        }
    }

    /// [`Action::StageSnapshot`] is done: the snapshot is read and durable, beside the state in force.
    pub fn handle_snapshot_staged(&mut self, conn: ConnId) {
        self.as_learner(|learner, c| learner.staged(c, conn));
    }

    /// [`Action::StageSnapshot`] failed: the snapshot was damaged, or there was no room.
    pub fn handle_snapshot_failed(&mut self, conn: ConnId) {
        self.as_learner(|learner, c| learner.stage_failed(c, conn));
    }

    /// [`Action::TakeOver`] is done.
    pub fn handle_taken_over(&mut self, generation: Generation) {
        if self.c.taken_over(generation) {
            self.as_learner(|learner, c| learner.taken_over(c));
            self.settle();
        }
    }

    /// The answer to [`Action::LookUp`].
    pub fn handle_lookup(&mut self, conn: ConnId, answer: LookUpAnswer) {
        self.as_leader(|leader, c| leader.looked_up(c, conn, answer));
    }

    /// The answer to [`Action::PinSnapshot`]: the zxid of the pinned state.
    pub fn handle_snapshot_pinned(&mut self, conn: ConnId, zxid: Zxid) {
        match &mut self.part {
            Part::Leader(leader) => leader.snapshot_pinned(&mut self.c, conn, zxid),
            _ => self.c.act(Action::UnpinSnapshot { conn }),
        }
        self.settle();
    }

    /// The transaction that [`Action::Barrier`] asked for is committed here.
    pub fn handle_barrier(&mut self, token: u64) {
        self.as_learner(|learner, c| learner.barrier(c, token));
    }

    // ---- what the server wants: leader

    /// The zxid for the next proposal. `Ok`: [`propose`](Zab::propose) will take it.
    pub fn next_zxid(&self) -> Result<Zxid, Refusal> {
        match &self.part {
            Part::Leader(leader) => leader.next_zxid(&self.c),
            _ => Err(Refusal::NotLeading),
        }
    }

    /// Proposes a transaction, which memory holds already. `zxid` must be [`next_zxid`](Zab::next_zxid).
    pub fn propose(&mut self, zxid: Zxid, txn: Txn) -> Result<(), Refusal> {
        let Part::Leader(leader) = &mut self.part else { return Err(Refusal::NotLeading) };
        let result = leader.propose(&mut self.c, zxid, txn, None);
        self.settle();
        result
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
        let Part::Leader(part) = &mut self.part else { return Err(Refusal::NotLeading) };
        let result = part.propose_reconfig(&mut self.c, zxid, txn, config, leader);
        self.settle();
        result
    }

    /// Whether [`propose_reconfig`](Zab::propose_reconfig) would take this configuration: to be asked before the
    /// transaction is made.
    pub fn check_reconfig(
        &self,
        config: &EnsembleConfig,
        leader: Option<Sid>,
    ) -> Result<(), Refusal> {
        match &self.part {
            Part::Leader(part) => part.check_reconfig(&self.c, config, leader),
            _ => Err(Refusal::NotLeading),
        }
    }

    /// A learner's sync request has come to its turn: it is answered when all that was proposed before is committed.
    pub fn learner_sync(&mut self, conn: ConnId) {
        self.as_leader(|leader, c| leader.learner_sync(c, conn));
    }

    /// The answer to [`Action::Revalidate`].
    pub fn revalidated(&mut self, conn: ConnId, session: i64, valid: bool) {
        self.as_leader(|leader, c| leader.revalidated(c, conn, session, valid));
    }

    // ---- what the server wants: learner

    /// Forwards a client's request to the leader.
    pub fn forward(&mut self, request: LearnerRequest) -> Result<(), Refusal> {
        self.tell_leader(Packet::Request(request))
    }

    /// Asks the leader whether a session is alive.
    pub fn revalidate(&mut self, session: i64, timeout_ms: i32) -> Result<(), Refusal> {
        self.tell_leader(Packet::Revalidate { session, timeout_ms })
    }

    fn tell_leader(&mut self, packet: Packet) -> Result<(), Refusal> {
        match &self.part {
            Part::Learner(learner) if learner.is_live() => {
                let conn = learner.conn().ok_or(Refusal::NotServing)?;
                self.c.send(conn, packet);
                Ok(())
            }
            _ => Err(Refusal::NotServing),
        }
    }

    // ---- what goes out

    /// Moves the actions that have gathered behind those in `into`.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.c.actions);
    }

    // ---- what it is

    /// The present role.
    pub fn role(&self) -> Role {
        self.c.role
    }

    /// Whether packets of this connection may be delivered now. Asked before each packet; `false` for one that the
    /// core does not know.
    pub fn wants_input(&self, conn: ConnId) -> bool {
        match &self.part {
            Part::Learner(learner) => learner.wants_input(conn),
            Part::Leader(leader) => leader.wants_input(conn),
            Part::Looking(_) | Part::None => false,
        }
    }

    /// What is known to be committed, as it may be told to clients.
    pub fn committed(&self) -> Zxid {
        self.c.in_force.as_ref().map_or(&self.c.history, |in_force| &in_force.history).published()
    }

    /// The last zxid of the log (of the staged one while one is staged).
    pub fn last_logged(&self) -> Zxid {
        self.c.history.last()
    }

    /// Transactions proposed and not committed (0 unless leading).
    pub fn outstanding(&self) -> usize {
        match &self.part {
            Part::Leader(leader) => leader.outstanding(&self.c),
            _ => 0,
        }
    }

    /// acceptedEpoch and currentEpoch, as last asked to be stored.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (self.c.epochs.accepted, self.c.epochs.current)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<EnsembleConfig> {
        &self.c.membership.active
    }

    // ---- roles

    fn as_learner(&mut self, act: impl FnOnce(&mut Learner, &mut Common)) {
        if let Part::Learner(learner) = &mut self.part {
            act(learner, &mut self.c);
            self.settle();
        }
    }

    fn as_leader(&mut self, act: impl FnOnce(&mut Leader, &mut Common)) {
        if let Part::Leader(leader) = &mut self.part {
            act(leader, &mut self.c);
            self.settle();
        }
    }

    /// Goes over to the role that the present one asked for, unless the log is unsettled: then when it is.
    fn settle(&mut self) {
        while let Some(turn) = self.c.turn {
            match std::mem::replace(&mut self.part, Part::None) {
                Part::Leader(leader) => {
                    leader.end(&mut self.c);
                    self.falls_back = true;
                }
                Part::Learner(learner) => {
                    debug_assert!(learner.conn().is_none(), "who leaves closes the connection");
                    self.falls_back = true;
                }
                Part::Looking(_) | Part::None => {}
            }
            if self.c.unsettled.is_some() {
                return self.c.set_role(Role::Looking);
            }
            self.c.turn = None;
            if std::mem::take(&mut self.falls_back) {
                self.c.fall_back();
            }
            self.begin(turn);
        }
    }

    fn begin(&mut self, turn: Turn) {
        self.part = match turn {
            Turn::Look => {
                self.c.set_role(Role::Looking);
                Part::Looking(Looking::begin(&mut self.c))
            }
            Turn::Lead => {
                let mut leader = Leader::begin(&mut self.c);
                for (conn, _) in self.early.drain(..) {
                    leader.accepted(&mut self.c, conn);
                }
                Part::Leader(leader)
            }
            Turn::Learn => {
                for (conn, _) in self.early.drain(..) {
                    self.c.close(conn, CloseReason::Refused("another server leads".into()));
                }
                Part::Learner(Learner::begin(&mut self.c))
            }
        };
    }
}
