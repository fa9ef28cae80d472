//! What frames carry: batches of transactions, and starts of segments and incarnations.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut, Range};

use flatbuffers::{FlatBufferBuilder, Vector, WIPOffset};

use crate::log::Zxid;
use crate::log::frame::HEADER;
use crate::log::generated::{self as fb, Entry, StartArgs};

pub use crate::log::generated::StartReason;

/// Upper bound of what a `Batch` takes beyond its entries and records: root offset, vtable,
/// table, two vector lengths, a closing zero and alignment come to 47 bytes at most.
const BATCH_OVERHEAD: usize = 48;
/// Bytes of one entry of the index.
const ENTRY: usize = size_of::<Entry>();

/// Collects the transactions of one group commit; reused from batch to batch.
#[derive(Default)]
pub struct BatchBuilder {
    entries: Vec<Entry>,
    records: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// Adds a transaction: the bytes of ZooKeeper's record (header, body, digest).
    ///
    /// # Panics
    /// If the batch would pass 4 GiB: callers flush far below.
    pub fn push(&mut self, zxid: Zxid, txn_bytes: &[u8]) {
        let start = self.records.len();
        self.records.extend_from_slice(txn_bytes);
        self.entry(zxid, start);
    }

    /// Adds a transaction that `encode` appends to the batch's own bytes: saves a copy.
    pub fn push_with(&mut self, zxid: Zxid, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.records.len();
        encode(&mut self.records);
        self.entry(zxid, start);
    }

    fn entry(&mut self, zxid: Zxid, start: usize) {
        let end = u32::try_from(self.records.len()).expect("a batch is far below 4 GiB");
        self.entries.push(Entry::new(zxid, start as u32, end));
    }

    /// Forgets the transactions, keeps the memory (what grew beyond 4 MiB is given back).
    pub fn clear(&mut self) {
        self.entries.clear();
        self.records.clear();
        self.entries.shrink_to(256 << 10);
        self.records.shrink_to(4 << 20);
    }

    /// No transaction in it?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Transactions in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the transactions in it.
    pub fn bytes(&self) -> usize {
        self.records.len()
    }

    /// The last transaction, if there is one.
    pub fn last_zxid(&self) -> Option<Zxid> {
        self.entries.last().map(Entry::zxid)
    }

    /// The transactions: zxid and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Zxid, &[u8])> {
        self.entries.iter().map(|e| (e.zxid(), &self.records[e.start() as usize..e.end() as usize]))
    }

    /// Bytes that a frame's body may take for the transactions of `range`.
    pub(crate) fn body_bound(&self, range: Range<usize>) -> usize {
        BATCH_OVERHEAD + range.len() * ENTRY + self.span(range).len()
    }

    pub(crate) fn zxid_at(&self, index: usize) -> Zxid {
        self.entries[index].zxid()
    }

    /// The bytes of the transactions of `range` in `records`.
    fn span(&self, range: Range<usize>) -> Range<usize> {
        match self.entries.get(range) {
            Some([first, .., last]) => first.start() as usize..last.end() as usize,
            Some([only]) => only.start() as usize..only.end() as usize,
            _ => 0..0,
        }
    }

    /// Builds the body of the transactions of `range` at the end of `frame`, zeros before it,
    /// and returns its length.
    pub(crate) fn build(&self, range: Range<usize>, frame: &mut [u8]) -> usize {
        debug_assert!(frame.len() >= HEADER + self.body_bound(range.clone()));
        let span = self.span(range.clone());
        let base = span.start as u32;
        let mut builder = FlatBufferBuilder::new_in(Space(&mut frame[HEADER..]));
        // A byte string is a [ubyte] with a zero behind it; unlike a vector it is copied as one.
        let records = builder.create_byte_string(&self.records[span]);
        let entries = if base == 0 {
            builder.create_vector(&self.entries[range])
        } else {
            let moved = self.entries[range].iter();
            builder.create_vector_from_iter(
                moved.map(|e| Entry::new(e.zxid(), e.start() - base, e.end() - base)),
            )
        };
        let records = WIPOffset::<Vector<'_, u8>>::new(records.value());
        // The generated table builder knows only the default allocator.
        let table = builder.start_table();
        builder.push_slot_always(fb::Batch::VT_ENTRIES, entries);
        builder.push_slot_always(fb::Batch::VT_RECORDS, records);
        let batch = builder.end_table(table);
        builder.finish_minimal(batch);
        let len = builder.finished_data().len();
        let gap = frame.len() - len;
        frame[HEADER..gap].fill(0);
        len
    }
}

/// Lends a FlatBufferBuilder the frame itself, so that a body is built where it is written from.
struct Space<'a>(&'a mut [u8]);

impl Deref for Space<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl DerefMut for Space<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0
    }
}

// SAFETY: the slice is returned unchanged by `deref` and `len`, and the builder never needs more
// than `body_bound`, which the caller has reserved; asked to grow all the same we stop, for a
// buffer that cannot grow may not pretend to.
unsafe impl flatbuffers::Allocator for Space<'_> {
    type Error = Infallible;
    fn grow_downwards(&mut self) -> Result<(), Infallible> {
        panic!("a batch is larger than its own bound");
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A batch as it is read: borrowed from the frame, nothing copied.
#[derive(Copy, Clone)]
pub struct Batch<'a> {
    batch: fb::Batch<'a>,
}

impl<'a> Batch<'a> {
    /// Reads and verifies the body of a batch frame: every record within bounds, zxids rising.
    pub fn read(body: &'a [u8]) -> Result<Batch<'a>, String> {
        let batch = flatbuffers::root::<fb::Batch<'_>>(body).map_err(|e| e.to_string())?;
        let records = batch.records().len();
        let (mut end, mut zxid) = (0, Zxid::MIN);
        for (index, entry) in batch.entries().iter().enumerate() {
            if entry.start() as usize != end || entry.end() < entry.start() {
                return Err(format!("transaction {index} does not begin where the last one ends"));
            }
            end = entry.end() as usize;
            if end > records {
                return Err(format!("transaction {index} ends beyond the records"));
            }
            if index > 0 && entry.zxid() <= zxid {
                return Err(format!("zxid 0x{:x} does not follow 0x{zxid:x}", entry.zxid()));
            }
            zxid = entry.zxid();
        }
        if batch.entries().is_empty() || end != records {
            return Err("a batch without transactions, or bytes that belong to none".into());
        }
        Ok(Batch { batch })
    }

    /// Transactions in it (at least one).
    pub fn len(&self) -> usize {
        self.batch.entries().len()
    }

    /// Never true: an empty batch is not read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The transactions: zxid and bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Zxid, &'a [u8])> + use<'a> {
        let records = self.batch.records().bytes();
        // The bounds were checked in `read`; a reader that got round it still cannot panic.
        self.batch.entries().iter().map(move |e| {
            (e.zxid(), records.get(e.start() as usize..e.end() as usize).unwrap_or(&[]))
        })
    }

    /// First zxid.
    pub fn first_zxid(&self) -> Zxid {
        self.batch.entries().get(0).zxid()
    }
}

/// The body of a start frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Random, made with the log.
    pub log_id: u64,
    /// The segment that holds the frame.
    pub segment: u64,
    /// Why it was written.
    pub reason: StartReason,
    /// The last transaction that counts before it.
    pub continues_zxid: Zxid,
}

impl Start {
    /// Builds the body at the end of `frame` and returns its length.
    pub(crate) fn build(&self, frame: &mut [u8]) -> usize {
        let mut builder = FlatBufferBuilder::with_capacity(256);
        let writer = builder.create_string(concat!("ringkeeper ", env!("CARGO_PKG_VERSION")));
        let start = fb::Start::create(
            &mut builder,
            &StartArgs {
                log_id: self.log_id,
                segment: self.segment,
                reason: self.reason,
                continues_zxid: self.continues_zxid,
                writer: Some(writer),
            },
        );
        builder.finish_minimal(start);
        let body = builder.finished_data();
        let gap = frame.len() - body.len();
        frame[HEADER..gap].fill(0);
        frame[gap..].copy_from_slice(body);
        body.len()
    }

    /// Reads and verifies the body of a start frame.
    pub fn read(body: &[u8]) -> Result<Start, String> {
        let start = flatbuffers::root::<fb::Start<'_>>(body).map_err(|e| e.to_string())?;
        if start.reason().variant_name().is_none() {
            return Err(format!("a start of unknown reason {}", start.reason().0));
        }
        Ok(Start {
            log_id: start.log_id(),
            segment: start.segment(),
            reason: start.reason(),
            continues_zxid: start.continues_zxid(),
        })
    }
}
