//! Strings as Java writes them.

use std::borrow::Cow;

/// The text of a string that Java wrote. Java writes a character beyond U+FFFF as two surrogates of three bytes each,
/// which is not UTF-8: they are put together again. What is no text at all becomes U+FFFD, as in Java.
pub(super) fn java_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(mended(bytes)),
    }
}

fn mended(mut bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    while !bytes.is_empty() {
        let sound = match std::str::from_utf8(bytes) {
            Ok(all) => all,
            Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
        };
        text.push_str(sound);
        bytes = &bytes[sound.len()..];
        let high = surrogate(bytes);
        let low = bytes.get(3..).and_then(surrogate);
        let (c, length) = match (high, low) {
            (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                let code = 0x10000 + ((u32::from(high) & 0x3ff) << 10 | u32::from(low) & 0x3ff);
                (char::from_u32(code), 6)
            }
            (Some(_), _) => (None, 3),
            // The rest of what a broken character began with, as String::from_utf8_lossy has it.
            (None, _) => (None, broken(bytes)),
        };
        if length > 0 {
            text.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        bytes = bytes.get(length..).unwrap_or_default();
    }
    text
}

/// The surrogate that these bytes begin with.
fn surrogate(bytes: &[u8]) -> Option<u16> {
    match *bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] => {
            Some(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f))
        }
        _ => None,
    }
}

/// How many bytes one U+FFFD stands for; 0 if there are none.
fn broken(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => 0,
        Err(e) => e.error_len().unwrap_or(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogates_are_put_together() {
        assert_eq!(java_text("plain ☃".as_bytes()), "plain ☃");
        assert_eq!(java_text(&[0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]), "😀");
        assert_eq!(java_text(&[b'a', 0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80, b'b']), "a😀b");
        assert_eq!(java_text("😀".as_bytes()), "😀");
    }

    #[test]
    fn what_is_no_text_shows_as_such() {
        // As measured on Java: one U+FFFD for a lone surrogate, two for an overlong NUL.
        assert_eq!(java_text(&[0xed, 0xa0, 0x80]), "\u{fffd}");
        assert_eq!(java_text(&[0xc0, 0x80]), "\u{fffd}\u{fffd}");
        assert_eq!(java_text(&[b'x', 0xff, b'y']), "x\u{fffd}y");
        assert_eq!(java_text(&[0xe2, 0x98]), "\u{fffd}");
        assert_eq!(java_text(&[0xed, 0xb8, 0x80, 0xed, 0xa0, 0xbd]), "\u{fffd}\u{fffd}");
    }
}
