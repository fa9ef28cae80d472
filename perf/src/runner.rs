//! Runs scenarios: round by round, all targets in turn within a round, their order rotating, so
//! that what the machine does meanwhile meets all of them.

use crate::error::PerfError;
use crate::scenario::{Context, Figure, Scenario};
use crate::target::{Kind, Server};
use std::collections::HashMap;

/// What one target gave in one scenario.
#[derive(Debug, Clone)]
pub struct Column {
    /// The target.
    pub kind: Kind,
    /// Figures by round; a round that failed is empty.
    pub rounds: Vec<Vec<Figure>>,
    /// Why it was given up, if it was.
    pub failure: Option<String>,
}

/// What all targets gave in one scenario.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Title of the scenario.
    pub title: String,
    /// One column a target.
    pub columns: Vec<Column>,
}

/// All outcomes, and what the servers say they are.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// In the order of the scenarios.
    pub outcomes: Vec<Outcome>,
    /// Target and its version, in the order first seen.
    pub versions: Vec<(Kind, String)>,
}

/// Runs everything. A target that fails in a scenario is left out of the rest of it, and the
/// failure is kept for the report.
pub fn run(
    context: &Context,
    scenarios: &[Box<dyn Scenario>],
    targets: &[Kind],
    rounds: usize,
) -> Results {
    let mut results = Results::default();
    let mut held: HashMap<Kind, Option<Server>> = HashMap::new();
    let mut group = "";
    for scenario in scenarios {
        if scenario.group() != group {
            held.clear();
            group = scenario.group();
        }
        let kinds: Vec<Kind> = targets
            .iter()
            .chain([&Kind::Machine])
            .copied()
            .filter(|k| scenario.takes(*k))
            .collect();
        if kinds.is_empty() {
            continue;
        }
        let title = scenario.title();
        eprintln!("== {title}");
        let mut outcome =
            Outcome { title, columns: kinds.iter().map(|k| Column::new(*k)).collect() };
        for round in 0..rounds {
            for turn in 0..kinds.len() {
                let column = &mut outcome.columns[(turn + round) % kinds.len()];
                if column.failure.is_some() {
                    continue;
                }
                let slot = held.entry(column.kind).or_default();
                let result = scenario.round(context, column.kind, slot);
                column.take(round, result);
            }
        }
        results.outcomes.push(outcome);
    }
    results.versions = context.versions.take();
    results
}

impl Results {
    /// Whether anything failed.
    pub fn failed(&self) -> bool {
        self.outcomes.iter().any(|o| o.columns.iter().any(|c| c.failure.is_some()))
    }
}

impl Column {
    fn new(kind: Kind) -> Self {
        Self { kind, rounds: Vec::new(), failure: None }
    }

    fn take(&mut self, round: usize, result: Result<Vec<Figure>, PerfError>) {
        let name = self.kind.name();
        match result {
            Ok(figures) => {
                let shown: Vec<String> = figures
                    .iter()
                    .map(|f| format!("{} {} {}", f.name, crate::report::number(f.value), f.unit))
                    .collect();
                eprintln!("   round {} {name}: {}", round + 1, shown.join(", "));
                self.rounds.push(figures);
            }
            Err(error) => {
                eprintln!("   round {} {name}: FAILED: {error}", round + 1);
                self.failure = Some(format!("round {}: {error}", round + 1));
            }
        }
    }

    /// The figure of this name in every round; NaN where a round lacks it.
    pub fn values(&self, name: &str) -> Vec<f64> {
        let of = |figures: &Vec<Figure>| {
            figures.iter().find(|f| f.name == name).map_or(f64::NAN, |f| f.value)
        };
        self.rounds.iter().map(of).collect()
    }
}
