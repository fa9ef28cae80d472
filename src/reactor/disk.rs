//! A log file, as the reactor writes it.

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
