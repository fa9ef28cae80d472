//! The simulator is itself proved: mistakes that are planted in the core or the driver must be caught, each
//! within a stated number of seeds. More of them, and longer: `simulate --mistakes --seeds N`.
#![cfg(debug_assertions)]

use std::sync::Arc;

use ringkeeper::zab::{Mistake, Mistakes};
use ringkeeper_sim::plan::Plan;
use ringkeeper_sim::run::run;

/// Mistakes, and below which seed each is caught.
const CAUGHT: &[(Mistake, u64)] = &[
    (Mistake::AckBeforeLogSynced, 50),
    (Mistake::NewLeaderAckBeforeLogSynced, 150),
    (Mistake::LeaderCountsItselfEarly, 50),
    (Mistake::LeaderHistoryNotDurable, 50),
    (Mistake::DurableIsHighestWrite, 50),
    (Mistake::SyncFailureIgnored, 100),
    (Mistake::EpochsTorn, 400),
    (Mistake::VoteByCommitted, 150),
    (Mistake::ReuseEpoch, 50),
    (Mistake::DamagedLogVotes, 300),
    (Mistake::LeaderServesBeforeQuorum, 50),
    (Mistake::CommittedLeftOutOfSync, 50),
    (Mistake::SkipTrunc, 300),
    (Mistake::TruncOneTooFew, 200),
    (Mistake::TruncAcrossEpoch, 400),
    (Mistake::ServeBeforeUpToDate, 50),
    (Mistake::SnapshotHoldsUncommitted, 200),
    (Mistake::StreamOneTooFew, 50),
    (Mistake::HalfIsQuorum, 50),
    (Mistake::ObserversCounted, 100),
    (Mistake::ForgetWeights, 100),
    (Mistake::NeverStepDown, 150),
    (Mistake::CounterRunsOver, 150),
    (Mistake::DeposedLeaderCommits, 100),
    (Mistake::PublishBeforeCommit, 50),
    (Mistake::EphemeralAfterClose, 50),
    (Mistake::OldQuorumDroppedEarly, 400),
    (Mistake::NewQuorumNotAsked, 300),
    (Mistake::ActivateAtProposal, 400),
    (Mistake::OldLeaderCommitsAfterHandOver, 400),
];

fn is_caught(mistake: Mistake, seeds: u64) -> bool {
    (0..seeds).any(|seed| {
        let plan = Arc::new(Plan::of(seed));
        run(&plan, Mistakes::plant(mistake), false).violation.is_some()
            && run(&plan, Mistakes::default(), false).violation.is_none()
    })
}

#[test]
fn each_is_caught_within_its_number_of_seeds() {
    let missed: Vec<&str> =
        CAUGHT.iter().filter(|(m, seeds)| !is_caught(*m, *seeds)).map(|(m, _)| m.name()).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
