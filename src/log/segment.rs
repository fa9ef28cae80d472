//! Segment files: their names, their first frames, and reading frames out of them.

use crate::log::AlignedBuf;
use crate::log::Zxid;
use crate::log::body::Start;
use crate::log::disk::{LogDir, SegmentFile};
use crate::log::error::LogError;
use crate::log::frame::{self, Frame, FrameError, Header, Kind, SECTOR};

const PREFIX: &str = "segment.";
const NEWEST_PREFIX: &str = "newest.";
/// A segment in the making; removed at the next start.
pub(crate) const UNFINISHED: &str = "segment-unfinished";

/// No segment is made shorter.
pub(crate) const LEAST_BYTES: u64 = 4 * SECTOR as u64;

/// The name of segment `index`.
pub fn name(index: u64) -> String {
    format!("{PREFIX}{index:016x}")
}

/// The number in a segment's name; `None` for other files.
pub fn index_of(name: &str) -> Option<u64> {
    number(name, PREFIX)
}

/// The name of the empty file that says that segment `index` has been written to, and none behind it for long.
pub fn newest_name(index: u64) -> String {
    format!("{NEWEST_PREFIX}{index:016x}")
}

/// The number in the name of such a file; `None` for other files.
pub fn newest_of(name: &str) -> Option<u64> {
    number(name, NEWEST_PREFIX)
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    let canonical = digits.len() == 16 && !digits.bytes().any(|b| b.is_ascii_uppercase());
    if canonical { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// A segment and what its first frame says.
pub(crate) struct Segment<F> {
    pub index: u64,
    pub name: String,
    pub file: F,
    /// Length, a multiple of a sector.
    pub bytes: u64,
    /// Its first frame, if that is a valid start frame.
    pub head: Option<Head>,
    /// The first sector is all zeros: nothing has to be done to reuse it.
    pub blank: bool,
}

/// A segment's first frame.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub header: Header,
    pub start: Start,
}

/// Opens all segments in order and reads their first frames.
pub(crate) fn open_all<D: LogDir>(dir: &D) -> Result<Vec<Segment<D::File>>, LogError> {
    let names = dir.list().map_err(|e| LogError::io("list", "the log directory", e))?;
    let mut indexes: Vec<u64> = names.iter().filter_map(|n| index_of(n)).collect();
    indexes.sort_unstable();
    let mut segments = Vec::with_capacity(indexes.len());
    for index in indexes {
        segments.push(open_one(dir, index)?);
    }
    refuse_foreign(&segments)?;
    Ok(segments)
}

fn open_one<D: LogDir>(dir: &D, index: u64) -> Result<Segment<D::File>, LogError> {
    let name = name(index);
    let file = dir.open(&name).map_err(|e| LogError::io("open", &name, e))?;
    let bytes = file.size().map_err(|e| LogError::io("measure", &name, e))?;
    // They get their names when they have their whole length, which is never changed.
    if bytes < LEAST_BYTES || !bytes.is_multiple_of(SECTOR as u64) {
        return Err(LogError::CutShort { name, bytes });
    }
    let mut reader = Reader::new(file.clone(), name.clone(), bytes, SECTOR);
    let head = match reader.frame_at(0)? {
        Ok(frame) if frame.header.kind == Kind::Start => {
            let start = Start::read(frame.body).map_err(|reason| LogError::Inconsistent {
                name: name.clone(),
                offset: 0,
                reason,
            })?;
            Some(Head { header: frame.header, start })
        }
        _ => None,
    };
    if let Some(head) = &head
        && head.start.segment != index
    {
        let reason = format!(
            "it was written as {}; give it that name again, or move it away",
            self::name(head.start.segment)
        );
        return Err(LogError::Inconsistent { name, offset: 0, reason });
    }
    let blank = reader.sector_is_zero(0)?;
    Ok(Segment { index, name, file, bytes, head, blank })
}

fn refuse_foreign<F>(segments: &[Segment<F>]) -> Result<(), LogError> {
    let mut expected = None;
    for segment in segments {
        let Some(head) = &segment.head else { continue };
        let found = head.start.log_id;
        if *expected.get_or_insert(found) != found {
            return Err(LogError::ForeignSegment {
                name: segment.name.clone(),
                found,
                expected: expected.unwrap_or(found),
            });
        }
    }
    Ok(())
}

impl<F> Segment<F> {
    /// The last transaction before this segment, if its first frame is valid.
    pub fn continues_zxid(&self) -> Option<Zxid> {
        self.head.as_ref().map(|h| h.start.continues_zxid)
    }
}

/// Reads frames from one segment through one buffer.
pub(crate) struct Reader<F> {
    file: F,
    name: String,
    bytes: u64,
    chunk: usize,
    buf: AlignedBuf,
    /// File offset of the buffer's first byte.
    at: u64,
    /// Bytes of the buffer that were read.
    filled: usize,
}

impl<F: SegmentFile> Reader<F> {
    /// A reader that takes `chunk` bytes (whole sectors) at a time.
    pub fn new(file: F, name: String, bytes: u64, chunk: usize) -> Reader<F> {
        let chunk = chunk.min(bytes as usize).max(SECTOR);
        let buf = AlignedBuf::with_capacity(chunk);
        Reader { file, name, bytes, chunk, buf, at: 0, filled: 0 }
    }

    /// The frame at `offset`: outer errors are the disk's, inner ones say why there is none.
    pub fn frame_at(&mut self, offset: u64) -> Result<Result<Frame<'_>, FrameError>, LogError> {
        let header = match self.peek(offset)? {
            Ok(header) => header,
            Err(err) => return Ok(Err(err)),
        };
        let len = header.frame_bytes as usize;
        if len as u64 > self.bytes - offset {
            return Ok(Err(FrameError::Length(header.frame_bytes)));
        }
        let from = self.window(offset, len)?;
        Ok(frame::read(&self.buf[from..self.filled]))
    }

    /// The header at `offset`, CRC unverified.
    pub fn peek(&mut self, offset: u64) -> Result<Result<Header, FrameError>, LogError> {
        if self.bytes.saturating_sub(offset) < SECTOR as u64 {
            return Ok(Err(FrameError::NoMagic));
        }
        let from = self.window(offset, SECTOR)?;
        Ok(frame::peek(&self.buf[from..self.filled]))
    }

    /// Is the sector at `offset` all zeros (or beyond the end)?
    pub fn sector_is_zero(&mut self, offset: u64) -> Result<bool, LogError> {
        if self.bytes.saturating_sub(offset) < SECTOR as u64 {
            return Ok(true);
        }
        let from = self.window(offset, SECTOR)?;
        let sector = self.buf.get(from..from + SECTOR).unwrap_or(&[]);
        Ok(sector.iter().all(|b| *b == 0))
    }

    /// Sees to it that `len` bytes from `offset` are in the buffer; returns where.
    fn window(&mut self, offset: u64, len: usize) -> Result<usize, LogError> {
        let inside = offset >= self.at && offset + len as u64 <= self.at + self.filled as u64;
        if !inside {
            let want = (len.max(self.chunk) as u64).min(self.bytes - offset) as usize;
            self.buf.resize(want, 0);
            self.filled = 0;
            let read = self.file.read_at(offset, &mut self.buf);
            self.filled = read.map_err(|e| LogError::io("read", &self.name, e))?;
            self.at = offset;
        }
        Ok((offset - self.at) as usize)
    }
}
