//! Keys that tune parts of ZooKeeper which have no counterpart here.

use crate::config::table::Key;

const SHARDS: &str = "threads are set by ringkeeper.shards";
const NO_CACHE: &str = "answers are encoded straight from the tree, there is no cache of them";
const WATCHES: &str = "there is one implementation of watches, and it cleans up at once";
const BUFFERS: &str = "buffers size themselves";

/// ZooKeeper's insides.
pub const INSIDES: &[Key] = &[
    Key::ignored("nio.*", "Threads and buffers of Java's NIO.", SHARDS),
    Key::ignored("commitProcessor.*", "Threads of the commit processor.", SHARDS),
    Key::ignored("maxResponseCacheSize", "Cached answers to getData.", NO_CACHE),
    Key::ignored("maxGetChildrenResponseCacheSize", "Cached answers to getChildren.", NO_CACHE),
    Key::ignored("watchManagerName", "The Java class that keeps watches.", WATCHES),
    Key::ignored("watcherCleanThreadsNum", "Threads that clean up watches.", WATCHES),
    Key::ignored("watcherCleanThreshold", "Dead watchers that start a clean-up.", WATCHES),
    Key::ignored("watcherCleanIntervalInSeconds", "Time between clean-ups.", WATCHES),
    Key::ignored("maxInProcessingDeadWatchers", "Dead watchers that may wait.", WATCHES),
    Key::ignored("bitHashCacheSize", "A cache of the watch manager.", WATCHES),
    Key::ignored("intBufferStartingSizeBytes", "First size of a buffer.", BUFFERS),
    Key::ignored(
        "advancedFlowControlEnabled",
        "How Netty reads from clients.",
        "reading always stops at ringkeeper.outputPauseBytes",
    )
    .also(&["netty.advancedFlowControl.enabled"]),
];
