//! Reading primitives from bytes that nobody vouches for.

use thiserror::Error;

/// Why bytes are not the record they should be. Offsets count from the start of the decoder's input.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("truncated {what} at byte {offset}: {need} bytes more are needed")]
    Truncated {
        /// The primitive that was read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// How many bytes are missing.
        need: usize,
    },
    /// A length or count below −1 (−1 alone means null).
    #[error("negative length {length} of {what} at byte {offset}")]
    NegativeLength {
        /// The primitive that was read.
        what: &'static str,
        /// Where its length stands.
        offset: usize,
        /// The length found.
        length: i32,
    },
    /// A vector announces more items than the rest of the input can hold.
    #[error("{what} at byte {offset} announces {length} items where at most {limit} fit")]
    TooLong {
        /// The primitive that was read.
        what: &'static str,
        /// Where its count stands.
        offset: usize,
        /// The count found.
        length: usize,
        /// What would fit.
        limit: usize,
    },
    /// A string that is not UTF-8.
    #[error("string at byte {offset} is not UTF-8 from its byte {valid_up_to} on")]
    Utf8 {
        /// Where the string's bytes begin.
        offset: usize,
        /// How many of its bytes are sound.
        valid_up_to: usize,
    },
    /// A null where there has to be something.
    #[error("{what} at byte {offset} is null")]
    Null {
        /// The primitive that was read.
        what: &'static str,
        /// Where its length stands.
        offset: usize,
    },
    /// A number that the field does not allow.
    #[error("{what} at byte {offset} has the value {value}, which means nothing")]
    Invalid {
        /// The field that was read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// What was found.
        value: i64,
    },
}

/// A cursor over borrowed bytes. Every length is checked against what remains before it is believed.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    input: &'a [u8],
    offset: usize,
}

impl<'a> Decoder<'a> {
    /// A decoder at the start of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Decoder { input, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Passes over bytes that were read before.
    pub fn skip(&mut self, bytes: usize) {
        self.offset = self.offset.saturating_add(bytes).min(self.input.len());
    }

    /// What has not been read yet.
    pub fn remaining(&self) -> &'a [u8] {
        self.input.get(self.offset..).unwrap_or_default()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.remaining().is_empty()
    }

    #[inline]
    fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.remaining();
        match rest.get(..len) {
            Some(bytes) => {
                self.offset += len;
                Ok(bytes)
            }
            None => {
                Err(DecodeError::Truncated { what, offset: self.offset, need: len - rest.len() })
            }
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let rest = self.remaining();
        match rest.first_chunk::<N>() {
            Some(bytes) => {
                self.offset += N;
                Ok(*bytes)
            }
            None => Err(DecodeError::Truncated { what, offset: self.offset, need: N - rest.len() }),
        }
    }

    /// One byte; anything but 0 is true, as in Java's `DataInput`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array::<1>("boolean")? != [0])
    }

    /// Four bytes, signed.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array("int")?))
    }

    /// Eight bytes, signed.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array("long")?))
    }

    #[inline]
    fn length(&mut self, what: &'static str) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        let length = i32::from_be_bytes(self.array(what)?);
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::NegativeLength { what, offset, length }),
        }
    }

    /// A length and as many bytes; `None` for null (length −1), which is not the same as empty.
    #[inline]
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length("buffer")? {
            Some(length) => self.take("buffer", length).map(Some),
            None => Ok(None),
        }
    }

    /// A length and as many bytes of UTF-8; `None` for null.
    #[inline]
    pub fn string(&mut self) -> Result<Option<&'a str>, DecodeError> {
        let Some(length) = self.length("string")? else { return Ok(None) };
        let offset = self.offset;
        let bytes = self.take("string", length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(e) => Err(DecodeError::Utf8 { offset, valid_up_to: e.valid_up_to() }),
        }
    }

    /// A string where null reads as empty.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, DecodeError> {
        Ok(self.string()?.unwrap_or_default())
    }

    /// The header of a vector: how many items follow, `None` for null. `item_bytes_min` is the least
    /// that one item takes; a count that cannot fit what remains is refused here, before any
    /// allocation is made for it.
    #[inline]
    pub fn count(&mut self, item_bytes_min: usize) -> Result<Option<usize>, DecodeError> {
        let offset = self.offset;
        let Some(length) = self.length("vector")? else { return Ok(None) };
        let limit = self.remaining().len() / item_bytes_min.max(1);
        if length > limit {
            return Err(DecodeError::TooLong { what: "vector", offset, length, limit });
        }
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primitives_are_big_endian() {
        let mut d =
            Decoder::new(&[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 7, 9]);
        assert_eq!(d.i32(), Ok(256));
        assert_eq!(d.i64(), Ok(-2));
        assert_eq!(d.bool(), Ok(true));
        assert_eq!(d.remaining(), [9]);
        assert_eq!(d.offset(), 13);
    }

    #[test]
    fn null_and_empty_are_kept_apart() {
        let mut d = Decoder::new(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(d.clone().string(), Ok(None));
        assert_eq!(d.clone().str(), Ok(""));
        assert_eq!(d.buffer(), Ok(None));
        assert_eq!(d.buffer(), Ok(Some(&[][..])));
        assert!(d.is_empty());
    }

    #[test]
    fn lengths_are_checked_before_they_are_believed() {
        let over = Decoder::new(&[0x7f, 0xff, 0xff, 0xff, 1]).buffer();
        assert_eq!(
            over,
            Err(DecodeError::Truncated { what: "buffer", offset: 4, need: 0x7fff_fffe })
        );
        let below = Decoder::new(&[0xff, 0xff, 0xff, 0xfe]).string();
        assert_eq!(
            below,
            Err(DecodeError::NegativeLength { what: "string", offset: 0, length: -2 })
        );
        let count = Decoder::new(&[0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8]).count(4);
        assert_eq!(
            count,
            Err(DecodeError::TooLong { what: "vector", offset: 0, length: 3, limit: 2 })
        );
        let cut = Decoder::new(&[0, 0]).i32();
        assert_eq!(cut, Err(DecodeError::Truncated { what: "int", offset: 0, need: 2 }));
        let text = Decoder::new(&[0, 0, 0, 2, b'a', 0xff]).string();
        assert_eq!(text, Err(DecodeError::Utf8 { offset: 4, valid_up_to: 1 }));
    }
}
