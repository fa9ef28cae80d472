//! Who becomes a leader, with what, and who serves.

use ringkeeper::protocol::Zxid;

use super::rule::{Check, broken};
use super::{Checker, Mark, Rule, ServerId};

impl Checker {
    /// A server has become the established leader of an epoch; `process` tells its lives apart.
    pub fn established(&mut self, id: ServerId, process: u64, epoch: i64) -> Check {
        let leader = *self.leaders.entry(epoch).or_insert((id, process));
        if leader != (id, process) && !self.standalone {
            let detail = format!("server {id} leads epoch {epoch}, which server {} led", leader.0);
            return broken(Rule::OneLeaderAnEpoch, detail);
        }
        if epoch < self.last_epoch() {
            // Late, and of no consequence: what it commits is checked one by one.
            return Ok(());
        }
        let begins = if self.standalone { Zxid::MAX } else { epoch << 32 };
        let server = self.server(id);
        let medium = &server.media[&server.in_force];
        let (base, last) = (medium.base, medium.last());
        let log: Vec<Mark> = medium.logged.iter().copied().filter(|(z, _)| *z <= begins).collect();
        self.check_begins_with_history(id, base, last, &log)?;
        for mark in log {
            if mark.0 > self.last_committed() {
                self.check_order(mark.0)?;
                self.push(mark, epoch);
            }
        }
        // What earlier leaders proposed and this one does not have is gone.
        self.proposed.clear();
        let members = self.membership();
        self.promises.was_accepted(id, epoch, members)?;
        let last = self.history.last().map(|c| c.mark);
        let follows = |server: ServerId| {
            let server = self.servers.get(&server);
            server.is_some_and(|s| s.has_joined(epoch) && last.is_none_or(|l| s.holds(l)))
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

    /// A server names the epoch that it wants to lead, its log up to here.
    pub fn stands(&mut self, id: ServerId, epoch: i64, last: Zxid) {
        let current = self.server(id).current_epoch;
        self.promises.stands(id, epoch, (current, last));
    }

    /// It takes another server's word for that: epoch and end of that one's history.
    pub fn accepts(&mut self, id: ServerId, epoch: i64, from: ServerId, has: (i64, Zxid)) {
        self.promises.accepts(id, epoch, from, has);
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
}
