//! A million nodes: how fast they are created, what they cost in memory, and how long a killed
//! server takes until it serves them again.

use super::{CONNECTING, Context, DATA_BYTES, Figure, SESSION_TIMEOUT_MS, Scenario, about, data};
use super::{Scale, higher, lower};
use crate::error::{PerfError, Result};
use crate::load::client::Client;
use crate::load::closed::check_reply;
use crate::load::pool::{Handler, Pool};
use crate::sys;
use crate::target::{Kind, Server, Wishes};
use crate::wire::{self, Reader, ReplyHeader};
use std::time::Duration;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Znodes {
    /// Number of nodes, for the title.
    pub count: usize,
    /// Number of parents, for the title.
    pub parents: usize,
}

/// The shape of the tree: children spread evenly over a few hundred parents.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Nodes under the parents.
    pub count: usize,
    /// Parents.
    pub parents: usize,
}

impl Shape {
    fn parent(self, number: usize) -> String {
        format!("/tree/p{number:03}")
    }

    /// The path of node number `index`, 19 bytes long.
    pub fn path(self, index: usize) -> String {
        format!("/tree/p{:03}/n{:07}", index % self.parents, index)
    }

    fn children(self, parent: usize) -> usize {
        self.count / self.parents + usize::from(parent < self.count % self.parents)
    }
}

/// How the creation went.
#[derive(Debug, Clone, Copy)]
pub struct Built {
    /// From the first request to the last reply, in nanoseconds.
    pub elapsed_ns: u64,
    /// CPU time of the server meanwhile, in nanoseconds.
    pub server_cpu_ns: u64,
    /// CPU time of the load thread meanwhile, in nanoseconds.
    pub load_cpu_ns: u64,
}

const SESSIONS: usize = 64;
const OUTSTANDING: usize = 16;

struct Builder {
    shape: Shape,
    batch: usize,
    next: usize,
    created: usize,
    data: Vec<u8>,
    sessions: Vec<Maker>,
}

#[derive(Clone, Default)]
struct Maker {
    next_xid: i32,
    expected_xid: i32,
    /// Nodes asked for in each unanswered request, with the length of their paths.
    asked: std::collections::VecDeque<(usize, usize)>,
}

impl Handler for Builder {
    fn reply(&mut self, session: usize, body: &[u8], _now_ns: u64) -> Result<()> {
        let maker = &mut self.sessions[session];
        let Some((nodes, path_bytes)) = maker.asked.pop_front() else {
            let what = "a reply to nothing that was asked".into();
            return Err(PerfError::Wrong { session, what });
        };
        maker.expected_xid += 1;
        let xid = maker.expected_xid;
        if self.batch == 1 {
            check_reply(session, body, xid, wire::REPLY_HEADER_BYTES + 4 + path_bytes)?;
        } else {
            let mut reader = Reader::new(body);
            let wired = |source| PerfError::Wire { session, source };
            let header = ReplyHeader::read(&mut reader).map_err(wired)?;
            let all = header.err == 0 && wire::multi_created(&mut reader, nodes).map_err(wired)?;
            if header.xid != xid || !all {
                let what = format!("multi of {nodes} creates, xid {xid}: {header:?}, all: {all}");
                return Err(PerfError::Wrong { session, what });
            }
        }
        self.created += nodes;
        Ok(())
    }

    fn refill(&mut self, session: usize, _now_ns: u64, out: &mut Vec<u8>) {
        while self.sessions[session].asked.len() < OUTSTANDING && self.next < self.shape.count {
            let maker = &mut self.sessions[session];
            maker.next_xid += 1;
            let last = (self.next + self.batch).min(self.shape.count);
            let mut path_bytes = 0;
            if self.batch == 1 {
                let path = self.shape.path(self.next);
                path_bytes = path.len();
                wire::create(out, maker.next_xid, &path, &self.data);
            } else {
                let paths: Vec<String> = (self.next..last).map(|i| self.shape.path(i)).collect();
                let paths = paths.iter().map(String::as_str);
                wire::multi_create(out, maker.next_xid, paths, &self.data);
            }
            maker.asked.push_back((last - self.next, path_bytes));
            self.next = last;
        }
    }
}

/// Creates all nodes, `batch` of them in a request.
pub fn build(server: &Server, shape: Shape, batch: usize) -> Result<Built> {
    let mut client = Client::connect(server.addr(), Duration::from_secs(10))?;
    client.create_all(&["/tree".to_string()], b"")?;
    let parents: Vec<String> = (0..shape.parents).map(|p| shape.parent(p)).collect();
    client.create_all(&parents, b"")?;
    let mut pool = Pool::new()?;
    pool.open(server.addr(), SESSIONS, CONNECTING, SESSION_TIMEOUT_MS)?;
    let mut builder = Builder {
        shape,
        batch: batch.max(1),
        next: 0,
        created: 0,
        data: data(),
        sessions: vec![Maker::default(); SESSIONS],
    };
    let (cpu, load, start) = (server.cpu_ns()?, sys::thread_cpu_ns(), sys::now_ns());
    pool.kick(&mut builder)?;
    while builder.created < shape.count {
        pool.poll_or_fail(&mut builder, || "creating nodes".into())?;
    }
    let built = Built {
        elapsed_ns: sys::now_ns() - start,
        server_cpu_ns: server.cpu_ns()? - cpu,
        load_cpu_ns: sys::thread_cpu_ns() - load,
    };
    pool.close()?;
    Ok(built)
}

/// Which request goes to scattered nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scattered {
    Get,
    Set,
}

struct Scatter {
    shape: Shape,
    kind: Scattered,
    random: u64,
    left: usize,
    unanswered: usize,
    data: Vec<u8>,
    /// The last xid asked and answered, of each session.
    xids: Vec<(i32, i32)>,
}

impl Handler for Scatter {
    fn reply(&mut self, session: usize, body: &[u8], _now_ns: u64) -> Result<()> {
        let (_, answered) = &mut self.xids[session];
        *answered += 1;
        let bytes = match self.kind {
            Scattered::Get => wire::get_data_reply_bytes(DATA_BYTES),
            Scattered::Set => wire::SET_DATA_REPLY_BYTES,
        };
        self.unanswered -= 1;
        check_reply(session, body, *answered, wire::REPLY_HEADER_BYTES + bytes)
    }

    fn refill(&mut self, session: usize, _now_ns: u64, out: &mut Vec<u8>) {
        let (asked, answered) = &mut self.xids[session];
        while ((*asked - *answered) as usize) < OUTSTANDING && self.left > 0 {
            *asked += 1;
            self.left -= 1;
            self.unanswered += 1;
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let index = ((self.random >> 32) as usize * self.shape.count) >> 32;
            let path = self.shape.path(index);
            match self.kind {
                Scattered::Get => wire::get_data(out, *asked, &path, false),
                Scattered::Set => wire::set_data(out, *asked, &path, &self.data),
            }
        }
    }
}

/// Asks for `count` nodes all over the tree, 64 × 16: requests a second, and CPU time of the server each in µs.
fn scatter(server: &Server, shape: Shape, kind: Scattered, count: usize) -> Result<(f64, f64)> {
    let mut pool = Pool::new()?;
    pool.open(server.addr(), SESSIONS, CONNECTING, SESSION_TIMEOUT_MS)?;
    let mut load = Scatter {
        shape,
        kind,
        random: 1,
        left: count,
        unanswered: 0,
        data: data(),
        xids: vec![(0, 0); SESSIONS],
    };
    let (cpu, start) = (server.cpu_ns()?, sys::now_ns());
    pool.kick(&mut load)?;
    while load.unanswered > 0 {
        pool.poll_or_fail(&mut load, || "asking for scattered nodes".into())?;
    }
    let (elapsed_ns, cpu) = (sys::now_ns() - start, server.cpu_ns()? - cpu);
    pool.close()?;
    Ok((count as f64 / (elapsed_ns as f64 / 1e9), cpu as f64 / 1e3 / count as f64))
}

/// Checks that every parent has its children and that some nodes have their data.
pub fn verify(server: &Server, shape: Shape) -> Result<()> {
    let mut client = Client::connect(server.addr(), Duration::from_secs(10))?;
    let wrong = |what| Err(PerfError::Wrong { session: 0, what });
    for parent in 0..shape.parents {
        let (_, stat) = client.get_data(&shape.parent(parent))?;
        if stat.num_children as usize != shape.children(parent) {
            let (path, expected) = (shape.parent(parent), shape.children(parent));
            return wrong(format!("{path} has {} children, not {expected}", stat.num_children));
        }
    }
    for index in (0..shape.count).step_by((shape.count / 1000).max(1)) {
        let (bytes, stat) = client.get_data(&shape.path(index))?;
        if bytes != data() || stat.data_length as usize != DATA_BYTES {
            return wrong(format!("{} has other data than was written", shape.path(index)));
        }
    }
    Ok(())
}

/// The tree that the scale asks for.
pub fn shape(scale: &Scale) -> Shape {
    Shape { count: scale.znodes, parents: scale.parents.max(1) }
}

impl Scenario for Znodes {
    fn title(&self) -> String {
        format!("{} znodes of {DATA_BYTES} B under {} parents", self.count, self.parents)
    }

    fn group(&self) -> &'static str {
        "znodes"
    }

    fn takes(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Zookeeper | Kind::Ringkeeper)
    }

    fn round(
        &self,
        context: &Context,
        kind: Kind,
        _held: &mut Option<Server>,
    ) -> Result<Vec<Figure>> {
        let shape = shape(&context.scale);
        let mut server = context.start(kind, Wishes::default())?;
        let empty = server.settled_rss_bytes()?;
        let built = build(&server, shape, context.scale.batch)?;
        let full = server.settled_rss_bytes()?;
        verify(&server, shape)?;
        let (gets, get_cpu) = scatter(&server, shape, Scattered::Get, 2 * shape.count)?;
        server.kill()?;
        let restart = server.restart_until_read(&shape.path(shape.count - 1))?;
        verify(&server, shape)?;
        let restarted = server.settled_rss_bytes()?;
        // Behind the restart, so that its log is that of the creation alone.
        let (sets, set_cpu) = scatter(&server, shape, Scattered::Set, shape.count / 2)?;
        let count = shape.count as f64;
        Ok(vec![
            higher("created", "1/s", count / (built.elapsed_ns as f64 / 1e9)),
            lower("server CPU", "µs/create", built.server_cpu_ns as f64 / 1e3 / count),
            about("load CPU", "µs/create", built.load_cpu_ns as f64 / 1e3 / count),
            higher("getData, scattered, 64 × 16", "1/s", gets),
            lower("server CPU, getData", "µs/request", get_cpu),
            higher("setData, scattered, 64 × 16", "1/s", sets),
            lower("server CPU, setData", "µs/request", set_cpu),
            about("RSS, empty", "MB", empty as f64 / 1e6),
            lower("RSS more than empty", "B/znode", (full as f64 - empty as f64) / count),
            lower("kill -9 to first read", "s", restart.as_secs_f64()),
            lower(
                "RSS after restart, more than empty",
                "B/znode",
                (restarted as f64 - empty as f64) / count,
            ),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_counted_at_its_parent() {
        let shape = Shape { count: 1003, parents: 250 };
        let total: usize = (0..shape.parents).map(|p| shape.children(p)).sum();
        assert_eq!(total, shape.count);
        let under_two = (0..shape.count).filter(|i| shape.path(*i).starts_with("/tree/p002/"));
        assert_eq!(under_two.count(), shape.children(2));
        assert_eq!(shape.path(1002), "/tree/p002/n0001002");
    }
}
