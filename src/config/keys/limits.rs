//! Limits on what clients may ask, and the throttles.

use super::INT_MAX;
use crate::config::table::{Key, Kind};

/// Limits and throttles.
pub const LIMITS: &[Key] = &[
    Key::honoured(
        "jute.maxbuffer",
        "0xfffff",
        Kind::Int {
            min: 1024,
            max: INT_MAX,
            unit: "bytes",
            set: |c, v| c.jute_maxbuffer_bytes = v as u32,
        },
        "The longest request the server reads; ZooKeeper knows it as a system property only.",
    ),
    Key::honoured(
        "globalOutstandingLimit",
        "1000",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "requests",
            set: |c, v| c.global_outstanding_limit = v as u32,
        },
        "Requests taken in and not yet answered at which the server stops reading from clients \
         that have some.",
    ),
    Key::honoured(
        "largeRequestMaxBytes",
        "104857600",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "bytes",
            set: |c, v| c.large_request_max_bytes = v as u64,
        },
        "Bytes that all large requests in flight may take together; one beyond that closes its \
         connection.",
    ),
    Key::honoured(
        "largeRequestThreshold",
        "-1",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "bytes",
            set: |c, v| c.large_request_threshold_bytes = v,
        },
        "Length above which a request counts as large; -1 and 0 count none.",
    ),
    Key::honoured(
        "requestThrottleLimit",
        "0",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "requests",
            set: |c, v| c.request_throttle_limit = v as u32,
        },
        "Requests in flight from which new ones wait, in the order in which they came; 0 is \
         unlimited.",
    )
    .also(&["request_throttle_max_requests"]),
    Key::honoured(
        "requestThrottleStallTime",
        "100",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.request_throttle_stall_time_ms = v as u32,
        },
        "How long a throttled request waits at the most before the next look whether there is \
         room.",
    )
    .also(&["request_throttle_stall_time"]),
    Key::honoured(
        "requestThrottleDropStale",
        "true",
        Kind::Bool(|c, v| c.request_throttle_drop_stale = v),
        "Drops a stale request that waits in the throttle, and closes its connection, instead of \
         running it.",
    )
    .also(&["request_throttle_drop_stale"]),
    Key::honoured(
        "requestStaleLatencyCheck",
        "false",
        Kind::Bool(|c, v| c.request_stale_latency_check = v),
        "Counts a request as stale once it is older than its session's time-out.",
    )
    .also(&["request_stale_latency_check"]),
    Key::ignored(
        "requestStaleConnectionCheck",
        "Counts a request as stale once its connection is gone.",
        "a request that waits in the throttle is kept with its connection and always goes with it",
    )
    .also(&["request_stale_connection_check"]),
    Key::honoured(
        "throttledOpWaitTime",
        "0",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.throttled_op_wait_time_ms = v as u32,
        },
        "Age from which a waiting request is answered with THROTTLEDOP; 0 is never.",
    )
    .also(&["throttled_op_wait_time"]),
    Key::honoured(
        "connectionMaxTokens",
        "0",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "tokens",
            set: |c, v| c.connection_max_tokens = v as u32,
        },
        "Size of the token bucket that limits the rate of new sessions; 0 is off.",
    )
    .also(&["connection_throttle_tokens"]),
    Key::honoured(
        "connectionTokenFillTime",
        "1",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.connection_token_fill_time_ms = v as u32,
        },
        "Time between fills of the token bucket.",
    )
    .also(&["connection_throttle_fill_time"]),
    Key::honoured(
        "connectionTokenFillCount",
        "1",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "tokens",
            set: |c, v| c.connection_token_fill_count = v as u32,
        },
        "Tokens a fill.",
    )
    .also(&["connection_throttle_fill_count"]),
    Key::honoured(
        "connectionFreezeTime",
        "-1",
        Kind::Int {
            min: -1,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.connection_freeze_time_ms = v as i32,
        },
        "Time between changes of the probability that a connection is dropped; -1 drops by \
         tokens alone.",
    )
    .also(&["connection_throttle_freeze_time"]),
    Key::honoured(
        "connectionDropIncrease",
        "0.02",
        Kind::Ratio(|c, v| c.connection_drop_increase = v),
        "What a connection without a token adds to the probability of a drop.",
    )
    .also(&["connection_throttle_drop_increase"]),
    Key::honoured(
        "connectionDropDecrease",
        "0.002",
        Kind::Ratio(|c, v| c.connection_drop_decrease = v),
        "What a spell with enough tokens takes from the probability of a drop.",
    )
    .also(&["connection_throttle_drop_decrease"]),
    Key::honoured(
        "connectionDecreaseRatio",
        "0",
        Kind::Ratio(|c, v| c.connection_decrease_ratio = v),
        "Share of the bucket that must be full for the probability of a drop to fall.",
    )
    .also(&["connection_throttle_decrease_ratio"]),
    Key::honoured(
        "connection_throttle_weight_enabled",
        "false",
        Kind::Bool(|c, v| c.connection_throttle_weight_enabled = v),
        "Takes more tokens for a new session than for a renewed one.",
    ),
    Key::honoured(
        "connection_throttle_global_session_weight",
        "3",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "tokens",
            set: |c, v| c.connection_throttle_global_session_weight = v as u32,
        },
        "Tokens for a new session.",
    ),
    Key::honoured(
        "connection_throttle_renew_session_weight",
        "2",
        Kind::Int {
            min: 1,
            max: INT_MAX,
            unit: "tokens",
            set: |c, v| c.connection_throttle_renew_session_weight = v as u32,
        },
        "Tokens for a renewed session.",
    ),
    Key::ignored(
        "connection_throttle_local_session_weight",
        "Tokens for a local session.",
        "a standalone server has no local sessions",
    ),
    Key::ignored(
        "request_throttler.shutdownTimeout",
        "How long a stopping server waits for throttled requests.",
        "what has reached the log is finished, what has not is dropped at once",
    ),
];
