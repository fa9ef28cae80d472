//! Scenarios as text: commands and what they answer, for a person to review.
//!
//! A file is a row of blocks: comment lines (`#`), a command line, perhaps more input lines, a line `----`, and the
//! answer up to an empty line. `RINGKEEPER_BLESS=1 cargo test zab` writes the answers anew instead of comparing them;
//! review the difference.

use std::fmt::Write as _;
use std::path::Path;

/// One command with its further lines.
pub struct Command<'a> {
    /// The first word.
    pub name: &'a str,
    /// The other words.
    pub words: Vec<&'a str>,
    /// The lines after it.
    pub lines: Vec<&'a str>,
}

impl<'a> Command<'a> {
    /// The value of `key=value` among the words.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Runs a file through `run`, and compares or rewrites it. Returns the number of blocks.
pub fn run_file(name: &str, run: impl FnMut(&Command<'_>) -> String) -> usize {
    let (path, out, blocks, wrong) = answers(name, run);
    if std::env::var_os("RINGKEEPER_BLESS").is_some() {
        std::fs::write(&path, out).unwrap();
    } else {
        assert!(
            wrong.is_empty(),
            "{name}: {} of {blocks} differ\n{}",
            wrong.len(),
            wrong.join("\n")
        );
    }
    blocks
}

/// Whether a file's answers are not those that it has.
pub fn differs(name: &str, run: impl FnMut(&Command<'_>) -> String) -> bool {
    !answers(name, run).3.is_empty()
}

/// The file, its text with the answers that `run` gives, the number of blocks, and where they differ.
fn answers(
    name: &str,
    mut run: impl FnMut(&Command<'_>) -> String,
) -> (std::path::PathBuf, String, usize, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zab/testdata").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut out, mut blocks, mut wrong) = (String::new(), 0, Vec::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            writeln!(out, "{line}").unwrap();
            continue;
        }
        writeln!(out, "{line}").unwrap();
        let mut more = Vec::new();
        while let Some(next) = lines.peek() {
            if *next == "----" || next.is_empty() {
                break;
            }
            writeln!(out, "{next}").unwrap();
            more.push(lines.next().unwrap());
        }
        let mut expected = String::new();
        if lines.peek() == Some(&"----") {
            lines.next();
            while let Some(next) = lines.peek() {
                if next.is_empty() {
                    break;
                }
                writeln!(expected, "{next}").unwrap();
                lines.next();
            }
        }
        let mut words = line.split_whitespace();
        let command = Command { name: words.next().unwrap(), words: words.collect(), lines: more };
        let answer = run(&command);
        let answer =
            if answer.is_empty() { "ok\n".to_owned() } else { format!("{}\n", answer.trim_end()) };
        assert!(!answer.contains("\n\n"), "{name}: an answer with an empty line");
        if answer != expected {
            wrong.push(format!("{line}\n  expected:\n{expected}  but:\n{answer}"));
        }
        write!(out, "----\n{answer}").unwrap();
        blocks += 1;
    }
    (path, out, blocks, wrong)
}
