//! Running a plan, and shrinking one that fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use ringkeeper::zab::Mistakes;

use crate::check::{Rule, Violation};
use crate::plan::{Plan, Timed};
use crate::report::Report;
use crate::shrink::shrink;
use crate::world::{Outcome, World};

/// Is told what a panic says.
pub type Tell = Box<dyn Fn(&str)>;

thread_local! {
    /// What the last panic of this thread said, while a run is under way.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Where a panic that cannot be caught is told.
    static ON_ABORT: RefCell<Option<Tell>> = const { RefCell::new(None) };
}

/// Where panics cannot be caught (`panic = "abort"`), `tell` is called with what the panic says, and the
/// thread stands still for ever.
pub fn on_abort(tell: Tell) {
    ON_ABORT.with(|on| *on.borrow_mut() = Some(tell));
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let said = info.to_string();
            if cfg!(panic = "abort") {
                ON_ABORT.with(|on| {
                    if let Some(tell) = &*on.borrow() {
                        tell(&said);
                        loop {
                            std::thread::park();
                        }
                    }
                });
            }
            PANIC.with(|panic| *panic.borrow_mut() = Some(said));
        }));
    });
}

/// Calls `body`; if it panics, what the panic says.
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|_| PANIC.with(|panic| panic.borrow_mut().take()).unwrap_or_default())
}

/// Runs a plan. A panic of the code under test is a violation.
pub fn run(plan: &Arc<Plan>, mistakes: Mistakes, trace: bool) -> Outcome {
    match caught(|| World::new(plan.clone(), mistakes, trace).run()) {
        Ok(outcome) => outcome,
        Err(detail) => {
            let violation = Some(Violation { rule: Rule::Panic, detail });
            Outcome { violation, report: Report { runs: 1, ..Report::default() } }
        }
    }
}

/// Does jobs 0 to `jobs` - 1 on two threads: what each gave, in their order.
pub fn on_two_threads<T: Send>(jobs: u64, job: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let work = || {
        let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let own = numbers.take_while(|number| *number < jobs);
        own.map(|number| (number, job(number))).collect::<Vec<_>>()
    };
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut all = work();
        all.extend(other.join().expect("a run's panics are caught"));
        all
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, given)| given).collect()
}

/// A plan without some of its faults.
pub fn with_faults(plan: &Plan, faults: &[Timed]) -> Arc<Plan> {
    Arc::new(Plan { faults: faults.to_vec(), ..plan.clone() })
}

/// The fewest faults with which the same rule is broken, as far as the time suffices.
pub fn shrink_plan(plan: &Plan, mistakes: Mistakes, rule: Rule, budget: Duration) -> Arc<Plan> {
    let fails = |faults: &[Timed]| {
        let outcome = run(&with_faults(plan, faults), mistakes, false);
        outcome.violation.is_some_and(|v| v.rule == rule)
    };
    with_faults(plan, &shrink(plan.faults.clone(), budget, fails))
}
