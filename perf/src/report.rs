//! Results as Markdown for people and as tab-separated lines for everything else.

use crate::runner::{Column, Outcome, Results};
use crate::scenario::{Better, Figure};
use crate::stats::{median, ratios, span};
use crate::target::Kind;
use std::fmt::Write;

/// A number with as many digits as matter: thousands grouped, small ones with three figures.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = value.abs();
    if size >= 1000.0 {
        return grouped(value.round() as i64);
    }
    match size {
        s if s >= 100.0 => format!("{value:.0}"),
        s if s >= 10.0 => format!("{value:.1}"),
        s if s >= 1.0 || s == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn cell(values: &[f64]) -> String {
    match span(values) {
        None => "–".into(),
        Some((low, high)) if low == high => number(low),
        Some((low, high)) => {
            format!("{} ({}–{})", number(median(values)), number(low), number(high))
        }
    }
}

/// One table a scenario. `base` is the target that the others are set against.
pub fn markdown(results: &Results, base: Kind) -> String {
    let mut out = String::new();
    for outcome in &results.outcomes {
        let _ = writeln!(out, "\n## {}\n", outcome.title);
        table(&mut out, outcome, base);
        for column in &outcome.columns {
            if let Some(failure) = &column.failure {
                let _ = writeln!(out, "\n**{} failed**: {failure}", column.kind.name());
            }
        }
    }
    out
}

/// Which column is set against which: all others against the base, and ringkeeper against the
/// stub on its own driver, which shows how much is ringkeeper and how much is the network.
fn pairs(outcome: &Outcome, base: Kind) -> Vec<(&Column, &Column)> {
    let find = |kind| outcome.columns.iter().find(|c| c.kind == kind);
    let mut pairs: Vec<(&Column, &Column)> = Vec::new();
    if let Some(base) = find(base) {
        let others = outcome.columns.iter().filter(|c| c.kind != base.kind);
        pairs.extend(others.map(|other| (other, base)));
    }
    if base != Kind::Stub
        && let (Some(ringkeeper), Some(stub)) = (find(Kind::Ringkeeper), find(Kind::Stub))
    {
        pairs.push((ringkeeper, stub));
    }
    pairs
}

fn table(out: &mut String, outcome: &Outcome, base: Kind) {
    let pairs = pairs(outcome, base);
    let mut header = String::from("| |");
    for column in &outcome.columns {
        let _ = write!(header, " {} |", column.kind.name());
    }
    for (column, base) in &pairs {
        let _ = write!(header, " {} ÷ {} |", column.kind.name(), base.kind.name());
    }
    let cells = header.matches('|').count() - 1;
    let _ = writeln!(out, "{header}\n|{}", "---|".repeat(cells));
    for figure in known_figures(outcome) {
        row(out, outcome, &pairs, figure);
    }
}

fn row(out: &mut String, outcome: &Outcome, pairs: &[(&Column, &Column)], figure: Figure) {
    let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
    let mark = if figure.better == Better::Neither { "_" } else { "" };
    let _ = write!(out, "| {mark}{}{unit}{mark} |", figure.name);
    for column in &outcome.columns {
        let _ = write!(out, " {} |", cell(&column.values(figure.name)));
    }
    for (column, base) in pairs {
        let shown = match figure.better {
            Better::Neither => String::new(),
            _ => cell(&ratios(&column.values(figure.name), &base.values(figure.name))),
        };
        let _ = write!(out, " {shown} |");
    }
    out.push('\n');
}

/// Every figure that any target gave, in the order first seen.
fn known_figures(outcome: &Outcome) -> Vec<Figure> {
    let mut known: Vec<Figure> = Vec::new();
    for figure in outcome.columns.iter().flat_map(|c| c.rounds.iter().flatten()) {
        if !known.iter().any(|k| k.name == figure.name) {
            known.push(*figure);
        }
    }
    known
}

/// Every figure of every round: scenario, target, round, figure, unit, value.
pub fn tab_separated(results: &Results) -> String {
    let mut out = String::from("scenario\ttarget\tround\tfigure\tunit\tvalue\n");
    for outcome in &results.outcomes {
        for column in &outcome.columns {
            for (round, figures) in column.rounds.iter().enumerate() {
                for figure in figures {
                    let _ = writeln!(
                        out,
                        "{}\t{}\t{}\t{}\t{}\t{}",
                        outcome.title,
                        column.kind.name(),
                        round + 1,
                        figure.name,
                        figure.unit,
                        figure.value
                    );
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{about, higher};

    #[test]
    fn numbers_keep_what_matters() {
        let shown: Vec<String> = [1234567.8, -4321.0, 999.6, 123.4, 12.34, 1.234, 0.1234, 0.0]
            .iter()
            .map(|v| number(*v))
            .collect();
        assert_eq!(shown, ["1,234,568", "-4,321", "1000", "123", "12.3", "1.23", "0.123", "0.00"]);
        assert_eq!(number(f64::NAN), "–");
    }

    #[test]
    fn a_table_shows_medians_and_ratios_within_rounds() {
        let column = |kind, values: &[f64]| Column {
            kind,
            rounds: values
                .iter()
                .map(|v| vec![higher("throughput", "op/s", *v), about("load busy", "%", 50.0)])
                .collect(),
            failure: None,
        };
        let mut stub = column(Kind::Stub, &[400.0, 200.0]);
        stub.failure = Some("round 3: it fell over".into());
        let outcome = Outcome {
            title: "reads".into(),
            columns: vec![column(Kind::Zookeeper, &[100.0, 50.0, 60.0]), stub],
        };
        let results = Results { outcomes: vec![outcome], versions: vec![] };
        let text = markdown(&results, Kind::Zookeeper);
        let expected = "\n## reads\n\n\
            | | zookeeper | stub | stub ÷ zookeeper |\n\
            |---|---|---|---|\n\
            | throughput, op/s | 60.0 (50.0–100) | 300 (200–400) | 4.00 |\n\
            | _load busy, %_ | 50.0 | 50.0 |  |\n\
            \n**stub failed**: round 3: it fell over\n";
        assert_eq!(text, expected);
        let lines = tab_separated(&results);
        assert_eq!(lines.lines().count(), 1 + 2 * 5);
        assert!(lines.contains("reads\tstub\t2\tthroughput\top/s\t200\n"));
        assert!(results.failed());
    }
}
