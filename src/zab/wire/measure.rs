//! Finds where a record ends whose length no prefix tells, in bytes that come in pieces.
//!
//! What has been looked at is not looked at again when more comes: a peer that sends byte by byte costs no more than one
//! that sends all at once.

use super::error::WireError;

/// One part of a record.
pub(super) enum Part {
    /// So many bytes.
    Fixed(usize),
    /// A length and as many bytes; length −1 means null.
    Buffer { what: &'static str, bytes_max: usize },
    /// A count and as many items, each of `fixed` bytes and then `buffers` buffers; count −1 means null.
    List { what: &'static str, fixed: usize, buffers: usize, bytes_max: usize },
}

/// How far a record has been looked at.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// The part that `at` is in.
    part: usize,
    /// Where looking goes on, from the record's start.
    at: usize,
    /// Within a list: where its items begin, and how many are left.
    list: Option<(usize, usize)>,
    /// Within an item: how many of its buffers are left.
    buffers: Option<usize>,
    /// How many bytes of the record there must be before looking again is worth it.
    need: usize,
}

impl Measure {
    /// The length of the record that `input` begins with, or `None` as long as it is not whole. `base` is the place of
    /// `input` in its stream. Once it has ended, start with a new `Measure` (or go on with more parts).
    pub fn end(
        &mut self,
        parts: &[Part],
        input: &[u8],
        base: u64,
    ) -> Result<Option<usize>, WireError> {
        if input.len() < self.need {
            return Ok(None);
        }
        while let Some(part) = parts.get(self.part) {
            let whole = match *part {
                Part::Fixed(bytes) => self.skip(bytes, input),
                Part::Buffer { what, bytes_max } => self.buffer(what, bytes_max, input, base)?,
                Part::List { what, fixed, buffers, bytes_max } => {
                    self.items(what, (fixed, buffers), bytes_max, input, base)?
                }
            };
            if !whole {
                return Ok(None);
            }
            self.part += 1;
        }
        Ok(Some(self.at))
    }

    /// Moves over bytes if they are all there.
    fn skip(&mut self, bytes: usize, input: &[u8]) -> bool {
        self.need = self.at.saturating_add(bytes);
        if input.len() < self.need {
            return false;
        }
        self.at = self.need;
        true
    }

    /// The int at the present place.
    fn length(&mut self, input: &[u8]) -> Option<i32> {
        self.need = self.at.saturating_add(4);
        input.get(self.at..).and_then(|rest| rest.first_chunk()).map(|int| i32::from_be_bytes(*int))
    }

    fn buffer(
        &mut self,
        what: &'static str,
        bytes_max: usize,
        input: &[u8],
        base: u64,
    ) -> Result<bool, WireError> {
        let Some(length) = self.length(input) else { return Ok(false) };
        let at = base + self.at as u64;
        let bytes = match usize::try_from(length) {
            Ok(bytes) => bytes,
            Err(_) if length == -1 => 0,
            Err(_) => return Err(WireError::BadLength { what, at, length }),
        };
        if bytes > bytes_max {
            return Err(WireError::TooLong {
                what,
                at,
                length: bytes as u64,
                limit: bytes_max as u64,
            });
        }
        Ok(self.skip(4 + bytes, input))
    }

    fn items(
        &mut self,
        what: &'static str,
        (fixed, buffers): (usize, usize),
        bytes_max: usize,
        input: &[u8],
        base: u64,
    ) -> Result<bool, WireError> {
        let (start, mut left) = match self.list {
            Some(list) => list,
            None => {
                let Some(length) = self.length(input) else { return Ok(false) };
                let at = base + self.at as u64;
                let count = match usize::try_from(length) {
                    Ok(count) => count,
                    Err(_) if length == -1 => 0,
                    Err(_) => return Err(WireError::BadLength { what, at, length }),
                };
                let limit = bytes_max / (fixed + 4 * buffers);
                if count > limit {
                    return Err(WireError::TooLong {
                        what,
                        at,
                        length: count as u64,
                        limit: limit as u64,
                    });
                }
                self.at += 4;
                (self.at, count)
            }
        };
        while left > 0 {
            self.list = Some((start, left));
            if self.buffers.is_none() {
                if !self.skip(fixed, input) {
                    return Ok(false);
                }
                self.buffers = Some(buffers);
            }
            while let Some(some) = self.buffers.filter(|some| *some > 0) {
                let room = bytes_max.saturating_sub(self.at - start + 4);
                if !self.buffer(what, room, input, base)? {
                    return Ok(false);
                }
                self.buffers = Some(some - 1);
            }
            self.buffers = None;
            left -= 1;
        }
        self.list = None;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [Part; 3] = [
        Part::Fixed(2),
        Part::Buffer { what: "buffer", bytes_max: 5 },
        Part::List { what: "list", fixed: 1, buffers: 2, bytes_max: 32 },
    ];

    fn sample() -> Vec<u8> {
        let mut bytes = vec![1, 2, 0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 2];
        bytes.extend([9, 0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([9, 0, 0, 0, 0, 0, 0, 0, 2, b'y', b'z']);
        bytes
    }

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        let bytes = sample();
        for step in 1..=bytes.len() {
            let mut measure = Measure::default();
            let mut have = 0;
            let end = loop {
                have = (have + step).min(bytes.len());
                match measure.end(&PARTS, &bytes[..have], 0).unwrap() {
                    Some(end) => break end,
                    None => assert!(have < bytes.len()),
                }
            };
            assert_eq!(end, bytes.len(), "in steps of {step}");
        }
        let mut longer = bytes.clone();
        longer.extend([7; 9]);
        assert_eq!(Measure::default().end(&PARTS, &longer, 0), Ok(Some(bytes.len())));
    }

    #[test]
    fn lengths_are_refused_before_anything_is_waited_for() {
        let mut long = sample();
        long[5] = 6;
        assert_eq!(
            Measure::default().end(&PARTS, &long[..6], 100),
            Err(WireError::TooLong { what: "buffer", at: 102, length: 6, limit: 5 })
        );
        let mut many = sample();
        many[12] = 4;
        assert_eq!(
            Measure::default().end(&PARTS, &many[..13], 0),
            Err(WireError::TooLong { what: "list", at: 9, length: 4, limit: 3 })
        );
        let mut negative = sample();
        negative[2..6].fill(0xfe);
        assert!(matches!(
            Measure::default().end(&PARTS, &negative, 0),
            Err(WireError::BadLength { what: "buffer", at: 2, .. })
        ));
        // The second item's last buffer is over what is left of the list's 32 bytes.
        let mut over = sample();
        over[31] = 14;
        assert_eq!(
            Measure::default().end(&PARTS, &over, 0),
            Err(WireError::TooLong { what: "list", at: 28, length: 14, limit: 17 - 4 })
        );
    }
}
