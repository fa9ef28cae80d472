//! Blocks: what a snapshot file consists of, each compressed and verified by itself; and the
//! footer by which the last of them, the trailer, is found. `docs/design/snapshot.md` draws the
//! bytes.

/// Bytes in front of a block's content.
pub const HEADER: usize = 24;
/// Blocks begin at multiples of this.
pub const ALIGN: usize = 8;
/// The file's last bytes.
pub const FOOTER: usize = 32;
/// No block holds more: it keeps offsets within 31 bits, and what a damaged file can make us
/// allocate.
pub const RAW_BYTES_MAX: usize = 1 << 30;

const MAGIC: u32 = u32::from_le_bytes(*b"RKS1");
const FOOTER_MAGIC: u32 = u32::from_le_bytes(*b"RKSF");
const CRC_FROM: usize = 8;

/// What a block holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What must be found in the snapshot.
    Trailer = 0,
    /// Znodes.
    Nodes = 1,
    /// Sessions.
    Sessions = 2,
    /// ACL lists.
    Acls = 3,
}

impl Kind {
    /// The kind of that number.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Trailer, Kind::Nodes, Kind::Sessions, Kind::Acls].get(usize::from(byte)).copied()
    }
}

const CODEC_RAW: u8 = 0;
const CODEC_LZ4: u8 = 1;

/// Why bytes are not a block or a footer.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Zeros or foreign bytes.
    #[error("no block begins here")]
    NoMagic,
    /// It ends beyond what there is, or is larger than any block.
    #[error("a length that cannot be")]
    Length,
    /// An unknown kind or codec.
    #[error("a block of unknown kind {kind} or codec {codec}")]
    Unknown {
        /// As the block says.
        kind: u8,
        /// As the block says.
        codec: u8,
    },
    /// The bytes are not those that were written.
    #[error("CRC32C is {computed:08x}, the block says {stored:08x}")]
    Crc {
        /// As the block says.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The CRC is right and yet it does not decompress.
    #[error("it does not decompress to its length")]
    Compression,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A block as it was appended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Header and content, padding not counted.
    pub bytes: usize,
    /// Its CRC.
    pub crc: u32,
}

/// Appends `raw` as a block, compressed if that makes it smaller, and pads to [`ALIGN`].
///
/// # Panics
/// If `raw` is longer than [`RAW_BYTES_MAX`]: a defect of the caller.
pub fn append(out: &mut Vec<u8>, kind: Kind, raw: &[u8]) -> Written {
    assert!(raw.len() <= RAW_BYTES_MAX);
    let start = out.len();
    out.resize(start + HEADER + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    let stored = lz4_flex::block::compress_into(raw, &mut out[start + HEADER..])
        .ok()
        .filter(|stored| *stored < raw.len());
    let (codec, stored_bytes) = match stored {
        Some(stored) => (CODEC_LZ4, stored),
        None => {
            out[start + HEADER..start + HEADER + raw.len()].copy_from_slice(raw);
            (CODEC_RAW, raw.len())
        }
    };
    let bytes = HEADER + stored_bytes;
    out.truncate(start + bytes);
    let block = &mut out[start..];
    block[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    block[8..12].copy_from_slice(&[kind as u8, codec, 0, 0]);
    block[12..16].copy_from_slice(&(raw.len() as u32).to_le_bytes());
    block[16..20].copy_from_slice(&(stored_bytes as u32).to_le_bytes());
    let crc = crc32c::crc32c(&block[CRC_FROM..]);
    block[4..8].copy_from_slice(&crc.to_le_bytes());
    out.resize((start + bytes).next_multiple_of(ALIGN), 0);
    Written { bytes, crc }
}

/// Reads and verifies the block that `bytes` is (it may go on behind it).
pub fn read(bytes: &[u8]) -> Result<(Kind, Vec<u8>), BlockError> {
    if u32_at(bytes, 0) != Some(MAGIC) {
        return Err(BlockError::NoMagic);
    }
    let header = bytes.first_chunk::<HEADER>().ok_or(BlockError::Length)?;
    let raw_bytes = u32_at(header, 12).ok_or(BlockError::Length)? as usize;
    let stored_bytes = u32_at(header, 16).ok_or(BlockError::Length)? as usize;
    let block = bytes.get(..HEADER + stored_bytes).ok_or(BlockError::Length)?;
    let stored = u32_at(header, 4).ok_or(BlockError::Length)?;
    let computed = crc32c::crc32c(&block[CRC_FROM..]);
    if stored != computed {
        return Err(BlockError::Crc { stored, computed });
    }
    // lz4 makes at most 255 bytes of one: what claims more is not believed.
    if raw_bytes > RAW_BYTES_MAX || raw_bytes / 256 > stored_bytes {
        return Err(BlockError::Length);
    }
    let (kind, codec) = (header[8], header[9]);
    let content = &block[HEADER..];
    let raw = match codec {
        CODEC_RAW if raw_bytes == stored_bytes => content.to_vec(),
        CODEC_LZ4 => {
            let mut raw = vec![0; raw_bytes];
            match lz4_flex::block::decompress_into(content, &mut raw) {
                Ok(len) if len == raw_bytes => raw,
                _ => return Err(BlockError::Compression),
            }
        }
        _ => return Err(BlockError::Unknown { kind, codec }),
    };
    let kind = Kind::from_byte(kind).ok_or(BlockError::Unknown { kind, codec })?;
    Ok((kind, raw))
}

/// Where the trailer lies.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Byte offset of the trailer block.
    pub trailer_offset: u64,
    /// Length of the whole file.
    pub file_bytes: u64,
    /// As in the trailer and the file's name.
    pub zxid: i64,
}

impl Footer {
    /// The file's last bytes.
    pub fn encode(&self) -> [u8; FOOTER] {
        let mut out = [0; FOOTER];
        out[0..4].copy_from_slice(&FOOTER_MAGIC.to_le_bytes());
        out[8..16].copy_from_slice(&self.trailer_offset.to_le_bytes());
        out[16..24].copy_from_slice(&self.file_bytes.to_le_bytes());
        out[24..32].copy_from_slice(&self.zxid.to_le_bytes());
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads and verifies the file's last bytes.
    pub fn decode(bytes: &[u8]) -> Result<Footer, BlockError> {
        let bytes = bytes.last_chunk::<FOOTER>().ok_or(BlockError::Length)?;
        if u32_at(bytes, 0) != Some(FOOTER_MAGIC) {
            return Err(BlockError::NoMagic);
        }
        let stored = u32_at(bytes, 4).ok_or(BlockError::Length)?;
        let computed = crc32c::crc32c(&bytes[CRC_FROM..]);
        if stored != computed {
            return Err(BlockError::Crc { stored, computed });
        }
        let long = |at| u64_at(bytes, at).ok_or(BlockError::Length);
        Ok(Footer { trailer_offset: long(8)?, file_bytes: long(16)?, zxid: long(24)? as i64 })
    }
}
