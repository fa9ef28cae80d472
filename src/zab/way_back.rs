//! The way back of a server that had lost its log: it may have acknowledged what it has no longer, so it is not counted
//! until a quorum of others holds all that it can have acknowledged.
//!
//! The steps: brought level by an established leader that does not count it; a transaction of its own, the *barrier*, is
//! committed there; its log is on the medium through what was committed then; the record that says "intact" is stored.
//! Only then does it come back, as the participant that it was.

use super::action::{Action, CloseReason};
use super::common::{Common, Epochs};
use super::learner::Learner;
use super::types::Zxid;

/// What has become of the way back of a server that had lost its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WayBack {
    /// Nothing was lost.
    None,
    /// Waits until a transaction of ours is committed; asks again if it takes too long.
    Barrier { token: u64, again_at: u64 },
    /// Waits until the log is on the medium through here.
    Flush { through: Zxid },
    /// The record that says "intact" is being stored.
    Store { token: u64 },
}

impl Learner {
    /// Our barrier is committed: a quorum that does not count us followed this leader *after* we had lost our log. So
    /// no later leader had been established with our help before, and all that we may have acknowledged and that was
    /// committed is at or below the barrier.
    pub fn barrier(&mut self, c: &mut Common, token: u64) {
        if let WayBack::Barrier { token: asked, .. } = self.way_back
            && asked == token
        {
            self.flush_way_back(c);
        }
    }

    /// The request may be lost, or refused while leadership moves: then it is made anew.
    pub(super) fn ask_for_barrier(&mut self, c: &mut Common) {
        let token = c.next_barrier();
        self.way_back = WayBack::Barrier { token, again_at: c.now + c.sync_ms() };
        c.act(Action::Barrier { token });
    }

    pub(super) fn flush_way_back(&mut self, c: &mut Common) {
        let through = c.history.committed();
        self.way_back = WayBack::Flush { through };
        if c.history.durable() >= through {
            self.store_way_back(c);
        }
    }

    pub(super) fn store_way_back(&mut self, c: &mut Common) {
        let token = c.store(Epochs { intact: true, ..c.epochs });
        self.way_back = WayBack::Store { token };
        self.stored(c);
    }

    /// A record is stored; that one, perhaps.
    pub(super) fn way_back_stored(&mut self, c: &mut Common) {
        if let WayBack::Store { token } = self.way_back
            && c.is_stored(token)
        {
            // From now on our word counts again: come back as what we are.
            self.way_back = WayBack::None;
            self.leave(c, CloseReason::RoleChange);
        }
    }
}
