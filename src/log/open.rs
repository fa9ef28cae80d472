//! Opening a log for writing: cuts the torn tail and begins a new incarnation.

use std::collections::VecDeque;

use crate::log::body::StartReason;
use crate::log::disk::{LogDir, SegmentFile, zeroed};
use crate::log::error::LogError;
use crate::log::frame::SECTOR;
use crate::log::recover::{End, LogTail};
use crate::log::segment::{LEAST_BYTES, Segment, UNFINISHED};
use crate::log::spares::{self, Spare, SpareMaker, SpareThread, Spares};
use crate::log::writer::{Continued, Current, LogOptions, Writer};
use crate::log::{Zxid, is_unwanted};

/// Recovers nothing: opens what [`recover`](crate::log::recover()) has found, with a background
/// thread for the spares.
pub fn open(tail: LogTail, options: LogOptions) -> Result<(Writer, SpareThread), LogError> {
    let (writer, maker) = Writer::open(tail, options)?;
    let thread = maker.spawn().map_err(|e| LogError::io("start", "the spares' thread", e))?;
    Ok((writer, thread))
}

/// Spares that are ready, and numbers of segments to be given back.
type SortedOut<F> = (VecDeque<Spare<F>>, Vec<u64>);

/// Opening a log for writing, step by step.
pub(super) struct Opening<D: LogDir> {
    tail: LogTail<D>,
    options: LogOptions,
}

impl<D: LogDir> Opening<D> {
    pub fn new(tail: LogTail<D>, mut options: LogOptions) -> Self {
        let sectors = options.segment_bytes.next_multiple_of(SECTOR as u64);
        options.segment_bytes = sectors.max(LEAST_BYTES);
        let largest = options.segment_bytes as usize - SECTOR;
        options.frame_bytes_max = options.frame_bytes_max.clamp(SECTOR, largest);
        Opening { tail, options }
    }

    pub fn open(self) -> Result<(Writer<D>, SpareMaker<D>), LogError> {
        let names = self.tail.dir.list().map_err(|e| LogError::io("list", "the directory", e))?;
        if names.iter().any(|n| n == UNFINISHED) {
            let removed = self.tail.dir.remove(UNFINISHED);
            removed.map_err(|e| LogError::io("remove", UNFINISHED, e))?;
        }
        names.iter().filter(|n| is_unwanted(n)).for_each(|name| self.tail.dir.clear(name));
        let (ready, retired) = self.sort_out()?;
        let next_index = self.tail.segments.last().map_or(1, |s| s.index + 1);
        let (spares, maker) = spares::pair(
            self.tail.dir.clone(),
            self.options.segment_bytes,
            self.options.spares,
            ready,
            next_index,
            self.tail.newest,
        );
        spares.retire(retired.into_iter());
        let writer = self.begin(spares, &maker)?;
        Ok((writer, maker))
    }

    /// Clears what lies behind the end, so that it can never look live again, before anything is
    /// written that would take the proof of its death away.
    fn sort_out(&self) -> Result<SortedOut<D::File>, LogError> {
        let (mut ready, mut retired) = (VecDeque::new(), Vec::new());
        let end = self.tail.end.as_ref();
        for (at, segment) in self.tail.segments.iter().enumerate() {
            if end.is_some_and(|e| at <= e.at) {
                if !self.tail.live.contains(&segment.index) {
                    retired.push(segment.index);
                }
                continue;
            }
            if segment.bytes != self.options.segment_bytes {
                retired.push(segment.index);
            }
            if !segment.blank {
                let zeros = zeroed(SECTOR);
                let cleared = segment.file.write_at(0, &zeros);
                cleared.map_err(|e| LogError::io("clear", &segment.name, e))?;
            }
            if segment.bytes == self.options.segment_bytes {
                let (index, file, bytes) = (segment.index, segment.file.clone(), segment.bytes);
                ready.push_back(Spare { index, file, bytes });
            }
        }
        Ok((ready, retired))
    }

    /// Writes the first frame of the new incarnation.
    fn begin(self, spares: Spares<D::File>, maker: &SpareMaker<D>) -> Result<Writer<D>, LogError> {
        let tail = self.tail;
        let incarnation = tail.incarnation_max.checked_add(1).ok_or(LogError::Failed)?;
        let end = &tail.end;
        let (reason, last_zxid) = match end {
            None => (StartReason::Created, tail.from_zxid),
            // The snapshot is ahead of the log: what lies between is nowhere in the log, so an
            // older snapshot must never be replayed over the hole.
            Some(end) if end.last_zxid < tail.from_zxid => (StartReason::Restarted, tail.from_zxid),
            Some(end) => (StartReason::Opened, end.last_zxid),
        };
        let live = |index: &u64| {
            let segment = tail.segments.iter().find(|s| s.index == *index)?;
            Some((*index, segment.continues_zxid()?))
        };
        let mut segments: VecDeque<(u64, Zxid)> = tail.live.iter().filter_map(live).collect();
        let in_place = end.as_ref().filter(|_| reason == StartReason::Opened);
        let mut dead = VecDeque::new();
        let current = match in_place.and_then(|end| in_place_of(&tail.segments[end.at], end)) {
            Some(current) => current,
            None => {
                if reason != StartReason::Opened {
                    dead = std::mem::take(&mut segments);
                }
                let Spare { index, file, bytes } = first_spare(&spares, maker)?;
                segments.push_back((index, last_zxid));
                Current { index, file, bytes, offset: 0 }
            }
        };
        let continued = Continued {
            log_id: end.as_ref().map_or(self.options.log_id, |e| e.log_id),
            incarnation,
            next_sequence: end.as_ref().map_or(1, |e| e.next_sequence),
            last_crc: end.as_ref().map_or(0, |e| e.crc),
            last_zxid,
        };
        let committed_zxid = tail.committed_zxid;
        let mut writer = Writer::new(tail.dir, self.options, current, segments, spares, &continued);
        // A log that goes on may end with what the ensemble has not decided; one that begins behind a
        // snapshot does not, for a snapshot holds nothing else.
        let committed = match reason {
            StartReason::Opened => committed_zxid,
            _ => last_zxid,
        };
        let start = writer.start(reason, last_zxid, committed);
        writer.write_now(start)?;
        // Only now: until the restart is on the medium the old segments are the log.
        writer.spares.retire(dead.into_iter().map(|(index, _)| index));
        Ok(writer)
    }
}

/// The place right behind the last good frame, if the segment has room for one more.
fn in_place_of<F: Clone>(segment: &Segment<F>, end: &End) -> Option<Current<F>> {
    let room = end.offset + SECTOR as u64 <= segment.bytes;
    room.then(|| Current {
        index: segment.index,
        file: segment.file.clone(),
        bytes: segment.bytes,
        offset: end.offset,
    })
}

/// A spare for the first frame, made on the spot if there is none. Later ones are made in the
/// background.
fn first_spare<D: LogDir>(
    spares: &Spares<D::File>,
    maker: &SpareMaker<D>,
) -> Result<Spare<D::File>, LogError> {
    loop {
        if let Some(spare) = spares.take() {
            return Ok(spare);
        }
        if !maker.turn() {
            let reason = spares.status().1.unwrap_or_default();
            return Err(LogError::NoSpace { reason });
        }
    }
}
