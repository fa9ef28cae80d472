//! What can be wrong with a configuration, told so that the reader can mend it: the place,
//! the key, what was found and what would be accepted.

use std::fmt;
use std::path::PathBuf;

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line (from 1) of a configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line on which the entry begins.
        line: usize,
    },
    /// A flag of the command line, as it is written there, for example `--client-port`.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line } => write!(f, "{}:{line}", path.display()),
            Place::Flag(flag) => write!(f, "command line, {flag}"),
        }
    }
}

/// A line that is not in Java's properties syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// One thing wrong with the configuration. Each stops the start.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that does not say where the data is.
    #[error(
        "{}: dataDir is not set; name the directory that the server keeps its data in, here or by --data-dir", path.display()
    )]
    NoDataDir {
        /// The file.
        path: PathBuf,
    },
    /// A line that is not in Java's properties syntax.
    #[error("{place}: {what}")]
    Syntax {
        /// File and line.
        place: Place,
        /// What is wrong.
        what: &'static str,
    },
    /// A value that the key does not accept.
    #[error("{place}: {key}={value}: expected {accepted}")]
    BadValue {
        /// File and line, or flag.
        place: Place,
        /// The key.
        key: String,
        /// The value found.
        value: String,
        /// What the key accepts.
        accepted: String,
    },
    /// A setting that the server cannot honour and must not ignore.
    #[error("{place}: {key}={value}: {reason}")]
    Refused {
        /// File and line, or flag.
        place: Place,
        /// The key.
        key: String,
        /// The value found.
        value: String,
        /// Why the server does not start with it.
        reason: String,
    },
    /// Two settings that contradict each other.
    #[error("{place}: {what}")]
    Contradiction {
        /// The place of the later one.
        place: Place,
        /// Both keys, their values and what must hold.
        what: String,
    },
}

/// Everything that is wrong with a configuration, so that one run shows it all.
#[derive(Debug)]
pub struct ConfigError {
    /// In the order of the file, then of the flags; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Something the reader should know that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// File and line, or flag; `None` for what concerns the whole configuration.
    pub place: Option<Place>,
    /// The text, beginning with the key.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.text)
    }
}
