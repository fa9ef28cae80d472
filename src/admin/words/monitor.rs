//! The values of `mntr`: ZooKeeper's names wherever the fact exists here, then our own.

use super::java::mean;
use super::view::Value;
use crate::metrics::{Counter, Distribution, Gauge, Reading, Summary};

/// What `mntr` shows besides the metrics.
#[derive(Debug, Clone, Default)]
pub struct MonitorFacts {
    /// See [`super::full_version`].
    pub version: String,
    /// `standalone`, `leader`, …
    pub mode: &'static str,
    /// Open file descriptors, if known.
    pub open_fds: Option<u64>,
    /// Their limit, if there is one.
    pub max_fds: Option<u64>,
    /// Probability with which the throttle drops a connection.
    pub connection_drop_probability: f64,
}

/// All values, in order, without the leading `zk_`.
pub fn monitor(facts: &MonitorFacts, reading: &Reading) -> Vec<(String, Value)> {
    let mut list = List(Vec::with_capacity(200));
    list.push("version", Value::Text(facts.version.clone()));
    list.push("server_state", Value::Text(facts.mode.to_owned()));
    let latency = reading.latency();
    list.push("avg_latency", Value::Real(mean(latency.mean() / 1e6)));
    list.int("max_latency", latency.max() / 1_000_000);
    list.int("min_latency", latency.min() / 1_000_000);
    list.int("uptime", reading.uptime.as_millis() as u64);
    for &gauge in Gauge::ALL {
        list.push(gauge.name(), Value::Int(reading.gauge(gauge)));
    }
    // Facts of ZooKeeper that are always the same here: no local sessions, no TLS.
    list.int("local_sessions", 0);
    list.int("outstanding_tls_handshake", 0);
    list.int("non_mtls_remote_conn_count", 0);
    list.int("non_mtls_local_conn_count", 0);
    if let Some(open) = facts.open_fds {
        list.int("open_file_descriptor_count", open);
    }
    if let Some(max) = facts.max_fds {
        list.int("max_file_descriptor_count", max);
    }
    list.push("connection_drop_probability", Value::Real(facts.connection_drop_probability));
    list.response_size(reading.summary(Summary::ResponseSize));
    for &counter in Counter::ALL {
        list.int(counter.name(), reading.counter(counter));
    }
    let shown = |one: &&Summary| **one != Summary::ResponseSize;
    for &summary in Summary::ALL.iter().filter(shown) {
        list.summary(summary, reading.summary(summary));
    }
    list.0
}

struct List(Vec<(String, Value)>);

impl List {
    fn push(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    fn int(&mut self, name: &str, value: u64) {
        self.push(name, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// ZooKeeper's `BufferStats`: −1 before the first reply.
    fn response_size(&mut self, sizes: &Distribution) {
        let known = |value: u64| if sizes.count() == 0 { -1 } else { value as i64 };
        self.push("last_client_response_size", Value::Int(known(sizes.last().unwrap_or(0))));
        self.push("max_client_response_size", Value::Int(known(sizes.max())));
        self.push("min_client_response_size", Value::Int(known(sizes.min())));
    }

    fn summary(&mut self, summary: Summary, values: &Distribution) {
        let unit = if summary.is_time() { 1_000_000 } else { 1 };
        let name = summary.name();
        let average = mean(values.mean() / unit as f64);
        self.push(&format!("avg_{name}"), Value::Real(average));
        self.int(&format!("min_{name}"), values.min() / unit);
        self.int(&format!("max_{name}"), values.max() / unit);
        self.int(&format!("cnt_{name}"), values.count());
        self.int(&format!("sum_{name}"), values.sum() / unit);
        if summary.has_percentiles() {
            for (label, share) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)] {
                let value = (values.percentile(share) + unit / 2) / unit;
                self.int(&format!("{label}_{name}"), value);
            }
        }
    }
}
