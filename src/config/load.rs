//! From file and flags to a [`Config`]: looks up each key, applies it, gathers every problem
//! and warning, then judges what only several keys together show.

use super::alike;
use super::error::{ConfigError, Place, Problem, Warning};
use super::properties;
use super::settings::Config;
use super::table::{self, Fate, Key};
use crate::admin::words::Word;
use crate::auth::{DigestAlgorithm, generate_digest};
use std::collections::HashMap;
use std::path::Path;

/// A setting from the command line; later ones win, and all win over the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag as the user writes it, for error messages.
    pub flag: String,
    /// The key of the table that it sets.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A configuration that is fit to start with.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What the user should know of, in the order of the file, then of the flags.
    pub warnings: Vec<Warning>,
}

/// ZooKeeper's tick where a file sets none (`ZooKeeperServer.DEFAULT_TICK_TIME`); without a
/// file the server takes that of ZooKeeper's sample file, which is `Config::default()`.
const TICK_TIME_OF_A_SILENT_FILE_MS: u32 = 3000;
/// The fewest snapshots a purge may keep (`QuorumPeerConfig`).
const SNAP_RETAIN_COUNT_MIN: u32 = 3;
/// `ZooKeeperServer.getSnapCount`.
const SNAP_COUNT_MIN: u32 = 2;
/// The same where a file sets none (`ZooKeeperServer.DEFAULT_SNAP_COUNT`).
const SNAP_COUNT: u32 = 100_000;

/// Reads the file, if there is one, and lays the flags over it.
pub fn load(file: Option<&Path>, flags: &[Override]) -> Result<Loaded, ConfigError> {
    let text = match file {
        None => None,
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => Some((path, bytes)),
            Err(source) => {
                let problem = Problem::Unreadable { path: path.to_owned(), source };
                return Err(ConfigError { problems: vec![problem] });
            }
        },
    };
    let mut loader =
        Loader::read(text.as_ref().map(|(path, bytes)| (*path, bytes.as_slice())), flags);
    if let Some(path) = file {
        loader.judge_data_dir(path);
    }
    loader.finish()
}

/// [`load`] with the file's content at hand, which need not say where the data is.
pub fn parse(file: Option<(&Path, &[u8])>, flags: &[Override]) -> Result<Loaded, ConfigError> {
    Loader::read(file, flags).finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    problems: Vec<Problem>,
    warnings: Vec<Warning>,
    /// Where each key was set last, by its name in the table or, if unknown, as written.
    seen: HashMap<String, Place>,
    /// Members of an ensemble: place, key, value.
    members: Vec<(Place, String, String)>,
}

impl Loader {
    fn read(file: Option<(&Path, &[u8])>, flags: &[Override]) -> Loader {
        let mut loader = Loader::default();
        let config = &mut loader.config;
        (config.min_session_timeout_ms, config.max_session_timeout_ms) = (-1, -1);
        if let Some((path, bytes)) = file {
            loader.config.tick_time_ms = TICK_TIME_OF_A_SILENT_FILE_MS;
            loader.file(path, bytes);
        }
        for flag in flags {
            loader.apply(Place::Flag(flag.flag.clone()), &flag.key, &flag.value);
        }
        loader
    }

    fn file(&mut self, path: &Path, bytes: &[u8]) {
        let place = |line| Place::File { path: path.to_owned(), line };
        match properties::parse(bytes) {
            Ok(entries) => {
                for entry in entries {
                    self.apply(place(entry.line), &entry.key, &entry.value);
                }
            }
            Err(error) => {
                self.problems.push(Problem::Syntax { place: place(error.line), what: error.what });
            }
        }
    }

    fn apply(&mut self, place: Place, name: &str, value: &str) {
        let Some(key) = table::find(name) else {
            if self.note(&place, name) {
                self.warn(&place, unknown(name));
            }
            return;
        };
        let identity = if key.name.ends_with('*') { name } else { key.name };
        let first = self.note(&place, identity);
        match key.fate {
            Fate::Honoured => {
                if key.kind.apply(&mut self.config, value).is_err() {
                    self.problems.push(bad_value(place, name, value, key));
                }
            }
            _ if key.name == "server.*" => {
                self.members.retain(|(_, member, _)| member != name);
                self.members.push((place, name.to_owned(), value.to_owned()));
            }
            Fate::Ignored(reason) if first => {
                self.warn(&place, format!("{name} is ignored: {reason}"));
            }
            Fate::Later(what) if first && !value.eq_ignore_ascii_case("false") => {
                self.warn(&place, format!("{name} is ignored: not available yet ({what})"));
            }
            Fate::Ignored(_) | Fate::Moot(_) | Fate::Later(_) => {}
            Fate::Refused { unless, reason } => {
                if !unless.contains(&value.to_ascii_lowercase().as_str()) {
                    self.problems.push(refused(place, name, value, reason));
                }
            }
        }
    }

    /// Remembers where a key was set. A key set twice in the file is most likely a mistake; the
    /// last one wins, as in ZooKeeper. A flag over the file is meant. True the first time.
    fn note(&mut self, place: &Place, identity: &str) -> bool {
        let before = self.seen.insert(identity.to_owned(), place.clone());
        if let (Some(Place::File { line, .. }), Place::File { .. }) = (&before, place) {
            let text = format!("{identity} was set in line {line} already; the last one counts");
            self.warn(place, text);
        }
        before.is_none()
    }

    fn warn(&mut self, place: &Place, text: String) {
        self.warnings.push(Warning { place: Some(place.clone()), text });
    }

    /// The same of what several keys together show, at the first of them that is set.
    fn warn_of(&mut self, names: &[&str], text: impl Into<String>) {
        let place = self.place(names);
        self.warnings.push(Warning { place, text: text.into() });
    }

    fn finish(mut self) -> Result<Loaded, ConfigError> {
        self.judge_members();
        self.judge_timeouts();
        self.judge_retention();
        self.judge_access();
        self.judge_buffers();
        if !self.seen.contains_key("dataLogDir") {
            self.config.data_log_dir = self.config.data_dir.clone();
        }
        if self.problems.is_empty() {
            Ok(Loaded { config: self.config, warnings: self.warnings })
        } else {
            Err(ConfigError { problems: self.problems })
        }
    }

    /// As `QuorumPeerConfig`: with a name that is mistyped clients would find an empty tree somewhere else.
    fn judge_data_dir(&mut self, file: &Path) {
        if !self.seen.contains_key("dataDir") {
            self.problems.push(Problem::NoDataDir { path: file.to_owned() });
        }
    }

    /// One voting member alone runs standalone, as `QuorumPeerConfig.parseDynamicConfig` has it;
    /// more would be an ensemble.
    fn judge_members(&mut self) {
        let members = std::mem::take(&mut self.members);
        let count = members.len();
        for (place, name, value) in members {
            if count > 1 || value.to_ascii_lowercase().contains(":observer") {
                let reason = "this lists the members of an ensemble, and ensembles are not \
                     available yet; remove the server lines to run standalone";
                self.problems.push(refused(place, &name, &value, reason));
                return;
            }
            let text = format!("{name} is ignored: one member alone is a standalone server");
            self.warn(&place, text);
        }
    }

    fn judge_timeouts(&mut self) {
        let config = &mut self.config;
        let ticks = |count: u32| config.tick_time_ms.saturating_mul(count).min(i32::MAX as u32);
        let (low, high) = (ticks(2) as i32, ticks(20) as i32);
        if config.min_session_timeout_ms == -1 {
            config.min_session_timeout_ms = low;
        }
        if config.max_session_timeout_ms == -1 {
            config.max_session_timeout_ms = high;
        }
        let (min, max) = (config.min_session_timeout_ms, config.max_session_timeout_ms);
        if min > max {
            let what = format!(
                "minSessionTimeout ({min} ms) must not be larger than maxSessionTimeout ({max} \
                 ms); where one is not set, it follows from tickTime"
            );
            let place = self.place(&["minSessionTimeout", "maxSessionTimeout", "tickTime"]);
            self.problems.extend(place.map(|place| Problem::Contradiction { place, what }));
        }
    }

    fn judge_retention(&mut self) {
        if self.config.autopurge_snap_retain_count < SNAP_RETAIN_COUNT_MIN {
            self.config.autopurge_snap_retain_count = SNAP_RETAIN_COUNT_MIN;
            let text = format!("autopurge.snapRetainCount is raised to {SNAP_RETAIN_COUNT_MIN}");
            self.warn_of(&["autopurge.snapRetainCount"], text);
        }
        if self.config.snap_count != 0 && self.config.snap_count < SNAP_COUNT_MIN {
            self.config.snap_count = SNAP_COUNT_MIN;
            let text = format!("snapCount is raised to {SNAP_COUNT_MIN}");
            self.warn_of(&["snapCount"], text);
        }
        if self.config.snap_count == 0 && self.config.snap_size_limit_kb == 0 {
            self.config.snap_count = SNAP_COUNT;
            let text = format!(
                "without snapCount and snapSizeLimitInKb no snapshot would ever be taken and the log grow until its disk is \
                 full: snapCount is {SNAP_COUNT}, as ZooKeeper's"
            );
            self.warn_of(&["snapSizeLimitInKb", "snapCount"], text);
        }
    }

    fn judge_access(&mut self) {
        if self.seen.contains_key("secureClientPort") && !self.seen.contains_key("clientPort") {
            let what = "secureClientPort is set and clientPort is not: TLS is not available yet, \
                 and the server does not open a plain port that was not asked for";
            let place = self.place(&["secureClientPort"]);
            let what = what.to_owned();
            self.problems.extend(place.map(|place| Problem::Contradiction { place, what }));
        }
        if let Err(error) = self.config.auth().validate() {
            let place = self.place(&["enforce.auth.enabled"]);
            let what = error.to_string();
            self.problems.extend(place.map(|place| Problem::Contradiction { place, what }));
        }
        if let Some(id) = &self.config.super_digest
            && !is_digest(id, self.config.digest_algorithm)
        {
            let text = "DigestAuthenticationProvider.superDigest: what stands behind the colon is no hash of \
                 DigestAuthenticationProvider.digestAlg, so nobody can be that user; give the base64 of the digest \
                 of user:password, not the password";
            self.warn_of(&["DigestAuthenticationProvider.superDigest"], text);
        }
        let known = |word: &str| Word::ALL.iter().any(|known| known.is_named_by(word));
        let unknown = self.config.four_letter_words.iter().filter(|word| !known(word));
        let unknown: Vec<&str> = unknown.map(String::as_str).collect();
        if !unknown.is_empty() {
            let text = format!("4lw.commands.whitelist: there is no word {}", unknown.join(", "));
            self.warn_of(&["4lw.commands.whitelist"], text);
        }
        if self.config.skip_acl {
            let text = "skipACL=yes: access control lists are not checked, everybody may do \
                 everything";
            self.warn_of(&["skipACL"], text);
        }
        if !self.config.force_sync {
            let text = "forceSync=no: writes are acknowledged before they are on their medium and \
                 may be lost when the machine fails";
            self.warn_of(&["forceSync"], text);
        }
    }

    fn judge_buffers(&mut self) {
        let (pause, limit) = (self.config.output_pause_bytes, self.config.output_limit_bytes);
        if pause > limit {
            let what = format!(
                "ringkeeper.outputPauseBytes ({pause}) must not be larger than \
                 ringkeeper.outputLimitBytes ({limit})"
            );
            let place = self.place(&["ringkeeper.outputPauseBytes", "ringkeeper.outputLimitBytes"]);
            self.problems.extend(place.map(|place| Problem::Contradiction { place, what }));
        }
    }

    /// Where the first of these keys that is set was set.
    fn place(&self, names: &[&str]) -> Option<Place> {
        names.iter().find_map(|name| self.seen.get(*name)).cloned()
    }
}

/// Whether an identity could be that of any password.
fn is_digest(id: &str, algorithm: DigestAlgorithm) -> bool {
    let Some((user, hash)) = id.split_once(':') else { return false };
    let some = generate_digest(algorithm, &format!("{user}:"));
    let base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    id.len() == some.len() && hash.bytes().all(base64)
}

fn bad_value(place: Place, name: &str, value: &str, key: &Key) -> Problem {
    let accepted = key.kind.accepted();
    // The one value that is a secret must not reach a log.
    let secret = key.name.ends_with("superDigest");
    let value = if secret { "…".to_owned() } else { value.to_owned() };
    Problem::BadValue { place, key: name.to_owned(), value, accepted }
}

fn refused(place: Place, name: &str, value: &str, reason: &str) -> Problem {
    let (key, value, reason) = (name.to_owned(), value.to_owned(), reason.to_owned());
    Problem::Refused { place, key, value, reason }
}

fn unknown(name: &str) -> String {
    let alike = alike::nearest(name);
    let hint = alike.map(|known| format!(" (did you mean {known}?)")).unwrap_or_default();
    let property = name.strip_prefix("zookeeper.").unwrap_or(name);
    format!(
        "{name} is not known{hint}; like ZooKeeper, the server takes it for the system property \
         zookeeper.{property}, which nothing here reads"
    )
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
