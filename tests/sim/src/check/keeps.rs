//! What a server keeps: with every change of what it has, all that is committed and that it had before; and whoever
//! takes an epoch for its own has all that was committed before that.
//!
//! What a later leader has committed counts for nothing here: who follows an older one cannot know of it.
//!
//! These are the reasons why no committed transaction is lost, each checked where it could first be broken rather than
//! where the loss would show.

use super::rule::{Check, broken};
use super::{Checker, Mark, Medium, Rule, ServerId};

impl Checker {
    /// A server has put the state of that number in force, durably, in place of the one that was.
    pub fn takes_over(&mut self, id: ServerId, number: u64) -> Check {
        let server = self.server(id);
        let old = server.in_force;
        if number == old {
            return Ok(());
        }
        let server = &self.servers[&id];
        let through = server.accepted_epoch;
        let (Some(was), Some(is)) = (server.media.get(&old), server.media.get(&number)) else {
            self.in_force(id, number);
            return Ok(());
        };
        let lacks = self.lacks(id, through, was, is);
        self.in_force(id, number);
        match lacks {
            None => Ok(()),
            Some((zxid, _)) => broken(
                Rule::Keeps,
                format!(
                    "server {id} puts a snapshot in force without 0x{zxid:x}, which it had and is committed"
                ),
            ),
        }
    }

    /// A server has everything again that it ever acknowledged, as it says.
    pub fn intact(&mut self, id: ServerId) -> Check {
        let server = self.server(id);
        let lost = std::mem::take(&mut server.lost);
        let through = std::mem::take(&mut server.lost_epoch).max(server.accepted_epoch);
        let server = &self.servers[&id];
        let is = &server.media[&server.in_force];
        for was in &lost {
            if let Some((zxid, _)) = self.lacks(id, through, was, is) {
                let detail = format!(
                    "server {id} is counted again without 0x{zxid:x}, which it had and is committed"
                );
                return broken(Rule::Keeps, detail);
            }
        }
        Ok(())
    }

    /// The first committed transaction that counts this server's word, that the one medium holds and the other does not.
    /// What an observer has no quorum counts on, nor, for leaders up to the epoch `through`, what later ones committed.
    fn lacks(&self, id: ServerId, through: i64, was: &Medium, is: &Medium) -> Option<Mark> {
        let behind = self.history.partition_point(|c| c.mark.0 <= is.base);
        let votes = |index: usize| self.membership_at(index).voters.contains_key(&id);
        let committed = self.history.iter().enumerate().skip(behind);
        committed
            .take_while(|(_, c)| c.by <= through && was.holds(c.mark))
            .find(|(index, c)| !is.holds(c.mark) && votes(*index))
            .map(|(_, c)| c.mark)
    }

    /// A server is about to take this epoch for its own: it has all that was committed in epochs before.
    pub fn adopts(&mut self, id: ServerId, current: i64) -> Check {
        let server = self.server(id);
        if current <= server.current_epoch {
            return Ok(());
        }
        let server = &self.servers[&id];
        let is = &server.media[&server.in_force];
        let behind = self.history.partition_point(|c| c.mark.0 <= is.base);
        let before = self.history[behind..].iter().take_while(|c| c.by < current);
        let lacks = before.map(|c| c.mark).find(|mark| !is.holds(*mark));
        match lacks {
            None => Ok(()),
            Some((zxid, _)) => broken(
                Rule::Keeps,
                format!(
                    "server {id} takes epoch {current} for its own without 0x{zxid:x}, committed before it"
                ),
            ),
        }
    }
}
