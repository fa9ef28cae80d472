//! `docs/configuration.md`, made from the table of keys.

use super::table::{Fate, Key, SECTIONS};
use std::fmt::Write;

const HEAD: &str = "\
# Configuration

<!-- Made from src/config/keys by `RINGKEEPER_BLESS=1 cargo test --profile fast config::document`. -->

Without a configuration the server listens on port 2181 of all addresses and keeps its data in
`./data`. `ringkeeper server --config zoo.cfg` reads a configuration file of ZooKeeper 3.9 as it
is: Java's properties syntax, the same keys. Flags override the file; `-D key=value` sets any key
from the command line.

- Keys that ZooKeeper knows only as system properties (`jute.maxbuffer`,
  `DigestAuthenticationProvider.superDigest`, …) can stand in the file. Every key may carry the
  leading `zookeeper.` of its system property.
- A file must set `dataDir` (or `--data-dir` does), as for ZooKeeper. One without `clientPort` opens 2181,
  where ZooKeeper opens no plain port.
- A value that is not of the accepted form stops the start with an error that names file, line,
  key and the accepted form.
- A key that makes no sense here, or not yet, is accepted with one warning that says why; without
  one if it is in ZooKeeper's own sample file, or switches off (`false`) what is not there yet.
- An unknown key is accepted with one warning, which names a known one that it is a few letters off:
  ZooKeeper takes such keys for system properties.
- A key that would leave the server more open than the file asks for stops the start.
- Whole numbers may be written in hexadecimal, with `0x`.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in SECTIONS {
        let _ = write!(page, "\n## {}\n", section.title);
        if !section.intro.is_empty() {
            let _ = write!(page, "\n{}\n", section.intro);
        }
        honoured(&mut page, section.keys);
        others(&mut page, section.keys);
    }
    page
}

fn names(key: &Key) -> String {
    let all = std::iter::once(&key.name).chain(key.aliases);
    all.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn honoured(page: &mut String, keys: &[Key]) {
    let mut keys = keys.iter().filter(|key| key.fate == Fate::Honoured).peekable();
    if keys.peek().is_none() {
        return;
    }
    page.push_str("\n| key | accepts | default | |\n|---|---|---|---|\n");
    for key in keys {
        let default = match key.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let accepted = key.kind.accepted();
        let _ = writeln!(page, "| {} | {accepted} | {default} | {} |", names(key), key.doc);
    }
}

fn others(page: &mut String, keys: &[Key]) {
    let mut keys = keys.iter().filter(|key| key.fate != Fate::Honoured).peekable();
    if keys.peek().is_none() {
        return;
    }
    page.push_str("\n| key | | what becomes of it |\n|---|---|---|\n");
    for key in keys {
        let fate = match key.fate {
            Fate::Honoured => continue,
            Fate::Ignored(reason) => format!("ignored: {reason}"),
            Fate::Moot(reason) => format!("of no use here, and no warning: {reason}"),
            Fate::Later(what) => format!("not available yet: {what}"),
            Fate::Refused { unless: [], reason } => format!("refused: {reason}"),
            Fate::Refused { unless, reason } => {
                format!("refused unless `{}`: {reason}", unless.join("` or `"))
            }
        };
        let _ = writeln!(page, "| {} | {} | {fate} |", names(key), key.doc);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var_os("RINGKEEPER_BLESS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == page(),
            "docs/configuration.md differs from the table of keys; make it anew with \
             RINGKEEPER_BLESS=1 cargo test --profile fast config::document"
        );
    }
}
