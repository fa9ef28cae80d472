//! Java's properties syntax (`java.util.Properties.load`), which ZooKeeper's configuration
//! files are written in: comments, continuation lines, three separators, escapes.

use super::error::SyntaxError;

/// One `key = value` of a file, as written apart from escapes and surrounding white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line (from 1) on which the entry begins.
    pub line: usize,
    /// The key, unescaped and trimmed.
    pub key: String,
    /// The value, unescaped and trimmed (ZooKeeper trims both).
    pub value: String,
}

/// Reads all entries of a file, in order. A key given twice is returned twice.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, SyntaxError> {
    let text = decode(bytes);
    let mut entries = Vec::new();
    for (line, logical) in logical_lines(&text) {
        let (key, value) = split(&logical);
        let key = unescape(key).map_err(|what| SyntaxError { line, what })?;
        let value = unescape(value).map_err(|what| SyntaxError { line, what })?;
        entries.push(Entry { line, key: key.trim().into(), value: value.trim().into() });
    }
    Ok(entries)
}

/// Java reads these files as Latin-1. Nearly all are ASCII; one that is valid UTF-8 was meant
/// as UTF-8, anything else keeps Java's meaning.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Splits at `\n`, `\r` and `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.find(['\n', '\r']) {
            None => {
                rest = None;
                Some(text)
            }
            Some(at) => {
                let after = &text[at..];
                rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
                Some(&text[..at])
            }
        }
    })
}

/// Joins continued lines; drops blank lines and comments. Escapes stay as they are.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in natural_lines(text).enumerate() {
        let piece = natural.trim_start_matches(is_blank);
        let (start, mut logical) = match open.take() {
            Some(begun) => begun,
            None if piece.is_empty() || piece.starts_with(['#', '!']) => continue,
            None => (index + 1, String::new()),
        };
        let backslashes = piece.len() - piece.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            logical.push_str(&piece[..piece.len() - 1]);
            open = Some((start, logical));
        } else {
            logical.push_str(piece);
            lines.push((start, logical));
        }
    }
    lines.extend(open);
    lines
}

/// Cuts a logical line at the first unescaped `=`, `:` or blank; one `=` or `:` may stand
/// among the blanks.
fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical
        .char_indices()
        .find(|&(_, c)| {
            let ends = !escaped && (c == '=' || c == ':' || is_blank(c));
            escaped = c == '\\' && !escaped;
            ends
        })
        .map_or(logical.len(), |(at, _)| at);
    let (key, rest) = logical.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

fn unescape(raw: &str) -> Result<String, &'static str> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    // UTF-16 units, because a character beyond the basic plane is written as two escapes.
    let mut units = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let c = match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match chars.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let mut unit: u16 = 0;
                    for _ in 0..4 {
                        let digit = chars.next().and_then(|d| d.to_digit(16));
                        let digit = digit.ok_or("\\u must be followed by four hex digits")?;
                        unit = unit << 4 | digit as u16;
                    }
                    units.push(unit);
                    continue;
                }
                Some(other) => other,
            },
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(usize, String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|e| (e.line, e.key, e.value)).collect()
    }

    fn pair(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        let (_, key, value) = all.remove(0);
        (key, value)
    }

    #[test]
    fn separators_are_equals_colon_and_blank() {
        for text in ["a=b", "a = b", "a:b", "a : b", "a b", "  a\t=\x0cb  ", "a   b\n"] {
            assert_eq!(pair(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(pair("a == b"), ("a".into(), "= b".into()), "only one separator is eaten");
        assert_eq!(pair("a"), ("a".into(), "".into()));
        assert_eq!(pair("a="), ("a".into(), "".into()));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_lines_are_counted() {
        let text = "# one\n\n  ! two\r\ntickTime=2000\r# not = this \\\nclientPort=1\n";
        assert_eq!(
            pairs(text),
            [(4, "tickTime".into(), "2000".into()), (6, "clientPort".into(), "1".into())]
        );
    }

    #[test]
    fn an_odd_backslash_continues_the_line() {
        assert_eq!(pair("a=1,\\\n   2,\\\r\n\t3"), ("a".into(), "1,2,3".into()));
        assert_eq!(pair("a=x\\\n# y"), ("a".into(), "x# y".into()), "no comment inside");
        assert_eq!(
            pairs("a=x\\\\\nb=y"),
            [(1, "a".into(), "x\\".into()), (2, "b".into(), "y".into())]
        );
        assert_eq!(pair("a=x\\"), ("a".into(), "x".into()), "the file ends in a continuation");
        assert_eq!(
            pairs("a=1\\\n\nb=2"),
            [(1, "a".into(), "1".into()), (3, "b".into(), "2".into())]
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(pair("a\\=b\\:c\\ d = e"), ("a=b:c d".into(), "e".into()));
        assert_eq!(pair("a=\\u00e9\\ud83d\\ude00\\q"), ("a".into(), "é😀q".into()));
        assert_eq!(pair("path=C:\\\\zk"), ("path".into(), "C:\\zk".into()));
        assert_eq!(pair("a=x\\ty"), ("a".into(), "x\ty".into()));
        let bad = parse(b"\na=\\u12g4").unwrap_err();
        assert_eq!(bad.line, 2);
        assert!(parse(b"a=\\u12").is_err());
    }

    #[test]
    fn latin_1_and_utf_8_are_told_apart() {
        assert_eq!(parse(b"d=/caf\xe9").unwrap()[0].value, "/café");
        assert_eq!(parse("d=/café".as_bytes()).unwrap()[0].value, "/café");
        assert_eq!(parse(b"\xef\xbb\xbfd=x").unwrap()[0].key, "d", "a byte order mark is dropped");
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(0u8.., 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
