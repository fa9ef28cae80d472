//! `docs/metrics.md`, made from the table of names.

use super::names::{Counter, Gauge, Summary};
use std::fmt::Write;

const HEAD: &str = "\
# Metrics

<!-- Made from src/metrics/names.rs by `RINGKEEPER_BLESS=1 cargo test --profile fast metrics::document`. -->

The four-letter word `mntr` prints them, one a line: `zk_`, the name, a tab, the value. Names that
ZooKeeper has mean what they mean there; what it counts and this server does not do (elections,
caches of answers, Java's pauses) is left out. `srst` starts counters and distributions anew.

Besides those below, `mntr` prints `zk_version`, `zk_server_state`, `zk_avg_latency`,
`zk_min_latency` and `zk_max_latency` (of reads and writes together, in ms), `zk_uptime` (in ms),
`zk_open_file_descriptor_count`, `zk_max_file_descriptor_count`, `zk_connection_drop_probability`,
`zk_last_client_response_size`, `zk_max_client_response_size`, `zk_min_client_response_size`, and what is always 0 here: `zk_local_sessions`, `zk_outstanding_tls_handshake`,
`zk_non_mtls_remote_conn_count`, `zk_non_mtls_local_conn_count`.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Gauges\n\n| name | |\n|---|---|\n");
    for gauge in Gauge::ALL {
        let _ = writeln!(page, "| `zk_{}` | {} |", gauge.name(), gauge.text());
    }
    page.push_str("\n## Counters\n\n| name | |\n|---|---|\n");
    for counter in Counter::ALL {
        let _ = writeln!(page, "| `zk_{}` | {} |", counter.name(), counter.text());
    }
    page.push_str(
        "\n## Distributions\n\nEach gives `avg`, `min`, `max`, `cnt` and `sum`, as in \
         `zk_avg_readlatency`; those with percentiles\ngive `p50`, `p95`, `p99` and `p999` as \
         well, within 12.5 %.\n\n| name | unit | percentiles | |\n|---|---|---|---|\n",
    );
    let shown = |one: &&Summary| **one != Summary::ResponseSize;
    for &summary in Summary::ALL.iter().filter(shown) {
        let unit = if summary.is_time() { "ms" } else { "" };
        let percentiles = if summary.has_percentiles() { "yes" } else { "" };
        let (name, text) = (summary.name(), summary.text());
        let _ = writeln!(page, "| `{name}` | {unit} | {percentiles} | {text} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("RINGKEEPER_BLESS").is_some() {
            std::fs::write(path, page()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == page(),
            "docs/metrics.md differs from the table of names; make it anew with \
             RINGKEEPER_BLESS=1 cargo test --profile fast metrics::document"
        );
    }
}
