//! The simulator is itself proved: mistakes that are planted in the core or the driver must be caught, each
//! within a stated number of seeds. More of them, and longer: `simulate --mistakes --seeds N`.
#![cfg(debug_assertions)]

use std::collections::BTreeMap;
use std::sync::Arc;

use ringkeeper::zab::{Mistake, Mistakes};
use ringkeeper_sim::plan::Plan;
use ringkeeper_sim::run::{on_two_threads, run};

/// Mistakes, the first seed that is tried, and how many of them each is caught within. Those that take hundreds begin
/// where the survey from seed 0 found them, for the time's sake: docs/design/simulator.md has what it found.
const CAUGHT: &[(Mistake, u64, u64)] = &[
    (Mistake::AckBeforeLogSynced, 0, 50),
    (Mistake::NewLeaderAckBeforeLogSynced, 0, 50),
    (Mistake::CurrentEpochBeforeLog, 0, 50),
    (Mistake::AckEpochBeforeStored, 0, 50),
    (Mistake::LeaderCountsItselfEarly, 0, 50),
    (Mistake::LeaderHistoryNotDurable, 0, 50),
    (Mistake::LeaderForgetsAcceptedEpoch, 0, 50),
    (Mistake::DurableIsHighestWrite, 0, 50),
    (Mistake::SyncFailureIgnored, 0, 50),
    (Mistake::EpochsTorn, 0, 200),
    (Mistake::VoteByCommitted, 0, 50),
    (Mistake::VotesAcrossRounds, 0, 50),
    (Mistake::LeaderByHearsay, 0, 50),
    (Mistake::IgnoreFresherAckEpoch, 0, 200),
    (Mistake::AckEpochCountedTwice, 0, 400),
    (Mistake::ReuseEpoch, 0, 50),
    (Mistake::AcceptLowerEpoch, 0, 50),
    (Mistake::DamagedLogVotes, 0, 50),
    (Mistake::RejoinWithoutBarrier, 0, 50),
    (Mistake::LeaderServesBeforeQuorum, 0, 50),
    (Mistake::CommittedLeftOutOfSync, 0, 50),
    (Mistake::ForwardingGap, 0, 200),
    (Mistake::SkipTrunc, 0, 50),
    (Mistake::TruncOneTooFew, 0, 50),
    (Mistake::TruncAcrossEpoch, 0, 50),
    (Mistake::DropOutstandingAtUpToDate, 0, 50),
    (Mistake::ServeBeforeUpToDate, 0, 50),
    (Mistake::ZxidGapAccepted, 0, 50),
    (Mistake::SnapshotInForceEarly, 0, 200),
    (Mistake::SnapshotHoldsUncommitted, 0, 50),
    (Mistake::OldLogDroppedEarly, 0, 200),
    (Mistake::StaleFrameAfterTrunc, 0, 200),
    (Mistake::StreamOneTooFew, 0, 50),
    (Mistake::OldConnectionAckCounted, 0, 50),
    (Mistake::StaleCompletionCounted, 600, 400),
    (Mistake::CommitMismatchSkipped, 0, 50),
    (Mistake::AckOfOtherEpochCounted, 0, 50),
    (Mistake::HalfIsQuorum, 0, 50),
    (Mistake::ObserversCounted, 0, 50),
    (Mistake::ForgetWeights, 0, 50),
    (Mistake::UnsyncedCountedAlive, 0, 400),
    (Mistake::NeverStepDown, 0, 50),
    (Mistake::CounterRunsOver, 0, 100),
    (Mistake::DeposedLeaderCommits, 0, 50),
    (Mistake::NoUndoOnStepDown, 0, 50),
    (Mistake::PublishBeforeCommit, 0, 50),
    (Mistake::EphemeralAfterClose, 0, 50),
    (Mistake::OldOwnerServed, 200, 400),
    (Mistake::OldQuorumDroppedEarly, 0, 200),
    (Mistake::NewQuorumNotAsked, 0, 50),
    (Mistake::ProposedConfigForgotten, 0, 200),
    (Mistake::ActivateAtProposal, 0, 200),
    (Mistake::OldLeaderCommitsAfterHandOver, 0, 200),
];

/// Seeds in which the core must bear a peer's mistakes.
const BORNE_SEEDS: u64 = 150;

fn breaks(seed: u64, mistakes: Mistakes) -> bool {
    run(&Arc::new(Plan::of(seed)), mistakes, false).violation.is_some()
}

fn is_caught((mistake, from, seeds): (Mistake, u64, u64)) -> bool {
    // A seed that fails without it proves nothing.
    (from..from + seeds)
        .any(|seed| breaks(seed, Mistakes::plant(mistake)) && !breaks(seed, Mistakes::default()))
}

#[test]
fn each_is_caught_within_its_number_of_seeds() {
    let caught = on_two_threads(CAUGHT.len() as u64, |at| is_caught(CAUGHT[at as usize]));
    let missed = CAUGHT.iter().zip(caught).filter(|(_, caught)| !caught);
    let missed: Vec<&str> = missed.map(|((mistake, ..), _)| mistake.name()).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn none_is_left_out() {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let lists = CAUGHT.iter().map(|(mistake, ..)| mistake);
    let lists = lists.chain(Mistake::BORNE);
    lists.for_each(|mistake| *known.entry(mistake.name()).or_default() += 1);
    let wrong: Vec<&str> = Mistake::ALL
        .iter()
        .map(|mistake| mistake.name())
        .filter(|name| known.get(name) != Some(&1))
        .collect();
    assert!(wrong.is_empty(), "in no list, or in two: {wrong:?}");
    assert!(CAUGHT.len() >= 35);
}

/// The guards that two of the mistakes take away hold what only a peer that is wrong itself would do.
#[test]
fn what_a_peer_leaves_out_is_borne() {
    for mistake in Mistake::BORNE {
        // Where clients stop with the faults nothing may come behind what was left out, and tell.
        let told = |seed: u64| Plan::of(seed).first_counter == 1;
        let breaks = on_two_threads(BORNE_SEEDS, |seed| {
            told(seed) && breaks(seed, Mistakes::plant(*mistake))
        });
        let broken: Vec<u64> =
            (0..).zip(breaks).filter(|(_, breaks)| *breaks).map(|(seed, _)| seed).collect();
        assert!(broken.is_empty(), "{} breaks seeds {broken:?}", mistake.name());
    }
}
