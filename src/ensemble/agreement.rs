//! The ensemble core's side of the ZAB core: what is proposed, and how far it is committed.
//!
//! A standalone server is an ensemble of one. It goes the way of every other: a transaction gets its zxid from the
//! ZAB core and is proposed to it, the ZAB core asks for it to be appended, is told what is durable, and says what is
//! committed. The transactions' bytes are in the batch already, so what it hands on for them is empty.

use std::sync::Arc;

use crate::protocol::Zxid;
use crate::zab::{Action, Durable, EnsembleConfig, Generation, Txn, Zab, ZabConfig};

/// The ZAB core of an ensemble of one, and what it has asked for. See the module's documentation.
pub(super) struct Agreement {
    zab: Zab,
    actions: Vec<Action>,
    /// The log's, as the ZAB core numbers them.
    generation: Generation,
    /// The last transaction that the ZAB core has asked to append.
    appended: Zxid,
    committed: Zxid,
    no_bytes: Txn,
}

impl Agreement {
    /// For a server that goes on after `last_zxid`. `outstanding_max`: transactions that may be proposed and not
    /// committed; who proposes keeps to it.
    pub fn standalone(last_zxid: Zxid, outstanding_max: usize) -> Agreement {
        let config = ZabConfig {
            standalone: true,
            // Nobody is behind who could be sent them.
            window_txns_max: 0,
            outstanding_max,
            ..ZabConfig::new(0)
        };
        let durable = Durable {
            accepted_epoch: 0,
            current_epoch: 0,
            last_logged: last_zxid,
            committed: last_zxid,
            intact: true,
            config: Arc::new(EnsembleConfig::default()),
            proposed_config: None,
        };
        let mut agreement = Agreement {
            zab: Zab::new(config, durable, 0),
            actions: Vec::new(),
            generation: Generation::default(),
            appended: last_zxid,
            committed: last_zxid,
            no_bytes: Arc::new([]),
        };
        agreement.act();
        agreement
    }

    /// The zxid of the next transaction.
    pub fn next_zxid(&self) -> Zxid {
        self.zab.next_zxid().expect("an ensemble of one always leads, and its zxids do not run out")
    }

    /// Proposes the transaction of this zxid, which is applied to the tree and in the batch in the making.
    pub fn propose(&mut self, zxid: Zxid) {
        let proposed = self.zab.propose(zxid, Arc::clone(&self.no_bytes));
        proposed.expect("the core takes no more requests than may be outstanding");
    }

    /// The transactions through `last_zxid` go to the log: that must be what was asked for.
    pub fn append(&mut self, last_zxid: Zxid) {
        self.act();
        assert_eq!(self.appended, last_zxid, "the batch is what was proposed");
    }

    /// Everything in the log through `zxid` is on the medium. What is committed by that: [`Agreement::committed`].
    pub fn durable(&mut self, zxid: Zxid) {
        self.zab.handle_durable(zxid, self.generation);
        self.act();
        assert!(self.committed <= zxid, "nothing is committed before it is durable (R6)");
    }

    /// Everything through this zxid is committed.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    /// Takes in what the ZAB core has asked for.
    fn act(&mut self) {
        self.zab.take_actions(&mut self.actions);
        for action in self.actions.drain(..) {
            match action {
                Action::Append { generation, zxid, .. } => {
                    assert_eq!(zxid, self.appended + 1, "zxids are contiguous");
                    self.appended = zxid;
                    self.generation = generation;
                }
                Action::Commit { through } => {
                    assert!(through >= self.committed, "the committed zxid only grows");
                    self.committed = through;
                }
                // Recovery has applied the whole log already.
                Action::Replay { through } => assert_eq!(through, self.appended),
                Action::Role(_) => {}
                // It has no peers, stores no epochs, and its configuration is no matter of the log.
                other => unreachable!("an ensemble of one was asked for {other:?}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_durable_is_committed_and_nothing_before() {
        let mut agreement = Agreement::standalone(41, 100);
        for zxid in 42..=50 {
            assert_eq!(agreement.next_zxid(), zxid);
            agreement.propose(zxid);
        }
        agreement.append(50);
        assert_eq!(agreement.committed(), 41);
        agreement.durable(45);
        assert_eq!(agreement.committed(), 45);
        agreement.propose(agreement.next_zxid());
        agreement.append(51);
        agreement.durable(51);
        assert_eq!(agreement.committed(), 51);
    }

    #[test]
    #[should_panic(expected = "no more requests than may be outstanding")]
    fn more_than_may_be_outstanding_is_a_defect() {
        let mut agreement = Agreement::standalone(0, 3);
        for zxid in 1..=4 {
            agreement.propose(zxid);
        }
    }

    #[test]
    fn zxids_of_one_go_on_past_a_counter_of_all_ones() {
        let mut agreement = Agreement::standalone(0xffff_fffd, 10);
        for zxid in 0xffff_fffe..0x1_0000_0003 {
            assert_eq!(agreement.next_zxid(), zxid);
            agreement.propose(zxid);
        }
        agreement.append(0x1_0000_0002);
        agreement.durable(0x1_0000_0002);
        assert_eq!(agreement.committed(), 0x1_0000_0002);
    }
}
