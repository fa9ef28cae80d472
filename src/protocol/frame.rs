//! Frames: an int length and as many bytes.

/// Where a frame began; see [`begin_frame`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct FrameMark(usize);

/// Begins a frame at the end of `out`: leaves room for its length.
#[inline]
pub fn begin_frame(out: &mut Vec<u8>) -> FrameMark {
    let mark = FrameMark(out.len());
    out.extend_from_slice(&[0; 4]);
    mark
}

/// Ends the frame at the end of `out`: writes its length where `mark` left room for it.
#[inline]
pub fn end_frame(out: &mut [u8], mark: FrameMark) {
    let length = out.len().saturating_sub(mark.0 + 4);
    debug_assert!(length <= i32::MAX as usize);
    if let Some(prefix) = out.get_mut(mark.0..mark.0 + 4) {
        prefix.copy_from_slice(&(length as u32).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_that_of_what_follows() {
        let mut out = vec![9];
        let outer = begin_frame(&mut out);
        out.extend_from_slice(b"abc");
        end_frame(&mut out, outer);
        let empty = begin_frame(&mut out);
        end_frame(&mut out, empty);
        assert_eq!(out, [9, 0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0]);
    }
}
