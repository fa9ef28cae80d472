//! Buffers for O_DIRECT: memory that begins on a 4 KiB boundary, and a small pool of it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The alignment that O_DIRECT asks of address, length and offset, in bytes.
pub const ALIGN: usize = 4096;

/// A `Vec<u8>` whose memory begins on a boundary of [`ALIGN`] bytes.
pub struct AlignedBuf {
    /// `capacity` bytes of our own, aligned to ALIGN; dangling (aligned) while capacity is 0.
    memory: NonNull<u8>,
    len: usize,
    /// A multiple of ALIGN.
    capacity: usize,
}

// SAFETY: the memory belongs to this value alone, as a Vec's does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared references only read.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer without memory.
    pub const fn new() -> Self {
        // ALIGN is not null and aligned; nothing is read through it while capacity is 0.
        let dangling = NonNull::without_provenance(std::num::NonZeroUsize::new(ALIGN).unwrap());
        Self { memory: dangling, len: 0, capacity: 0 }
    }

    /// An empty buffer with room for `bytes`, rounded up to the alignment.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buf = Self::new();
        buf.reserve(bytes);
        buf
    }

    /// Bytes it can hold without moving.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets the content, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Shortens to `len` bytes; a longer `len` changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `more` bytes behind the content.
    ///
    /// # Panics
    /// If the size overflows, as `Vec` does.
    pub fn reserve(&mut self, more: usize) {
        let needed = self.len.checked_add(more).expect("size of an aligned buffer overflows");
        if needed <= self.capacity {
            return;
        }
        let wanted = needed.max(self.capacity.saturating_mul(2));
        let capacity = wanted.checked_next_multiple_of(ALIGN).expect("size overflows");
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not 0, for needed > capacity ≥ 0.
        let memory = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        // SAFETY: both are valid for len bytes (len ≤ old capacity < new capacity) and are
        // different allocations.
        unsafe { memory.as_ptr().copy_from_nonoverlapping(self.memory.as_ptr(), self.len) };
        self.free();
        self.memory = memory;
        self.capacity = capacity;
    }

    /// Appends.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: reserve made room for bytes.len() behind len; `bytes` cannot overlap memory that
        // self, borrowed mutably, owns.
        unsafe {
            let end = self.memory.as_ptr().add(self.len);
            end.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.len += bytes.len();
    }

    /// Lengthens with copies of `byte`, or shortens, to `len`.
    pub fn resize(&mut self, len: usize, byte: u8) {
        if len > self.len {
            self.reserve(len - self.len);
            // SAFETY: reserve made room up to `len`.
            unsafe { self.memory.as_ptr().add(self.len).write_bytes(byte, len - self.len) };
        }
        self.len = len;
    }

    /// Pads with zeros to the next multiple of [`ALIGN`].
    pub fn pad(&mut self) {
        self.resize(self.len.next_multiple_of(ALIGN), 0);
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGN).expect("size of an aligned buffer overflows")
    }

    fn free(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated by reserve with this very layout, and not freed before: the callers
            // overwrite `memory` or drop self.
            unsafe { dealloc(self.memory.as_ptr(), Self::layout(self.capacity)) };
        }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        self.free();
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the first len bytes are initialised; len is 0 while the pointer dangles.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

impl Extend<u8> for AlignedBuf {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, bytes: T) {
        for byte in bytes {
            self.extend_from_slice(&[byte]);
        }
    }
}

/// Buffers that wait for their next use. Bounded: what does not fit is freed.
#[derive(Debug)]
pub struct AlignedPool {
    free: Vec<AlignedBuf>,
    buffers_max: usize,
    buffer_bytes_max: usize,
}

impl AlignedPool {
    /// Keeps at most `buffers_max` buffers, none larger than `buffer_bytes_max`.
    pub fn new(buffers_max: usize, buffer_bytes_max: usize) -> Self {
        Self { free: Vec::new(), buffers_max, buffer_bytes_max }
    }

    /// An empty buffer with room for `bytes`.
    pub fn take(&mut self, bytes: usize) -> AlignedBuf {
        let mut buf = self.free.pop().unwrap_or_default();
        buf.reserve(bytes);
        buf
    }

    /// Gives a buffer back.
    pub fn give(&mut self, mut buf: AlignedBuf) {
        if self.free.len() < self.buffers_max
            && (1..=self.buffer_bytes_max).contains(&buf.capacity())
        {
            buf.clear();
            self.free.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_in_aligned_steps_and_keeps_its_content() {
        let mut buf = AlignedBuf::new();
        assert_eq!((buf.len(), buf.capacity()), (0, 0));
        let mut model = Vec::new();
        for round in 0..200u32 {
            let piece: Vec<u8> = (0..round * 7 % 301).map(|i| (i + round) as u8).collect();
            buf.extend_from_slice(&piece);
            model.extend_from_slice(&piece);
            assert_eq!(&buf[..], &model[..]);
            assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
            assert_eq!(buf.capacity() % ALIGN, 0);
        }
        buf.pad();
        assert_eq!(buf.len() % ALIGN, 0);
        assert_eq!(&buf[..model.len()], &model[..]);
        assert!(buf[model.len()..].iter().all(|byte| *byte == 0));
        buf.truncate(3);
        buf.resize(5, 9);
        assert_eq!(&buf[3..], &[9, 9]);
    }

    #[test]
    fn pool_keeps_no_more_and_nothing_larger_than_told() {
        let mut pool = AlignedPool::new(1, 2 * ALIGN);
        pool.give(AlignedBuf::with_capacity(3 * ALIGN));
        pool.give(AlignedBuf::new());
        assert!(pool.free.is_empty());
        let mut used = AlignedBuf::with_capacity(10);
        used.extend_from_slice(b"old");
        let address = used.as_ptr();
        pool.give(used);
        pool.give(AlignedBuf::with_capacity(10));
        assert_eq!(pool.free.len(), 1);
        let again = pool.take(100);
        assert!(again.is_empty() && again.as_ptr() == address);
    }
}
