//! Aligned buffers and direct files.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

const ALIGN: usize = 4096;

/// Bytes that start at a multiple of 4 KiB, as direct I/O needs them.
pub struct AlignedBuf {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: the buffer owns its bytes alone; nothing in it is tied to a thread.
unsafe impl Send for AlignedBuf {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    fn zeroed(len: usize) -> AlignedBuf {
        let capacity = len.next_multiple_of(ALIGN).max(ALIGN);
        let layout = Layout::from_size_align(capacity, ALIGN).expect("a buffer below isize::MAX");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        AlignedBuf { start, capacity, len }
    }

    /// An empty buffer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> AlignedBuf {
        let mut buf = AlignedBuf::zeroed(bytes);
        buf.len = 0;
        buf
    }

    /// Bytes it holds without growing.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Lengthens with copies of `byte`, or shortens, to `len`.
    pub fn resize(&mut self, len: usize, byte: u8) {
        if len > self.capacity {
            let mut grown = AlignedBuf::zeroed(len);
            grown[..self.len].copy_from_slice(self);
            let was = self.len;
            *self = grown;
            self.len = was;
        }
        let was = std::mem::replace(&mut self.len, len);
        if was < len {
            self[was..].fill(byte);
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` ≤ `capacity` bytes from `start` are ours and were zeroed at first.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.capacity, ALIGN).expect("as it was made");
        // SAFETY: allocated in `zeroed` with this layout.
        unsafe { dealloc(self.start.as_ptr(), layout) }
    }
}

/// A file that is opened for direct, synced writes.
#[derive(Clone)]
pub struct LogFile(Arc<File>);

impl LogFile {
    /// Wraps a file that was opened with `O_DIRECT`.
    pub fn from_file(file: File) -> LogFile {
        LogFile(Arc::new(file))
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }
}
