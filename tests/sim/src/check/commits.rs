//! What servers apply as committed: one history, in order, held by a quorum.

use ringkeeper::protocol::Zxid;
use ringkeeper::zab::{EnsembleConfig, counter_of, epoch_of};

use super::rule::{Check, broken};
use super::{Checker, Committed, Mark, Position, Rule, ServerId};
use crate::config;

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

impl Checker {
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
        // A leader applies what its establishing commits before it says that it serves.
        let by = self.last_epoch().max(self.servers.get(&id).map_or(0, |s| s.current_epoch));
        self.push(mark, by);
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

    /// `by`: the epoch of the leader that commits it.
    pub(super) fn push(&mut self, mark: Mark, by: i64) {
        self.history.push(Committed { mark, digest: None, session: 0, cxid: 0, by });
    }

    pub(super) fn check_order(&self, zxid: Zxid) -> Check {
        let last = self.last_committed();
        let next = zxid == last + 1 && epoch_of(zxid) == epoch_of(last);
        let first = epoch_of(zxid) > epoch_of(last) && counter_of(zxid) == self.first_counter;
        if next || first {
            return Ok(());
        }
        broken(Rule::PrimaryOrder, format!("0x{zxid:x} is committed behind 0x{last:x}"))
    }
}
