//! What lies behind the end of the log: proof that something acknowledged is damaged, or a torn tail.

use crate::log::Zxid;
use crate::log::disk::SegmentFile;
use crate::log::error::LogError;
use crate::log::frame::SECTOR;
use crate::log::recover::{CHUNK, CutReport, End};
use crate::log::segment::{self, Reader, Segment};

/// What lies behind the end.
#[derive(Default)]
pub(super) struct Beyond {
    /// Whole frames.
    pub frames: u64,
    /// The newest incarnation among them.
    pub incarnation_max: u64,
}

/// Searches everything behind the end for frames of the log's newest incarnation, or newer ones.
/// One that says that the missing frame was already durable makes recovery refuse.
pub(super) fn search_beyond<F: SegmentFile>(
    segments: &[Segment<F>],
    end: Option<&End>,
) -> Result<Beyond, LogError> {
    let mut beyond = Beyond::default();
    let first = end.map_or(0, |e| e.at);
    for (at, segment) in segments.iter().enumerate().skip(first) {
        let mut offset = end.filter(|e| e.at == at).map_or(0, |e| e.offset);
        let mut reader =
            Reader::new(segment.file.clone(), segment.name.clone(), segment.bytes, CHUNK);
        while offset + SECTOR as u64 <= segment.bytes {
            let sector = offset;
            offset += SECTOR as u64;
            let Ok(header) = reader.peek(sector)? else { continue };
            let (sequence, incarnation) = end.map_or((1, 0), |e| (e.next_sequence, e.incarnation));
            if header.incarnation < incarnation || header.sequence < sequence {
                continue;
            }
            let Ok(frame) = reader.frame_at(sector)? else { continue };
            let header = frame.header;
            beyond.frames += 1;
            beyond.incarnation_max = beyond.incarnation_max.max(header.incarnation);
            let last_zxid = end.map_or(0, |e| e.last_zxid);
            let proves = header.incarnation > incarnation
                || header.durable_sequence >= sequence
                || header.durable_through > last_zxid;
            if proves {
                return Err(damaged(segments, end, segment, sector, last_zxid));
            }
            offset = sector + u64::from(header.frame_bytes);
        }
    }
    Ok(beyond)
}

fn damaged<F: SegmentFile>(
    segments: &[Segment<F>],
    end: Option<&End>,
    later: &Segment<F>,
    later_offset: u64,
    last_zxid: Zxid,
) -> LogError {
    let (at, offset) = end.map_or((0, 0), |e| (e.at, e.offset));
    let (mut bad, mut bad_offset) = (&segments[at], offset);
    // A frame that did not fit any more stands at the front of the next segment.
    if is_blank(bad, offset)
        && let Some(next) = segments.get(at + 1)
    {
        if next.index > bad.index + 1 {
            return LogError::Missing {
                name: segment::name(bad.index + 1),
                before: bad.name.clone(),
                later_name: later.name.clone(),
                later_offset,
                last_zxid,
            };
        }
        (bad, bad_offset) = (next, 0);
    }
    LogError::Damaged {
        name: bad.name.clone(),
        offset: bad_offset,
        reason: why(bad, bad_offset),
        later_name: later.name.clone(),
        later_offset,
        last_zxid,
    }
}

/// Was nothing written at `offset`, or is it the end of the file?
fn is_blank<F: SegmentFile>(segment: &Segment<F>, offset: u64) -> bool {
    let mut reader = Reader::new(segment.file.clone(), segment.name.clone(), segment.bytes, SECTOR);
    reader.sector_is_zero(offset).unwrap_or(false)
}

/// What is wrong with the frame at `offset`, in words.
fn why<F: SegmentFile>(segment: &Segment<F>, offset: u64) -> String {
    let mut reader = Reader::new(segment.file.clone(), segment.name.clone(), segment.bytes, SECTOR);
    match reader.frame_at(offset) {
        Ok(Ok(frame)) => format!(
            "frame {} of incarnation {} does not belong here",
            frame.header.sequence, frame.header.incarnation
        ),
        Ok(Err(err)) => err.to_string(),
        Err(err) => err.to_string(),
    }
}

/// Says what is dropped, if anything of this incarnation is.
pub(super) fn cut_report<F: SegmentFile>(
    segments: &[Segment<F>],
    end: &End,
    frames_beyond: u64,
) -> Result<Option<CutReport>, LogError> {
    let segment = &segments[end.at];
    let mut reader = Reader::new(segment.file.clone(), segment.name.clone(), segment.bytes, SECTOR);
    let (torn, frame_bytes) = match reader.peek(end.offset)? {
        Ok(header) => {
            let follows = header.sequence >= end.next_sequence;
            (follows && header.incarnation >= end.incarnation, u64::from(header.frame_bytes))
        }
        Err(_) => (false, 0),
    };
    // A write that was under way leaves a frame in pieces, but not a shorter file.
    if torn && end.offset + frame_bytes > segment.bytes {
        return Err(LogError::CutShort { name: segment.name.clone(), bytes: segment.bytes });
    }
    if !torn && frames_beyond == 0 {
        return Ok(None);
    }
    Ok(Some(CutReport {
        name: segment.name.clone(),
        offset: end.offset,
        reason: why(segment, end.offset),
        frames_beyond,
    }))
}
