//! Writing primitives at the end of a byte vector.

/// Appends jute primitives. Lengths above `i32::MAX` cannot be written; no limit of the server lets one
/// come near it, so such a length saturates rather than panics.
pub trait Encode {
    /// One byte, 0 or 1.
    fn put_bool(&mut self, value: bool);
    /// Four bytes, big-endian.
    fn put_i32(&mut self, value: i32);
    /// Eight bytes, big-endian.
    fn put_i64(&mut self, value: i64);
    /// Length and bytes; `None` is written as length −1.
    fn put_buffer(&mut self, value: Option<&[u8]>);
    /// Length and UTF-8 bytes.
    fn put_str(&mut self, value: &str);
    /// The header of a vector.
    fn put_count(&mut self, count: usize);
}

#[inline]
fn length(len: usize) -> i32 {
    debug_assert!(len <= i32::MAX as usize);
    i32::try_from(len).unwrap_or(i32::MAX)
}

impl Encode for Vec<u8> {
    #[inline]
    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    #[inline]
    fn put_i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => {
                self.put_i32(length(bytes.len()));
                self.extend_from_slice(bytes);
            }
            None => self.put_i32(-1),
        }
    }

    #[inline]
    fn put_str(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    #[inline]
    fn put_count(&mut self, count: usize) {
        self.put_i32(length(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_java() {
        let mut out = Vec::new();
        out.put_bool(true);
        out.put_i32(-2);
        out.put_i64(1 << 32);
        out.put_buffer(None);
        out.put_buffer(Some(&[]));
        out.put_str("/a");
        out.put_count(3);
        #[rustfmt::skip]
        let expected = [
            1, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
            0, 0, 0, 0, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 3,
        ];
        assert_eq!(out, expected);
    }
}
