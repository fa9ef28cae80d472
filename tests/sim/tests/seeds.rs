//! A bounded share of the seeds, for every run of the tests. Any number: the command `simulate`.

use std::sync::Arc;

use ringkeeper::zab::Mistakes;
use ringkeeper_sim::plan::Plan;
use ringkeeper_sim::report::Report;
use ringkeeper_sim::run::{on_two_threads, run};

/// `RINGKEEPER_SIM_SEEDS`, or what takes a few seconds.
fn seeds() -> u64 {
    let asked = std::env::var("RINGKEEPER_SIM_SEEDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(200)
}

#[test]
fn no_rule_is_broken() {
    let end = seeds();
    let (mut seen, mut failures) = (Report::default(), Vec::new());
    for (seed, outcome) in (0..)
        .zip(on_two_threads(end, |seed| run(&Arc::new(Plan::of(seed)), Mistakes::default(), false)))
    {
        seen.add(&outcome.report);
        failures.extend(outcome.violation.map(|v| format!("seed {seed}: {v}")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // A world in which nothing happens breaks no rule either.
    let depth = [
        ("leaders established", seen.established),
        ("transactions committed", seen.committed),
        ("syncs by DIFF", seen.diffs),
        ("syncs by SNAP", seen.snaps),
        ("logs cut", seen.cuts),
        ("transactions undone", seen.undone),
        ("reconfigurations", seen.reconfigs),
        ("crashes", seen.crashes),
        ("crashes in a change of the disk", seen.disk_crashes),
        ("damaged logs", seen.damaged),
        ("servers that came back without a history", seen.rejoined),
        ("session moves", seen.moves),
    ];
    for (what, count) in depth {
        assert!(count > 0, "no {what} in {end} seeds");
    }
}

/// Seeds that found something once: servers without a history, and observers, that went back to a leader whose epoch was over
/// after they had shown a later one, or held its snapshot; a write of a dropped store that was taken for one of the next; a
/// server, needed and the freshest, that waited at a leader who looked; and one, needed, that held on to a reconfiguration which
/// nobody else had.
#[test]
fn what_was_found_once_is_found_no_more() {
    for seed in [46_282, 51_193, 78_483, 163_562, 170_754, 189_164] {
        let outcome = run(&Arc::new(Plan::of(seed)), Mistakes::default(), false);
        assert_eq!(outcome.violation.map(|v| v.to_string()), None, "seed {seed}");
    }
}

#[test]
fn a_run_repeats_event_by_event() {
    for seed in [3, 17, 42] {
        let once = || format!("{:?}", run(&Arc::new(Plan::of(seed)), Mistakes::default(), false));
        assert_eq!(once(), once(), "seed {seed}");
    }
}
