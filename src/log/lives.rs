//! Random lives: a server that writes, crashes, cuts, purges and starts again, against a model of
//! what it was told. Only crashes here, no rot: so recovery may never refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::testing::{SimDir, SimFile};
use super::*;

const SEGMENT: u64 = 6 * 4096;

/// Something that happens in a life.
#[derive(Clone, Debug)]
enum Event {
    /// A batch of that many transactions, each of that many bytes, is handed over.
    Batch { transactions: u8, bytes: u16 },
    /// One of the writes in flight completes.
    Complete { which: u8 },
    /// Time passes until a seal is due.
    Idle,
    /// The spares' thread gets one turn.
    Spare,
    /// The power fails; pieces of what is on its way arrive by this pattern.
    Crash { pieces: u64, names_arrive: bool, from_snapshot: bool },
    /// The process dies in a change of the disk during the next start.
    DieInStart { changes: u8, torn: u64, names_arrive: bool },
    /// All writes complete and the log is cut that many transactions back.
    Cut { back: u8 },
    /// A snapshot that far back lets segments go.
    Purge { back: u8 },
}

fn event() -> impl Strategy<Value = Event> {
    let pieces = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    prop_oneof![
        6 => (1..12u8, prop_oneof![1..300u16, 2000..5000u16])
            .prop_map(|(transactions, bytes)| Event::Batch { transactions, bytes }),
        6 => any::<u8>().prop_map(|which| Event::Complete { which }),
        1 => Just(Event::Idle),
        3 => Just(Event::Spare),
        2 => (pieces.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(pieces, names_arrive, from_snapshot)| Event::Crash {
                pieces, names_arrive, from_snapshot
            }
        ),
        1 => (0..12u8, pieces, any::<bool>()).prop_map(|(changes, torn, names_arrive)| {
            Event::DieInStart { changes, torn, names_arrive }
        }),
        1 => (0..20u8).prop_map(|back| Event::Cut { back }),
        1 => (0..20u8).prop_map(|back| Event::Purge { back }),
    ]
}

fn record(zxid: Zxid, life: u32, bytes: u16) -> Vec<u8> {
    let mut record = format!("{zxid} of life {life} ").into_bytes();
    record.resize(record.len() + usize::from(bytes), zxid as u8);
    record
}

/// The texts of records, for messages.
fn told(records: &[Vec<u8>]) -> String {
    let text = |r: &Vec<u8>| String::from_utf8_lossy(&r[..r.len().min(14)]).into_owned();
    records.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A server and what is known of it.
struct Server {
    dir: SimDir,
    life: u32,
    log: Option<(Writer<SimDir>, SpareMaker<SimDir>)>,
    in_flight: Vec<(u64, AlignedBuf)>,
    now_ns: u64,
    /// What was handed over, by zxid.
    submitted: BTreeMap<Zxid, Vec<u8>>,
    acknowledged: Zxid,
    /// Of the newest snapshot: segments up to here may be gone.
    snapshot: Zxid,
}

impl Server {
    fn new() -> Server {
        let mut server = Server {
            dir: SimDir::new(),
            life: 0,
            log: None,
            in_flight: Vec::new(),
            now_ns: 0,
            submitted: BTreeMap::new(),
            acknowledged: 0,
            snapshot: 0,
        };
        server.start(0).expect("an empty directory opens");
        server
    }

    /// Recovers and checks against the model, then opens.
    fn start(&mut self, from: Zxid) -> Result<(), LogError> {
        self.life += 1;
        self.in_flight.clear();
        let mut seen = Vec::new();
        let (recovered, tail) = recover_in(Arc::new(self.dir.clone()), from, &mut |bytes| {
            seen.push(bytes.to_vec());
            Ok(())
        })?;
        assert!(recovered.last_zxid >= self.acknowledged, "lost {}", self.acknowledged);
        let expected = self.submitted.range(from + 1..recovered.last_zxid + 1);
        let expected: Vec<_> = expected.map(|(_, bytes)| bytes.clone()).collect();
        // Not assert_eq: a failing case is shrunk thousands of times, and would print all bytes.
        assert!(seen == expected, "seen {} expected {}", told(&seen), told(&expected));
        let options = LogOptions {
            segment_bytes: SEGMENT,
            spares: 2,
            frame_bytes_max: 3 * 4096,
            log_id: 1,
            ..LogOptions::default()
        };
        self.log = None;
        self.log = Some(Writer::open(tail, options)?);
        // What is recovered was not necessarily acknowledged, but from now on it counts. (Not
        // before: a start that dies may yet complete a torn frame, for nobody has acted on it.)
        self.submitted.retain(|zxid, _| *zxid <= recovered.last_zxid);
        self.acknowledged = recovered.last_zxid;
        Ok(())
    }

    fn take(&mut self, writes: Vec<Write<SimFile>>) {
        let dir = &self.dir;
        self.in_flight.extend(writes.into_iter().map(|w| dir.submit(w)));
    }

    fn complete(&mut self, which: usize) {
        let Some((writer, _)) = &mut self.log else { return };
        if self.in_flight.is_empty() {
            return;
        }
        let (token, buf) = self.in_flight.swap_remove(which % self.in_flight.len());
        let written = self.dir.complete(token);
        let durable = writer.completed(token, written, buf).expect("the disk is good").through;
        assert!(durable >= self.acknowledged);
        self.acknowledged = durable;
    }

    fn live(&mut self, event: &Event) {
        match *event {
            Event::Batch { transactions, bytes } => self.batch(transactions, bytes),
            Event::Complete { which } => self.complete(usize::from(which)),
            Event::Idle => {
                let Some((writer, _)) = &mut self.log else { return };
                let mut seal = writer.seal_due(self.now_ns, self.acknowledged);
                if let Seal::At(due_ns) = seal {
                    self.now_ns = due_ns;
                    seal = writer.seal_due(self.now_ns, self.acknowledged);
                }
                if let Seal::Write(write) = seal {
                    self.take(vec![write]);
                }
            }
            Event::Spare => {
                let Some((_, maker)) = &self.log else { return };
                maker.turn();
            }
            Event::Crash { pieces, names_arrive, from_snapshot } => {
                self.crash(pieces, names_arrive);
                let from = if from_snapshot { self.snapshot } else { self.begins_after() };
                self.start(from).expect("a crash is recovered from");
            }
            Event::DieInStart { changes, torn, names_arrive } => {
                self.crash(torn, names_arrive);
                self.dir.die_after(Some(u64::from(changes)), torn);
                let _ = self.start(self.snapshot);
                self.crash(torn, names_arrive);
                self.start(self.snapshot).expect("a crash while starting is recovered from");
            }
            Event::Cut { back } => self.cut(Zxid::from(back)),
            Event::Purge { back } => {
                let Some((writer, _)) = &mut self.log else { return };
                self.snapshot = self.snapshot.max(self.acknowledged - Zxid::from(back));
                writer.purge(self.snapshot);
            }
        }
    }

    fn batch(&mut self, transactions: u8, bytes: u16) {
        let Some((writer, _)) = &mut self.log else { return };
        let mut batch = BatchBuilder::new();
        let first = writer.last_zxid() + 1;
        for zxid in first..first + Zxid::from(transactions) {
            batch.push(zxid, &record(zxid, self.life, bytes));
        }
        match writer.frame(&batch, self.acknowledged, self.acknowledged) {
            Ok(writes) => {
                let submitted = batch.iter().map(|(zxid, bytes)| (zxid, bytes.to_vec()));
                self.submitted.extend(submitted);
                self.take(writes);
            }
            Err(LogError::SpareNotReady) => {}
            Err(err) => panic!("{err}"),
        }
    }

    fn crash(&mut self, pieces: u64, names_arrive: bool) {
        self.log = None;
        self.dir.crash(names_arrive, &mut |token, piece| {
            pieces >> ((token as usize * 7 + piece) % 64) & 1 == 1
        });
    }

    fn begins_after(&self) -> Zxid {
        // Purged segments may be gone or not: only the snapshot is a safe start.
        self.snapshot
    }

    fn cut(&mut self, back: Zxid) {
        while !self.in_flight.is_empty() {
            self.complete(0);
        }
        let Some((writer, maker)) = &mut self.log else { return };
        let to = (writer.last_zxid() - back).max(self.snapshot);
        while maker.turn() {}
        let left = writer.truncate_to(to).expect("the log goes back to the snapshot");
        assert_eq!(left, to);
        self.submitted.retain(|zxid, _| *zxid <= to);
        self.acknowledged = to;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_life_of_crashes_loses_nothing_acknowledged(events in prop::collection::vec(event(), 1..120)) {
        let mut server = Server::new();
        for event in &events {
            server.live(event);
        }
        server.crash(0, false);
        server.start(server.snapshot).expect("a crash is recovered from");
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        sectors in 0..3usize,
        magic in any::<bool>(),
    ) {
        bytes.resize(bytes.len().max(sectors * 4096), 0);
        if magic && bytes.len() >= 36 {
            bytes[..4].copy_from_slice(b"RKF1");
            bytes[28..32].copy_from_slice(&4096u32.to_le_bytes());
        }
        prop_assert!(frame::read(&bytes).is_err());
        let _ = Batch::read(&bytes).map(|b| b.iter().count());
        let _ = Start::read(&bytes);
    }

    #[test]
    fn a_frame_reads_back_and_any_flipped_bit_is_seen(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..60),
        bit in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let mut batch = BatchBuilder::new();
        for (at, record) in records.iter().enumerate() {
            batch.push(at as Zxid * 3 + 1, record);
        }
        let from = from.index(records.len());
        let range = from..records.len();
        let len = frame::frame_bytes(batch.body_bound(range.clone()));
        let mut buf = AlignedBuf::with_capacity(len);
        buf.resize(len, 0xee);
        let body_bytes = batch.build(range, &mut buf) as u32;
        let header = frame::Header {
            incarnation: 3, sequence: 9, previous_crc: 77, frame_bytes: len as u32, body_bytes,
            kind: frame::Kind::Batch, durable_sequence: 8, durable_through: 5, committed: 4,
            last_zxid: 6,
        };
        let crc = frame::seal(&mut buf, &header);
        let frame = frame::read(&buf).expect("is whole");
        prop_assert_eq!((frame.header, frame.crc), (header, crc));
        let read = Batch::read(frame.body).expect("is sound");
        let read: Vec<_> = read.iter().map(|(zxid, bytes)| (zxid, bytes.to_vec())).collect();
        let expected: Vec<_> = (from..records.len())
            .map(|at| (at as Zxid * 3 + 1, records[at].clone()))
            .collect();
        prop_assert_eq!(read, expected);
        let bit = bit.index(len * 8);
        buf[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(frame::read(&buf).is_err());
    }
}
