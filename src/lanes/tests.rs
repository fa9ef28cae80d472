use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[test]
fn lane_is_empty_until_flushed() {
    let (mut tx, mut rx) = lane(2, 100);
    tx.batch().unwrap().extend_from_slice(b"one");
    assert!(rx.is_empty() && rx.peek().is_none());
    assert!(tx.flush());
    assert!(!tx.flush(), "nothing new to hand over");
    assert_eq!(rx.peek(), Some(&b"one"[..]));
    assert_eq!(rx.peek(), Some(&b"one"[..]), "peeking takes nothing");
    rx.pop();
    assert!(rx.is_empty());
    rx.pop();
    assert!(rx.peek().is_none());
}

#[test]
fn lane_says_full_and_goes_on_when_a_slot_is_freed() {
    let (mut tx, mut rx) = lane(2, 100);
    for message in [b"a", b"b"] {
        tx.batch().unwrap().extend_from_slice(message);
        assert!(tx.flush());
    }
    assert!(tx.is_full() && tx.batch().is_none() && !tx.flush());
    assert_eq!(tx.free_slots(), 0);
    rx.pop();
    assert_eq!(tx.free_slots(), 1);
    let batch = tx.batch().unwrap();
    assert!(batch.is_empty(), "a reused slot starts empty");
    batch.push(b'c');
    assert!(tx.flush());
    assert_eq!(rx.peek(), Some(&b"b"[..]));
    rx.pop();
    assert_eq!(rx.peek(), Some(&b"c"[..]));
}

#[test]
fn lane_hands_over_a_batch_that_reached_its_size() {
    let (mut tx, mut rx) = lane(2, 4);
    tx.batch().unwrap().extend_from_slice(b"12345");
    tx.batch().unwrap().extend_from_slice(b"6");
    assert_eq!(rx.peek(), Some(&b"12345"[..]));
    rx.pop();
    assert!(rx.peek().is_none(), "the second batch is still being built");
    assert!(tx.flush(), "the automatic hand-over is reported too");
    assert_eq!(rx.peek(), Some(&b"6"[..]));
}

#[test]
fn lane_reports_an_automatic_hand_over_though_nothing_is_left_to_flush() {
    let (mut tx, _rx) = lane(1, 4);
    tx.batch().unwrap().extend_from_slice(b"12345");
    assert!(tx.batch().is_none(), "handed over, and no slot is left");
    assert!(tx.flush());
    assert!(!tx.flush());
}

#[test]
fn lane_gives_a_huge_batch_back_when_it_is_popped() {
    let (mut tx, mut rx) = lane(1, 10);
    tx.batch().unwrap().resize(SLOT_BYTES_KEPT + 1, 0);
    assert!(tx.flush());
    rx.pop();
    assert_eq!(tx.batch().unwrap().capacity(), 0);
    tx.batch().unwrap().resize(100, 0);
    tx.flush();
    rx.pop();
    assert!(tx.batch().unwrap().capacity() >= 100, "a usual batch keeps its memory");
}

#[test]
fn lane_moves_a_million_messages_in_order() {
    const MESSAGES: u64 = 1_000_000;
    let (mut tx, mut rx) = lane(8, 256);
    let receiver = thread::spawn(move || {
        let mut next = 0u64;
        while next < MESSAGES {
            let Some(bytes) = rx.peek() else {
                thread::yield_now();
                continue;
            };
            for message in bytes.chunks_exact(8) {
                assert_eq!(u64::from_le_bytes(message.try_into().unwrap()), next);
                next += 1;
            }
            rx.pop();
        }
        assert!(rx.is_empty());
    });
    for message in 0..MESSAGES {
        loop {
            if let Some(batch) = tx.batch() {
                batch.extend_from_slice(&message.to_le_bytes());
                break;
            }
            thread::yield_now();
        }
        if message % 7 == 0 {
            tx.flush();
        }
    }
    tx.flush();
    receiver.join().unwrap();
}

#[test]
fn commit_ring_waits_for_its_slowest_reader() {
    let (mut tx, mut rx) = commit_ring(2, 2);
    for zxid in 1..=2 {
        let batch = tx.batch().unwrap();
        batch.last_zxid = zxid;
        batch.bytes.push(zxid as u8);
        assert!(tx.publish());
    }
    assert!(tx.batch().is_none() && tx.free_slots() == 0);
    assert_eq!(rx[0].waiting(), 2);
    rx[0].pop();
    assert_eq!(rx[0].peek().unwrap().last_zxid, 2);
    assert!(tx.batch().is_none(), "the second reader has not popped");
    assert_eq!(rx[1].peek().unwrap().last_zxid, 1);
    rx[1].pop();
    assert_eq!(tx.free_slots(), 1);
    let batch = tx.batch().unwrap();
    assert!(batch.bytes.is_empty() && batch.last_zxid == 0, "a reused slot starts empty");
}

#[test]
fn a_writer_that_found_no_slot_is_woken_by_whoever_frees_one() {
    let (mut tx, mut rx) = commit_ring(2, 1);
    tx.batch().unwrap().last_zxid = 1;
    assert!(tx.publish());
    rx[0].pop();
    assert!(!rx[0].owes_a_wake(), "nobody waits");
    assert!(tx.batch().is_none());
    rx[1].pop();
    assert!(rx[1].owes_a_wake() && !rx[0].owes_a_wake(), "one wake is enough");
    tx.batch().unwrap().last_zxid = 2;
    assert!(tx.publish() && tx.batch().is_none());
    rx[0].pop();
    assert!(rx[0].owes_a_wake(), "it cannot know that another holds up the writer");
    assert!(tx.batch().is_none());
    rx[1].pop();
    assert!(rx[1].owes_a_wake() && tx.batch().is_some());
}

#[test]
fn commit_ring_goes_on_without_a_reader_that_is_gone() {
    let (mut tx, mut rx) = commit_ring(2, 1);
    tx.batch().unwrap().last_zxid = 1;
    assert!(tx.publish());
    rx[0].pop();
    assert!(tx.batch().is_none());
    drop(rx.pop());
    assert!(tx.batch().is_some());
    drop(rx);
    for zxid in 2..10 {
        tx.batch().unwrap().last_zxid = zxid;
        assert!(tx.publish());
    }
}

#[test]
fn commit_ring_publishes_nothing_empty() {
    let (mut tx, mut rx) = commit_ring(1, 4);
    assert!(!tx.publish());
    tx.batch().unwrap();
    assert!(!tx.publish());
    tx.batch().unwrap().last_zxid = 1 << 32;
    assert!(tx.publish(), "a zxid alone is worth telling");
    assert_eq!(rx[0].peek().unwrap().last_zxid, 1 << 32);
}

/// Sleepers that really sleep: with a lost wake this test would hang, not fail by luck.
#[test]
fn a_bell_never_loses_a_wake() {
    const BATCHES: u64 = 50_000;
    let (mut tx, mut rx) = lane(4, 64);
    let bell = Arc::new(Bell::new());
    let rung = Arc::new(AtomicU64::new(0));
    let sleeper = thread::spawn({
        let (bell, rung) = (bell.clone(), rung.clone());
        move || {
            let mut taken = 0;
            while taken < BATCHES {
                bell.begin_pass();
                while rx.peek().is_some() {
                    rx.pop();
                    taken += 1;
                }
                assert!(rung.load(Ordering::Relaxed) >= taken.saturating_sub(1));
                if taken < BATCHES && bell.try_sleep() {
                    while !bell.is_rung() {
                        thread::park();
                    }
                    bell.wake_up();
                }
            }
        }
    });
    for count in 0..BATCHES {
        while tx.is_full() {
            thread::yield_now();
        }
        rung.store(count, Ordering::Relaxed);
        tx.batch().unwrap().push(1);
        tx.flush();
        if bell.ring() {
            sleeper.thread().unpark();
        }
    }
    sleeper.join().unwrap();
}
