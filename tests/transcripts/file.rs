//! The files under `tests/transcripts/data/`: README.md there says what they hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// One server's number.
pub type Sid = i64;

/// What a server had on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnDisk {
    /// acceptedEpoch.
    pub accepted: i64,
    /// currentEpoch.
    pub current: i64,
    /// The last logged zxid.
    pub logged: i64,
    /// The zxid of the newest snapshot; 0 where the line does not say.
    pub snapshot: i64,
}

/// Which port a connection goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Votes.
    Election,
    /// Everything else.
    Quorum,
}

/// A line.
#[derive(Debug, Clone)]
#[allow(dead_code)]
pub enum Event {
    /// A server is started.
    Start { sid: Sid, disk: OnDisk },
    /// A server is killed.
    Kill { sid: Sid },
    /// What a server has on disk at the end.
    Disk { sid: Sid, disk: OnDisk },
    /// A connection was accepted.
    Dial { conn: u32, from: Sid, to: Sid, port: Port },
    /// A server sent bytes on a connection; whether they reached the other end.
    Send { conn: u32, from: Sid, bytes: Vec<u8>, arrived: bool },
    /// Nothing more comes from this end.
    End { conn: u32, from: Sid },
    /// What the tap does, and what clients do.
    Remark(String),
}

/// A file.
#[derive(Debug)]
pub struct Transcript {
    /// The scenario.
    pub name: String,
    /// What stands behind `server.<sid>=`.
    pub servers: BTreeMap<Sid, String>,
    /// Each event and when it was, in milliseconds.
    pub events: Vec<(u64, Event)>,
}

/// Where the files are: `RINGKEEPER_TRANSCRIPTS`, or `data/`.
fn directory() -> PathBuf {
    env::var_os("RINGKEEPER_TRANSCRIPTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/data"),
        PathBuf::from,
    )
}

/// All files, by name.
pub fn all() -> Vec<Transcript> {
    let mut names: Vec<PathBuf> = fs::read_dir(directory())
        .expect("the transcripts are there")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no transcripts in {}", directory().display());
    names.iter().map(|path| read(path)).collect()
}

/// The file of one scenario.
#[allow(dead_code)]
pub fn named(name: &str) -> Transcript {
    read(&directory().join(format!("{name}.txt")))
}

fn read(path: &Path) -> Transcript {
    let text = fs::read_to_string(path).expect("a transcript");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let mut transcript = Transcript { name, servers: BTreeMap::new(), events: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = || format!("{}:{}: {line}", path.display(), index + 1);
        match words[..] {
            [] => {}
            ["server", sid, address] => {
                transcript
                    .servers
                    .insert(sid.parse().unwrap_or_else(|_| panic!("{}", place())), address.into());
            }
            [since_ms, verb, ref rest @ ..] => {
                let since_ms = since_ms.parse().unwrap_or_else(|_| panic!("{}", place()));
                let event = event(verb, rest).unwrap_or_else(|| panic!("{}", place()));
                transcript.events.push((since_ms, event));
            }
            _ => panic!("{}", place()),
        }
    }
    transcript
}

fn event(verb: &str, words: &[&str]) -> Option<Event> {
    Some(match (verb, words) {
        ("start", [sid, rest @ ..]) => {
            Event::Start { sid: sid.parse().ok()?, disk: on_disk(rest)? }
        }
        ("disk", [sid, rest @ ..]) => Event::Disk { sid: sid.parse().ok()?, disk: on_disk(rest)? },
        ("kill", [sid]) => Event::Kill { sid: sid.parse().ok()? },
        ("dial", [conn, from, to, port]) => Event::Dial {
            conn: conn.parse().ok()?,
            from: from.parse().ok()?,
            to: to.parse().ok()?,
            port: match *port {
                "election" => Port::Election,
                "quorum" => Port::Quorum,
                _ => return None,
            },
        },
        ("send" | "lost", [conn, from, hex]) => Event::Send {
            conn: conn.parse().ok()?,
            from: from.parse().ok()?,
            bytes: unhex(hex)?,
            arrived: verb == "send",
        },
        ("end", [conn, from]) => Event::End { conn: conn.parse().ok()?, from: from.parse().ok()? },
        ("note" | "swallow" | "sever" | "mend", _) => {
            Event::Remark(format!("{verb} {}", words.join(" ")))
        }
        _ => return None,
    })
}

fn on_disk(words: &[&str]) -> Option<OnDisk> {
    let value = |name: &str| {
        words.iter().find_map(|word| word.strip_prefix(name)).and_then(|w| w.strip_prefix('='))
    };
    Some(OnDisk {
        accepted: value("accepted")?.parse().ok()?,
        current: value("current")?.parse().ok()?,
        logged: i64::from_str_radix(value("logged")?, 16).ok()?,
        snapshot: i64::from_str_radix(value("snapshot").unwrap_or("0"), 16).ok()?,
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}
