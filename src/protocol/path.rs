//! Znode paths: absolute, `/` is the root. The rules are those of `PathUtils`.

use thiserror::Error;

/// Why a string is not a znode path. Positions are bytes from the start of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// The empty string.
    #[error("path is empty")]
    Empty,
    /// It does not begin with `/`.
    #[error("path does not start with /")]
    NotAbsolute,
    /// It ends with `/` and is not the root.
    #[error("path ends with /")]
    TrailingSlash,
    /// Two slashes in a row.
    #[error("path has an empty component at byte {at}")]
    EmptyComponent {
        /// The second slash.
        at: usize,
    },
    /// A component `.` or `..`.
    #[error("path has a relative component at byte {at}")]
    RelativeComponent {
        /// Where the component begins.
        at: usize,
    },
    /// A character that paths may not have.
    #[error("path has the invalid character U+{character:04X} at byte {at}")]
    InvalidCharacter {
        /// Where it stands.
        at: usize,
        /// The character.
        character: u32,
    },
}

/// Whether `path` is a znode path.
pub fn validate(path: &str) -> Result<(), PathError> {
    let bytes = path.as_bytes();
    match bytes {
        [] => return Err(PathError::Empty),
        [b'/'] => return Ok(()),
        [b'/', ..] => {}
        _ => return Err(PathError::NotAbsolute),
    }
    if bytes.last() == Some(&b'/') {
        return Err(PathError::TrailingSlash);
    }
    check_characters(path)?;
    check_components(path)
}

/// Whether `path` is one with a number behind it: the name may be empty then, for the number makes one.
pub fn validate_sequential(path: &str) -> Result<(), PathError> {
    let mut numbered = String::with_capacity(path.len() + 1);
    numbered.push_str(path);
    numbered.push('1');
    validate(&numbered)
}

fn check_characters(path: &str) -> Result<(), PathError> {
    if path.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Ok(());
    }
    for (at, character) in path.char_indices() {
        // Java looks at UTF-16 units, so all that needs a surrogate pair is out.
        if matches!(u32::from(character),
            0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0x10_ffff)
        {
            return Err(PathError::InvalidCharacter { at, character: character.into() });
        }
    }
    Ok(())
}

fn check_components(path: &str) -> Result<(), PathError> {
    let mut at = 1;
    for component in path.get(1..).unwrap_or_default().split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent { at }),
            "." | ".." => return Err(PathError::RelativeComponent { at }),
            _ => at += component.len() + 1,
        }
    }
    Ok(())
}

/// The path of the parent; `None` for the root and for what has no slash.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => path.get(..1),
        slash => path.get(..slash),
    }
}

/// What stands behind the last slash; empty for the root.
pub fn base_name(path: &str) -> &str {
    path.rfind('/').and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

/// The path of the child `name` of `parent`.
pub fn join(parent: &str, name: &str) -> String {
    let mut path = String::with_capacity(parent.len() + 1 + name.len());
    if parent != "/" {
        path.push_str(parent);
    }
    path.push('/');
    path.push_str(name);
    path
}

/// The ancestors of a path from its parent up to the root; none for the root.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_path_and_what_is_not() {
        use PathError::*;
        let sound =
            ["/", "/a", "/a/b", "/.a", "/a.", "/...", "/a/..b", "/a..", "/ ", "/ä", "/\u{f900}"];
        for path in sound {
            assert_eq!(validate(path), Ok(()), "{path:?}");
        }
        let table = [
            ("", Empty),
            ("a", NotAbsolute),
            ("a/b", NotAbsolute),
            ("/a/", TrailingSlash),
            ("//", TrailingSlash),
            ("//a", EmptyComponent { at: 1 }),
            ("/a//b", EmptyComponent { at: 3 }),
            ("/.", RelativeComponent { at: 1 }),
            ("/..", RelativeComponent { at: 1 }),
            ("/a/./b", RelativeComponent { at: 3 }),
            ("/a/..", RelativeComponent { at: 3 }),
            ("/a\0", InvalidCharacter { at: 2, character: 0 }),
            ("/\u{1f}", InvalidCharacter { at: 1, character: 0x1f }),
            ("/\u{7f}", InvalidCharacter { at: 1, character: 0x7f }),
            ("/\u{9f}", InvalidCharacter { at: 1, character: 0x9f }),
            ("/\u{e000}", InvalidCharacter { at: 1, character: 0xe000 }),
            ("/\u{f8ff}", InvalidCharacter { at: 1, character: 0xf8ff }),
            ("/\u{fff0}", InvalidCharacter { at: 1, character: 0xfff0 }),
            ("/\u{fffd}", InvalidCharacter { at: 1, character: 0xfffd }),
            ("/\u{1f600}", InvalidCharacter { at: 1, character: 0x1f600 }),
        ];
        for (path, error) in table {
            assert_eq!(validate(path), Err(error), "{path:?}");
        }
    }

    #[test]
    fn a_number_behind_it_makes_a_name() {
        assert_eq!(validate_sequential("/a/"), Ok(()));
        assert_eq!(validate_sequential("/"), Ok(()));
        assert_eq!(validate_sequential("/a/.."), Ok(()));
        assert_eq!(validate_sequential("/a//"), Err(PathError::EmptyComponent { at: 3 }));
        assert_eq!(validate_sequential(""), Err(PathError::NotAbsolute));
    }

    #[test]
    fn parents_names_and_ancestors() {
        assert_eq!(parent("/"), None);
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("a"), None);
        assert_eq!(base_name("/a/b"), "b");
        assert_eq!(base_name("/a"), "a");
        assert_eq!(base_name("/"), "");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/").count(), 0);
    }
}
