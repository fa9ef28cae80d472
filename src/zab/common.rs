//! What every role works on: the settings, the epochs, the history, the membership, the actions that gather.

use std::sync::Arc;

use super::action::{Action, CloseReason, Role};
use super::ensemble::EnsembleConfig;
use super::history::{Entry, History};
use super::message::{Notification, Packet, PeerState};
use super::mistake::Mistake;
use super::passed_over::PassedOver;
use super::reconfig::Membership;
use super::settings::{Durable, ZabConfig};
use super::types::{ConnId, Epoch, Generation, Sid, Txn, Zxid, counter_of};

/// A vote, and the round that it was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vote {
    pub leader: Sid,
    pub zxid: Zxid,
    pub peer_epoch: Epoch,
    pub round: i64,
}

/// What a role asks for when it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Look for a leader.
    Look,
    /// Lead, as the vote says.
    Lead,
    /// Follow or observe the vote's leader.
    Learn,
}

/// What a server may be in its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Votes (if the configuration names it) and acknowledges.
    Participant,
    /// Observes.
    Observer,
    /// Has lost what it acknowledged: learns as a nameless observer until it has it again.
    Lost,
}

/// The epochs as one record, which is what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epochs {
    pub accepted: Epoch,
    pub current: Epoch,
    pub intact: bool,
}

/// What the driver is doing to the log as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsettled {
    Truncating { to: Zxid },
    TakingOver,
}

/// What a restart would find while a snapshot is staged.
#[derive(Debug)]
pub(super) struct InForce {
    pub history: History,
    proposed: Option<(Zxid, Arc<EnsembleConfig>)>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Common {
    pub config: ZabConfig,
    pub now: u64,
    /// As last asked to be stored: what decisions go by. Nothing is *said* of them before `stored` covers them.
    pub epochs: Epochs,
    /// The token of the last record asked to be stored.
    token: u64,
    /// The token of the last record that is stored.
    stored: u64,
    pub membership: Membership,
    pub history: History,
    /// While a snapshot is staged: what is in force. `history` is then the staged one.
    pub in_force: Option<InForce>,
    /// Whose epoch it was that this process accepted last.
    pub accepted_of: Option<(Sid, Epoch)>,
    /// The leader that we tried to learn from last without getting in step, and when.
    pub failed_with: Option<(Sid, u64)>,
    passed_over: PassedOver,
    /// A snapshot is being read, and nothing of it is in `history` yet.
    pub staging: bool,
    /// The log is being cut, or a staged snapshot takes over. Until the driver says how that ended nobody knows what our
    /// history is: no role begins before.
    pub unsettled: Option<Unsettled>,
    /// The vote that we stand by while we do not look.
    pub vote: Vote,
    /// ZooKeeper's logical clock.
    pub round: i64,
    pub turn: Option<Turn>,
    pub role: Role,
    pub actions: Vec<Action>,
    attempts: u64,
    barriers: u64,
    /// When servers that do not vote were last answered: two of them must not keep each other busy.
    answered: Vec<(Sid, u64)>,
}

/// Servers remembered as answered.
const ANSWERED_MAX: usize = 64;

impl Common {
    pub fn new(config: ZabConfig, durable: Durable, now: u64) -> Common {
        let committed = durable.committed;
        let version = durable.config.version;
        let history = History::new(durable.last_logged, committed, committed, Generation(1));
        Common {
            now,
            epochs: Epochs {
                accepted: durable.accepted_epoch.max(durable.current_epoch),
                current: durable.current_epoch,
                intact: durable.intact,
            },
            token: 0,
            stored: 0,
            membership: Membership {
                active: durable.config,
                // One that is older than what is in force is history.
                proposed: durable.proposed_config.filter(|(_, config)| config.version > version),
                mistakes: config.mistakes,
            },
            history,
            in_force: None,
            accepted_of: None,
            failed_with: None,
            passed_over: PassedOver::default(),
            staging: false,
            unsettled: None,
            vote: Vote { leader: i64::MIN, zxid: i64::MIN, peer_epoch: i64::MIN, round: 0 },
            round: 0,
            turn: None,
            role: Role::Looking,
            actions: Vec::new(),
            attempts: 0,
            barriers: 0,
            answered: Vec::new(),
            config,
        }
    }

    pub fn sid(&self) -> Sid {
        self.config.sid
    }

    pub fn has(&self, mistake: Mistake) -> bool {
        self.config.mistakes.has(mistake)
    }

    pub fn init_ms(&self) -> u64 {
        self.config.init_ms()
    }

    pub fn sync_ms(&self) -> u64 {
        self.config.sync_limit * self.config.tick_ms
    }

    /// What this server is. One that no configuration names joins as a follower whose word does not count, as
    /// ZooKeeper's.
    pub fn kind(&self) -> Kind {
        if !self.epochs.intact && !self.has(Mistake::DamagedLogVotes) {
            Kind::Lost
        } else if self.membership.active.is_observer(self.sid()) {
            Kind::Observer
        } else {
            Kind::Participant
        }
    }

    /// Whether this server may vote and lead.
    pub fn votes(&self) -> bool {
        self.kind() == Kind::Participant && self.membership.is_voter(self.sid())
    }

    // ---- actions

    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn send(&mut self, conn: ConnId, packet: Packet) {
        self.actions.push(Action::Send { conn, packet });
    }

    pub fn close(&mut self, conn: ConnId, reason: CloseReason) {
        self.actions.push(Action::Close { conn, reason });
    }

    pub fn set_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.actions.push(Action::Role(role));
        }
    }

    pub fn next_attempt(&mut self) -> u64 {
        self.attempts += 1;
        self.attempts
    }

    pub fn next_barrier(&mut self) -> u64 {
        self.barriers += 1;
        self.barriers
    }

    pub fn notify(&mut self, to: Sid, state: PeerState, vote: Vote) {
        let message = Notification {
            state,
            leader: vote.leader,
            zxid: vote.zxid,
            election_epoch: vote.round,
            peer_epoch: vote.peer_epoch,
            version: 2,
            config: Some(Arc::clone(&self.membership.active)),
        };
        self.actions.push(Action::SendElection { to, message });
    }

    /// This server was elected, and since then it could not be connected to, or did not answer as a leader does.
    pub fn pass_over(&mut self, sid: Sid, since: u64) {
        self.passed_over.pass_over(sid, since, self.now, &self.config);
    }

    /// This server was elected, and looks again before it took us.
    pub fn left_by(&mut self, sid: Sid, since: u64) {
        self.passed_over.left_by(sid, since, self.now, &self.config);
    }

    /// Whether votes for this server are idle at present.
    pub fn is_passed_over(&self, sid: Sid) -> bool {
        self.passed_over.holds(sid, self.now)
    }

    /// We are in step with a leader: what was tried before says nothing any more.
    pub fn in_step(&mut self) {
        self.failed_with = None;
        self.passed_over.clear();
    }

    /// Whether a server that does not vote may be answered again.
    pub fn may_answer(&mut self, sid: Sid) -> bool {
        let pause = self.config.notification_min_ms / 2;
        if let Some(at) = self.answered.iter().position(|(known, _)| *known == sid) {
            if self.now < self.answered[at].1 + pause {
                return false;
            }
            self.answered.swap_remove(at);
        }
        if self.answered.len() >= ANSWERED_MAX {
            self.answered.remove(0);
        }
        self.answered.push((sid, self.now));
        true
    }

    // ---- epochs

    /// Asks for a record to be stored; [`is_stored`](Common::is_stored) tells when it is.
    pub fn store(&mut self, epochs: Epochs) -> u64 {
        assert!(
            epochs.accepted >= self.epochs.accepted && epochs.current >= self.epochs.current,
            "epochs never go back"
        );
        assert!(epochs.accepted >= epochs.current, "an epoch is accepted before it is current");
        self.token += 1;
        self.epochs = epochs;
        self.actions.push(Action::StoreEpochs {
            token: self.token,
            accepted: epochs.accepted,
            current: epochs.current,
            intact: epochs.intact,
        });
        self.token
    }

    pub fn is_stored(&self, token: u64) -> bool {
        self.stored >= token
    }

    /// The token of the last record asked for.
    pub fn last_token(&self) -> u64 {
        self.token
    }

    /// Records are stored in the order they were asked for.
    pub fn set_stored(&mut self, token: u64) {
        self.stored = self.stored.max(token.min(self.token));
    }

    // ---- the log

    pub fn append(&mut self, zxid: Zxid, txn: Txn, config: Option<Arc<EnsembleConfig>>) {
        let generation = self.history.generation();
        self.actions.push(Action::Append { generation, zxid, txn: Arc::clone(&txn) });
        if let Some(config) = &config
            && config.version > self.membership.active.version
        {
            self.set_proposed(Some((zxid, Arc::clone(config))));
        }
        self.history.push(Entry { zxid, txn, config });
    }

    /// Completions of writes made so far count no longer: what they would have said is asked for anew.
    pub fn next_generation(&mut self) {
        self.history.next_generation();
        if !self.history.is_durable() {
            self.actions.push(Action::SyncLog { generation: self.history.generation() });
        }
    }

    /// From here on the log that is written is the one after a staged snapshot.
    pub fn stage(&mut self, zxid: Zxid) {
        let generation = Generation(self.history.generation().0 + 1);
        let (committed, published) = (self.history.committed(), self.history.published());
        let staged = History::staged(zxid, committed, published, generation);
        self.staging = false;
        let history = std::mem::replace(&mut self.history, staged);
        // The snapshot holds no reconfiguration that is not committed.
        let proposed = self.membership.proposed.clone();
        self.set_proposed(None);
        self.in_force = Some(InForce { history, proposed });
    }

    /// What was written since a role began counts no longer where it is not committed: memory goes back to what is
    /// published, a staged snapshot is dropped, completions under way are asked for anew. The log keeps what it has.
    pub fn fall_back(&mut self) {
        if self.membership.proposed.as_ref().is_some_and(|(zxid, _)| counter_of(*zxid) == 0) {
            // The first version that a leader would have given, had it been established. No log has it.
            self.set_proposed(None);
        }
        match self.in_force.take() {
            Some(in_force) => {
                let staged = std::mem::replace(&mut self.history, in_force.history);
                self.history.set_generation(staged.generation());
                self.actions.push(Action::DropStaged { committed: self.history.published() });
                self.set_proposed(in_force.proposed);
            }
            None => {
                if std::mem::take(&mut self.staging) {
                    self.actions.push(Action::DropStaged { committed: self.history.published() });
                } else {
                    // Memory cannot go back behind a snapshot that it began with.
                    let to = self.history.published().max(self.history.begins());
                    self.actions.push(Action::Undo { to });
                }
            }
        }
        self.next_generation();
    }

    /// Has the log cut.
    pub fn truncate(&mut self, to: Zxid) {
        self.history.next_generation();
        self.unsettled = Some(Unsettled::Truncating { to });
        self.actions.push(Action::Truncate { generation: self.history.generation(), to });
    }

    /// The driver has cut the log, or could not. `None`: it is not what was asked for last. `Some(true)`: the log now
    /// ends where it was to.
    pub fn truncated(&mut self, last: Zxid, generation: Generation) -> Option<bool> {
        let Some(Unsettled::Truncating { to }) = self.unsettled else { return None };
        if generation != self.history.generation() {
            return None;
        }
        self.unsettled = None;
        if last != to {
            // Our log has no such transaction: it parts from the leader's earlier than the leader thinks, or begins
            // later. Only a snapshot helps.
            return Some(false);
        }
        self.history.truncate(last);
        if self.membership.proposed.as_ref().is_some_and(|(zxid, _)| *zxid > last) {
            self.set_proposed(None);
        }
        Some(true)
    }

    /// Has the staged snapshot take over.
    pub fn take_over(&mut self) {
        self.unsettled = Some(Unsettled::TakingOver);
        self.actions.push(Action::TakeOver { generation: self.history.generation() });
    }

    /// The staged snapshot has taken over. `false`: it is not what was asked for last.
    pub fn taken_over(&mut self, generation: Generation) -> bool {
        if self.unsettled != Some(Unsettled::TakingOver) || generation != self.history.generation()
        {
            return false;
        }
        self.unsettled = None;
        self.in_force = None;
        true
    }

    /// Keeps the window within its bounds; what is beyond `settled` stays.
    pub fn trim(&mut self, settled: Zxid) {
        let (txns_max, bytes_max) = (self.config.window_txns_max, self.config.window_bytes_max);
        self.history.trim(settled, txns_max, bytes_max);
    }

    /// The zxid that this server votes and registers with: the last *logged* one, for what it logged may have been
    /// acknowledged, and committed without its knowing. Never a staged snapshot's.
    pub fn last_logged(&self) -> Zxid {
        let history = self.in_force.as_ref().map_or(&self.history, |in_force| &in_force.history);
        if self.has(Mistake::VoteByCommitted) { history.committed() } else { history.last() }
    }

    /// Commits through the transaction `txn`, and publishes `published` (at or above it).
    pub fn commit(&mut self, txn: Zxid, published: Zxid) {
        let before = self.history.published();
        self.history.commit(txn, published);
        if self.history.published() > before {
            self.actions.push(Action::Commit { through: self.history.published() });
        }
        self.trim(self.history.committed());
    }

    // ---- configurations

    pub fn set_proposed(&mut self, proposed: Option<(Zxid, Arc<EnsembleConfig>)>) {
        if self.membership.proposed.is_none() && proposed.is_none() {
            return;
        }
        let active = self.membership.active.version;
        debug_assert!(proposed.as_ref().is_none_or(|(_, config)| config.version > active));
        self.actions.push(Action::Proposed { config: proposed.clone() });
        self.membership.proposed = proposed;
        if self.has(Mistake::ActivateAtProposal)
            && let Some((_, config)) = &self.membership.proposed
        {
            let config = Arc::clone(config);
            self.activate(config);
        }
    }

    /// Puts a committed configuration in force, if it is newer than the present one. A proposed one, which always is, is no
    /// proposal any more then, nor one that was proposed before this.
    pub fn activate(&mut self, config: Arc<EnsembleConfig>) {
        if config.version <= self.membership.active.version {
            return;
        }
        if self.membership.proposed.as_ref().is_some_and(|(_, seen)| seen.version <= config.version)
        {
            self.membership.proposed = None;
            self.actions.push(Action::Proposed { config: None });
        }
        self.actions.push(Action::Activate { config: Arc::clone(&config) });
        self.membership.active = config;
    }

    /// Goes to the leader that a committed reconfiguration names, or leads, if it names us.
    pub fn follow_designated(&mut self, designated: Sid) {
        self.vote = Vote {
            leader: designated,
            zxid: self.history.last(),
            peer_epoch: self.epochs.current,
            round: self.round,
        };
        self.turn = Some(if designated != self.sid() {
            Turn::Learn
        } else if self.votes() {
            Turn::Lead
        } else {
            Turn::Look
        });
    }
}
