//! Runs seeds: `simulate --seeds N [--from S] [--jobs J]`, `simulate --seed S --trace`.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use ringkeeper::zab::{Mistake, Mistakes};
use ringkeeper_sim::check::{Rule, Violation};
use ringkeeper_sim::plan::{Plan, Timed};
use ringkeeper_sim::report::Report;
use ringkeeper_sim::run::{on_abort, run, shrink_plan, with_faults};
use ringkeeper_sim::whole;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs simulated ensembles and checks every step of them.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; all cores if left out.
    #[arg(long)]
    jobs: Option<usize>,
    /// This one seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Tells everything that happens in it.
    #[arg(long)]
    trace: bool,
    /// Only these faults of its plan, by number; an empty list is none.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    faults: Option<Vec<usize>>,
    /// With this mistake planted (debug assertions only).
    #[arg(long)]
    mistake: Option<String>,
    /// Plants each mistake in turn (or that of `--mistake`), and says how many seeds it takes to catch it.
    #[arg(long)]
    mistakes: bool,
    /// One whole server with its shards and clients, instead of an ensemble's protocol.
    #[arg(long)]
    whole: bool,
    /// How long a failing seed is shrunk, in seconds.
    #[arg(long, default_value_t = 20)]
    shrink: u64,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

struct Failure {
    seed: u64,
    violation: Violation,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.whole {
        return whole(&args);
    }
    let mistakes = match args.mistake.as_deref().map(Mistake::named) {
        None => Mistakes::default(),
        Some(Some(mistake)) => Mistakes::plant(mistake),
        Some(None) => {
            let names: Vec<&str> = Mistake::ALL.iter().map(|m| m.name()).collect();
            eprintln!("there is no such mistake; there are {}", names.join(", "));
            return ExitCode::FAILURE;
        }
    };
    if args.mistakes {
        return try_mistakes(&args, mistakes);
    }
    if let Some(seed) = args.seed {
        return one(&args, seed, mistakes);
    }
    many(&args, mistakes)
}

fn whole(args: &Args) -> ExitCode {
    if args.mistakes {
        return whole::command::try_mistakes(args.from, args.seeds);
    }
    let mistake = match args.mistake.as_deref().map(whole::Mistake::named) {
        Some(None) => {
            let names: Vec<&str> = whole::Mistake::ALL.iter().map(|m| m.1).collect();
            eprintln!("there is no such mistake; there are {}", names.join(", "));
            return ExitCode::FAILURE;
        }
        planted => planted.flatten(),
    };
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let Args { seed, seeds, from, trace, failures, .. } = *args;
    whole::command::Command { seed, seeds, from, jobs, trace, failures, mistake }.run()
}

fn one(args: &Args, seed: u64, mistakes: Mistakes) -> ExitCode {
    let plan = Plan::of(seed);
    let plan = match &args.faults {
        None => Arc::new(plan),
        Some(numbers) => {
            let kept: Vec<Timed> =
                plan.faults.iter().filter(|f| numbers.contains(&f.number)).cloned().collect();
            with_faults(&plan, &kept)
        }
    };
    if args.trace {
        println!("{plan:#?}");
    }
    on_abort(Box::new(|said| {
        println!("PANIC {said}");
        std::process::exit(1);
    }));
    let outcome = run(&plan, mistakes, args.trace);
    print_report(&outcome.report);
    match outcome.violation {
        None => {
            println!("seed {seed}: all is well");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("seed {seed}: {violation}");
            tell_shrunk(args, seed, mistakes, &violation);
            ExitCode::FAILURE
        }
    }
}

fn tell_shrunk(args: &Args, seed: u64, mistakes: Mistakes, violation: &Violation) {
    if args.faults.is_some()
        || args.shrink == 0
        || cfg!(panic = "abort") && violation.rule == Rule::Panic
    {
        return;
    }
    let plan = Plan::of(seed);
    let budget = Duration::from_secs(args.shrink);
    let shrunk = shrink_plan(&plan, mistakes, violation.rule, budget);
    println!("  shrunk from {} faults to {}:", plan.faults.len(), shrunk.faults.len());
    for timed in &shrunk.faults {
        println!("    {:>3} at {:>9} us: {:?}", timed.number, timed.at, timed.fault);
    }
    let numbers: Vec<String> = shrunk.faults.iter().map(|f| f.number.to_string()).collect();
    println!("  replay: simulate --seed {seed} --faults {} --trace", numbers.join(","));
}

/// Runs seeds on threads of their own; where a panic cannot be caught its thread is left standing.
fn many(args: &Args, mistakes: Mistakes) -> ExitCode {
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(args.from));
    let end = args.from + args.seeds;
    let total = Arc::new(Mutex::new(Report::default()));
    let (to, from) = channel::<Option<Failure>>();
    for _ in 0..jobs {
        spawn(next.clone(), end, mistakes, total.clone(), to.clone());
    }
    let mut failures = Vec::new();
    let (mut running, mut told) = (jobs, Instant::now());
    while running > 0 && failures.len() < args.failures {
        match from.recv_timeout(Duration::from_secs(5)) {
            Ok(None) => running -= 1,
            Ok(Some(failure)) => {
                println!("seed {}: {}", failure.seed, failure.violation);
                if cfg!(panic = "abort") && failure.violation.rule == Rule::Panic {
                    // Its thread stands still.
                    spawn(next.clone(), end, mistakes, total.clone(), to.clone());
                }
                failures.push(failure);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            eprintln!(
                "… {} seeds in {:.0} s",
                next.load(Ordering::Relaxed) - args.from,
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let report = total.lock().map(|t| t.clone()).unwrap_or_default();
    print_report(&report);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds from {} in {seconds:.1} s on {jobs} threads ({:.1} a second), {:.1} virtual hours, {} failures",
        report.runs,
        args.from,
        report.runs as f64 / seconds,
        report.virtual_hours(),
        failures.len()
    );
    for failure in failures.iter().take(3) {
        println!("seed {}: {}", failure.seed, failure.violation);
        tell_shrunk(args, failure.seed, mistakes, &failure.violation);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn spawn(
    next: Arc<AtomicU64>,
    end: u64,
    mistakes: Mistakes,
    total: Arc<Mutex<Report>>,
    to: Sender<Option<Failure>>,
) {
    std::thread::spawn(move || {
        let current = std::rc::Rc::new(std::cell::Cell::new(0));
        let (seed_now, tell) = (current.clone(), to.clone());
        on_abort(Box::new(move |said| {
            let violation = Violation { rule: Rule::Panic, detail: said.to_owned() };
            let _ = tell.send(Some(Failure { seed: seed_now.get(), violation }));
        }));
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            current.set(seed);
            let outcome = run(&Arc::new(Plan::of(seed)), mistakes, false);
            if let Ok(mut total) = total.lock() {
                total.add(&outcome.report);
            }
            if let Some(violation) = outcome.violation {
                let _ = to.send(Some(Failure { seed, violation }));
            }
        }
        let _ = to.send(None);
    });
}

fn try_mistakes(args: &Args, only: Mistakes) -> ExitCode {
    if !cfg!(debug_assertions) {
        eprintln!("mistakes are left out of this build; use --profile fast");
        return ExitCode::FAILURE;
    }
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let wanted = |mistake: &&Mistake| only == Mistakes::default() || only.has(**mistake);
    let mistakes: Vec<Mistake> = Mistake::ALL.iter().filter(wanted).copied().collect();
    let (next, missed) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while let Some(&mistake) = mistakes.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            match caught(mistake, args.from..args.from + args.seeds) {
                Some((seed, violation)) => {
                    println!("{:<30} seed {seed:>6}  {violation}", mistake.name());
                }
                None => {
                    println!("{:<30} NOT CAUGHT in {} seeds", mistake.name(), args.seeds);
                    missed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let missed = missed.into_inner() as usize;
    println!("{} of {} caught", mistakes.len() - missed, mistakes.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first of these seeds that catches a mistake.
fn caught(mistake: Mistake, mut seeds: Range<u64>) -> Option<(u64, Violation)> {
    seeds.find_map(|seed| {
        let plan = Arc::new(Plan::of(seed));
        let violation = run(&plan, Mistakes::plant(mistake), false).violation?;
        // A seed that fails without it proves nothing.
        let alone = run(&plan, Mistakes::default(), false).violation.is_none();
        alone.then_some((seed, violation))
    })
}

fn print_report(report: &Report) {
    for (words, count) in report.lines() {
        println!("{count:>12}  {words}");
    }
    println!("{:>12.1}  virtual hours", report.virtual_hours());
}
