//! One change told to many watchers: from just before the setData is sent until the last watcher's
//! event has been received. Every watcher is a session of its own and sets its watch anew by the
//! getData that a real client would send; by default all do so after the last one was told, so
//! that the figure is the telling alone.

use super::{
    CONNECTING, Context, DATA_BYTES, Figure, SESSION_TIMEOUT_MS, Scenario, about, data, lower,
};
use crate::error::{PerfError, Result};
use crate::load::client::Client;
use crate::load::closed::check_reply;
use crate::load::pool::{Handler, Pool};
use crate::stats::Latencies;
use crate::sys;
use crate::target::{Kind, Server, Wishes};
use crate::wire::{self, Reader, ReplyHeader, WatcherEvent};
use std::time::Duration;

/// The path in the events of ringkeeper's stub, which cannot be told another.
const PATH: &str = "/stub/some-node0";
/// Changes before the first one that counts.
const WARM_UP_CHANGES: usize = 10;
/// The session that changes the node; all others watch it.
const WRITER: usize = 0;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Fanout {
    /// Number of watchers, for the title.
    pub watchers: usize,
}

#[derive(Clone, Copy)]
struct Watcher {
    next_xid: i32,
    armed: bool,
    asked: bool,
    told: bool,
}

struct Round {
    watchers: Vec<Watcher>,
    get_body_bytes: usize,
    set_body_bytes: usize,
    arming: bool,
    rearm_at_once: bool,
    armed: usize,
    told: usize,
    write_due: bool,
    written: bool,
    first_told_ns: u64,
    last_told_ns: u64,
}

impl Round {
    fn new(server: &Server, watchers: usize, rearm_at_once: bool) -> Self {
        let watcher = Watcher { next_xid: 1, armed: false, asked: false, told: false };
        Self {
            watchers: vec![watcher; watchers + 1],
            get_body_bytes: server.get_data_body_bytes(DATA_BYTES),
            set_body_bytes: server.set_data_body_bytes(),
            arming: false,
            rearm_at_once,
            armed: 0,
            told: 0,
            write_due: false,
            written: false,
            first_told_ns: 0,
            last_told_ns: 0,
        }
    }

    fn count(&self) -> usize {
        self.watchers.len() - 1
    }

    fn event(&mut self, session: usize, reader: &mut Reader<'_>, now_ns: u64) -> Result<()> {
        let event =
            WatcherEvent::read(reader).map_err(|source| PerfError::Wire { session, source })?;
        let watcher = &mut self.watchers[session];
        let expected = WatcherEvent { kind: wire::EVENT_DATA_CHANGED, state: 3, path: PATH };
        if event != expected || !watcher.armed || watcher.told || session == WRITER {
            let what = format!("{event:?} (armed {}, told {})", watcher.armed, watcher.told);
            return Err(PerfError::Wrong { session, what });
        }
        watcher.armed = false;
        watcher.told = true;
        self.armed -= 1;
        if self.told == 0 {
            self.first_told_ns = now_ns;
        }
        self.told += 1;
        self.last_told_ns = now_ns;
        Ok(())
    }
}

impl Handler for Round {
    fn reply(&mut self, session: usize, body: &[u8], now_ns: u64) -> Result<()> {
        let mut reader = Reader::new(body);
        let header =
            ReplyHeader::read(&mut reader).map_err(|source| PerfError::Wire { session, source })?;
        if header.xid == wire::XID_NOTIFICATION && header.err == 0 {
            return self.event(session, &mut reader, now_ns);
        }
        let watcher = &mut self.watchers[session];
        let bytes = if session == WRITER { self.set_body_bytes } else { self.get_body_bytes };
        check_reply(session, body, watcher.next_xid - 1, bytes)?;
        if session == WRITER {
            self.written = true;
        } else if watcher.asked {
            watcher.asked = false;
            watcher.armed = true;
            self.armed += 1;
        } else {
            let what = "a reply to nothing that was asked".into();
            return Err(PerfError::Wrong { session, what });
        }
        Ok(())
    }

    fn refill(&mut self, session: usize, _now_ns: u64, out: &mut Vec<u8>) {
        let watcher = &mut self.watchers[session];
        if session == WRITER {
            if self.write_due {
                self.write_due = false;
                wire::set_data(out, watcher.next_xid, PATH, &data());
                watcher.next_xid += 1;
            }
        } else if !watcher.armed && !watcher.asked && (self.arming || self.rearm_at_once) {
            watcher.asked = true;
            wire::get_data(out, watcher.next_xid, PATH, true);
            watcher.next_xid += 1;
        }
    }
}

struct Change {
    first_ns: u64,
    last_ns: u64,
    server_cpu_ns: u64,
}

fn change(server: &Server, pool: &mut Pool, round: &mut Round) -> Result<Change> {
    round.arming = true;
    // Watchers that re-armed by themselves have nothing to send any more.
    pool.kick(round)?;
    while round.armed < round.count() {
        pool.poll_or_fail(round, || "setting watches".into())?;
    }
    round.arming = false;
    round.told = 0;
    round.written = false;
    round.watchers.iter_mut().for_each(|w| w.told = false);
    let cpu_before = server.cpu_ns()?;
    round.write_due = true;
    let start_ns = sys::now_ns();
    pool.refill(WRITER, start_ns, round)?;
    while round.told < round.count() || !round.written {
        pool.poll_or_fail(round, || "waiting for watch events".into())?;
    }
    Ok(Change {
        first_ns: round.first_told_ns - start_ns,
        last_ns: round.last_told_ns - start_ns,
        server_cpu_ns: server.cpu_ns()? - cpu_before,
    })
}

impl Scenario for Fanout {
    fn title(&self) -> String {
        format!("one change told to {} watchers", self.watchers)
    }

    fn group(&self) -> &'static str {
        "fanout"
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
            None => start(context, kind)?,
        };
        let scale = &context.scale;
        let mut pool = Pool::new()?;
        pool.open(server.addr(), scale.watchers + 1, CONNECTING, SESSION_TIMEOUT_MS)?;
        let mut round = Round::new(&server, scale.watchers, scale.rearm_at_once);
        let (mut first, mut last) = (Latencies::new(), Latencies::new());
        let (mut cpu_ns, load_before) = (0, sys::thread_cpu_ns());
        for number in 0..WARM_UP_CHANGES + scale.changes {
            let change = change(&server, &mut pool, &mut round)?;
            if number >= WARM_UP_CHANGES {
                first.record(change.first_ns);
                last.record(change.last_ns);
                cpu_ns += change.server_cpu_ns;
            }
        }
        let load_ns = sys::thread_cpu_ns() - load_before;
        pool.close()?;
        *held = Some(server);
        let events = (scale.changes * scale.watchers) as f64;
        let all_events = ((WARM_UP_CHANGES + scale.changes) * scale.watchers) as f64;
        Ok(vec![
            lower("last told, p50", "ms", last.quantile_us(0.5) / 1e3),
            lower("last told, p99", "ms", last.quantile_us(0.99) / 1e3),
            lower("last told, max", "ms", last.max_us() / 1e3),
            lower("first told, p50", "ms", first.quantile_us(0.5) / 1e3),
            lower("server CPU", "µs/event", cpu_ns as f64 / 1e3 / events),
            about("load CPU", "µs/event and re-arm", load_ns as f64 / 1e3 / all_events),
        ])
    }
}

fn start(context: &Context, kind: Kind) -> Result<Server> {
    let wishes = Wishes {
        reply_bytes: wire::get_data_reply_bytes(DATA_BYTES),
        fanout: true,
        ..Wishes::default()
    };
    let server = context.start(kind, wishes)?;
    if !kind.is_stub() {
        let mut client = Client::connect(server.addr(), Duration::from_secs(10))?;
        client.create_all(&["/stub".to_string()], b"")?;
        client.create_all(&[PATH.to_string()], &data())?;
    }
    Ok(server)
}
