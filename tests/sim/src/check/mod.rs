//! What must hold at every step.
//!
//! Owns the one history that all servers must agree on, what each server really has on its medium, and
//! what clients were told. It sees the servers from outside: from the disk's side what is durable, from
//! the driver's side what is applied, served and answered. Never asks the core.

mod commits;
mod company;
mod elections;
mod keeps;
mod leaders;
mod medium;
mod membership;
mod promises;
mod rule;

pub use commits::Applied;
pub use medium::{Mark, Medium};
pub use membership::{Membership, ServerId};
pub use rule::{Rule, Violation};

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{EnsembleConfig, counter_of, epoch_of};

use crate::config;
use company::Company;
use elections::Elections;
use promises::Promises;
use rule::{Check, broken};

/// A committed transaction.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its zxid and the hash of its bytes.
    pub mark: Mark,
    /// The tree's digest behind it, once somebody has applied it.
    digest: Option<i64>,
    session: i64,
    cxid: i32,
    /// The epoch whose leader committed it; it may have been proposed in an earlier one.
    by: i64,
}

/// What a server has applied of the history.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Position {
    /// All before this index.
    At(usize),
    /// It has loaded a leader's state of this zxid, with this digest, which may not be committed yet.
    Ahead(Zxid, i64),
    /// It does not run.
    Down,
}

struct Server {
    /// By the number of the state on the disk.
    media: BTreeMap<u64, Medium>,
    in_force: u64,
    /// What was on media that were lost.
    lost: Vec<Medium>,
    /// The current epoch of the last one that was lost.
    lost_epoch: i64,
    position: Position,
    accepted_epoch: i64,
    current_epoch: i64,
}

impl Server {
    fn holds(&self, mark: Mark) -> bool {
        let holds = |medium: &Medium| medium.holds(mark);
        self.media.get(&self.in_force).is_some_and(holds) || self.lost.iter().any(holds)
    }

    /// Whether it has acknowledged, with what it has or had, what the leader of this epoch began with.
    fn has_joined(&self, epoch: i64) -> bool {
        self.current_epoch.max(self.lost_epoch) >= epoch
    }
}

/// Everything that is checked at every step.
pub struct Checker {
    /// Who may leave an election, and why.
    pub elections: Elections,
    /// What servers have promised to leaders.
    pub promises: Promises,
    /// Whether leaders lead anybody.
    pub company: Company,
    /// Committed, in order.
    pub history: Vec<Committed>,
    /// The history begins behind this zxid, with this digest.
    base: (Zxid, i64),
    /// Leaders by epoch: server, and the process of it.
    leaders: BTreeMap<i64, (ServerId, u64)>,
    servers: BTreeMap<ServerId, Server>,
    /// The members from an index of the history on.
    memberships: Vec<(usize, Membership)>,
    members: BTreeSet<ServerId>,
    /// The last committed configuration.
    config: EnsembleConfig,
    /// Proposed since the last established leader began, and not committed.
    proposed: Vec<Membership>,
    /// The last cxid of each session.
    sessions: BTreeMap<i64, i32>,
    open_sessions: BTreeSet<i64>,
    /// How much of the history somebody has applied.
    described: usize,
    /// The counter that an epoch begins with.
    first_counter: i64,
    /// There are no epochs: one server leads whenever it runs.
    pub standalone: bool,
}

impl Checker {
    /// A history that begins behind `base`, with those members.
    pub fn new(base: (Zxid, i64), config: &EnsembleConfig, first_counter: i64) -> Checker {
        Checker {
            elections: Elections::default(),
            promises: Promises::default(),
            company: Company::default(),
            history: Vec::new(),
            base,
            leaders: BTreeMap::new(),
            servers: BTreeMap::new(),
            memberships: vec![(0, config::membership(config))],
            members: config.servers.iter().map(|server| server.sid).collect(),
            config: config.clone(),
            proposed: Vec::new(),
            sessions: BTreeMap::new(),
            open_sessions: BTreeSet::new(),
            described: 0,
            first_counter,
            standalone: false,
        }
    }

    fn server(&mut self, id: ServerId) -> &mut Server {
        let base = self.base.0;
        self.servers.entry(id).or_insert_with(|| Server {
            media: [(0, Medium::behind(base))].into(),
            in_force: 0,
            lost: Vec::new(),
            lost_epoch: 0,
            position: Position::Down,
            accepted_epoch: 0,
            current_epoch: 0,
        })
    }

    /// What a server has on its medium as the state of that number.
    pub fn medium(&mut self, id: ServerId, number: u64) -> &mut Medium {
        self.server(id).media.entry(number).or_default()
    }

    fn in_force(&mut self, id: ServerId, number: u64) {
        let server = self.server(id);
        server.in_force = number;
        server.media.retain(|n, _| *n == number);
    }

    /// How many transactions have been committed.
    pub fn committed(&self) -> usize {
        self.history.len()
    }

    /// The last committed zxid.
    pub fn last_committed(&self) -> Zxid {
        self.history.last().map_or(self.base.0, |c| c.mark.0)
    }

    /// The highest epoch that was established.
    pub fn last_epoch(&self) -> i64 {
        self.leaders.keys().next_back().copied().unwrap_or_else(|| epoch_of(self.base.0))
    }

    /// The members after all that is committed.
    pub fn membership(&self) -> &Membership {
        &self.memberships.last().expect("there are members from the beginning").1
    }

    /// The last committed configuration.
    pub fn config(&self) -> &EnsembleConfig {
        &self.config
    }

    /// All servers of the configuration in force, voters or not.
    pub fn members(&self) -> &BTreeSet<ServerId> {
        &self.members
    }

    /// Whether these are a quorum of the configuration in force, of the one before (a server that starts may not know
    /// that what it has logged is committed), and of any that is on some medium.
    pub fn is_quorum_of_all(&self, has: impl Fn(ServerId) -> bool) -> bool {
        let before = self.memberships.len().checked_sub(2).map(|at| &self.memberships[at].1);
        if before.is_some_and(|members| !members.is_quorum(&has)) {
            return false;
        }
        // Who does not vote yet may not even know what is proposed.
        let votes = |id: ServerId| has(id) && self.membership().voters.contains_key(&id);
        self.membership().is_quorum(&has) && self.proposed.iter().all(|p| p.is_quorum(votes))
    }

    /// Whether a configuration has been proposed whose fate is open.
    pub fn reconfiguring(&self) -> bool {
        !self.proposed.is_empty()
    }

    /// A configuration is proposed.
    pub fn proposes(&mut self, config: &EnsembleConfig) {
        self.proposed.push(config::membership(config));
    }

    fn membership_at(&self, index: usize) -> &Membership {
        let at = self.memberships.iter().rposition(|(from, _)| *from <= index).unwrap_or(0);
        &self.memberships[at].1
    }

    /// The index behind a zxid, if it is one of the history's.
    fn index_behind(&self, zxid: Zxid) -> Option<usize> {
        if zxid == self.base.0 {
            return Some(0);
        }
        // What an established leader publishes without a transaction.
        if counter_of(zxid) == 0 && self.leaders.contains_key(&epoch_of(zxid)) {
            return Some(self.history.partition_point(|c| c.mark.0 < zxid));
        }
        self.history.binary_search_by_key(&zxid, |c| c.mark.0).ok().map(|at| at + 1)
    }

    /// A process has started from the state of that number: a snapshot of `base` and this log behind it.
    pub fn started(&mut self, id: ServerId, number: u64, base: Zxid, found: &[Mark]) -> Check {
        let server = self.server(id);
        // It may have been put in force by a process that died before it could say so.
        if number < server.in_force {
            return broken(Rule::DurableLog, format!("server {id} is back at its state {number}"));
        }
        let medium = server.media.entry(number).or_default();
        if let Err(why) = medium.recovered(base, found) {
            return broken(Rule::DurableLog, format!("server {id}: {why}"));
        }
        let kept = self.takes_over(id, number);
        self.in_force(id, number);
        kept
    }

    /// A process has loaded a state: its own snapshot, or a leader's.
    pub fn loaded(&mut self, id: ServerId, zxid: Zxid, digest: i64) -> Check {
        let position = match self.index_behind(zxid) {
            Some(index) => {
                self.check_digest(id, zxid, index, digest)?;
                Position::At(index)
            }
            None => Position::Ahead(zxid, digest),
        };
        self.server(id).position = position;
        Ok(())
    }

    /// A process has ended.
    pub fn ended(&mut self, id: ServerId) {
        self.server(id).position = Position::Down;
    }

    /// A disk is replaced by an empty one.
    pub fn wiped(&mut self, id: ServerId) {
        let server = self.server(id);
        // What it had acknowledged before counts, until it has it again.
        server.lost.extend(server.media.remove(&server.in_force));
        server.media = [(0, Medium::default())].into();
        server.in_force = 0;
        server.lost_epoch = server.lost_epoch.max(server.current_epoch);
        server.accepted_epoch = 0;
        server.current_epoch = 0;
        self.promises.wiped(id);
    }

    fn check_digest(&mut self, id: ServerId, zxid: Zxid, index: usize, digest: i64) -> Check {
        let known = match index.checked_sub(1) {
            Some(at) => self.history[at].digest.get_or_insert(digest),
            None => &mut self.base.1,
        };
        if *known == digest {
            return Ok(());
        }
        let known = *known;
        broken(
            Rule::EqualDigests,
            format!("server {id} has digest {digest:x} at 0x{zxid:x}, others have {known:x}"),
        )
    }

    /// A server has written its epochs durably, or a start has read them.
    pub fn epochs(&mut self, id: ServerId, accepted: i64, current: i64) -> Check {
        let server = self.server(id);
        let (was_accepted, was_current) = (server.accepted_epoch, server.current_epoch);
        if accepted < was_accepted || current < was_current {
            let detail = format!(
                "server {id} has accepted epoch {accepted} and current epoch {current}, had {was_accepted} and {was_current}"
            );
            return broken(Rule::EpochsGoUp, detail);
        }
        (server.accepted_epoch, server.current_epoch) = (accepted, current);
        Ok(())
    }

    /// A client was told that its request has been done.
    pub fn acknowledged(&mut self, session: i64, cxid: i32, zxid: Zxid) -> Check {
        let found = self.index_behind(zxid).and_then(|i| self.history.get(i.checked_sub(1)?));
        match found {
            Some(c) if (c.session, c.cxid) == (session, cxid) => Ok(()),
            _ => broken(
                Rule::NoLostWrite,
                format!(
                    "session {session:x} request {cxid} was acknowledged at 0x{zxid:x}, which is {found:x?}"
                ),
            ),
        }
    }

    /// Whether a server has applied everything.
    pub fn is_level(&self, id: ServerId) -> bool {
        self.servers.get(&id).is_some_and(|s| s.position == Position::At(self.history.len()))
    }

    /// What a server has applied, in words.
    pub fn position(&self, id: ServerId) -> String {
        format!("{:?} of {}", self.servers.get(&id).map(|s| s.position), self.history.len())
    }
}
