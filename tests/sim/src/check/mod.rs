//! What must hold at every step.
//!
//! Owns the one history that all servers must agree on, what each server really has on its medium, and
//! what clients were told. It sees the servers from outside: from the disk's side what is durable, from
//! the driver's side what is applied, served and answered. Never asks the core.

mod medium;
mod membership;

pub use medium::{Mark, Medium};
pub use membership::{Membership, ServerId};

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{EnsembleConfig, counter_of, epoch_of};

use crate::config;

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// What happened.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

/// The rules.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// At most one established leader an epoch.
    OneLeaderAnEpoch,
    /// All servers apply the same transactions in the same order.
    OneOrder,
    /// Nothing is applied that no quorum has on its medium.
    OnlyCommitted,
    /// A leader begins with all that was committed before it, and a quorum with its history.
    PrimaryIntegrity,
    /// Zxids of an epoch are contiguous, epochs rise.
    PrimaryOrder,
    /// What one session asked for is done in the order in which it asked.
    SessionOrder,
    /// What was acknowledged is in the history, as it was acknowledged.
    NoLostWrite,
    /// Equal digests at equal zxids.
    EqualDigests,
    /// Epochs never go back on a disk.
    EpochsGoUp,
    /// A log gives back what was durable, and nothing that was cut.
    DurableLog,
    /// No session sees time go back; it reads its own writes.
    SessionSees,
    /// With the faults gone, all live servers become level within the bound.
    Liveness,
    /// A quorum that can talk makes progress.
    Progress,
    /// The driver was asked for something that cannot be.
    Driver,
    /// One correct core accuses another.
    Breach,
    /// An assertion of the code under test, or an error that it must not come to.
    Panic,
}

type Check = Result<(), Violation>;

fn broken<T>(rule: Rule, detail: String) -> Result<T, Violation> {
    Err(Violation { rule, detail })
}

/// A committed transaction.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its zxid and the hash of its bytes.
    pub mark: Mark,
    /// The tree's digest behind it, once somebody has applied it.
    digest: Option<i64>,
    session: i64,
    cxid: i32,
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
    position: Position,
    accepted_epoch: i64,
    current_epoch: i64,
}

impl Server {
    fn holds(&self, mark: Mark) -> bool {
        let holds = |medium: &Medium| medium.holds(mark);
        self.media.get(&self.in_force).is_some_and(holds) || self.lost.iter().any(holds)
    }
}

/// Everything that is checked at every step.
pub struct Checker {
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
}

impl Checker {
    /// A history that begins behind `base`, with those members.
    pub fn new(base: (Zxid, i64), config: &EnsembleConfig, first_counter: i64) -> Checker {
        Checker {
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
        }
    }

    fn server(&mut self, id: ServerId) -> &mut Server {
        let base = self.base.0;
        self.servers.entry(id).or_insert_with(|| Server {
            media: [(0, Medium::behind(base))].into(),
            in_force: 0,
            lost: Vec::new(),
            position: Position::Down,
            accepted_epoch: 0,
            current_epoch: 0,
        })
    }

    /// What a server has on its medium as the state of that number.
    pub fn medium(&mut self, id: ServerId, number: u64) -> &mut Medium {
        self.server(id).media.entry(number).or_default()
    }

    /// A server has put the state of that number in force, durably.
    pub fn in_force(&mut self, id: ServerId, number: u64) {
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

    /// Whether these are a quorum of the configuration in force and of any that is on some medium.
    pub fn is_quorum_of_all(&self, has: impl Fn(ServerId) -> bool) -> bool {
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
        self.in_force(id, number);
        Ok(())
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
        server.accepted_epoch = 0;
        server.current_epoch = 0;
    }

    /// A server has everything again that it ever acknowledged.
    pub fn intact(&mut self, id: ServerId) {
        self.server(id).lost.clear();
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

    /// A server has applied a transaction as committed, and its tree has this digest behind it.
    pub fn applied(&mut self, id: ServerId, transaction: &Applied) -> Check {
        let Applied { mark, digest, .. } = *transaction;
        let index = match self.server(id).position {
            Position::At(index) => index,
            Position::Ahead(zxid, digest) => match self.index_behind(zxid) {
                Some(index) => {
                    self.check_digest(id, zxid, index, digest)?;
                    index
                }
                None => {
                    return broken(
                        Rule::OnlyCommitted,
                        format!(
                            "server {id} applies 0x{:x} on a state of 0x{zxid:x} that is not committed",
                            mark.0
                        ),
                    );
                }
            },
            Position::Down => {
                return broken(Rule::Panic, format!("server {id} applies while it is down"));
            }
        };
        if index == self.history.len() {
            self.commit(id, transaction)?;
        }
        let expected = &mut self.history[index];
        if expected.mark != mark {
            let (zxid, hash) = expected.mark;
            let detail = format!(
                "server {id} applies 0x{:x} ({:x}) where 0x{zxid:x} ({hash:x}) was committed",
                mark.0, mark.1
            );
            return broken(Rule::OneOrder, detail);
        }
        if expected.digest.is_none() {
            (expected.session, expected.cxid) = (transaction.session, transaction.cxid);
            self.first_applied(index, transaction)?;
        }
        self.server(id).position = Position::At(index + 1);
        self.check_digest(id, mark.0, index + 1, digest)
    }

    /// The first to apply a transaction commits it.
    fn commit(&mut self, id: ServerId, transaction: &Applied) -> Check {
        let (mark, index) = (transaction.mark, self.history.len());
        self.check_order(mark.0)?;
        if epoch_of(mark.0) != self.last_epoch() {
            let (zxid, epoch) = (mark.0, self.last_epoch());
            let detail =
                format!("server {id} commits 0x{zxid:x} when epoch {epoch} is established");
            return broken(Rule::PrimaryIntegrity, detail);
        }
        let holds = |server: ServerId| self.servers.get(&server).is_some_and(|s| s.holds(mark));
        let mut enough = self.membership_at(index).is_quorum(holds);
        let next = transaction.config.as_ref().map(config::membership);
        if let Some(next) = &next {
            enough &= next.is_quorum(holds);
        }
        if !enough {
            let holders: Vec<ServerId> =
                self.servers.keys().copied().filter(|s| holds(*s)).collect();
            let detail = format!(
                "server {id} applies 0x{:x}, which only {holders:?} have on their media",
                mark.0
            );
            return broken(Rule::OnlyCommitted, detail);
        }
        self.push(mark);
        if let Some(next) = next {
            self.memberships.push((index + 1, next));
        }
        Ok(())
    }

    /// What is known of a transaction only when somebody applies it; in the order of the history.
    fn first_applied(&mut self, index: usize, transaction: &Applied) -> Check {
        let Applied { mark: (zxid, _), session, cxid, .. } = *transaction;
        if index != self.described {
            return broken(Rule::Panic, format!("0x{zxid:x} is first applied out of order"));
        }
        self.described += 1;
        if let Some(config) = &transaction.config {
            self.members = config.servers.iter().map(|server| server.sid).collect();
            self.config = config.clone();
            self.proposed.clear();
            let known = self.memberships.iter().any(|(from, _)| *from == index + 1);
            if !known {
                self.memberships.push((index + 1, config::membership(config)));
            }
        }
        if transaction.opens {
            self.open_sessions.insert(session);
        }
        if transaction.closes {
            self.open_sessions.remove(&session);
        }
        if transaction.owns && !self.open_sessions.contains(&session) {
            let detail =
                format!("0x{zxid:x} makes an ephemeral of session {session:x}, which is closed");
            return broken(Rule::SessionOrder, detail);
        }
        if cxid != 0 && !transaction.is_error {
            let last = self.sessions.entry(session).or_insert(0);
            if cxid <= *last {
                let detail =
                    format!("0x{zxid:x}: session {session:x} request {cxid} behind request {last}");
                return broken(Rule::SessionOrder, detail);
            }
            *last = cxid;
        }
        Ok(())
    }

    fn push(&mut self, mark: Mark) {
        self.history.push(Committed { mark, digest: None, session: 0, cxid: 0 });
    }

    fn check_order(&self, zxid: Zxid) -> Check {
        let last = self.last_committed();
        let next = zxid == last + 1 && epoch_of(zxid) == epoch_of(last);
        let first = epoch_of(zxid) > epoch_of(last) && counter_of(zxid) == self.first_counter;
        if next || first {
            return Ok(());
        }
        broken(Rule::PrimaryOrder, format!("0x{zxid:x} is committed behind 0x{last:x}"))
    }

    /// A server has become the established leader of an epoch; `process` tells its lives apart.
    pub fn established(&mut self, id: ServerId, process: u64, epoch: i64) -> Check {
        let leader = *self.leaders.entry(epoch).or_insert((id, process));
        if leader != (id, process) {
            let detail = format!("server {id} leads epoch {epoch}, which server {} led", leader.0);
            return broken(Rule::OneLeaderAnEpoch, detail);
        }
        if epoch < self.last_epoch() {
            // Late, and of no consequence: what it commits is checked one by one.
            return Ok(());
        }
        let begins = epoch << 32;
        let server = self.server(id);
        let medium = &server.media[&server.in_force];
        let (base, last) = (medium.base, medium.last());
        let log: Vec<Mark> = medium.logged.iter().copied().filter(|(z, _)| *z <= begins).collect();
        self.check_begins_with_history(id, base, last, &log)?;
        for mark in log {
            if mark.0 > self.last_committed() {
                self.check_order(mark.0)?;
                self.push(mark);
            }
        }
        // What earlier leaders proposed and this one does not have is gone.
        self.proposed.clear();
        let members = self.membership();
        let last = self.history.last().map(|c| c.mark);
        let follows = |server: ServerId| {
            let server = self.servers.get(&server);
            server.is_some_and(|s| s.current_epoch >= epoch && last.is_none_or(|l| s.holds(l)))
        };
        if members.is_quorum(follows) {
            return Ok(());
        }
        let with: Vec<ServerId> = self.servers.keys().copied().filter(|s| follows(*s)).collect();
        broken(Rule::PrimaryIntegrity, format!("epoch {epoch} is established with {with:?} alone"))
    }

    fn check_begins_with_history(
        &self,
        id: ServerId,
        base: Zxid,
        last: Zxid,
        log: &[Mark],
    ) -> Check {
        let behind = self.history.iter().map(|c| c.mark).filter(|m| m.0 > base);
        let mut log = log.iter();
        for mark in behind {
            if log.next() != Some(&mark) {
                let detail = format!(
                    "server {id} leads with a log up to 0x{last:x} that lacks 0x{:x}",
                    mark.0
                );
                return broken(Rule::PrimaryIntegrity, detail);
            }
        }
        Ok(())
    }

    /// A server begins to serve clients with the state it has.
    pub fn serves(&mut self, id: ServerId, zxid: Zxid, digest: i64) -> Check {
        match self.index_behind(zxid) {
            Some(index) => self.check_digest(id, zxid, index, digest),
            None => broken(
                Rule::OnlyCommitted,
                format!("server {id} serves 0x{zxid:x}, which is not committed"),
            ),
        }
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

/// A transaction as a server applied it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its zxid and the hash of its bytes.
    pub mark: Mark,
    /// The tree's digest behind it.
    pub digest: i64,
    /// Who asked for it.
    pub session: i64,
    /// Which request of that session; 0 for the servers' own.
    pub cxid: i32,
    /// The configuration from then on, if it changes that.
    pub config: Option<EnsembleConfig>,
    /// Whether it opens that session.
    pub opens: bool,
    /// Whether it closes that session.
    pub closes: bool,
    /// Whether it makes an ephemeral of that session.
    pub owns: bool,
    /// Whether it does nothing: a failed request, of a session that has moved for one.
    pub is_error: bool,
}
