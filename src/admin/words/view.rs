//! The plain data that the words are answered from.

use crate::metrics::{Counter, Gauge, Reading};
use std::net::SocketAddr;

/// The server as the words see it. A shard fills in what [`super::Word::needs`] names.
#[derive(Debug, Clone, Default)]
pub struct ServerView {
    /// See [`super::full_version`].
    pub version: String,
    /// Whether the server serves clients.
    pub serving: bool,
    /// Whether it serves reads only, for want of a quorum.
    pub read_only: bool,
    /// `standalone`, `leader`, `follower` or `observer`.
    pub mode: &'static str,
    /// For `srvr` and `stat`.
    pub stats: Stats,
    /// For `mntr`, without the leading `zk_`; see [`super::monitor`].
    pub monitor: Vec<(String, Value)>,
    /// Connections of all shards, the asking one included.
    pub connections: Vec<ConnectionView>,
    /// For `conf`.
    pub conf: ConfView,
    /// Size of the files below the snapshots' directory.
    pub data_dir_bytes: u64,
    /// Size of the files below the log's directory.
    pub log_dir_bytes: u64,
    /// Live sessions.
    pub sessions: Vec<SessionView>,
    /// Sessions that have ephemeral nodes.
    pub ephemerals: Vec<EphemeralsView>,
    /// For `wchs`.
    pub watch_summary: WatchSummary,
    /// For `wchc` and `wchp`: connections that watch something.
    pub watchers: Vec<WatcherView>,
    /// For `envi`; see [`super::environment`].
    pub environment: Vec<(&'static str, String)>,
    /// For `hash`: zxid and digest of the tree, ascending.
    pub digests: Vec<(i64, i64)>,
    /// For `gtmk` and `stmk`; ZooKeeper begins with 306.
    pub trace_mask: i64,
}

/// A value of `mntr`.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A fraction, printed as Java prints a `double`.
    Real(f64),
    /// Text.
    Text(String),
}

/// Statistics of the server since the last `srst`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stats {
    /// Shortest request, in ms.
    pub latency_min_ms: u64,
    /// Mean, in ms.
    pub latency_avg_ms: f64,
    /// Longest request, in ms.
    pub latency_max_ms: u64,
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Open connections.
    pub connections: u64,
    /// Requests not yet answered.
    pub outstanding: u64,
    /// The last transaction published.
    pub last_zxid: i64,
    /// Nodes in the tree.
    pub node_count: u64,
}

impl Stats {
    /// From the metrics.
    pub fn from_reading(reading: &Reading) -> Stats {
        let latency = reading.latency();
        let gauge = |gauge| reading.gauge(gauge).max(0) as u64;
        Stats {
            latency_min_ms: latency.min() / 1_000_000,
            latency_avg_ms: latency.mean() / 1e6,
            latency_max_ms: latency.max() / 1_000_000,
            received: reading.counter(Counter::PacketsReceived),
            sent: reading.counter(Counter::PacketsSent),
            connections: gauge(Gauge::Connections),
            outstanding: gauge(Gauge::Outstanding),
            last_zxid: reading.gauge(Gauge::LastZxid),
            node_count: gauge(Gauge::Znodes),
        }
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub struct ConnectionView {
    /// The client's address.
    pub peer: SocketAddr,
    /// Java's interest set: 1 while the server reads from it, 4 more while it waits to write.
    pub interest_ops: u8,
    /// Requests not yet answered.
    pub queued: u64,
    /// Packets received since the last `crst`.
    pub received: u64,
    /// Packets sent since the last `crst`.
    pub sent: u64,
    /// When the connection would be closed for silence, in ms since 1970; for `dump`.
    pub expires_ms: i64,
    /// Its session, if it has one.
    pub session: Option<SessionPart>,
}

/// What a connection with a session has besides.
#[derive(Debug, Clone)]
pub struct SessionPart {
    /// The session.
    pub id: i64,
    /// ZooKeeper's code of the last operation, such as `GETD`; `NA` before the first.
    pub last_operation: &'static str,
    /// When the connection was made, in ms since 1970.
    pub established_ms: i64,
    /// The session's time-out, in ms.
    pub timeout_ms: i32,
    /// xid of the last request; negative: none.
    pub last_cxid: i64,
    /// zxid of the last reply; −1 after a reset.
    pub last_zxid: i64,
    /// When the last reply was made, in ms of the monotonic clock.
    pub last_response_ms: i64,
    /// Latency of the last request, in ms.
    pub last_latency_ms: i64,
    /// Shortest since the last `crst`, in ms.
    pub min_latency_ms: i64,
    /// Mean since the last `crst`, in ms, cut to a whole number.
    pub avg_latency_ms: i64,
    /// Longest since the last `crst`, in ms.
    pub max_latency_ms: i64,
}

/// What `conf` shows of the settings.
#[derive(Debug, Clone, Default)]
pub struct ConfView {
    /// Port for clients.
    pub client_port: u16,
    /// Snapshots, absolute.
    pub data_dir: String,
    /// Log, absolute.
    pub data_log_dir: String,
    /// Tick in ms.
    pub tick_time_ms: u32,
    /// Connections an address.
    pub max_client_cnxns: u32,
    /// Shortest time-out in ms.
    pub min_session_timeout_ms: i32,
    /// Longest time-out in ms.
    pub max_session_timeout_ms: i32,
    /// Accept queue; −1 if not set.
    pub client_port_listen_backlog: i32,
    /// The server's number in its ensemble; 0 standalone.
    pub server_id: i64,
}

/// A session as `dump` shows it.
#[derive(Debug, Clone, Copy)]
pub struct SessionView {
    /// The session.
    pub id: i64,
    /// When it would expire, in ms since 1970.
    pub expires_ms: i64,
}

/// Ephemeral nodes of a session.
#[derive(Debug, Clone)]
pub struct EphemeralsView {
    /// The session.
    pub session: i64,
    /// Their paths.
    pub paths: Vec<String>,
}

/// Watches of a connection: data, exists and persistent ones. ZooKeeper's words leave child
/// watches out, and so do these.
#[derive(Debug, Clone)]
pub struct WatcherView {
    /// The connection's session.
    pub session: i64,
    /// The watched paths, each once.
    pub paths: Vec<String>,
}

/// How many watches there are, of the kinds in [`WatcherView`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchSummary {
    /// Connections that watch.
    pub connections: usize,
    /// Distinct watched paths.
    pub paths: usize,
    /// Pairs of connection and path.
    pub total: usize,
}
