//! What the log promises, on the failing disk.

use std::sync::Arc;

use super::testing::{PIECE, SimDir, SimFile};
use super::*;

/// Eight sectors: a start frame and seven more.
const SEGMENT: u64 = 8 * 4096;

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT,
        spares: 2,
        frame_bytes_max: 3 * 4096,
        log_id: 7,
        ..LogOptions::default()
    }
}

/// The bytes of transaction `zxid`: different for each, of `len` bytes.
fn record(zxid: Zxid, len: usize) -> Vec<u8> {
    (0..len).map(|i| (zxid as usize * 31 + i * 7) as u8).collect()
}

/// A server's life with the log: opens it, writes, crashes.
struct Life {
    dir: SimDir,
    writer: Writer<SimDir>,
    maker: SpareMaker<SimDir>,
    seen: Vec<(Zxid, usize)>,
    recovered: Recovered,
    in_flight: Vec<(u64, AlignedBuf)>,
}

/// Replays the directory: recovered state, what was replayed, and the tail.
fn replay(
    dir: &SimDir,
    from: Zxid,
) -> Result<(Recovered, Vec<Vec<u8>>, LogTail<SimDir>), LogError> {
    let mut seen = Vec::new();
    let (recovered, tail) = recover_in(Arc::new(dir.clone()), from, &mut |bytes| {
        seen.push(bytes.to_vec());
        Ok(())
    })?;
    Ok((recovered, seen, tail))
}

impl Life {
    fn begin(dir: &SimDir) -> Result<Life, LogError> {
        let (recovered, seen, tail) = replay(dir, 0)?;
        let seen = seen.iter().map(|bytes| (0, bytes.len())).collect();
        let (writer, maker) = Writer::open(tail, options())?;
        while maker.turn() {}
        Ok(Life { dir: dir.clone(), writer, maker, seen, recovered, in_flight: Vec::new() })
    }

    /// Frames a batch of these transactions and puts its writes on their way.
    fn submit(&mut self, txns: &[(Zxid, usize)]) -> Vec<u64> {
        let mut batch = BatchBuilder::new();
        for (zxid, len) in txns {
            batch.push(*zxid, &record(*zxid, *len));
        }
        while self.maker.turn() {}
        let durable = self.writer.durable_through();
        let writes = self.writer.frame(&batch, durable, durable).expect("there is room");
        self.take(writes)
    }

    fn take(&mut self, writes: Vec<Write<SimFile>>) -> Vec<u64> {
        let submitted: Vec<_> = writes.into_iter().map(|w| self.dir.submit(w)).collect();
        let tokens = submitted.iter().map(|(token, _)| *token).collect();
        self.in_flight.extend(submitted);
        tokens
    }

    fn complete(&mut self, token: u64) -> Zxid {
        let at = self.in_flight.iter().position(|(t, _)| *t == token).expect("in flight");
        let (_, buf) = self.in_flight.swap_remove(at);
        let written = self.dir.complete(token);
        self.writer.completed(token, written, buf).expect("the write is good").through
    }

    /// Writes a batch and waits for it.
    fn write(&mut self, txns: &[(Zxid, usize)]) {
        for token in self.submit(txns) {
            self.complete(token);
        }
    }

    fn seal(&mut self) {
        assert!(matches!(self.writer.seal_due(0, 0), Seal::At(50_000_000)));
        let Seal::Write(write) = self.writer.seal_due(50_000_000, 0) else {
            panic!("a seal is due")
        };
        for token in self.take(vec![write]) {
            self.complete(token);
        }
    }
}

/// Asserts that exactly the transactions `1..=last` of `len` bytes are replayed.
fn assert_replays(dir: &SimDir, last: Zxid, len: usize) -> Recovered {
    let (recovered, seen, _) = replay(dir, 0).expect("recovers");
    let expected: Vec<Vec<u8>> = (1..=last).map(|zxid| record(zxid, len)).collect();
    assert_eq!(seen, expected);
    assert_eq!(recovered.last_zxid, last);
    recovered
}

#[test]
fn what_was_written_is_replayed_over_segments_and_restarts() {
    let dir = SimDir::new();
    let mut next = 1;
    for round in 0..12 {
        let mut life = Life::begin(&dir).expect("opens");
        assert_eq!(life.recovered.last_zxid, next - 1);
        assert_eq!(life.seen.len() as Zxid, next - 1);
        for _ in 0..round {
            life.write(&[(next, 1000), (next + 1, 1000)]);
            next += 2;
        }
    }
    let recovered = assert_replays(&dir, next - 1, 1000);
    assert_eq!(recovered.cut, None);
}
