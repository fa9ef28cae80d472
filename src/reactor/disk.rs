//! A log file, and the writes to it that are in flight.

use super::AlignedBuf;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// A file whose completed writes are on the medium: opened O_DIRECT|O_DSYNC. A clone is the same
/// open file; it is closed with the last one, and a write in flight holds one.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<File>);

impl LogFile {
    /// Opens an existing file for reading and writing with O_DIRECT|O_DSYNC.
    ///
    /// # Errors
    /// As `open(2)`; EINVAL where the file system knows no O_DIRECT (tmpfs before Linux 6.6).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = libc::O_DIRECT | libc::O_DSYNC | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// Takes a file as it was opened. Whether completed writes are durable is then the caller's
    /// affair.
    pub fn from_file(file: File) -> Self {
        Self(Arc::new(file))
    }

    /// The file itself, for what is done to it beside the reactor's writes.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl AsRawFd for LogFile {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A write in the kernel's hands.
struct Write {
    token: u64,
    buf: AlignedBuf,
    /// Keeps the descriptor open.
    _file: LogFile,
}

/// All writes in flight, by slot. How many there are is the resident's affair.
#[derive(Default)]
pub(super) struct Writes {
    slots: Vec<Option<Write>>,
    free: Vec<u32>,
}

impl Writes {
    /// Keeps a write until it completes: its slot, and where the kernel finds its bytes.
    pub(super) fn begin(
        &mut self,
        file: &LogFile,
        buf: AlignedBuf,
        token: u64,
    ) -> (u32, *const u8, u32) {
        let (start, len) = (buf.as_ptr(), u32::try_from(buf.len()).unwrap_or(u32::MAX));
        let write = Some(Write { token, buf, _file: file.clone() });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = write;
                slot
            }
            None => {
                self.slots.push(write);
                self.slots.len() as u32 - 1
            }
        };
        (slot, start, len)
    }

    /// The write of a slot has completed: its token and its buffer.
    pub(super) fn end(&mut self, slot: u32) -> Option<(u64, AlignedBuf)> {
        let write = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((write.token, write.buf))
    }

    pub(super) fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
