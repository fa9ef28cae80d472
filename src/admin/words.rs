//! Four-letter words: the little commands (`ruok`, `stat`, `mntr`, …) that monitoring scripts
//! send instead of a length as the first four bytes of a connection.
//!
//! Owns: which words there are, the white list, and the exact bytes of each answer, which are
//! those of ZooKeeper 3.9 because scripts parse them. It only formats: a shard gathers the plain
//! data of a [`ServerView`] (what [`Word::needs`] asks for), does what [`Word::effect`] says,
//! sends the answer and closes the connection. No I/O, no clock, no state.

mod answer;
mod environment;
mod java;
mod monitor;
mod view;
mod word;

pub use answer::{answer, refusal};
pub use environment::environment;
pub use monitor::{MonitorFacts, monitor};
pub use view::{
    ConfView, ConnectionView, EphemeralsView, ServerView, SessionPart, SessionView, Stats, Value,
    WatchSummary, WatcherView,
};
pub use word::{Effect, Needs, WhiteList, Word};

/// The version that clients and scripts see: that of the ZooKeeper whose protocol and words we
/// speak, then our own, in the shape of ZooKeeper's (`version-revision, built on date`).
/// The date is that of the source, as `build.rs` finds it; where there is none, nothing is said of it.
pub fn full_version() -> String {
    full_version_of(option_env!("RINGKEEPER_BUILT_S"))
}

fn full_version_of(built_s: Option<&str>) -> String {
    let version = concat!("3.9.5-ringkeeper-", env!("CARGO_PKG_VERSION"));
    match built_s.and_then(|text| text.parse().ok()) {
        Some(built_s) => format!("{version}, built on {}", java::minute(built_s)),
        None => version.to_owned(),
    }
}

#[cfg(test)]
mod tests;
