//! Models of the publication and wake protocols, run exhaustively:
//! `RUSTFLAGS="--cfg loom" cargo test --release --manifest-path tests/loom/Cargo.toml --target-dir target/loom`.

use super::sync::{Arc, AtomicU64, Ordering};
use super::*;
use loom::thread;

/// Takes one batch, spinning politely.
fn take(rx: &mut LaneRx) -> Vec<u8> {
    loop {
        if let Some(bytes) = rx.peek() {
            let bytes = bytes.to_vec();
            rx.pop();
            return bytes;
        }
        thread::yield_now();
    }
}

#[test]
fn lane_hands_over_whole_batches_and_reuses_the_slot() {
    loom::model(|| {
        let (mut tx, mut rx) = lane(1, 64);
        let receiver = thread::spawn(move || [take(&mut rx), take(&mut rx)]);
        for message in 1..=2u8 {
            loop {
                if let Some(batch) = tx.batch() {
                    batch.extend_from_slice(&[message, message]);
                    break;
                }
                thread::yield_now();
            }
            assert!(tx.flush());
        }
        assert_eq!(receiver.join().unwrap(), [vec![1, 1], vec![2, 2]]);
    });
}

/// Takes what is there, checks that it is whole, and returns the next zxid this reader expects.
fn look(rx: &mut CommitRx, expected: i64) -> i64 {
    let Some(batch) = rx.peek() else { return expected };
    assert_eq!((batch.last_zxid, batch.bytes.as_slice()), (expected, &[expected as u8][..]));
    rx.pop();
    expected + 1
}

/// One slot, two readers, two batches: the slot is written again only behind the slower reader.
/// Nobody spins, so that the model is finite; what a reader has not seen it sees at the end.
#[test]
fn commit_ring_shows_every_reader_every_batch() {
    loom::model(|| {
        let (mut tx, readers) = commit_ring(2, 1);
        let readers: Vec<_> = readers
            .into_iter()
            .map(|mut rx| {
                thread::spawn(move || {
                    let expected = look(&mut rx, 1);
                    (expected, rx)
                })
            })
            .collect();
        let mut published = 0;
        for zxid in 1..=2 {
            if let Some(batch) = tx.batch() {
                batch.last_zxid = zxid;
                batch.bytes.push(zxid as u8);
                assert!(tx.publish());
                published = zxid;
            }
        }
        assert!(published >= 1);
        for reader in readers {
            let (expected, mut rx) = reader.join().unwrap();
            assert_eq!(look(&mut rx, expected).max(expected), published + 1);
        }
    });
}

/// A writer that finds no slot and goes to sleep is told when one is free, whoever comes first. Two readers: the wake of
/// the faster one may be for nothing, but then the writer has said anew that it waits.
#[test]
fn commit_ring_wakes_a_writer_that_waits_for_a_slot() {
    loom::model(|| {
        let (mut tx, readers) = commit_ring(2, 1);
        tx.batch().unwrap().last_zxid = 1;
        assert!(tx.publish());
        let readers: Vec<_> = readers
            .into_iter()
            .map(|mut rx| {
                thread::spawn(move || {
                    rx.pop();
                    (rx.owes_a_wake(), rx)
                })
            })
            .collect();
        let found = tx.batch().is_some();
        let woken = readers.into_iter().map(|reader| reader.join().unwrap());
        // Kept, for a reader that is gone frees its slots.
        let woken: Vec<_> = woken.collect();
        assert!(found || woken.iter().any(|(woken, _)| *woken), "it sleeps and nobody wakes it");
    });
}

/// Of two wakers exactly one is told to wake a sleeper.
#[test]
fn bell_wakes_once_and_never_loses_a_ring() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let work = Arc::new(AtomicU64::new(0));
        let ringers: Vec<_> = (0..2)
            .map(|_| {
                let (bell, work) = (bell.clone(), work.clone());
                thread::spawn(move || {
                    work.fetch_add(1, Ordering::Relaxed);
                    bell.ring()
                })
            })
            .collect();
        bell.begin_pass();
        let seen = work.load(Ordering::Relaxed);
        let slept = bell.try_sleep();
        let wakes = ringers.into_iter().filter_map(|r| r.join().unwrap().then_some(())).count();
        if slept {
            assert!(wakes == usize::from(seen < 2) || (seen == 2 && wakes <= 1));
            bell.wake_up();
        } else {
            assert_eq!(wakes, 0);
        }
        // Whatever this pass missed, the bell makes the owner go through another.
        assert!(seen == 2 || wakes == 1 || bell.is_rung());
        bell.begin_pass();
        assert_eq!(work.load(Ordering::Relaxed), 2);
        assert!(bell.try_sleep());
    });
}
