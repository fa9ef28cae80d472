//! Strings that are not UTF-8, as ZooKeeper reads them.

use super::DecodeError;

/// The most strings of one request that are worth repairing; nobody but a tester sends one.
pub const REPAIRS_MAX: usize = 16;

/// The input with the string that `error` complains of made UTF-8 as Java decodes it: what is none
/// becomes U+FFFD. `None` if the error is another. To be called again for the next such string, at
/// most [`REPAIRS_MAX`] times. A path that was repaired names no znode and cannot be given to one, so
/// reads find nothing (NoNode) and writes are refused (BadArguments), where the bytes alone would be
/// no request at all.
pub fn repair(input: &[u8], error: &DecodeError) -> Option<Vec<u8>> {
    let DecodeError::Utf8 { offset, .. } = *error else { return None };
    let (before, rest) = input.split_at_checked(offset)?;
    let (before, length) = before.split_last_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let (text, behind) = rest.split_at_checked(length)?;
    let text = java_lossy(text);
    let length = i32::try_from(text.len()).ok()?;
    Some([before, &length.to_be_bytes(), text.as_bytes(), behind].concat())
}

/// Java and Rust replace the same runs of bytes, but for an encoded surrogate: that is one to Java.
fn java_lossy(text: &[u8]) -> String {
    let mut text = text.to_vec();
    let mut at = 0;
    while let Some([lead, middle, last]) = text.get(at..at + 3) {
        // The lead byte of a surrogate never continues a character, so these three stand for themselves.
        if *lead == 0xed && (0xa0..=0xbf).contains(middle) && (0x80..=0xbf).contains(last) {
            text[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
            at += 3;
        } else {
            at += 1;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::{Decoder, Encode};

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_i32(7);
        out.put_buffer(Some(bytes));
        out.put_i32(8);
        out
    }

    #[test]
    fn what_is_no_utf_8_reads_as_java_reads_it() {
        let table: [(&[u8], &str); 5] = [
            (b"/o/\xff", "/o/\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}"),
            (b"a\xed\xa0\xbd\xed\xb8\x80b", "a\u{fffd}\u{fffd}b"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
            (b"\xe2\x82", "\u{fffd}"),
        ];
        for (bytes, expected) in table {
            let input = string(bytes);
            let mut d = Decoder::new(&input);
            assert_eq!(d.i32(), Ok(7));
            let error = d.string().unwrap_err();
            let repaired = repair(&input, &error).unwrap();
            let mut d = Decoder::new(&repaired);
            assert_eq!((d.i32(), d.str(), d.i32()), (Ok(7), Ok(expected), Ok(8)));
            assert!(d.is_empty());
        }
    }

    #[test]
    fn other_errors_cannot_be_repaired() {
        let error = DecodeError::Truncated { what: "int", offset: 4, need: 1 };
        assert_eq!(repair(&string(b"x"), &error), None);
        // An offset that belongs to other bytes finds nothing to repair.
        let error = DecodeError::Utf8 { offset: 90, valid_up_to: 0 };
        assert_eq!(repair(&string(b"x"), &error), None);
        let error = DecodeError::Utf8 { offset: 3, valid_up_to: 0 };
        assert_eq!(repair(&string(b"x"), &error), None);
    }
}
