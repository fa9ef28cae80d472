//! What each room is told of the configuration.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use crate::admin::words::ConfView;
use crate::auth::AuthConfig;
use crate::config::Config;
use crate::ensemble::CoreConfig;
use crate::prepare::PrepareConfig;
use crate::reactor::monotonic_ns;
use crate::session::{RegistryConfig, TimeoutBounds};
use crate::shard::ShardLimits;
use crate::shard::admission::{Admission, AdmissionConfig, ThrottleSettings};
use crate::shard::budget::Budget;
use crate::shard::throttle::RequestThrottle;
use crate::watch::WatchLimits;

use super::{ServerError, own_dir, plan};

/// A log write that takes longer ends the process.
const LOG_WRITE_LIMIT_NS: u64 = 30_000_000_000;

pub(super) fn conf_view(config: &Config, listeners: &[TcpListener]) -> ConfView {
    let port = listeners.first().and_then(|l| l.local_addr().ok()).map_or(0, |a| a.port());
    let shown = |dir: &Path| own_dir(dir).display().to_string();
    ConfView {
        client_port: port,
        data_dir: shown(&config.data_dir),
        data_log_dir: shown(&config.data_log_dir),
        tick_time_ms: config.tick_time_ms,
        max_client_cnxns: config.max_client_cnxns,
        min_session_timeout_ms: config.min_session_timeout_ms,
        max_session_timeout_ms: config.max_session_timeout_ms,
        client_port_listen_backlog: config.client_port_listen_backlog,
        server_id: 0,
    }
}

pub(super) fn core_config(config: &Config, auth: &AuthConfig) -> Result<CoreConfig, ServerError> {
    let timeouts = TimeoutBounds::new(
        config.tick_time_ms as i32,
        Some(config.min_session_timeout_ms),
        Some(config.max_session_timeout_ms),
    );
    Ok(CoreConfig {
        prepare: PrepareConfig {
            auth: auth.clone(),
            extended_types_enabled: config.extended_types_enabled,
            enforce_quota: config.enforce_quota,
            digest_enabled: config.digest_enabled,
            reconfig_enabled: config.reconfig_enabled,
        },
        timeouts: timeouts.map_err(|e| ServerError::Recovery(e.to_string()))?,
        sessions_max: RegistryConfig::default().sessions_max,
        container_check_interval_ms: u64::from(config.container_check_interval_ms),
        container_max_per_minute: config.container_max_per_minute,
        container_max_never_used_ms: config.container_max_never_used_interval_ms as i64,
        txn_bytes_max: plan::txn_bytes_max(config),
        batch_bytes_max: plan::batch_bytes_max(config),
        retained_bytes_max: config.retained_bytes_max as usize,
        log_write_limit_ns: LOG_WRITE_LIMIT_NS,
        log_write_warning_ns: config.fsync_warning_threshold_ms * 1_000_000,
        log_write_poll_ns: u64::from(config.log_write_poll_us) * 1000,
    })
}

/// `clients_max`: those whom the process has descriptors for. Who is let in beyond would take them from the log, and
/// nobody could write any more.
pub(super) fn admission(config: &Config, clients_max: Option<u64>) -> Admission {
    let weights = (
        config.connection_throttle_global_session_weight,
        config.connection_throttle_renew_session_weight,
    );
    let settings = AdmissionConfig {
        connections_max: match (u64::from(config.max_cnxns), clients_max) {
            (0, clients_max) => clients_max.unwrap_or(0),
            (configured, clients_max) => configured.min(clients_max.unwrap_or(u64::MAX)),
        },
        per_address_max: config.max_client_cnxns as usize,
        throttle: ThrottleSettings {
            max_tokens: config.connection_max_tokens,
            fill_time_ms: config.connection_token_fill_time_ms,
            fill_count: config.connection_token_fill_count,
            freeze_time_ms: config.connection_freeze_time_ms,
            drop_increase: config.connection_drop_increase,
            drop_decrease: config.connection_drop_decrease,
            decrease_ratio: config.connection_decrease_ratio,
            weights: config.connection_throttle_weight_enabled.then_some(weights),
        },
        large_bytes_max: config.large_request_max_bytes,
    };
    let seed = crate::process::wall_clock_ms() as u64;
    Admission::new(settings, (monotonic_ns() / 1_000_000) as i64, seed)
}

pub(super) fn shard_limits(config: &Config) -> ShardLimits {
    ShardLimits {
        frame_bytes_max: config.jute_maxbuffer_bytes as usize,
        output_pause_bytes: config.output_pause_bytes as usize,
        output_close_bytes: config.output_limit_bytes as usize,
        pending_max: 4_096,
        held_max: 256,
        held_bytes_max: config.jute_maxbuffer_bytes as usize,
        // ZooKeeper takes 0 for none, too.
        large_request_bytes: usize::try_from(config.large_request_threshold_bytes)
            .ok()
            .filter(|&bytes| bytes > 0)
            .unwrap_or(usize::MAX),
        outstanding_max: u64::from(config.global_outstanding_limit),
        throttle: (config.request_throttle_limit > 0).then(|| RequestThrottle {
            requests_max: u64::from(config.request_throttle_limit),
            stall_ns: u64::from(config.request_throttle_stall_time_ms) * 1_000_000,
            drops_stale: config.request_throttle_drop_stale,
            checks_latency: config.request_stale_latency_check,
            op_wait_ns: u64::from(config.throttled_op_wait_time_ms) * 1_000_000,
        }),
        handshake_timeout_ms: config.sessionless_cnxn_timeout_ms,
    }
}

pub(super) fn output_budget(config: &Config, shards: usize) -> Arc<Budget> {
    Budget::new(config.output_total_bytes.max(config.output_limit_bytes) as usize, shards)
}

/// A request may need twice its length while it grows.
pub(super) fn input_budget(config: &Config, shards: usize) -> Arc<Budget> {
    let longest = u64::from(config.jute_maxbuffer_bytes);
    Budget::new(config.input_total_bytes.max(4 * longest) as usize, shards)
}

pub(super) fn watch_limits(config: &Config) -> WatchLimits {
    let default = WatchLimits::default();
    match config.watches_per_connection_max {
        0 => default,
        max => WatchLimits { watches_per_conn_max: max as usize, ..default },
    }
}
