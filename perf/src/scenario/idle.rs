//! What an idle server and idle sessions cost: resident memory, and CPU while nothing is asked.

use super::{CONNECTING, Context, Figure, SESSION_TIMEOUT_MS, Scenario, lower};
use crate::error::{PerfError, Result};
use crate::load::pool::Pool;
use crate::sys;
use crate::target::{Kind, Server, Wishes};
use crate::wire;
use std::time::Duration;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Idle {
    /// Number of idle sessions, for the title.
    pub sessions: usize,
}

/// CPU of the server over a while in which nothing is asked of it, in percent of one core.
fn idle_cpu_percent(server: &Server, length_ns: u64) -> Result<f64> {
    let (cpu_before, start_ns) = (server.cpu_ns()?, sys::now_ns());
    std::thread::sleep(Duration::from_nanos(length_ns));
    let (cpu_ns, elapsed_ns) = (server.cpu_ns()? - cpu_before, sys::now_ns() - start_ns);
    Ok(cpu_ns as f64 * 100.0 / elapsed_ns as f64)
}

impl Scenario for Idle {
    fn title(&self) -> String {
        format!("idle server, and {} idle sessions", self.sessions)
    }

    fn group(&self) -> &'static str {
        "idle"
    }

    fn takes(&self, kind: Kind) -> bool {
        kind != Kind::Machine
    }

    fn round(
        &self,
        context: &Context,
        kind: Kind,
        _held: &mut Option<Server>,
    ) -> Result<Vec<Figure>> {
        let scale = &context.scale;
        let limit = sys::raise_descriptor_limit()
            .map_err(|source| PerfError::Io { what: "descriptor limit".into(), source })?;
        if limit < scale.idle_sessions as u64 + 64 {
            let what = format!(
                "{} sessions need more descriptors than the limit of {limit}: raise `ulimit -n`",
                scale.idle_sessions
            );
            return Err(PerfError::Setup(what));
        }
        let reply_bytes = wire::SET_DATA_REPLY_BYTES;
        let wishes = Wishes { reply_bytes, ..Wishes::default() };
        let server = context.start(kind, wishes)?;
        let empty_bytes = server.settled_rss_bytes()?;
        let empty_percent = idle_cpu_percent(&server, scale.idle_ns)?;
        let mut pool = Pool::new()?;
        pool.open(server.addr(), scale.idle_sessions, CONNECTING, SESSION_TIMEOUT_MS)?;
        let full_bytes = server.settled_rss_bytes()?;
        let full_percent = idle_cpu_percent(&server, scale.idle_ns)?;
        let grown = full_bytes as f64 - empty_bytes as f64;
        Ok(vec![
            lower("RSS, empty", "MB", empty_bytes as f64 / 1e6),
            lower("CPU, empty", "%", empty_percent),
            lower("RSS", "B/session", grown / scale.idle_sessions as f64),
            lower("CPU, with the sessions", "%", full_percent),
        ])
    }
}
