//! Frames: the unit that is written, and that verifies alone.
//!
//! A frame is a whole number of sectors. Its header stands at the front, its body ends with the
//! frame, zeros lie between: FlatBuffers are built from the end, so a body is built where it is
//! written from. `docs/design/log.md` draws the bytes.

use crate::log::Zxid;

/// Every frame starts at a multiple of this and is as long as a multiple of it.
pub const SECTOR: usize = 4096;
/// Bytes of a frame's header.
pub const HEADER: usize = 72;
/// "RKF1": ringkeeper frame, format 1.
pub const MAGIC: u32 = u32::from_le_bytes(*b"RKF1");
/// Where the bytes begin that the CRC covers: behind the magic and the CRC itself.
const CRC_FROM: usize = 8;

/// What a frame is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Begins a segment or an incarnation; the body is a `Start`.
    Start = 1,
    /// One group commit; the body is a `Batch`.
    Batch = 2,
    /// Says that what is before it is durable; no body.
    Seal = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::Start),
            2 => Some(Kind::Batch),
            3 => Some(Kind::Seal),
            _ => None,
        }
    }
}

/// A frame's header, without magic and CRC.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Raised whenever the log is opened or cut; frames of an older one beyond are dead.
    pub incarnation: u64,
    /// Counts all frames of the log from 1, without gaps.
    pub sequence: u64,
    /// CRC of the frame before (of the very first frame: 0).
    pub previous_crc: u32,
    /// Whole frame with padding: a multiple of `SECTOR`.
    pub frame_bytes: u32,
    /// The last `body_bytes` of the frame are the body.
    pub body_bytes: u32,
    /// What the frame is for.
    pub kind: Kind,
    /// All frames up to this sequence were durable when this one was made.
    pub durable_sequence: u64,
    /// All transactions up to this zxid were durable when this frame was made.
    pub durable_through: Zxid,
    /// The ensemble's committed zxid when this frame was made.
    pub committed: Zxid,
    /// The last transaction in the log once this frame counts.
    pub last_zxid: Zxid,
}

/// Why bytes are not a frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No magic: zeros or foreign bytes.
    #[error("no frame begins here")]
    NoMagic,
    /// A length that no frame has, or more than there is.
    #[error("a frame length of {0} bytes that cannot be")]
    Length(u32),
    /// An unknown kind or version.
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    /// The bytes are not those that were written.
    #[error("CRC32C is {computed:08x}, the frame says {stored:08x}")]
    Crc {
        /// As the header says.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

/// Bytes of a frame that holds `body_bytes`: rounded up to sectors.
pub fn frame_bytes(body_bytes: usize) -> usize {
    (HEADER + body_bytes).next_multiple_of(SECTOR)
}

/// Writes `header` to the front of `frame` (whose body is in place) and returns the CRC.
///
/// # Panics
/// If `frame` is not as long as the header says: a defect of the caller.
pub fn seal(frame: &mut [u8], header: &Header) -> u32 {
    assert_eq!(frame.len(), header.frame_bytes as usize);
    assert!(HEADER + header.body_bytes as usize <= frame.len());
    frame[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    frame[8..16].copy_from_slice(&header.incarnation.to_le_bytes());
    frame[16..24].copy_from_slice(&header.sequence.to_le_bytes());
    frame[24..28].copy_from_slice(&header.previous_crc.to_le_bytes());
    frame[28..32].copy_from_slice(&header.frame_bytes.to_le_bytes());
    frame[32..36].copy_from_slice(&header.body_bytes.to_le_bytes());
    frame[36..40].copy_from_slice(&[header.kind as u8, 0, 0, 0]);
    frame[40..48].copy_from_slice(&header.durable_sequence.to_le_bytes());
    frame[48..56].copy_from_slice(&header.durable_through.to_le_bytes());
    frame[56..64].copy_from_slice(&header.committed.to_le_bytes());
    frame[64..72].copy_from_slice(&header.last_zxid.to_le_bytes());
    let crc = crc32c::crc32c(&frame[CRC_FROM..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Reads a header without verifying the CRC. `bytes` may go on behind the frame or stop short of
/// its end; fewer than `HEADER` bytes are no frame.
pub fn peek(bytes: &[u8]) -> Result<Header, FrameError> {
    if bytes.len() < HEADER || u32_at(bytes, 0) != MAGIC {
        return Err(FrameError::NoMagic);
    }
    let frame_bytes = u32_at(bytes, 28);
    let body_bytes = u32_at(bytes, 32);
    if frame_bytes == 0
        || !(frame_bytes as usize).is_multiple_of(SECTOR)
        || body_bytes as usize > frame_bytes as usize - HEADER
    {
        return Err(FrameError::Length(frame_bytes));
    }
    let kind = Kind::from_byte(bytes[36]).ok_or(FrameError::Kind(bytes[36]))?;
    Ok(Header {
        incarnation: u64_at(bytes, 8),
        sequence: u64_at(bytes, 16),
        previous_crc: u32_at(bytes, 24),
        frame_bytes,
        body_bytes,
        kind,
        durable_sequence: u64_at(bytes, 40),
        durable_through: u64_at(bytes, 48) as i64,
        committed: u64_at(bytes, 56) as i64,
        last_zxid: u64_at(bytes, 64) as i64,
    })
}

/// A frame whose CRC was found right.
#[derive(Copy, Clone, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its CRC: what the next frame must name.
    pub crc: u32,
    /// Its body.
    pub body: &'a [u8],
}

/// Reads and verifies the frame at the front of `bytes`, which may go on behind it.
pub fn read(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let header = peek(bytes)?;
    let len = header.frame_bytes as usize;
    let frame = bytes.get(..len).ok_or(FrameError::Length(header.frame_bytes))?;
    let stored = u32_at(frame, 4);
    let computed = crc32c::crc32c(&frame[CRC_FROM..]);
    if stored != computed {
        return Err(FrameError::Crc { stored, computed });
    }
    Ok(Frame { header, crc: stored, body: &frame[len - header.body_bytes as usize..] })
}
