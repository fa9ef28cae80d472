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

/// What recovery said, the transactions it handed over, and the end of the log.
type Replayed = (Recovered, Vec<Vec<u8>>, LogTail<SimDir>);

/// Replays the directory: recovered state, what was replayed, and the tail.
fn replay(dir: &SimDir, from: Zxid) -> Result<Replayed, LogError> {
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

/// All ways in which `n` things can be in order.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(n - 1) {
        for at in 0..n {
            let mut order = shorter.clone();
            order.insert(at, n - 1);
            all.push(order);
        }
    }
    all
}

/// A log of three segments with frames of one and of several sectors; returns the last zxid.
fn written(dir: &SimDir) -> (Life, Zxid) {
    let mut life = Life::begin(dir).expect("opens");
    let mut next = 1;
    for size in [1, 3, 6, 1, 2, 7, 1, 1, 5, 1, 1, 9, 1, 4, 1, 1, 7, 1] {
        let batch: Vec<_> = (next..next + size).map(|zxid| (zxid, 1000)).collect();
        next += size;
        life.write(&batch);
    }
    (life, next - 1)
}

#[test]
fn every_prefix_of_what_is_written_recovers_to_its_whole_frames() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    let mut next = 1;
    for size in [1, 3, 8, 1, 2, 7, 1, 6] {
        let before = next - 1;
        let batch: Vec<_> = (next..next + size).map(|zxid| (zxid, 1000)).collect();
        next += size;
        let tokens = life.submit(&batch);
        let pieces: Vec<_> = dir.on_the_way();
        let total: usize = pieces.iter().map(|(_, n)| n).sum();
        for arrived in 0..total {
            let copy = dir.copy();
            copy.take_on_the_way(&dir);
            let mut left = arrived;
            copy.crash(false, &mut |_, _| {
                let arrives = left > 0;
                left = left.saturating_sub(1);
                arrives
            });
            let (recovered, seen, _) = replay(&copy, 0).expect("a torn tail is cut");
            assert!(recovered.last_zxid >= before && recovered.last_zxid < next);
            let whole: Vec<_> = (1..=recovered.last_zxid).map(|z| record(z, 1000)).collect();
            assert_eq!(seen, whole);
            let mut again = Life::begin(&copy).expect("opens after the cut");
            let last = recovered.last_zxid;
            again.write(&[(last + 1, 1000)]);
            assert_replays(&copy, last + 1, 1000);
        }
        for token in tokens {
            life.complete(token);
        }
    }
}

#[test]
fn every_damaged_piece_of_a_sealed_log_is_refused() {
    let dir = SimDir::new();
    let (mut life, last) = written(&dir);
    life.seal();
    assert_replays(&dir, last, 1000);
    let (mut refused, mut harmless) = (0, 0);
    for name in dir.list().expect("lists") {
        let bytes = dir.bytes(&name).expect("is there").len();
        for piece in 0..bytes / PIECE {
            let copy = dir.copy();
            copy.damage(&name, |bytes| bytes[piece * PIECE + 100] ^= 0x10);
            match replay(&copy, 0) {
                Ok((recovered, seen, _)) => {
                    // Only what holds no transaction may go unnoticed: spares, the space behind
                    // the end, and the last seal itself.
                    assert_eq!(recovered.last_zxid, last, "{name} piece {piece}");
                    assert_eq!(seen.len() as Zxid, last);
                    harmless += 1;
                }
                Err(LogError::Damaged { name: bad, offset, .. }) => {
                    let frame_before = offset <= (piece * PIECE) as u64;
                    assert!(bad == name && frame_before, "{name} piece {piece}: {bad} {offset}");
                    refused += 1;
                }
                // The first segment's first frame: the log seems to begin later.
                Err(LogError::Gap { .. }) => {
                    assert!(name == segment::name(1) && piece < 8);
                    refused += 1;
                }
                Err(err) => panic!("{name} piece {piece}: {err}"),
            }
        }
    }
    assert!(refused >= 8 * 24, "{refused} refused");
    assert!(harmless > 0);
}

#[test]
fn any_order_of_completions_with_any_arrivals_keeps_the_acknowledged() {
    for order in permutations(4) {
        for completed in 0..=4 {
            for arrivals in 0..1u32 << (4 - completed) {
                any_order(&order, completed, arrivals);
            }
        }
    }
}

/// Four frames in flight (over a segment's end, so a start frame as well); the first `completed`
/// of `order` complete, of the others those in `arrivals` arrive.
fn any_order(order: &[usize], completed: usize, arrivals: u32) {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 6000), (2, 6000)]);
    let sizes = [(3, 1000), (4, 1000), (5, 5000), (6, 1000)];
    let tokens: Vec<Vec<u64>> = sizes.iter().map(|txn| life.submit(&[*txn])).collect();
    let mut done = [false; 4];
    for frame in &order[..completed] {
        for token in tokens[*frame].clone() {
            life.complete(token);
        }
        done[*frame] = true;
        let prefix = done.iter().take_while(|d| **d).count() as Zxid;
        assert_eq!(life.writer.durable_through(), 2 + prefix, "order {order:?}");
    }
    let acknowledged = life.writer.durable_through();
    let mut arriving = Vec::new();
    for (bit, frame) in order[completed..].iter().enumerate() {
        if arrivals >> bit & 1 == 1 {
            done[*frame] = true;
            arriving.extend(tokens[*frame].clone());
        }
    }
    dir.crash(false, &mut |token, _| arriving.contains(&token));
    let (recovered, _, _) = replay(&dir, 0).expect("nothing acknowledged is lost");
    let prefix = done.iter().take_while(|d| **d).count() as Zxid;
    assert_eq!(recovered.last_zxid, 2 + prefix, "order {order:?} {completed} {arrivals}");
    assert!(recovered.last_zxid >= acknowledged);
    // A life later nothing of the dropped frames is back, wherever the new ones end.
    let mut life = Life::begin(&dir).expect("opens");
    let last = recovered.last_zxid;
    let bytes = order[0] * 4000 + 10;
    life.write(&[(last + 1, bytes)]);
    let (recovered, seen, _) = replay(&dir, 0).expect("recovers");
    assert_eq!(recovered.last_zxid, last + 1);
    assert_eq!(seen.last(), Some(&record(last + 1, bytes)));
}

#[test]
fn frames_of_an_earlier_incarnation_stay_dead() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 100)]);
    // Frames of one sector each; the first never arrives, the others do.
    let tokens: Vec<u64> = (2..=5).flat_map(|zxid| life.submit(&[(zxid, 100)])).collect();
    dir.crash(false, &mut |token, _| token != tokens[0]);
    let (recovered, _, _) = replay(&dir, 0).expect("recovers");
    assert_eq!(recovered.last_zxid, 1);
    let cut = recovered.cut.expect("frames were dropped");
    assert_eq!(cut.frames_beyond, 3);
    // The new start frame takes the missing frame's place: the old ones follow it seamlessly, and
    // their sequence fits.
    drop(Life::begin(&dir).expect("opens"));
    assert_replays(&dir, 1, 100);
    // The same once more, with one new frame in front of the old ones.
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(2, 100)]);
    assert_replays(&dir, 2, 100);
}

#[test]
fn each_opening_is_an_incarnation_of_its_own_and_the_chain_alone_is_not_enough() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 100)]);
    drop(life);
    drop(Life::begin(&dir).expect("opens"));
    let bytes = dir.bytes(&segment::name(1)).expect("is there");
    let at = |sector: usize| frame::read(&bytes[sector * 4096..]).expect("a frame").header;
    assert_eq!([0, 1, 2].map(|s| at(s).incarnation), [1, 1, 2]);
    // As if by chance the CRC and the sequence of an old frame fitted the new end.
    let end = frame::read(&bytes[2 * 4096..]).expect("a frame");
    let mut batch = BatchBuilder::new();
    batch.push(2, b"of an earlier life");
    for (incarnation, wrong_crc, counts) in [(1, 0, false), (2, 1, false), (2, 0, true)] {
        let mut stale = vec![0; 4096];
        let body_bytes = batch.build(0..1, &mut stale) as u32;
        let header = frame::Header {
            incarnation,
            sequence: end.header.sequence + 1,
            previous_crc: end.crc ^ wrong_crc,
            body_bytes,
            kind: frame::Kind::Batch,
            last_zxid: 2,
            ..end.header
        };
        frame::seal(&mut stale, &header);
        dir.damage(&segment::name(1), |bytes| bytes[3 * 4096..4 * 4096].copy_from_slice(&stale));
        let (recovered, _, _) = replay(&dir, 0).expect("recovers");
        assert_eq!(recovered.last_zxid == 2, counts);
    }
}

#[test]
fn a_torn_frame_of_many_sectors_is_cut_whichever_sectors_arrive() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 100)]);
    let token = life.submit(&[(2, 9000)])[0];
    // All subsets of the three sectors, and of pieces within them a spread of masks.
    for mask in (0..8u64).chain((1..4000).map(|i| i * 0x9e37_79b9)) {
        let copy = dir.copy();
        copy.take_on_the_way(&dir);
        copy.crash(false, &mut |t, piece| {
            let bit = if mask < 8 { piece / 8 } else { piece + 5 };
            assert_eq!(t, token);
            mask >> bit & 1 == 1
        });
        let (recovered, _, _) = replay(&copy, 0).expect("a torn frame is cut");
        let whole = mask == 7 || mask >> 5 & 0xff_ffff == 0xff_ffff;
        assert_eq!(recovered.last_zxid, if whole { 2 } else { 1 }, "mask {mask:x}");
    }
}

#[test]
fn a_failed_or_short_write_is_fatal_and_ends_the_log() {
    for result in [Err(std::io::Error::from_raw_os_error(libc::EIO)), Ok(4095), Ok(0)] {
        let dir = SimDir::new();
        let mut life = Life::begin(&dir).expect("opens");
        let token = life.submit(&[(1, 100)])[0];
        life.submit(&[(2, 100)]);
        let (_, buf) = life.in_flight.remove(0);
        let fatal = life.writer.completed(token, result, buf).expect_err("is fatal");
        assert_eq!((fatal.name, fatal.offset), (segment::name(1), 4096));
        let mut batch = BatchBuilder::new();
        batch.push(3, b"three");
        assert!(matches!(life.writer.frame(&batch, 0, 0), Err(LogError::Failed)));
        assert!(matches!(life.writer.seal_due(1 << 40, 0), Seal::Idle));
        assert!(matches!(life.writer.truncate_to(0), Err(LogError::Failed)));
    }
}

#[test]
fn without_space_writes_are_refused_before_they_are_logged() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    dir.limit_space(Some(3 * SEGMENT));
    let mut batch = BatchBuilder::new();
    let mut last = 0;
    let refused = loop {
        batch.clear();
        batch.push(last + 1, &record(last + 1, 9000));
        while life.maker.turn() {}
        match life.writer.frame(&batch, last, last) {
            Ok(writes) => {
                for token in life.take(writes) {
                    life.complete(token);
                }
                last += 1;
                assert!(last < 100);
            }
            Err(err) => break err,
        }
    };
    assert!(matches!(refused, LogError::NoSpace { .. }), "{refused}");
    assert_eq!(life.writer.room(0), Room::None);
    assert_eq!(life.writer.last_zxid(), last);
    // What is smaller still fits the segment's end: nothing of the refused batch is in the way.
    life.write(&[(last + 1, 1000)]);
    dir.limit_space(None);
    while life.maker.turn() {}
    assert_eq!(life.writer.room(0), Room::Enough);
    life.write(&[(last + 2, 9000)]);
    let (recovered, seen, _) = replay(&dir, 0).expect("recovers");
    assert_eq!((recovered.last_zxid, seen.len() as Zxid), (last + 2, last + 2));
}

#[test]
fn a_batch_larger_than_a_frame_is_cut_into_several() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    let batch: Vec<_> = (1..=60).map(|zxid| (zxid, 500)).collect();
    let tokens = life.submit(&batch);
    assert!(tokens.len() >= 3);
    for token in tokens {
        life.complete(token);
    }
    assert_replays(&dir, 60, 500);
    let mut batch = BatchBuilder::new();
    batch.push(61, &[0; SEGMENT as usize]);
    assert!(matches!(life.writer.frame(&batch, 0, 0), Err(LogError::TooLarge { .. })));
    batch.clear();
    batch.push(60, b"again");
    assert!(matches!(life.writer.frame(&batch, 0, 0), Err(LogError::OutOfOrder { .. })));
}

#[test]
fn purged_segments_are_recycled_and_the_log_begins_later() {
    let dir = SimDir::new();
    let (mut life, last) = written(&dir);
    let segments = life.writer.segments();
    assert!(segments >= 3);
    assert_eq!(life.writer.purge(0), 0);
    let middle = last / 2;
    let gone = life.writer.purge(middle);
    assert!(gone > 0 && life.writer.segments() == segments - gone);
    assert!(life.writer.begins_after() <= middle);
    while life.maker.turn() {}
    let (recovered, seen, _) = replay(&dir, middle).expect("recovers");
    assert_eq!((recovered.last_zxid, seen.len() as Zxid), (last, last - middle));
    assert!(matches!(replay(&dir, 0), Err(LogError::Gap { from_zxid: 0, .. })));
    // Recycled segments hold old frames; the log goes on over them.
    for zxid in last + 1..last + 30 {
        life.write(&[(zxid, 1000)]);
        life.writer.purge(zxid - 3);
        let (recovered, seen, _) = replay(&dir, zxid - 2).expect("recovers");
        assert_eq!(
            (recovered.last_zxid, seen),
            (zxid, vec![record(zxid - 1, 1000), record(zxid, 1000)])
        );
    }
    assert!(dir.list().expect("lists").len() <= 6);
}

#[test]
fn as_many_segments_as_a_snapshot_cycle_uses_up_are_kept_for_the_next() {
    let dir = SimDir::new();
    let (mut life, last) = written(&dir);
    while life.maker.turn() {}
    let (files, used) = (dir.list().expect("lists").len(), life.writer.segments());
    let gone = life.writer.purge(last - 1);
    assert!(gone >= 3, "{gone} of {used}");
    while life.maker.turn() {}
    let left = dir.list().expect("lists").len();
    assert!(left > files - gone, "{left} of {files} files are left, {gone} segments were set free");
    let (recovered, _, _) = replay(&dir, last - 1).expect("recovers");
    assert_eq!(recovered.last_zxid, last);
}

#[test]
fn a_segment_stays_until_the_next_one_can_stand_alone() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 6000), (2, 6000)]);
    life.write(&[(3, 6000), (4, 6000)]);
    let tokens = life.submit(&[(5, 6000)]);
    assert_eq!((tokens.len(), life.writer.segments()), (2, 2));
    assert_eq!(life.writer.purge(4), 0, "the next one's start frame is on its way");
    life.complete(tokens[0]);
    assert_eq!(life.writer.purge(3), 0, "the snapshot does not reach that far");
    assert_eq!(life.writer.purge(4), 1);
    while life.maker.turn() {}
    dir.crash(false, &mut |_, _| false);
    assert_eq!(replay(&dir, 4).expect("recovers").0.last_zxid, 4);
}

#[test]
fn the_log_is_cut_at_every_zxid_and_goes_on() {
    let (all, last) = {
        let dir = SimDir::new();
        let (_, last) = written(&dir);
        (dir, last)
    };
    for zxid in 0..=last {
        let dir = all.copy();
        let mut life = Life::begin(&dir).expect("opens");
        assert_eq!(life.writer.truncate_to(zxid).expect("cuts"), zxid);
        assert_replays(&dir, zxid, 1000);
        while life.maker.turn() {}
        assert_replays(&dir, zxid, 1000);
        life.write(&[(zxid + 1, 1000), (zxid + 2, 1000)]);
        let again = life.writer.truncate_to(zxid + 1).expect("cuts again");
        assert_eq!(again, zxid + 1);
        let lower = zxid / 2;
        assert_eq!(life.writer.truncate_to(lower).expect("cuts deeper"), lower);
        life.write(&[(lower + 1, 1000)]);
        assert_replays(&dir, lower + 1, 1000);
        drop(life);
        drop(Life::begin(&dir).expect("opens"));
        assert_replays(&dir, lower + 1, 1000);
    }
}

#[test]
fn a_cut_is_whole_or_not_at_all_wherever_the_process_dies() {
    let all = SimDir::new();
    let (_, last) = written(&all);
    let cut = last - 9;
    let mut outcomes = [0, 0];
    for changes in 0..20 {
        for torn in [0, 1, 0b1010_1010, 0x7f, 0xff] {
            for names_arrive in [false, true] {
                let dir = all.copy();
                let mut life = Life::begin(&dir).expect("opens");
                dir.die_after(Some(changes), torn);
                let cut_made = life.writer.truncate_to(cut).is_ok();
                while life.maker.turn() {}
                drop(life);
                dir.crash(names_arrive, &mut |_, _| false);
                let (recovered, _, _) = replay(&dir, 0).expect("recovers");
                let is_cut = recovered.last_zxid == cut;
                assert!(is_cut || (!cut_made && recovered.last_zxid == last));
                outcomes[usize::from(is_cut)] += 1;
                drop(Life::begin(&dir).expect("opens"));
                assert_replays(&dir, recovered.last_zxid, 1000);
            }
        }
    }
    assert!(outcomes.iter().all(|n| *n > 0), "{outcomes:?}");
}

#[test]
fn opening_may_die_anywhere() {
    // A torn tail over a segment's end: the dead next segment has to be cleared as well.
    let torn = SimDir::new();
    let mut life = Life::begin(&torn).expect("opens");
    life.write(&[(1, 6000), (2, 6000), (3, 3000)]);
    let tokens: Vec<_> = (4..=7).map(|zxid| life.submit(&[(zxid, 3000)])).collect();
    assert_eq!(tokens.iter().filter(|t| t.len() == 2).count(), 1);
    let lost = tokens[0][0];
    torn.crash(false, &mut |token, _| token != lost);
    assert_eq!(replay(&torn, 0).expect("recovers").0.last_zxid, 3);
    for changes in 0..12 {
        for pieces in [0, 1, 0b1010_1010, 0x7f, 0xff] {
            let dir = torn.copy();
            dir.die_after(Some(changes), pieces);
            let opened = Life::begin(&dir).is_ok();
            dir.crash(pieces & 2 == 2, &mut |_, _| false);
            let (recovered, _, _) = replay(&dir, 0).expect("recovers");
            assert_eq!(recovered.last_zxid, 3, "{changes} {pieces:x} opened {opened}");
            let mut life = Life::begin(&dir).expect("opens");
            life.write(&[(4, 20)]);
            let (recovered, seen, _) = replay(&dir, 0).expect("recovers");
            assert_eq!(recovered.last_zxid, 4);
            assert_eq!(seen.last(), Some(&record(4, 20)));
        }
    }
}

#[test]
fn a_snapshot_ahead_of_the_log_restarts_it() {
    let dir = SimDir::new();
    let (_, last) = written(&dir);
    let (recovered, seen, tail) = replay(&dir, last + 100).expect("recovers");
    assert_eq!((recovered.last_zxid, seen.len()), (last + 100, 0));
    let (writer, maker) = Writer::open(tail, options()).expect("opens");
    assert_eq!(writer.last_zxid(), last + 100);
    while maker.turn() {}
    // From an older snapshot there is a hole now, which must not be replayed over.
    let err = replay(&dir, last).err().expect("is refused");
    assert!(matches!(err, LogError::Gap { begins_after, .. } if begins_after == last + 100));
    assert_eq!(replay(&dir, last + 100).expect("recovers").0.last_zxid, last + 100);
}

#[test]
fn a_restart_behind_a_snapshot_may_die_anywhere() {
    let all = SimDir::new();
    let (_, last) = written(&all);
    let snapshot = last + 100;
    // Without spares, so that old segments are what new ones would be made of.
    for name in all.list().expect("lists").split_off(3) {
        all.remove(&name).expect("removes");
    }
    all.sync().expect("syncs");
    for changes in 0..16 {
        for torn in [0, 1, 0b1010_1010, 0xff] {
            let dir = all.copy();
            let (_, _, tail) = replay(&dir, snapshot).expect("recovers");
            dir.die_after(Some(changes), torn);
            if let Ok((_, maker)) = Writer::open(tail, options()) {
                while maker.turn() {}
            }
            dir.crash(torn & 2 == 2, &mut |_, _| false);
            let (recovered, seen, tail) = replay(&dir, snapshot).expect("recovers");
            assert_eq!((recovered.last_zxid, seen.len()), (snapshot, 0));
            let (writer, _) = Writer::open(tail, options()).expect("opens");
            assert_eq!(writer.last_zxid(), snapshot);
        }
    }
}

#[test]
fn a_learner_reads_back_what_it_lacks_while_the_log_is_written() {
    let dir = SimDir::new();
    let (mut life, last) = written(&dir);
    assert_eq!(restarted_at(&dir).expect("reads"), None);
    life.submit(&[(last + 1, 100)]);
    for from in [0, 1, last / 2, last] {
        for through in [from, last / 2, last - 1, last] {
            let mut seen = Vec::new();
            let end = read_back(&dir, from, through, &mut |zxid, bytes| {
                assert_eq!(bytes, record(zxid, 1000));
                seen.push(zxid);
                Ok(())
            })
            .expect("reads");
            assert_eq!(seen, (from + 1..=through).collect::<Vec<_>>());
            assert_eq!(end, through.max(from));
        }
    }
    let end = read_back(&dir, 0, last + 1, &mut |_, _| Ok(())).expect("reads");
    assert_eq!(end, last, "what is not there is not read");
    life.complete(life.in_flight[0].0);
    life.writer.restart_at(last + 7).expect("restarts");
    assert_eq!(restarted_at(&dir).expect("reads"), Some(last + 7));
    let gap = read_back(&dir, last, last + 7, &mut |_, _| Ok(()));
    assert!(matches!(gap, Err(LogError::Gap { .. })));
}

#[test]
fn a_full_disk_does_not_keep_a_server_from_starting() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 100)]);
    drop(life);
    for name in dir.list().expect("lists").split_off(1) {
        dir.remove(&name).expect("removes");
    }
    dir.limit_space(Some(SEGMENT));
    let mut life = Life::begin(&dir).expect("opens where there is room for a frame");
    assert_eq!(life.writer.room(SEGMENT), Room::None);
    life.write(&[(2, 100)]);
    assert_replays(&dir, 2, 100);
}

#[test]
fn a_batch_that_needs_more_segments_than_are_kept_ready_gets_them() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    let mut batch = BatchBuilder::new();
    let last = (options().spares as i64 + 3) * SEGMENT as i64 / 1000;
    for zxid in 1..=last {
        batch.push(zxid, &record(zxid, 1000));
    }
    let refused = life.writer.frame(&batch, 0, 0).err().expect("there are too few spares");
    assert!(matches!(refused, LogError::SpareNotReady), "{refused}");
    assert_eq!(life.writer.room(0), Room::Enough, "to ask for less changes nothing");
    while life.maker.turn() {}
    let writes = life.writer.frame(&batch, 0, 0).expect("they have been made");
    for token in life.take(writes) {
        life.complete(token);
    }
    assert_replays(&dir, last, 1000);
    while life.maker.turn() {}
    let spares = dir.list().expect("lists").len() - life.writer.segments();
    assert_eq!(spares, options().spares, "afterwards no more are kept than before");
}

#[test]
fn the_segment_that_is_written_to_must_be_there_whole() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.write(&[(1, 100), (2, 100)]);
    life.write(&[(3, 100)]);
    let name = segment::name(1);
    // A snapshot of the first two does not make up for the third.
    for bytes in [0, 1, 4096, SEGMENT as usize - 1] {
        let dir = dir.copy();
        assert!(dir.damage(&name, |content| content.truncate(bytes)));
        for from_zxid in [0, 2] {
            let refused = replay(&dir, from_zxid).err().expect("it is cut short");
            assert!(matches!(refused, LogError::CutShort { .. }), "{refused}");
        }
        dir.remove(&name).expect("removed");
        let refused = replay(&dir, 2).err().expect("it is missing");
        assert!(matches!(refused, LogError::NoBeginning { .. }), "{refused}");
    }
    assert_eq!(replay(&dir, 2).expect("recovers").1.len(), 1);
    // Within the last frame, of three sectors, which no torn write makes of it.
    life.write(&[(4, 9000)]);
    for sectors in [4, 5] {
        let dir = dir.copy();
        assert!(dir.damage(&name, |content| content.truncate(sectors * 4096)));
        let refused = replay(&dir, 0).err().expect("it is cut short");
        assert!(matches!(refused, LogError::CutShort { .. }), "{refused}");
    }
}

#[test]
fn a_segment_that_is_missing_between_others_is_named() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    // A frame takes a sector: the third segment is begun.
    for zxid in 1..=18 {
        life.write(&[(zxid, 1000)]);
    }
    let current = life.writer.segments() as u64;
    assert!(current >= 3, "{current} segments");
    for index in 2..current {
        let dir = dir.copy();
        dir.remove(&segment::name(index)).expect("removed");
        match replay(&dir, 0).err().expect("it is missing") {
            LogError::Missing { name, before, .. } => {
                assert_eq!((name, before), (segment::name(index), segment::name(index - 1)));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_segment_of_another_log_and_a_renamed_one_are_refused() {
    let (one, other) = (SimDir::new(), SimDir::new());
    let (_, _) = written(&one);
    let (_, _, tail) = replay(&other, 0).expect("recovers");
    let (_, _) = Writer::open(tail, LogOptions { log_id: 8, ..options() }).expect("opens");
    let foreign = other.bytes(&segment::name(1)).expect("is there");
    one.damage(&segment::name(2), |bytes| *bytes = foreign);
    assert!(matches!(replay(&one, 0), Err(LogError::Inconsistent { .. })));
    let foreign = one.bytes(&segment::name(1)).expect("is there");
    let (_, _, tail) = replay(&other, 0).expect("recovers");
    drop(tail);
    other.create_zeroed(&segment::name(9), SEGMENT).expect("makes");
    other.damage(&segment::name(9), |bytes| *bytes = foreign);
    assert!(matches!(replay(&other, 0), Err(LogError::Inconsistent { .. })));
}

#[test]
fn the_seal_comes_once_after_idleness_and_covers_the_last_batch() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    assert!(matches!(life.writer.seal_due(0, 0), Seal::Idle));
    let token = life.submit(&[(1, 100)])[0];
    assert!(matches!(life.writer.seal_due(1 << 40, 0), Seal::Idle), "not while in flight");
    life.complete(token);
    assert!(matches!(life.writer.seal_due(10, 0), Seal::At(50_000_010)));
    assert!(matches!(life.writer.seal_due(50_000_009, 0), Seal::At(50_000_010)));
    let Seal::Write(write) = life.writer.seal_due(50_000_010, 1) else { panic!("is due") };
    let token = life.take(vec![write])[0];
    life.complete(token);
    assert!(matches!(life.writer.seal_due(1 << 40, 1), Seal::Idle));
    assert_eq!(assert_replays(&dir, 1, 100).committed_zxid, 1);
    dir.damage(&segment::name(1), |bytes| bytes[4096 + 80] ^= 1);
    let err = replay(&dir, 0).err().expect("is refused");
    assert!(err.to_string().contains("offset 4096"), "{err}");
}

#[test]
fn a_write_is_overdue_when_its_time_is_up_and_not_a_later_one() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    let first = life.submit(&[(1, 100)])[0];
    assert!(!life.writer.is_overdue(100, 50));
    assert!(!life.writer.is_overdue(150, 50));
    assert!(life.writer.is_overdue(151, 50));
    life.submit(&[(2, 100)]);
    life.complete(first);
    assert!(!life.writer.is_overdue(160, 50));
    assert!(life.writer.is_overdue(211, 50));
}

#[test]
fn the_time_that_the_process_stood_still_is_not_the_disks() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    life.submit(&[(1, 100)]);
    assert!(!life.writer.is_overdue(100, 50));
    life.writer.excuse(1_000);
    assert!(!life.writer.is_overdue(1_150, 50));
    assert!(life.writer.is_overdue(1_151, 50));
}

/// Two segments written, the second with a few batches, and spares behind it.
fn two_segments(dir: &SimDir) {
    let mut life = Life::begin(dir).expect("opens");
    for zxid in 1..=9 {
        life.write(&[(zxid, 3000)]);
    }
    life.seal();
    while life.maker.turn() {}
    assert_eq!(dir.newest().unwrap(), 2);
    assert_replays(dir, 9, 3000);
}

#[test]
fn the_newest_segment_is_missed_when_it_is_gone() {
    type Loss = (&'static str, fn(&SimDir));
    let losses: [Loss; 4] = [
        ("is missing", |dir| dir.remove(&segment::name(2)).unwrap()),
        ("is missing", |dir| {
            for index in 2..=4 {
                dir.remove(&segment::name(index)).unwrap();
            }
        }),
        ("has nothing in it", |dir| assert!(dir.damage(&segment::name(2), |bytes| bytes.fill(0)))),
        ("does not begin with", |dir| {
            assert!(dir.damage(&segment::name(2), |bytes| bytes.fill(7)))
        }),
    ];
    for (what, lose) in losses {
        let dir = SimDir::new();
        two_segments(&dir);
        lose(&dir);
        let said = replay(&dir, 0).err().expect("is refused").to_string();
        let name = segment::name(2);
        assert!(said.contains(&format!("{name} {what}")), "{said}");
        assert!(said.contains("at zxid 0x7"), "{said}");
    }
}

#[test]
fn a_directory_remembers_its_newest_segment_by_a_name() {
    let temporary = tempfile::tempdir().expect("a directory");
    let real = RealDir::new(temporary.path(), true).expect("opens");
    assert_eq!(real.newest().unwrap(), 0);
    for index in [1, 2, 0x1234] {
        real.set_newest(index).unwrap();
        assert_eq!(real.newest().unwrap(), index);
        assert_eq!(real.list().unwrap(), [segment::newest_name(index)]);
    }
    let unsynced = RealDir::new(temporary.path(), false).expect("opens");
    unsynced.set_newest(0x1235).unwrap();
    assert_eq!(real.newest().unwrap(), 0x1234, "nobody knows what is on the medium");
}

#[test]
fn a_lock_holds_though_its_file_is_removed() {
    let temporary = tempfile::tempdir().expect("a directory");
    let lock = DirLock::acquire(temporary.path()).expect("is free");
    std::fs::remove_file(temporary.path().join("lock")).unwrap();
    assert!(DirLock::holder_of(temporary.path()).is_some());
    DirLock::acquire(temporary.path()).expect_err("is taken");
    let shared = lock.share().unwrap();
    drop(lock);
    DirLock::acquire(temporary.path()).expect_err("is still held");
    drop(shared);
    DirLock::acquire(temporary.path()).expect("is free again");
}

/// Writes on the real disk, by hand what the reactor does.
fn write_through(writer: &mut Writer, writes: Vec<Write<LogFile>>) {
    for Write { file, offset, buf, token } in writes {
        let written = std::os::unix::fs::FileExt::write_at(file.file(), &buf, offset);
        writer.completed(token, written, buf).expect("the disk is good");
    }
}

#[test]
fn the_real_disk_does_it_too() {
    for force_sync in [true, false] {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().join("ringkeeper");
        let mut last = 0;
        for _ in 0..3 {
            let _lock = DirLock::acquire(&dir).expect("is free");
            let real = RealDir::new(&dir, force_sync).expect("opens");
            let mut seen = 0;
            let (recovered, tail) = recover_in(Arc::new(real), 0, &mut |bytes| {
                seen += 1;
                assert_eq!(bytes, record(seen, 3000));
                Ok(())
            })
            .expect("recovers");
            assert_eq!((recovered.last_zxid, seen), (last, last));
            let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
            let (mut writer, spares) = open(tail, options).expect("opens");
            for _ in 0..200 {
                let mut batch = BatchBuilder::new();
                for zxid in last + 1..=last + 3 {
                    batch.push_with(zxid, |out| out.extend(record(zxid, 3000)));
                }
                last += 3;
                let writes = loop {
                    match writer.frame(&batch, last, last) {
                        Ok(writes) => break writes,
                        Err(LogError::SpareNotReady) => std::thread::yield_now(),
                        Err(err) => panic!("{err}"),
                    }
                };
                write_through(&mut writer, writes);
                assert_eq!(writer.durable_through(), last);
            }
            assert!(writer.segments() > 1);
            drop(spares);
            writer.close(last).expect("seals");
        }
    }
}

#[test]
fn a_directory_has_one_server() {
    let temporary = tempfile::tempdir().expect("a directory");
    let lock = DirLock::acquire(temporary.path()).expect("is free");
    let err = DirLock::acquire(temporary.path()).expect_err("is taken");
    assert!(err.to_string().contains(&std::process::id().to_string()), "{err}");
    drop(lock);
    DirLock::acquire(temporary.path()).expect("is free again");
}

#[test]
fn neither_opening_nor_cutting_makes_committed_what_is_only_logged() {
    let dir = SimDir::new();
    let mut life = Life::begin(&dir).expect("opens");
    for txns in [&[1][..], &[2], &[3, 4, 5]] {
        let txns: Vec<(Zxid, usize)> = txns.iter().map(|zxid| (*zxid, 100)).collect();
        life.write(&txns);
    }
    assert_eq!(assert_replays(&dir, 5, 100).committed_zxid, 2);
    let mut life = Life::begin(&dir).expect("opens");
    assert_eq!(assert_replays(&dir, 5, 100).committed_zxid, 2, "opened again");
    assert_eq!(life.writer.truncate_to(4).expect("cuts"), 4);
    assert_eq!(assert_replays(&dir, 4, 100).committed_zxid, 2, "cut");
}
