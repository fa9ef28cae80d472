//! Closed load: every session keeps a fixed number of requests outstanding.
//!
//! Latencies run from the call that sent a request to the call that received its reply. In a
//! closed loop a stall delays the requests behind it too, so tails look better than they are for a
//! client that sends at its own pace: [`super::open`] is for those.

use crate::error::{PerfError, Result};
use crate::load::pool::{Handler, Pool};
use crate::stats::Latencies;
use crate::sys;
use crate::wire::{Reader, ReplyHeader, patch_xid};
use std::collections::VecDeque;

/// What one session asks, over and over, and how the answer must look.
#[derive(Debug, Clone)]
pub struct Question {
    /// A whole request frame; its xid is overwritten.
    pub frame: Vec<u8>,
    /// Bytes of the reply's body (without the length prefix).
    pub reply_body_bytes: usize,
}

/// When and for how long is measured.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Load that is not counted, in nanoseconds.
    pub warm_up_ns: u64,
    /// Load that is counted, in nanoseconds.
    pub measure_ns: u64,
}

/// Outcome of a closed run.
#[derive(Debug, Clone)]
pub struct ClosedRun {
    /// Replies within the window.
    pub operations: u64,
    /// Length of the window in nanoseconds.
    pub elapsed_ns: u64,
    /// Latencies of these replies.
    pub latencies: Latencies,
    /// CPU time of the server in the window, in nanoseconds.
    pub server_cpu_ns: u64,
    /// CPU time of the load thread in the window, in nanoseconds.
    pub load_cpu_ns: u64,
    /// Replies of each session since it was opened, warm-up included.
    pub replies: Vec<u64>,
}

struct Session {
    question: Question,
    next_xid: i32,
    expected_xid: i32,
    /// Requests that left together: when, and how many are still unanswered.
    batches: VecDeque<(u64, u32)>,
    room: u32,
}

struct Closed {
    sessions: Vec<Session>,
    latencies: Latencies,
    operations: u64,
    in_flight: u64,
    counting: bool,
    stopping: bool,
}

/// Checks a reply's header and size.
#[inline]
pub fn check_reply(session: usize, body: &[u8], xid: i32, body_bytes: usize) -> Result<()> {
    let header = ReplyHeader::read(&mut Reader::new(body))
        .map_err(|source| PerfError::Wire { session, source })?;
    if header.xid != xid || header.err != 0 || body.len() != body_bytes {
        return Err(wrong_reply(session, header, body.len(), xid, body_bytes));
    }
    Ok(())
}

#[cold]
fn wrong_reply(
    session: usize,
    header: ReplyHeader,
    bytes: usize,
    xid: i32,
    expected_bytes: usize,
) -> PerfError {
    let what =
        format!("expected xid {xid}, err 0, {expected_bytes} bytes; got {header:?}, {bytes} bytes");
    PerfError::Wrong { session, what }
}

impl Handler for Closed {
    #[inline]
    fn reply(&mut self, index: usize, body: &[u8], now_ns: u64) -> Result<()> {
        let session = &mut self.sessions[index];
        check_reply(index, body, session.expected_xid, session.question.reply_body_bytes)?;
        let Some((sent_ns, unanswered)) = session.batches.front_mut() else {
            let what = "a reply to nothing that was asked".into();
            return Err(PerfError::Wrong { session: index, what });
        };
        if self.counting {
            self.latencies.record(now_ns.saturating_sub(*sent_ns));
            self.operations += 1;
        }
        *unanswered -= 1;
        if *unanswered == 0 {
            session.batches.pop_front();
        }
        session.expected_xid += 1;
        session.room += 1;
        self.in_flight -= 1;
        Ok(())
    }

    #[inline]
    fn refill(&mut self, index: usize, now_ns: u64, out: &mut Vec<u8>) {
        let session = &mut self.sessions[index];
        if self.stopping || session.room == 0 {
            return;
        }
        for _ in 0..session.room {
            let start = out.len();
            out.extend_from_slice(&session.question.frame);
            patch_xid(&mut out[start..], session.next_xid);
            session.next_xid += 1;
        }
        session.batches.push_back((now_ns, session.room));
        self.in_flight += u64::from(session.room);
        session.room = 0;
    }
}

/// Runs closed load over all sessions of the pool, which must be fresh (first xid 1).
/// `server_cpu` is read at both ends of the window.
pub fn run(
    pool: &mut Pool,
    questions: Vec<Question>,
    outstanding: u32,
    window: Window,
    mut server_cpu: impl FnMut() -> Result<u64>,
) -> Result<ClosedRun> {
    assert_eq!(questions.len(), pool.len(), "one question a session");
    let sessions = questions.into_iter().map(|question| Session {
        question,
        next_xid: 1,
        expected_xid: 1,
        batches: VecDeque::with_capacity(outstanding as usize),
        room: outstanding,
    });
    let mut closed = Closed {
        sessions: sessions.collect(),
        latencies: Latencies::new(),
        operations: 0,
        in_flight: 0,
        counting: false,
        stopping: false,
    };
    let under_load = || "under closed load".to_string();
    let begin_ns = sys::now_ns();
    pool.kick(&mut closed)?;
    while sys::now_ns() < begin_ns + window.warm_up_ns {
        pool.poll_or_fail(&mut closed, under_load)?;
    }
    let (server_before, load_before, start_ns) =
        (server_cpu()?, sys::thread_cpu_ns(), sys::now_ns());
    closed.counting = true;
    while sys::now_ns() < start_ns + window.measure_ns {
        pool.poll_or_fail(&mut closed, under_load)?;
    }
    let (server_after, load_after, end_ns) = (server_cpu()?, sys::thread_cpu_ns(), sys::now_ns());
    closed.counting = false;
    closed.stopping = true;
    while closed.in_flight > 0 {
        pool.poll_or_fail(&mut closed, under_load)?;
    }
    Ok(ClosedRun {
        operations: closed.operations,
        elapsed_ns: end_ns - start_ns,
        latencies: closed.latencies,
        server_cpu_ns: server_after.saturating_sub(server_before),
        load_cpu_ns: load_after - load_before,
        replies: closed.sessions.iter().map(|s| s.expected_xid as u64 - 1).collect(),
    })
}
