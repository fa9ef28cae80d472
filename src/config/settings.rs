//! [`Config`]: every setting the server honours, in typed form.

use crate::auth::{AuthConfig, DigestAlgorithm};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Where the ensemble core runs relative to the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// One thread for both when there is one shard and no core to spare, else apart.
    Auto,
    /// The core shares the thread of shard 0: no hop between them.
    Together,
    /// The core has a thread of its own.
    Apart,
}

/// Whether threads are bound to CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// Bound where `cores` names them, else left to the scheduler: a CPU that others use as
    /// well is a bad place to be bound to.
    Auto,
    /// Always bound.
    Yes,
    /// Never bound.
    No,
}

/// Every honoured setting. Plain data; `Config::default()` is the server without a configuration.
///
/// What each key means in full, its accepted form and its default stand in `table::SECTIONS`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Port for clients; 0 takes a free one.
    pub client_port: u16,
    /// Address the client port listens on; `None` is all of them, IPv4 and IPv6.
    pub client_port_address: Option<IpAddr>,
    /// Length of the accept queue; −1 leaves it to the server.
    pub client_port_listen_backlog: i32,
    /// TCP keep-alive on client connections.
    pub client_tcp_keep_alive: bool,
    /// Connections one client address may have at a time; 0 is unlimited.
    pub max_client_cnxns: u32,
    /// Connections in all; 0 is unlimited.
    pub max_cnxns: u32,
    /// How long a connection may stay without a session, in ms.
    pub sessionless_cnxn_timeout_ms: u64,

    /// Snapshots, and the log unless `data_log_dir` says otherwise.
    pub data_dir: PathBuf,
    /// The transaction log.
    pub data_log_dir: PathBuf,
    /// Whether missing directories are made.
    pub data_dir_autocreate: bool,

    /// ZooKeeper's unit of time, in ms.
    pub tick_time_ms: u32,
    /// Shortest session time-out granted, in ms.
    pub min_session_timeout_ms: i32,
    /// Longest session time-out granted, in ms.
    pub max_session_timeout_ms: i32,

    /// Longest request accepted, in bytes.
    pub jute_maxbuffer_bytes: u32,
    /// Requests taken in and not yet answered, over all connections, before reading pauses.
    pub global_outstanding_limit: u32,
    /// Bytes of large requests in flight over all connections.
    pub large_request_max_bytes: u64,
    /// Size in bytes from which a request counts as large; −1: none does.
    pub large_request_threshold_bytes: i64,
    /// Requests in flight from which new ones wait; 0 is unlimited.
    pub request_throttle_limit: u32,
    /// How long a throttled request waits before the next look, in ms.
    pub request_throttle_stall_time_ms: u32,
    /// Whether stale requests are dropped when throttled.
    pub request_throttle_drop_stale: bool,
    /// Whether a request older than its session's time-out is stale.
    pub request_stale_latency_check: bool,
    /// Age in ms from which a waiting request is answered with THROTTLEDOP; 0 is never.
    pub throttled_op_wait_time_ms: u32,
    /// Connection throttle: size of the token bucket; 0 is off.
    pub connection_max_tokens: u32,
    /// Connection throttle: ms between fills.
    pub connection_token_fill_time_ms: u32,
    /// Connection throttle: tokens a fill.
    pub connection_token_fill_count: u32,
    /// Connection throttle: ms between changes of the drop probability; −1 is off.
    pub connection_freeze_time_ms: i32,
    /// Connection throttle: what a refused connection adds to the drop probability.
    pub connection_drop_increase: f64,
    /// Connection throttle: what an admitted connection takes from the drop probability.
    pub connection_drop_decrease: f64,
    /// Connection throttle: share of tokens above which the drop probability falls.
    pub connection_decrease_ratio: f64,
    /// Connection throttle: whether kinds of session cost differently.
    pub connection_throttle_weight_enabled: bool,
    /// Tokens a new global session costs.
    pub connection_throttle_global_session_weight: u32,
    /// Tokens a renewed session costs.
    pub connection_throttle_renew_session_weight: u32,

    /// Whether quotas refuse writes.
    pub enforce_quota: bool,
    /// Whether ACLs are left unchecked.
    pub skip_acl: bool,
    /// Whether the `digest` scheme is offered.
    pub digest_auth_enabled: bool,
    /// Hash of the `digest` scheme.
    pub digest_algorithm: DigestAlgorithm,
    /// `user:hash` of the super user, if there is one.
    pub super_digest: Option<String>,
    /// Whether the connection must authenticate before it may do anything else.
    pub enforce_auth_enabled: bool,
    /// The schemes of which one must have authenticated it.
    pub enforce_auth_schemes: Vec<String>,
    /// Whether the `ensemble` scheme is offered (an `authProvider.*` names its class).
    pub ensemble_auth_enabled: bool,
    /// Names that its clients may give; `None` accepts any.
    pub ensemble_auth_names: Option<Vec<String>>,
    /// Four-letter words that are answered (`srvr` always is).
    pub four_letter_words: Vec<String>,

    /// Whether a write is on its medium before it is acknowledged.
    pub force_sync: bool,
    /// A log write that takes longer than this is reported, in ms.
    pub fsync_warning_threshold_ms: u64,
    /// Transactions after which a snapshot is taken; 0: by volume alone.
    pub snap_count: u32,
    /// Log volume after which a snapshot is taken, in KiB; 0 is off.
    pub snap_size_limit_kb: u64,
    /// Size of a log segment, in KiB.
    pub pre_alloc_size_kb: u64,
    /// Snapshots that a purge keeps (at least 3).
    pub autopurge_snap_retain_count: u32,
    /// Whether old files go after each snapshot: 0 keeps everything.
    pub autopurge_purge_interval_h: u32,

    /// Whether TTL nodes exist.
    pub extended_types_enabled: bool,
    /// How often empty containers and expired TTL nodes are looked for, in ms.
    pub container_check_interval_ms: u32,
    /// Deletions of these a minute, at most.
    pub container_max_per_minute: u32,
    /// Age in ms at which a container that never had a child goes; 0 is never.
    pub container_max_never_used_interval_ms: u64,
    /// Whether the tree's digest is kept and logged.
    pub digest_enabled: bool,
    /// Whether `reconfig` is enabled; a standalone server has nothing to reconfigure, but says so
    /// with another error.
    pub reconfig_enabled: bool,
    /// Whether read-only mode is on; standalone it adds `isro` to the four-letter words only.
    pub read_only_mode_enabled: bool,

    /// Threads that serve clients; 0 is one a CPU, less one for the core where there are several.
    pub shards: u32,
    /// CPUs the server may use, ascending; empty is all that the process may use.
    pub cores: Vec<usize>,
    /// Whether threads are bound to CPUs.
    pub pinning: Pinning,
    /// Where the ensemble core runs.
    pub placement: Placement,
    /// How long a thread with work in flight polls before it parks, in µs; 0 parks at once.
    pub busy_poll_us: u32,
    /// How long the core's thread polls for the end of a log write of a few transactions before it parks, in µs.
    pub log_write_poll_us: u32,
    /// Unsent bytes of a connection at which the server stops reading from it.
    pub output_pause_bytes: u64,
    /// Unsent bytes of a connection at which it is closed.
    pub output_limit_bytes: u64,
    /// Whether a snapshot is served although the log that led to it is lost.
    pub accept_lost_log: bool,
    /// Bytes of old versions that wait for readers at which no more writes are taken.
    pub retained_bytes_max: u64,
    /// Memory that all connections' unsent output may hold.
    pub output_total_bytes: u64,
    /// Memory that all connections' requests may hold that are not whole or not answered yet.
    pub input_total_bytes: u64,
    /// Watches one connection may hold; 0 is unlimited.
    pub watches_per_connection_max: u64,
}

impl Config {
    /// The address to listen on. Without one, `[::]` takes IPv4 as well.
    pub fn client_address(&self) -> SocketAddr {
        let address = self.client_port_address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        SocketAddr::new(address, self.client_port)
    }

    /// What authentication and access checks need.
    pub fn auth(&self) -> AuthConfig {
        let enforced = self.enforce_auth_enabled.then(|| self.enforce_auth_schemes.clone());
        AuthConfig {
            digest_enabled: self.digest_auth_enabled,
            digest_algorithm: self.digest_algorithm,
            super_digest: self.super_digest.clone(),
            ensemble_names: self.ensemble_auth_names.clone(),
            ensemble_enabled: self.ensemble_auth_enabled,
            skip_acl: self.skip_acl,
            enforced_schemes: enforced,
            ..AuthConfig::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            client_port: 2181,
            client_port_address: None,
            client_port_listen_backlog: -1,
            client_tcp_keep_alive: false,
            max_client_cnxns: 60,
            max_cnxns: 0,
            sessionless_cnxn_timeout_ms: 10_000,
            data_dir: PathBuf::from("data"),
            data_log_dir: PathBuf::from("data"),
            data_dir_autocreate: true,
            tick_time_ms: 2000,
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            jute_maxbuffer_bytes: 0xfffff,
            global_outstanding_limit: 1000,
            large_request_max_bytes: 100 << 20,
            large_request_threshold_bytes: -1,
            request_throttle_limit: 0,
            request_throttle_stall_time_ms: 100,
            request_throttle_drop_stale: true,
            request_stale_latency_check: false,
            throttled_op_wait_time_ms: 0,
            connection_max_tokens: 0,
            connection_token_fill_time_ms: 1,
            connection_token_fill_count: 1,
            connection_freeze_time_ms: -1,
            connection_drop_increase: 0.02,
            connection_drop_decrease: 0.002,
            connection_decrease_ratio: 0.0,
            connection_throttle_weight_enabled: false,
            connection_throttle_global_session_weight: 3,
            connection_throttle_renew_session_weight: 2,
            enforce_quota: false,
            skip_acl: false,
            digest_auth_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            enforce_auth_enabled: false,
            enforce_auth_schemes: Vec::new(),
            ensemble_auth_enabled: false,
            ensemble_auth_names: None,
            four_letter_words: vec!["srvr".to_owned()],
            force_sync: true,
            fsync_warning_threshold_ms: 1000,
            snap_count: 0,
            snap_size_limit_kb: 512 << 10,
            pre_alloc_size_kb: 64 << 10,
            autopurge_snap_retain_count: 3,
            autopurge_purge_interval_h: 1,
            extended_types_enabled: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_interval_ms: 0,
            digest_enabled: true,
            reconfig_enabled: false,
            read_only_mode_enabled: false,
            shards: 0,
            cores: Vec::new(),
            pinning: Pinning::Auto,
            placement: Placement::Auto,
            busy_poll_us: 0,
            log_write_poll_us: 300,
            output_pause_bytes: 1 << 20,
            output_limit_bytes: 64 << 20,
            accept_lost_log: false,
            retained_bytes_max: 128 << 20,
            output_total_bytes: 512 << 20,
            input_total_bytes: 256 << 20,
            watches_per_connection_max: 0,
        }
    }
}
