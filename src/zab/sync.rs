//! Which synchronisation a learner gets (ZooKeeper's `LearnerHandler.syncFollower`).
//!
//! A pure function of where the learner's history ends and what of ours stands there. Why each choice is safe:
//!
//! A zxid of epoch *d* exists only if the leader of *d* was established, so a quorum stored currentEpoch *d*, and every
//! later leader begins with all that the leader of *d* began with. Hence, if our greatest zxid at or below the learner's
//! last one, the *floor*, is
//! - the learner's last one itself: its history is a beginning of ours. DIFF.
//! - of the learner's last epoch: both of us have what the leader of that epoch began with and its first transactions
//!   through the floor; what the learner has beyond was never committed. TRUNC to the floor. Unless the floor has
//!   counter 0: no transaction has that zxid, we only know it from the snapshot that our log begins with, and the
//!   learner's log could not be cut to it. SNAP.
//! - of an earlier epoch: the learner may lack what lies just below the floor. Never TRUNC across an epoch: SNAP.
//!   Only if the learner's last zxid has counter 0 it has no transaction of that epoch (it comes of a snapshot of a
//!   leader that had just been established, with all that this one began with). DIFF from the floor.

use super::mistake::{Mistake, Mistakes};
use super::types::{Zxid, counter_of, epoch_of};

/// What there is to choose from.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// Our greatest zxid at or below the learner's last one, of what is sent as committed. `None`: our history does
    /// not reach back that far.
    pub floor: Option<Zxid>,
    /// Sending all since then costs more than a snapshot.
    pub too_much: bool,
    /// Snapshots are asked for in any case.
    pub force_snapshot: bool,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Everything after this zxid.
    Diff {
        /// The last one that both have.
        after: Zxid,
    },
    /// Cut back to this zxid, then everything after it.
    Trunc {
        /// The last one to keep.
        to: Zxid,
    },
    /// A snapshot.
    Snap,
}

/// The choice for a learner whose history ends at `peer`; −1: it has none that it can be brought on from.
pub fn choose(view: View, peer: Zxid, mistakes: Mistakes) -> Plan {
    let Some(floor) = view.floor else { return Plan::Snap };
    if peer < 0 || view.force_snapshot || view.too_much {
        return Plan::Snap;
    }
    if floor == peer || counter_of(peer) == 0 {
        Plan::Diff { after: floor }
    } else if epoch_of(floor) == epoch_of(peer) || mistakes.has(Mistake::TruncAcrossEpoch) {
        if counter_of(floor) == 0 { Plan::Snap } else { Plan::Trunc { to: floor } }
    } else {
        Plan::Snap
    }
}
