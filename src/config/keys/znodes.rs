//! What znodes may be and do.

use super::INT_MAX;
use crate::config::table::{Key, Kind};

/// Znodes.
pub const ZNODES: &[Key] = &[
    Key::honoured(
        "extendedTypesEnabled",
        "false",
        Kind::Bool(|c, v| c.extended_types_enabled = v),
        "Allows nodes with a time to live.",
    ),
    Key::ignored(
        "emulate353TTLNodes",
        "Reads times to live as ZooKeeper 3.5.3 coded them.",
        "this server's own files never held such nodes",
    ),
    Key::honoured(
        "znode.container.checkIntervalMs",
        "60000",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.container_check_interval_ms = v as u32,
        },
        "How often the server looks for empty containers and expired nodes.",
    ),
    Key::honoured(
        "znode.container.maxPerMinute",
        "10000",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "nodes",
            set: |c, v| c.container_max_per_minute = v as u32,
        },
        "How many of these it deletes a minute at most.",
    ),
    Key::honoured(
        "znode.container.maxNeverUsedIntervalMs",
        "0",
        Kind::Int {
            min: 0,
            max: i64::MAX,
            unit: "ms",
            set: |c, v| c.container_max_never_used_interval_ms = v as u64,
        },
        "Age at which a container that never had a child is deleted; 0 is never.",
    ),
    Key::honoured(
        "enforceQuota",
        "false",
        Kind::Bool(|c, v| c.enforce_quota = v),
        "Refuses writes beyond a hard quota.",
    ),
    Key::honoured(
        "digest.enabled",
        "true",
        Kind::Bool(|c, v| c.digest_enabled = v),
        "Keeps a digest of the tree and logs it with each transaction.",
    ),
    Key::ignored(
        "enableEagerACLCheck",
        "Checks access on the server that takes a write, before it goes to the leader.",
        "a standalone server checks it once, where the write is made",
    ),
];
