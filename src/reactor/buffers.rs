//! Memory for what arrives and for what leaves: the provided-buffer ring that all receives share,
//! and the pool that output buffers come from and return to. So an idle connection holds none.

use super::ring::Ring;
use io_uring::types::BufRingEntry;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Bytes of one receive buffer.
pub(super) const RECV_BYTES: usize = 2048;

/// Receive buffers that the kernel picks from. It uses them in turn, so no more are provided than are
/// needed at once: fewer stay warmer in the cache.
pub(super) struct RecvBuffers {
    /// Page-aligned: `entries` ring entries, then `entries` buffers. Mapped, so untouched buffers
    /// cost nothing.
    memory: NonNull<u8>,
    bytes: usize,
    entries: u16,
    /// Buffers that were ever provided: ids below this.
    fresh: u16,
    /// Buffers given to the kernel or being read.
    provided: u16,
    /// How many are wanted; what comes back beyond that is retired.
    target: u16,
    first: u16,
    retired: Vec<u16>,
    tail: u16,
    /// Used since the last trim.
    touched: bool,
}

impl RecvBuffers {
    /// Maps room for `entries` buffers (rounded up to a power of two, at most 32,768), provides
    /// the first of them, and registers them as group 0 of the ring.
    ///
    /// # Safety
    /// The result must outlive every receive of the ring: drop it only when none is armed.
    pub(super) unsafe fn new(ring: &Ring, entries: u16, provided: u16) -> io::Result<Self> {
        let entries = entries.clamp(1, 1 << 15).next_power_of_two();
        let bytes = usize::from(entries) * (size_of::<BufRingEntry>() + RECV_BYTES);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping; the result is checked.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let first = provided.clamp(1, entries);
        let mut buffers = Self {
            memory,
            bytes,
            entries,
            fresh: 0,
            provided: 0,
            target: first,
            first,
            retired: Vec::new(),
            tail: 0,
            touched: false,
        };
        // SAFETY: mapped, page-aligned, and kept until drop, which the caller delays.
        unsafe { ring.register_buffers(memory.as_ptr() as u64, entries)? };
        buffers.provide();
        buffers.publish();
        Ok(buffers)
    }

    /// Provides twice as many buffers, if there are more: called when the kernel ran out of them.
    pub(super) fn grow(&mut self) {
        self.target = self.target.saturating_mul(2).min(self.entries);
        self.provide();
    }

    fn provide(&mut self) {
        while self.provided < self.target {
            let id = match self.retired.pop() {
                Some(id) => id,
                None => {
                    self.fresh += 1;
                    self.fresh - 1
                }
            };
            self.provided += 1;
            self.put(id);
        }
    }

    /// Nothing was received for a while: goes back to few buffers, and gives all their memory back
    /// until they are used again. Only when all completions were reaped: the kernel completes
    /// receives during our enters alone, so that holds from an enter that brought none.
    pub(super) fn trim(&mut self) {
        if !std::mem::take(&mut self.touched) {
            return;
        }
        self.target = self.first;
        let start = self.buffer(0);
        let bytes = usize::from(self.entries) * RECV_BYTES;
        let page_offset = start.align_offset(4096);
        // SAFETY: inside the mapping (the buffers end where it does), page-aligned. What the kernel
        // later writes faults new pages in; nobody needs the old content (promised above).
        unsafe {
            let start = start.add(page_offset);
            libc::madvise(start.cast(), bytes - page_offset, libc::MADV_DONTNEED);
        }
    }

    /// The bytes that a receive put into a buffer; empty if the kernel named one we never provided.
    pub(super) fn filled(&self, id: u16, len: usize) -> &[u8] {
        debug_assert!(id < self.fresh && len <= RECV_BYTES);
        if id >= self.fresh {
            return &[];
        }
        // SAFETY: id < entries: inside the mapping. The kernel has given this buffer to us and
        // writes it again only after give_back and publish, which need self mutably. Mapped memory
        // is initialised (zeros at first).
        unsafe { std::slice::from_raw_parts(self.buffer(id), len.min(RECV_BYTES)) }
    }

    /// Puts a buffer back; the kernel sees it at the next `publish`.
    pub(super) fn give_back(&mut self, id: u16) {
        if id >= self.fresh {
            return; // Never provided.
        }
        self.touched = true;
        if self.provided > self.target {
            self.provided -= 1;
            self.retired.push(id);
        } else {
            self.put(id);
        }
    }

    fn put(&mut self, id: u16) {
        let address = self.buffer(id) as u64;
        let at = usize::from(self.tail & (self.entries - 1));
        // SAFETY: `at` < entries, so the entry is inside the mapping; entries between the published
        // tail and head + entries are ours to write. Fields are written one by one, because the
        // fourth field of entry 0 is the tail itself.
        unsafe {
            let entry = &mut *self.memory.as_ptr().cast::<BufRingEntry>().add(at);
            entry.set_addr(address);
            entry.set_len(RECV_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(super) fn publish(&mut self) {
        // SAFETY: the mapping begins with the ring's entries, and the tail is a field of the first,
        // 2-aligned; it is shared with the kernel, hence atomic.
        let tail = unsafe {
            let tail = BufRingEntry::tail(self.memory.as_ptr().cast());
            AtomicU16::from_ptr(tail.cast_mut())
        };
        tail.store(self.tail, Ordering::Release);
    }

    fn buffer(&self, id: u16) -> *mut u8 {
        let offset = usize::from(self.entries) * size_of::<BufRingEntry>();
        // SAFETY: id < entries (fresh never exceeds it), so the result stays inside the mapping.
        unsafe { self.memory.as_ptr().add(offset + usize::from(id) * RECV_BYTES) }
    }
}

impl Drop for RecvBuffers {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; no receive is armed any more (promised there).
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.bytes) };
    }
}

/// Output buffers between two uses. What would not be used again soon is freed.
pub(super) struct OutPool {
    free: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
}

/// A fresh output buffer's size.
const OUT_BYTES: usize = 2048;
/// Buffers kept when there is nothing to do.
const OUT_KEPT_IDLE: usize = 64;
/// A buffer that grew beyond this is freed rather than kept.
const OUT_BYTES_KEPT: usize = 64 << 10;

impl OutPool {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { free: Vec::new(), bytes: 0, bytes_max }
    }

    /// An empty buffer with some room.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match self.free.pop() {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(OUT_BYTES),
        }
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        if bytes == 0 || bytes > OUT_BYTES_KEPT || self.bytes + bytes > self.bytes_max {
            return;
        }
        buffer.clear();
        self.bytes += bytes;
        self.free.push(buffer);
    }

    /// Frees most of it: there was nothing to do for a while.
    pub(super) fn trim(&mut self) {
        self.free.truncate(OUT_KEPT_IDLE);
        self.free.shrink_to(OUT_KEPT_IDLE);
        self.bytes = self.free.iter().map(Vec::capacity).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_gives_the_warmest_back_and_stays_small() {
        let mut pool = OutPool::new(3 * OUT_BYTES);
        let (mut first, second) = (pool.take(), pool.take());
        first.push(1);
        let address = first.as_ptr();
        pool.give(second);
        pool.give(first);
        let again = pool.take();
        assert!(again.is_empty() && again.as_ptr() == address);
        pool.give(Vec::with_capacity(OUT_BYTES_KEPT + 1));
        pool.give(Vec::new());
        for _ in 0..9 {
            pool.give(Vec::with_capacity(OUT_BYTES));
        }
        assert_eq!((pool.free.len(), pool.bytes), (3, 3 * OUT_BYTES));
        let mut pool = OutPool::new(1 << 20);
        for _ in 0..2 * OUT_KEPT_IDLE {
            pool.give(Vec::with_capacity(OUT_BYTES));
        }
        pool.trim();
        assert_eq!((pool.free.len(), pool.bytes), (OUT_KEPT_IDLE, OUT_KEPT_IDLE * OUT_BYTES));
    }

    #[test]
    fn buffers_are_provided_as_they_are_needed() {
        let ring = Ring::new(4, 8).unwrap();
        // SAFETY: this ring receives nothing.
        let mut buffers = unsafe { RecvBuffers::new(&ring, 8, 3) }.unwrap();
        assert_eq!(buffers.provided, 3);
        for provided in [6, 8, 8] {
            buffers.grow();
            assert_eq!((buffers.provided, buffers.fresh), (provided, provided));
        }
        assert_eq!(buffers.filled(7, RECV_BYTES), vec![0; RECV_BYTES]);
        // The kernel used them all; meanwhile it became quiet.
        buffers.give_back(0);
        buffers.trim();
        for id in 1..8 {
            buffers.give_back(id);
        }
        assert_eq!((buffers.provided, buffers.retired.len()), (3, 5));
        buffers.grow();
        assert_eq!((buffers.provided, buffers.retired.len(), buffers.fresh), (6, 2, 8));
    }
}
