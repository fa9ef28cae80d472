//! Recovery: which frames count, where the log ends, and whether what is missing there may be
//! missing.
//!
//! Frames are taken in sequence, each naming the CRC of the one before. Where the sequence ends,
//! everything beyond is searched for a frame that proves the missing one had been durable. If
//! there is one, something acknowledged is damaged and recovery refuses; otherwise it is the torn
//! tail of writes in flight. Recovery only reads: the cut is made by `Writer::open`.

use std::path::Path;
use std::sync::Arc;

use crate::log::Zxid;
use crate::log::beyond::{cut_report, search_beyond};
use crate::log::body::{Batch, Start, StartReason};
use crate::log::disk::{LogDir, RealDir, SegmentFile};
use crate::log::error::{BoxError, LogError};
use crate::log::frame::{Frame, Kind};
use crate::log::segment::{self, Reader, Segment};

/// Bytes read from a segment at a time.
pub(super) const CHUNK: usize = 4 << 20;

/// No log comes to this many frames or incarnations; so counting on never overflows.
const COUNT_MAX: u64 = u64::MAX / 2;

/// What recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The last transaction in the log, or the zxid replay was asked to start behind, if newer.
    pub last_zxid: Zxid,
    /// The newest committed zxid that a frame names, never above `last_zxid`: publish up to here,
    /// what lies beyond is the ensemble's to decide.
    pub committed_zxid: Zxid,
    /// Transactions handed to `apply`.
    pub transactions: u64,
    /// Frames that count (of the segments that were read).
    pub frames: u64,
    /// What was found behind the end and does not count.
    pub cut: Option<CutReport>,
}

/// The torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutReport {
    /// Segment file.
    pub name: String,
    /// Byte offset from which nothing counts.
    pub offset: u64,
    /// What is wrong with the first frame there.
    pub reason: String,
    /// Whole frames behind it that were written out of order and are dropped with it.
    pub frames_beyond: u64,
}

/// Where the log ends, and what `Writer::open` must know to go on.
pub struct LogTail<D: LogDir = RealDir> {
    pub(crate) dir: Arc<D>,
    pub(crate) segments: Vec<Segment<D::File>>,
    /// Numbers of the segments that are part of the log, in order (those not read included).
    pub(crate) live: Vec<u64>,
    pub(crate) end: Option<End>,
    /// Highest incarnation seen anywhere.
    pub(crate) incarnation_max: u64,
    pub(crate) from_zxid: Zxid,
    /// What the log knows to be committed: its next frames say no more than that.
    pub(crate) committed_zxid: Zxid,
    /// The newest segment that is remembered to have been written to; 0: none is.
    pub(crate) newest: u64,
}

impl<D: LogDir> LogTail<D> {
    /// The last transaction that the log itself has or begins behind; `None`: it has no frame at all.
    pub fn ends_at(&self) -> Option<Zxid> {
        self.end.as_ref().map(|end| end.last_zxid)
    }
}

/// The end of the last good frame.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// Place in `segments`.
    pub at: usize,
    pub offset: u64,
    pub next_sequence: u64,
    pub crc: u32,
    pub incarnation: u64,
    pub last_zxid: Zxid,
    pub log_id: u64,
}

/// Replays the log in `dir` behind `from_zxid` (the snapshot's) through `apply`, which gets the
/// bytes of one transaction at a time. (For ZooKeeper's `forceSync=no`, give [`recover_in`] a
/// [`RealDir`] that says so.)
///
/// # Errors
/// See [`LogError`]; nothing on the disk is changed in any case.
pub fn recover(
    dir: &Path,
    from_zxid: Zxid,
    apply: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
) -> Result<(Recovered, LogTail), LogError> {
    recover_in(Arc::new(real_dir(dir)?), from_zxid, apply)
}

fn real_dir(dir: &Path) -> Result<RealDir, LogError> {
    RealDir::new(dir, true).map_err(|e| LogError::io("open", dir.display().to_string(), e))
}

/// [`recover`] on any disk.
pub fn recover_in<D: LogDir>(
    dir: Arc<D>,
    from_zxid: Zxid,
    apply: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
) -> Result<(Recovered, LogTail<D>), LogError> {
    let segments = segment::open_all(&*dir)?;
    let mut transactions = 0;
    let mut visit = |zxid: Zxid, bytes: &[u8]| {
        if zxid <= from_zxid {
            return Ok(());
        }
        transactions += 1;
        apply(bytes)
    };
    let mut walk = Walk::new(&segments, from_zxid, &mut visit)?;
    walk.run()?;
    let (mut recovered, end, live) = (walk.recovered, walk.end, walk.live);
    recovered.transactions = transactions;
    let beyond = search_beyond(&segments, end.as_ref())?;
    refuse_no_beginning(&segments)?;
    let newest = dir.newest().map_err(|e| LogError::io("list", "the log directory", e))?;
    refuse_lost_end(&segments, end.as_ref(), newest)?;
    if let Some(end) = &end {
        recovered.cut = cut_report(&segments, end, beyond.frames)?;
        recovered.last_zxid = end.last_zxid;
    }
    if let Some(cut) = &recovered.cut {
        let CutReport { name, offset, reason, frames_beyond } = cut;
        tracing::info!(
            "log: torn tail in {name} at offset {offset} ({reason}); {frames_beyond} frames behind it are dropped"
        );
    }
    recovered.last_zxid = recovered.last_zxid.max(from_zxid);
    recovered.committed_zxid = recovered.committed_zxid.min(recovered.last_zxid);
    let heads = segments.iter().filter_map(|s| s.head.as_ref());
    let incarnation_max = heads
        .map(|h| h.header.incarnation)
        .chain(end.iter().map(|e| e.incarnation))
        .fold(beyond.incarnation_max, u64::max);
    let committed_zxid = recovered.committed_zxid;
    let tail =
        LogTail { dir, segments, live, end, incarnation_max, from_zxid, committed_zxid, newest };
    Ok((recovered, tail))
}

/// Segments are numbered from 1, and the one that is written to never goes: only with its directory. A snapshot does not
/// make up for it, for more was logged behind that.
fn refuse_no_beginning<F>(segments: &[Segment<F>]) -> Result<(), LogError> {
    match segments.first() {
        Some(first) if first.index > 1 && segments.iter().all(|s| s.head.is_none()) => {
            Err(LogError::NoBeginning { name: first.name.clone() })
        }
        _ => Ok(()),
    }
}

/// The log ends in the newest segment of which a frame was on the medium, or behind it: only higher numbers are ever begun.
fn refuse_lost_end<F>(
    segments: &[Segment<F>],
    end: Option<&End>,
    newest: u64,
) -> Result<(), LogError> {
    let last = end.map(|end| &segments[end.at]);
    if last.map_or(0, |segment| segment.index) >= newest {
        return Ok(());
    }
    let lost = match segments.iter().find(|s| s.index == newest) {
        None => "is missing",
        Some(segment) if segment.blank => "has nothing in it",
        Some(_) => "does not begin with what was written there",
    };
    let last = last.map_or_else(|| "nowhere".into(), |segment| format!("in {}", segment.name));
    Err(LogError::LostEnd {
        name: segment::name(newest),
        lost,
        last,
        last_zxid: end.map_or(0, |end| end.last_zxid),
        mark: segment::newest_name(newest),
    })
}

/// The number of the log in `dir`; `None` if there is no such directory, or nothing that was ever part of a log is in it.
///
/// # Errors
/// See [`LogError`]; those of segments that are not what they should be, or a beginning that is missing.
pub fn id_in(dir: &Path) -> Result<Option<u64>, LogError> {
    if !dir.exists() {
        return Ok(None);
    }
    let segments = segment::open_all(&real_dir(dir)?)?;
    refuse_no_beginning(&segments)?;
    Ok(segments.iter().find_map(|s| s.head.as_ref()).map(|head| head.start.log_id))
}

/// Reads the transactions behind `from` up to `through` back, in order, while the log is being
/// written (for a learner that is to catch up); `through` must be durable. Returns the last one
/// that was read: less than `through` if the log does not go that far any more, or if it was cut
/// or purged meanwhile.
///
/// # Errors
/// `Gap` if the log begins behind `from`; otherwise those of the disk and of `each`.
pub fn read_back<D: LogDir>(
    dir: &D,
    from: Zxid,
    through: Zxid,
    each: &mut Visit<'_>,
) -> Result<Zxid, LogError> {
    let segments = segment::open_all(dir)?;
    let mut last = from;
    let mut visit = |zxid: Zxid, bytes: &[u8]| {
        if zxid > from {
            each(zxid, bytes)?;
            last = zxid;
        }
        Ok(())
    };
    let mut walk = Walk::new(&segments, from, &mut visit)?;
    walk.limit = through;
    walk.run()?;
    Ok(last)
}

/// The zxid of the snapshot that the log was last restarted behind, if it was.
pub fn restarted_at<D: LogDir>(dir: &D) -> Result<Option<Zxid>, LogError> {
    let segments = segment::open_all(dir)?;
    let heads = segments.iter().rev().filter_map(|s| s.head.as_ref());
    let mut restarts = heads.filter(|h| h.start.reason == StartReason::Restarted);
    Ok(restarts.next().map(|h| h.start.continues_zxid))
}

/// What is done with each transaction: its zxid and its bytes.
pub type Visit<'v> = dyn FnMut(Zxid, &[u8]) -> Result<(), BoxError> + 'v;

/// The walk along the frames that count.
pub(crate) struct Walk<'a, 'v, F> {
    segments: &'a [Segment<F>],
    visit: &'a mut Visit<'v>,
    /// `None` until a first frame was found.
    pub end: Option<End>,
    pub live: Vec<u64>,
    pub recovered: Recovered,
    /// Where the walk begins.
    first: Option<usize>,
    /// Transactions beyond it are not wanted: the walk ends before the first batch of them.
    pub limit: Zxid,
}

impl<'a, 'v, F: SegmentFile> Walk<'a, 'v, F> {
    /// Finds the segment to begin with: the last that begins at or before `from_zxid`.
    pub fn new(
        segments: &'a [Segment<F>],
        from_zxid: Zxid,
        visit: &'a mut Visit<'v>,
    ) -> Result<Self, LogError> {
        let reasons = |s: &Segment<F>| s.head.as_ref().map(|h| h.start.reason);
        let base =
            segments.iter().rposition(|s| reasons(s) == Some(StartReason::Restarted)).unwrap_or(0);
        let mut live: Vec<usize> = Vec::new();
        for (at, segment) in segments.iter().enumerate().skip(base) {
            let Some(head) = &segment.head else { continue };
            if head.start.reason == StartReason::Truncated {
                // What began at or behind the cut is dead.
                live.retain(|l| sequence(&segments[*l]) < head.header.sequence);
            }
            live.push(at);
        }
        let begins_before = |at: &&usize| segments[**at].continues_zxid() <= Some(from_zxid);
        let first = live.iter().rev().find(begins_before).copied();
        if let (None, Some(oldest)) = (first, live.first()) {
            let begins_after = segments[*oldest].continues_zxid().unwrap_or_default();
            return Err(LogError::Gap { begins_after, from_zxid });
        }
        let skipped = live.iter().take_while(|at| Some(**at) != first);
        let live = skipped.map(|at| segments[*at].index).collect();
        let limit = Zxid::MAX;
        Ok(Walk { segments, visit, end: None, live, recovered: Recovered::default(), first, limit })
    }

    /// Takes frame after frame until there is no next one.
    pub fn run(&mut self) -> Result<(), LogError> {
        let Some(mut at) = self.first else { return Ok(()) };
        loop {
            let cut = self.cut_ahead(at);
            if !self.run_segment(at, cut)? {
                return Ok(());
            }
            match self.next_segment(at, cut)? {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// Takes the frames of one segment; `false` if the walk is to end at its limit.
    fn run_segment(&mut self, at: usize, cut: Option<usize>) -> Result<bool, LogError> {
        let segment = &self.segments[at];
        let mut reader =
            Reader::new(segment.file.clone(), segment.name.clone(), segment.bytes, CHUNK);
        let mut offset = 0;
        while !self.is_at_cut(cut) {
            match reader.frame_at(offset)? {
                Ok(frame) if self.follows(&frame) => {
                    if !self.take(at, offset, &frame, cut)? {
                        return Ok(false);
                    }
                    offset += u64::from(frame.header.frame_bytes);
                }
                _ => break,
            }
        }
        Ok(true)
    }

    /// Is this the next frame?
    fn follows(&self, frame: &Frame<'_>) -> bool {
        let Some(end) = &self.end else { return true };
        let header = &frame.header;
        let newer = header.kind == Kind::Start && header.incarnation > end.incarnation;
        header.sequence == end.next_sequence
            && header.previous_crc == end.crc
            && (header.incarnation == end.incarnation || newer)
    }

    /// The next cut of the log that lies in a segment behind `at`: the lowest sequence that is
    /// dead, in the newest segment that says so.
    fn cut_ahead(&self, at: usize) -> Option<usize> {
        let behind = self.segments.iter().enumerate().skip(at + 1);
        let cuts = behind.filter(|(_, s)| {
            s.head.as_ref().is_some_and(|h| h.start.reason == StartReason::Truncated)
        });
        cuts.min_by_key(|(at, s)| (sequence(s), std::cmp::Reverse(*at))).map(|(at, _)| at)
    }

    /// Has the walk come to where the log was cut later on?
    fn is_at_cut(&self, cut: Option<usize>) -> bool {
        let (Some(end), Some(cut)) = (&self.end, cut) else { return false };
        sequence(&self.segments[cut]) <= end.next_sequence
    }

    /// The segment that goes on where this one ends.
    fn next_segment(&self, at: usize, cut: Option<usize>) -> Result<Option<usize>, LogError> {
        let Some(end) = &self.end else { return Ok(None) };
        let fits = |s: &Segment<F>| {
            s.head.as_ref().is_some_and(|h| {
                let newer = h.header.incarnation > end.incarnation;
                h.header.sequence == end.next_sequence
                    && h.header.previous_crc == end.crc
                    && (newer || h.header.incarnation == end.incarnation)
            })
        };
        if let Some(cut) = cut.filter(|c| self.is_at_cut(Some(*c))) {
            if fits(&self.segments[cut]) {
                return Ok(Some(cut));
            }
            return Err(LogError::Inconsistent {
                name: self.segments[cut].name.clone(),
                offset: 0,
                reason: format!(
                    "it says that it continues frame {}, but that frame is another",
                    sequence(&self.segments[cut]).saturating_sub(1)
                ),
            });
        }
        let behind = self.segments.iter().enumerate().skip(at + 1);
        Ok(behind.filter(|(_, s)| fits(s)).map(|(at, _)| at).next())
    }

    /// Lets a frame count. `false`: it is all beyond the walk's limit and does not.
    fn take(
        &mut self,
        at: usize,
        offset: u64,
        frame: &Frame<'_>,
        cut: Option<usize>,
    ) -> Result<bool, LogError> {
        let name = &self.segments[at].name;
        let wrong = |reason: String| LogError::Inconsistent { name: name.clone(), offset, reason };
        let header = frame.header;
        if header.sequence.max(header.incarnation) > COUNT_MAX {
            return Err(wrong("a sequence or an incarnation that no log reaches".into()));
        }
        let (mut last_zxid, mut log_id) =
            self.end.as_ref().map_or((Zxid::MIN, 0), |e| (e.last_zxid, e.log_id));
        match header.kind {
            Kind::Start => {
                let start = Start::read(frame.body).map_err(wrong)?;
                if start.continues_zxid > self.limit {
                    return Ok(false);
                }
                let another = self.end.as_ref().is_some_and(|e| e.log_id != start.log_id);
                if another || start.segment != self.segments[at].index {
                    let (log_id, segment) = (start.log_id, start.segment);
                    let reason = format!("a start of log {log_id:016x}, segment {segment}");
                    return Err(wrong(reason));
                }
                (last_zxid, log_id) = (start.continues_zxid, start.log_id);
            }
            Kind::Batch => {
                let batch = Batch::read(frame.body).map_err(wrong)?;
                if batch.first_zxid() <= last_zxid {
                    let first = batch.first_zxid();
                    let reason = format!("zxid 0x{first:x} does not follow 0x{last_zxid:x}");
                    return Err(wrong(reason));
                }
                if batch.first_zxid() > self.limit {
                    return Ok(false);
                }
                let cut = cut.and_then(|cut| self.segments[cut].continues_zxid());
                let limit = self.limit.min(cut.unwrap_or(Zxid::MAX));
                last_zxid = self.take_batch(at, offset, &batch, limit)?.unwrap_or(last_zxid);
            }
            Kind::Seal => {}
        }
        if offset == 0 {
            self.live.push(self.segments[at].index);
        }
        self.recovered.frames += 1;
        self.recovered.committed_zxid = self.recovered.committed_zxid.max(header.committed);
        self.end = Some(End {
            at,
            offset: offset + u64::from(header.frame_bytes),
            next_sequence: header.sequence + 1,
            crc: frame.crc,
            incarnation: header.incarnation,
            last_zxid,
            log_id,
        });
        Ok(true)
    }

    /// Hands the batch's transactions on; those that were cut away later are passed over.
    fn take_batch(
        &mut self,
        at: usize,
        offset: u64,
        batch: &Batch<'_>,
        limit: Zxid,
    ) -> Result<Option<Zxid>, LogError> {
        let mut last = None;
        for (zxid, bytes) in batch.iter().take_while(|(zxid, _)| *zxid <= limit) {
            (self.visit)(zxid, bytes).map_err(|source| LogError::Apply {
                zxid,
                name: self.segments[at].name.clone(),
                offset,
                source,
            })?;
            last = Some(zxid);
        }
        Ok(last)
    }
}

fn sequence<F>(segment: &Segment<F>) -> u64 {
    segment.head.as_ref().map_or(0, |h| h.header.sequence)
}
