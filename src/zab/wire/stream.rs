//! The bytes of a connection that have come and have not been taken.

/// What an emptied buffer may keep for the next message.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A buffer that is filled at its end and emptied at its front, and knows its place in the connection.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// How many of `bytes` have been taken.
    taken: usize,
    /// The place in the connection of what comes next.
    at: u64,
}

impl Input {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
        } else if self.taken > self.bytes.len() / 2 {
            // So that each byte is moved at most once on the average.
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// What has not been taken.
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The place in the connection of the first byte of [`unread`](Self::unread).
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes so many bytes, or what there is.
    pub(super) fn take(&mut self, bytes: usize) -> &[u8] {
        let from = self.taken;
        self.taken = from.saturating_add(bytes).min(self.bytes.len());
        self.at += (self.taken - from) as u64;
        self.bytes.get(from..self.taken).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_gone_and_the_place_moves_on() {
        let mut input = Input::default();
        let mut taken = Vec::new();
        for step in 0..1000u32 {
            input.push(&step.to_be_bytes());
            if step % 3 == 0 {
                let have = input.unread().len();
                taken.extend_from_slice(input.take(have.saturating_sub(2)));
            }
            assert!(input.bytes.len() <= 64, "{}", input.bytes.len());
        }
        taken.extend_from_slice(input.take(usize::MAX));
        let all: Vec<u8> = (0..1000u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(taken, all);
        assert_eq!(input.at(), 4000);
    }

    #[test]
    fn a_large_message_leaves_no_large_buffer() {
        let mut input = Input::default();
        input.push(&vec![0; 4 * KEPT_BYTES_MAX]);
        input.take(usize::MAX);
        input.push(&[1]);
        assert!(input.bytes.capacity() <= KEPT_BYTES_MAX);
        assert_eq!(input.unread(), [1]);
    }
}
