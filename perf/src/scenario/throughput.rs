//! getData and setData of 128 bytes in a closed loop: each session reads or writes a node of its
//! own. After a run of writes every node's version must equal the number of writes acknowledged.

use super::{Context, Figure, Scenario, about, ask_get, ask_set, closed_load, data, figures};
use crate::error::{PerfError, Result};
use crate::load::client::Client;
use crate::load::closed::{ClosedRun, Window};
use crate::target::{Kind, Server, Wishes};
use crate::wire;
use std::time::Duration;

/// Reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// getData
    Get,
    /// setData
    Set,
}

/// One shape of load.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// What is asked.
    pub operation: Operation,
    /// Sessions, at most [`NODES`].
    pub sessions: usize,
    /// Requests outstanding of each.
    pub outstanding: u32,
}

/// Nodes prepared; each session has one.
pub const NODES: usize = 64;

impl Throughput {
    /// An operation in several shapes of load: sessions, requests outstanding of each.
    pub fn shapes(operation: Operation, shapes: &[(usize, u32)]) -> Vec<Box<dyn Scenario>> {
        shapes
            .iter()
            .map(|&(sessions, outstanding)| -> Box<dyn Scenario> {
                Box::new(Self { operation, sessions, outstanding })
            })
            .collect()
    }

    fn load(&self, server: &Server, window: Window) -> Result<ClosedRun> {
        closed_load(
            server,
            self.sessions,
            self.outstanding,
            window,
            &|session| match self.operation {
                Operation::Get => ask_get(server, &path(session)),
                Operation::Set => ask_set(server, &path(session)),
            },
        )
    }

    fn start(&self, context: &Context, kind: Kind) -> Result<Server> {
        let reply_bytes = match self.operation {
            Operation::Get => wire::get_data_reply_bytes(super::DATA_BYTES),
            Operation::Set => wire::SET_DATA_REPLY_BYTES,
        };
        let wishes = Wishes { reply_bytes, ..Wishes::default() };
        let server = context.start(kind, wishes)?;
        prepare(&server)?;
        let prime = Window { warm_up_ns: 0, measure_ns: context.scale.prime_ns };
        Self { sessions: NODES, outstanding: 16, ..*self }.load(&server, prime)?;
        Ok(server)
    }
}

/// The node of a session.
pub fn path(session: usize) -> String {
    format!("/perf/n{session:02}")
}

/// Creates the sessions' nodes (a stub has none).
pub fn prepare(server: &Server) -> Result<()> {
    if server.kind().is_stub() {
        return Ok(());
    }
    let mut client = Client::connect(server.addr(), Duration::from_secs(10))?;
    client.create_all(&["/perf".to_string()], b"")?;
    client.create_all(&(0..NODES).map(path).collect::<Vec<_>>(), &data())
}

fn versions(server: &Server, sessions: usize) -> Result<Vec<i32>> {
    if server.kind().is_stub() {
        return Ok(Vec::new());
    }
    let mut client = Client::connect(server.addr(), Duration::from_secs(10))?;
    let mut found = Vec::new();
    for session in 0..sessions {
        let (bytes, stat) = client.get_data(&path(session))?;
        if bytes != data() {
            let what = format!("{} holds other data than was written", path(session));
            return Err(PerfError::Wrong { session, what });
        }
        found.push(stat.version);
    }
    Ok(found)
}

impl Scenario for Throughput {
    fn title(&self) -> String {
        let name = match self.operation {
            Operation::Get => "getData",
            Operation::Set => "setData, synced",
        };
        format!("{name}, {} × {}", self.sessions, self.outstanding)
    }

    fn group(&self) -> &'static str {
        match self.operation {
            Operation::Get => "getData",
            Operation::Set => "setData",
        }
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
        let server = match held.take() {
            Some(server) => server,
            None => self.start(context, kind)?,
        };
        let before = versions(&server, self.sessions)?;
        let run = self.load(&server, context.scale.window)?;
        let after = versions(&server, self.sessions)?;
        for (session, (before, after)) in before.iter().zip(&after).enumerate() {
            let written = match self.operation {
                Operation::Get => 0,
                Operation::Set => run.replies[session] as i64,
            };
            let grown = i64::from(*after) - i64::from(*before);
            if grown != written {
                let what = format!("{written} writes were acknowledged, {grown} were made");
                return Err(PerfError::Wrong { session, what });
            }
        }
        let mut figures = figures(&run);
        figures.push(about("RSS after", "MB", server.rss_bytes()? as f64 / 1e6));
        *held = Some(server);
        Ok(figures)
    }
}
