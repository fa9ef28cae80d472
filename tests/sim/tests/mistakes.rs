//! The simulator is itself proved: mistakes that are planted in the core or the driver must be caught, each
//! within a stated number of seeds. More of them, and longer: `simulate --mistakes --seeds N`.
#![cfg(debug_assertions)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ringkeeper::zab::{Mistake, Mistakes};
use ringkeeper_sim::plan::Plan;
use ringkeeper_sim::run::run;

/// Mistakes, and below which seed each is caught.
const CAUGHT: &[(Mistake, u64)] = &[];

/// One that does no harm, by an argument of docs/design/simulator.md.
const HARMLESS: &[Mistake] = &[Mistake::OldConnectionAckCounted];

/// Not caught so far: see docs/design/simulator.md.
const MISSED: &[Mistake] = &[Mistake::AcceptLowerEpoch, Mistake::RejoinWithoutBarrier];

/// Seeds in which the core must bear a peer's mistakes.
const BORNE_SEEDS: u64 = 150;

/// Runs jobs on two threads; says which did not hold.
fn failed(jobs: usize, holds: impl Fn(usize) -> bool + Sync) -> Vec<usize> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return;
            }
            if !holds(job) {
                failed.lock().expect("nobody panics with it").push(job);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    failed.into_inner().expect("nobody panics with it")
}

fn breaks(seed: u64, mistakes: Mistakes) -> bool {
    run(&Arc::new(Plan::of(seed)), mistakes, false).violation.is_some()
}

fn is_caught(mistake: Mistake, seeds: u64) -> bool {
    // A seed that fails without it proves nothing.
    (0..seeds)
        .any(|seed| breaks(seed, Mistakes::plant(mistake)) && !breaks(seed, Mistakes::default()))
}

#[test]
fn each_is_caught_within_its_number_of_seeds() {
    let missed = failed(CAUGHT.len(), |at| is_caught(CAUGHT[at].0, CAUGHT[at].1));
    let missed: Vec<&str> = missed.iter().map(|at| CAUGHT[*at].0.name()).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn none_is_left_out() {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let lists = CAUGHT.iter().map(|(mistake, _)| mistake);
    let lists = lists.chain(HARMLESS).chain(MISSED).chain(Mistake::BORNE);
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
        let told = |seed: &u64| Plan::of(*seed).first_counter == 1;
        let seeds: Vec<u64> = (0..BORNE_SEEDS).filter(told).collect();
        let broken = failed(seeds.len(), |at| !breaks(seeds[at], Mistakes::plant(*mistake)));
        let broken: Vec<u64> = broken.iter().map(|at| seeds[*at]).collect();
        assert!(broken.is_empty(), "{} breaks seeds {broken:?}", mistake.name());
    }
}
