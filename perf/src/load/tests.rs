//! The load generator against this program's own stub, in one process: what is counted must be
//! what was served, and every kind of wrong answer must be noticed.

use super::closed::{self, Question, Window};
use super::open::{self, Offer};
use super::pool::{Handler, Pool};
use crate::error::{PerfError, Result};
use crate::stub::{self, Answers};
use crate::wire;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Behind the header, as in a setData reply.
const REPLY_BYTES: usize = 68;

/// The stub's thread serves until the test process ends.
fn stub_at(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || stub::serve(&listener, answers).unwrap());
    addr
}

fn question(reply_bytes: usize) -> Question {
    let mut frame = Vec::new();
    wire::set_data(&mut frame, 0, "/perf/n00", b"some data");
    Question { frame, reply_body_bytes: 16 + reply_bytes }
}

fn pool(addr: SocketAddr, sessions: usize) -> Pool {
    let mut pool = Pool::new().unwrap();
    let opened = pool.open(addr, sessions, 4, 30_000).unwrap();
    assert_eq!(opened.each_ns.len(), sessions);
    assert!(opened.each_ns.iter().all(|ns| (1..=opened.elapsed_ns).contains(ns)));
    assert_eq!(pool.len(), sessions);
    pool
}

const SHORT: Window = Window { warm_up_ns: 5_000_000, measure_ns: 30_000_000 };

#[test]
fn a_closed_run_counts_every_reply_once() {
    let addr = stub_at(Answers { reply_bytes: REPLY_BYTES, fanout: false });
    let mut pool = pool(addr, 5);
    let mut clock = 100;
    let run = closed::run(&mut pool, vec![question(REPLY_BYTES); 5], 7, SHORT, || {
        clock += 50;
        Ok(clock)
    });
    let run = run.unwrap();
    assert!(run.operations >= 35, "at least one full set came back: {}", run.operations);
    assert_eq!(run.latencies.count(), run.operations);
    assert_eq!(run.server_cpu_ns, 50, "the probe is read once at either end");
    assert!(run.elapsed_ns >= SHORT.measure_ns);
    let all: u64 = run.replies.iter().sum();
    assert!(all >= run.operations, "warm-up and the end are served but not counted");
    assert!(run.replies.iter().all(|replies| *replies >= 7));
    pool.close().unwrap();
}

#[test]
fn a_reply_of_the_wrong_size_ends_the_measurement() {
    let addr = stub_at(Answers { reply_bytes: REPLY_BYTES, fanout: false });
    let mut pool = pool(addr, 2);
    let asked = vec![question(REPLY_BYTES + 1); 2];
    let result = closed::run(&mut pool, asked, 1, SHORT, || Ok(0));
    assert!(matches!(result, Err(PerfError::Wrong { .. })), "{result:?}");
}

#[test]
fn an_open_run_sends_exactly_what_is_due() {
    let addr = stub_at(Answers { reply_bytes: REPLY_BYTES, fanout: false });
    let mut pool = pool(addr, 3);
    let offer = Offer { rate: 10_000.0, length_ns: 250_000_000, burst: 1 };
    let mut watched = Vec::new();
    let run = open::run(&mut pool, vec![question(REPLY_BYTES); 3], offer, |since_ns| {
        watched.push(since_ns);
        Ok(())
    });
    let run = run.unwrap();
    let counts: Vec<u64> = run.slots.iter().map(|slot| slot.count()).collect();
    assert_eq!(counts, [1000, 1000, 500]);
    assert_eq!(run.late.count(), offer.count());
    assert!(watched.len() >= 2 && watched.is_sorted());
    pool.close().unwrap();
}

/// Sends one setData from session 0 and counts events at the others.
struct OneChange {
    due: bool,
    told: Vec<usize>,
    replies: usize,
}

impl Handler for OneChange {
    fn reply(&mut self, session: usize, body: &[u8], _now_ns: u64) -> Result<()> {
        let mut reader = wire::Reader::new(body);
        let header = wire::ReplyHeader::read(&mut reader).unwrap();
        if header.xid == wire::XID_NOTIFICATION {
            let event = wire::WatcherEvent::read(&mut reader).unwrap();
            assert_eq!((event.kind, event.state, event.path), (3, 3, "/watched"));
            self.told.push(session);
        } else {
            assert_eq!((session, header.xid, body.len()), (0, 5, 16 + REPLY_BYTES));
            self.replies += 1;
        }
        Ok(())
    }

    fn refill(&mut self, session: usize, _now_ns: u64, out: &mut Vec<u8>) {
        if session == 0 && std::mem::take(&mut self.due) {
            wire::set_data(out, 5, "/watched", b"new");
        }
    }
}

#[test]
fn the_stub_tells_all_but_the_writer_once() {
    let addr = stub_at(Answers { reply_bytes: REPLY_BYTES, fanout: true });
    let mut pool = pool(addr, 9);
    let mut change = OneChange { due: true, told: vec![], replies: 0 };
    pool.kick(&mut change).unwrap();
    while change.told.len() < 8 || change.replies < 1 {
        pool.poll_or_fail(&mut change, || "waiting for events".into()).unwrap();
    }
    change.told.sort_unstable();
    assert_eq!(change.told, (1..9).collect::<Vec<_>>());
    assert_eq!(change.replies, 1);
}

/// A server that answers the handshake, then each request by what `wrong` makes of its xid.
fn bad_server(wrong: fn(i32) -> Option<(i32, i32)>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut handshake = [0; 49];
        stream.read_exact(&mut handshake).unwrap();
        let mut out = Vec::new();
        wire::frame(&mut out, |w| {
            w.int(0).int(30_000).long(9).buffer(&[0; 16]).boolean(false);
        });
        stream.write_all(&out).unwrap();
        let mut request = vec![0; question(REPLY_BYTES).frame.len()];
        while stream.read_exact(&mut request).is_ok() {
            let xid = i32::from_be_bytes(request[4..8].try_into().unwrap());
            let Some((xid, err)) = wrong(xid) else { return };
            out.clear();
            wire::frame(&mut out, |w| {
                w.int(xid).long(1).int(err);
                (0..REPLY_BYTES).for_each(|_| {
                    w.boolean(false);
                });
            });
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    });
    addr
}

#[test]
fn wrong_xids_errors_and_hang_ups_end_the_measurement() {
    let run = |wrong: fn(i32) -> Option<(i32, i32)>| {
        let mut pool = pool(bad_server(wrong), 1);
        closed::run(&mut pool, vec![question(REPLY_BYTES)], 3, SHORT, || Ok(0))
    };
    let wrong = run(|xid| Some((if xid == 5 { 6 } else { xid }, 0)));
    assert!(matches!(wrong, Err(PerfError::Wrong { .. })), "{wrong:?}");
    let error = run(|xid| Some((xid, if xid == 5 { -101 } else { 0 })));
    assert!(matches!(error, Err(PerfError::Wrong { .. })), "{error:?}");
    let gone = run(|xid| (xid < 5).then_some((xid, 0)));
    assert!(matches!(gone, Err(PerfError::Closed { .. } | PerfError::Io { .. })), "{gone:?}");
    assert!(run(|xid| Some((xid, 0))).is_ok());
}
