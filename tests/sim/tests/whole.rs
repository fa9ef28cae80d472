//! One whole server with its shards and clients: a bounded share of its seeds, and the mistakes that they must
//! catch. Any number: `simulate --whole --seeds N`.

use ringkeeper_sim::run::on_two_threads;
use ringkeeper_sim::whole::{Report, run};

/// `RINGKEEPER_SIM_WHOLE_SEEDS`, or what takes a few seconds.
fn seeds() -> u64 {
    let asked = std::env::var("RINGKEEPER_SIM_WHOLE_SEEDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(100)
}

#[test]
fn no_rule_is_broken() {
    let end = seeds();
    let (mut seen, mut failures) = (Report::default(), Vec::new());
    for (seed, outcome) in (0..).zip(on_two_threads(end, |seed| run(seed, None, false))) {
        seen.add(&outcome.report);
        failures.extend(outcome.violation.map(|v| format!("seed {seed}: {v}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // A world in which nothing happens breaks no rule either.
    for (what, count) in seen.lines() {
        assert!(count > 0, "no {what} in {end} seeds");
    }
}

#[test]
fn a_run_repeats_itself() {
    for seed in [3, 17, 42] {
        let once = || format!("{:?}", run(seed, None, false));
        assert_eq!(once(), once(), "seed {seed}");
    }
}

/// Each planted mistake is caught below the seed that stands beside it.
#[cfg(debug_assertions)]
#[test]
fn each_mistake_is_caught_within_its_number_of_seeds() {
    use ringkeeper_sim::whole::Mistake;
    use ringkeeper_sim::whole::command::is_caught;
    let caught = on_two_threads(Mistake::ALL.len() as u64, |at| {
        let (mistake, _, seeds) = Mistake::ALL[at as usize];
        (0..seeds).any(|seed| is_caught(mistake, seed).is_some())
    });
    let missed = Mistake::ALL.iter().zip(caught).filter(|(_, caught)| !caught);
    let missed: Vec<&str> = missed.map(|((_, name, _), _)| *name).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
