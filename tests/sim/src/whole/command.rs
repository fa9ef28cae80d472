//! `simulate --whole`: one seed, many of them, or the planted mistakes.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Mistake, Report, run};
use crate::run::on_abort;
use crate::whole::plan::Plan;

/// What to run.
pub struct Command {
    /// One seed alone.
    pub seed: Option<u64>,
    /// Or so many.
    pub seeds: u64,
    /// From here.
    pub from: u64,
    /// On so many threads.
    pub jobs: usize,
    /// Whether a person reads along.
    pub trace: bool,
    /// Stop after so many failures.
    pub failures: usize,
    /// With this mistake planted.
    pub mistake: Option<Mistake>,
}

impl Command {
    /// Runs it.
    pub fn run(&self) -> ExitCode {
        if self.mistake.is_some() && !cfg!(debug_assertions) {
            eprintln!("mistakes are left out of this build; use --profile fast");
            return ExitCode::FAILURE;
        }
        match self.seed {
            Some(seed) => self.one(seed),
            None => self.many(),
        }
    }

    fn one(&self, seed: u64) -> ExitCode {
        if self.trace {
            println!("{:#?}", Plan::of(seed));
        }
        on_abort(Box::new(move |said| tell_abort(seed, said)));
        let outcome = run(seed, self.mistake, self.trace);
        print(&outcome.report);
        match outcome.violation {
            None => {
                println!("seed {seed}: all is well");
                ExitCode::SUCCESS
            }
            Some(violation) => {
                println!("seed {seed}: {violation}");
                ExitCode::FAILURE
            }
        }
    }

    fn many(&self) -> ExitCode {
        let begun = Instant::now();
        let (next, failed) = (AtomicU64::new(self.from), AtomicU64::new(0));
        let total = Mutex::new(Report::default());
        let work = || {
            let current = Rc::new(Cell::new(0));
            let now = current.clone();
            on_abort(Box::new(move |said| tell_abort(now.get(), said)));
            while failed.load(Ordering::Relaxed) < self.failures as u64 {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.from + self.seeds {
                    break;
                }
                current.set(seed);
                let outcome = run(seed, self.mistake, false);
                if let Ok(mut total) = total.lock() {
                    total.add(&outcome.report);
                }
                if let Some(violation) = outcome.violation {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("seed {seed}: {violation}");
                    println!("  replay: simulate --whole --seed {seed} --trace");
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(work);
            }
        });
        let report = total.into_inner().unwrap_or_default();
        print(&report);
        let (seconds, failed) = (begun.elapsed().as_secs_f64(), failed.into_inner());
        let (runs, from, jobs) = (report.runs, self.from, self.jobs);
        println!("{runs} seeds from {from} in {seconds:.1} s on {jobs} threads, {failed} failures");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Plants each mistake, and says which seed catches it.
pub fn try_mistakes(from: u64, seeds: u64) -> ExitCode {
    let mut missed = 0;
    for (mistake, name, _) in Mistake::ALL {
        let caught = (from..from + seeds).find_map(|seed| Some((seed, is_caught(*mistake, seed)?)));
        match caught {
            Some((seed, violation)) => println!("{name:<26} seed {seed:>5}  {violation}"),
            None => {
                println!("{name:<26} NOT CAUGHT in {seeds} seeds");
                missed += 1;
            }
        }
    }
    println!("{} of {} caught", Mistake::ALL.len() - missed, Mistake::ALL.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a seed says of a mistake. A seed that fails without it proves nothing.
pub fn is_caught(mistake: Mistake, seed: u64) -> Option<super::Violation> {
    let violation = run(seed, Some(mistake), false).violation?;
    run(seed, None, false).violation.is_none().then_some(violation)
}

/// Where panics end the process.
fn tell_abort(seed: u64, said: &str) {
    println!("seed {seed}: panic: {said}");
    std::process::exit(1);
}

fn print(report: &Report) {
    for (words, count) in report.lines() {
        println!("{count:>12}  {words}");
    }
}
