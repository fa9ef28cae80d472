//! What a connection has sent and the shard has not taken yet: a frame in the midst of arriving, or requests that wait
//! for room downstream.
//!
//! Taking from the front moves no bytes until half of the buffer is free, so that taking a backlog request by request
//! costs a byte two moves at most: a server that works off a backlog is never slowed by its length.

/// A buffer above this gives back what it holds in vain.
const SPACIOUS_BYTES: usize = 64 << 10;
/// An empty buffer above this is given back whole.
const EMPTY_BYTES_KEPT: usize = 4096;

/// The input buffer of one connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Where what is not taken yet begins; at most half of `bytes`.
    start: usize,
    /// Bytes moved within the buffer so far.
    #[cfg(test)]
    moved: usize,
}

impl Input {
    /// What has not been taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it holds, in bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The length of the frame that begins it, 0 without one.
    pub(super) fn announced(&self) -> usize {
        let prefix = self.rest().first_chunk::<4>();
        prefix.map_or(0, |prefix| usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0))
    }

    /// Appends what arrived. It grows with that, never to more than the frame that begins it needs, whatever that
    /// announces.
    pub(super) fn append(&mut self, data: &[u8]) {
        if self.bytes.len() + data.len() > self.bytes.capacity() {
            self.close_up();
        }
        let needed = self.bytes.len() + data.len();
        if needed > self.bytes.capacity() {
            let doubled = self.bytes.capacity().saturating_mul(2);
            let room = needed.max(doubled.min(self.announced().saturating_add(4)));
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
    }

    /// Takes so many bytes from the front, and gives back room that is not needed.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        assert!(self.start <= self.bytes.len(), "no more is taken than there is");
        if self.start >= self.len() {
            self.close_up();
        }
        if self.is_empty() && self.capacity() > EMPTY_BYTES_KEPT {
            *self = Input::default();
        } else if self.capacity() > SPACIOUS_BYTES && self.len() < self.capacity() / 4 {
            self.close_up();
            self.bytes.shrink_to_fit();
        }
    }

    fn close_up(&mut self) {
        #[cfg(test)]
        {
            self.moved += self.len();
        }
        self.bytes.drain(..self.start);
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_input_buffer_follows_what_arrived() {
        let mut input = Input::default();
        input.append(&1_000_000i32.to_be_bytes());
        assert!(input.capacity() < 100, "a prefix takes no memory");
        let piece = [7; 2048];
        while input.len() < 1_000_004 - piece.len() {
            input.append(&piece);
            assert!(input.capacity() <= (2 * input.len()).min(1_000_004), "{}", input.len());
        }
        input.append(&piece);
        assert!(input.capacity() < 1_000_004 + 2 * piece.len());
        input.consume(1_000_004);
        assert!(input.capacity() < 4096);
        for wild in [i32::MAX, i32::MIN, -1, 0] {
            let mut input = Input::default();
            input.append(&wild.to_be_bytes());
            input.append(&piece);
            assert!(input.capacity() < 3 * piece.len());
        }
    }

    #[test]
    fn a_backlog_taken_request_by_request_moves_no_byte_more_than_twice() {
        let mut input = Input::default();
        input.append(&vec![7; 1 << 20]);
        while input.len() > 128 {
            input.consume(128);
        }
        assert!((1..=2 << 20).contains(&input.moved), "{} bytes moved", input.moved);
    }

    proptest! {
        #[test]
        fn what_was_appended_comes_out_in_order_and_the_room_stays_in_proportion(
            steps in prop::collection::vec((0usize..5000, 0usize..100), 1..200),
        ) {
            let (mut input, mut model, mut next) = (Input::default(), Vec::new(), 0u8);
            for (arrives, percent) in steps {
                let data: Vec<u8> = (0..arrives).map(|i| next.wrapping_add(i as u8)).collect();
                next = next.wrapping_add(arrives as u8);
                input.append(&data);
                model.extend_from_slice(&data);
                let taken = model.len() * percent / 100;
                model.drain(..taken);
                input.consume(taken);
                prop_assert_eq!(input.rest(), &model[..]);
                prop_assert!(input.start <= input.len().max(1));
                prop_assert!(input.capacity() <= SPACIOUS_BYTES.max(4 * input.len()));
            }
        }
    }
}
