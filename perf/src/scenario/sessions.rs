//! Sessions opened: connect and handshake, a bounded number in the making at a time, all kept open
//! until the last one stands, then closed properly outside the measured time.

use super::{Context, Figure, SESSION_TIMEOUT_MS, Scenario, about, higher, lower};
use crate::error::Result;
use crate::load::pool::Pool;
use crate::stats::Latencies;
use crate::sys;
use crate::target::{Kind, Server, Wishes};
use crate::wire;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    /// Number of sessions, for the title.
    pub sessions: usize,
}

impl Scenario for Sessions {
    fn title(&self) -> String {
        format!("{} sessions opened", self.sessions)
    }

    fn group(&self) -> &'static str {
        "sessions"
    }

    fn takes(&self, kind: Kind) -> bool {
        kind != Kind::Machine
    }

    fn round(
        &self,
        context: &Context,
        kind: Kind,
        held: &mut Option<Server>,
    ) -> Result<Vec<Figure>> {
        let scale = &context.scale;
        let open = |server: &Server, count| {
            let mut pool = Pool::new()?;
            let opened = pool.open(server.addr(), count, scale.connecting, SESSION_TIMEOUT_MS)?;
            Ok::<_, crate::error::PerfError>((pool, opened))
        };
        let server = match held.take() {
            Some(server) => server,
            None => {
                let reply_bytes = wire::SET_DATA_REPLY_BYTES;
                let wishes = Wishes { reply_bytes, ..Wishes::default() };
                let server = context.start(kind, wishes)?;
                open(&server, scale.sessions)?.0.close()?;
                server
            }
        };
        let (cpu_before, load_before) = (server.cpu_ns()?, sys::thread_cpu_ns());
        let (pool, opened) = open(&server, scale.sessions)?;
        let (cpu_ns, load_ns) = (server.cpu_ns()? - cpu_before, sys::thread_cpu_ns() - load_before);
        pool.close()?;
        *held = Some(server);
        let mut latencies = Latencies::new();
        opened.each_ns.iter().for_each(|ns| latencies.record(*ns));
        let count = scale.sessions as f64;
        Ok(vec![
            higher("sessions", "1/s", count / (opened.elapsed_ns as f64 / 1e9)),
            lower("p50", "µs", latencies.quantile_us(0.5)),
            lower("p99", "µs", latencies.quantile_us(0.99)),
            lower("max", "µs", latencies.max_us()),
            lower("server CPU", "µs/session", cpu_ns as f64 / 1e3 / count),
            about("load CPU", "µs/session", load_ns as f64 / 1e3 / count),
        ])
    }
}
