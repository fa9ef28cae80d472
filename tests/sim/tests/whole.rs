//! One whole server with its shards and clients: a bounded share of its seeds, and the mistakes that they must
//! catch. Any number: `simulate --whole --seeds N`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ringkeeper_sim::whole::{Report, run};

/// `RINGKEEPER_SIM_WHOLE_SEEDS`, or what takes a few seconds.
fn seeds() -> u64 {
    let asked = std::env::var("RINGKEEPER_SIM_WHOLE_SEEDS").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(100)
}

#[test]
fn no_rule_is_broken() {
    let (next, end) = (AtomicU64::new(0), seeds());
    let work = || {
        let (mut seen, mut failures) = (Report::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return (seen, failures);
            }
            let outcome = run(seed, None, false);
            seen.add(&outcome.report);
            failures.extend(outcome.violation.map(|v| format!("seed {seed}: {v}")));
        }
    };
    let (seen, failures) = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        let mut all = (Report::default(), Vec::new());
        for thread in threads {
            let (seen, failures) = thread.join().expect("a run's panics are caught");
            all.0.add(&seen);
            all.1.extend(failures);
        }
        all
    });
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
    let next = AtomicUsize::new(0);
    let work = || {
        let mut missed = Vec::new();
        while let Some((mistake, name, seeds)) =
            Mistake::ALL.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if (0..*seeds).all(|seed| is_caught(*mistake, seed).is_none()) {
                missed.push(*name);
            }
        }
        missed
    };
    let missed: Vec<&str> = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().flat_map(|t| t.join().expect("a run's panics are caught")).collect()
    });
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
