//! A file written beside the one it is to become: direct, paced, synced, renamed.
//!
//! The pace keeps both the disk and a processor free: a thread of low priority that is always ready to run still delays
//! those that wake on the same core, by up to a slice of the scheduler's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::error::SnapshotError;
use crate::reactor::AlignedBuf;

/// Bytes written at a time: a write of the log that comes meanwhile waits for no more than that.
const PIECE: usize = 128 << 10;
/// Direct writes are whole sectors.
const SECTOR: usize = 4096;

/// Not more than so many bytes a second.
///
/// What was lost to others is not made up for: a thread that hurries because it is late runs without a break, and whoever
/// wakes on the same core meanwhile waits for a whole tick of the scheduler's, 4 ms.
pub(super) struct Pace {
    bytes_per_s_max: u64,
    /// Those that were waited for.
    paid: u64,
}

impl Pace {
    pub fn new(bytes_per_s_max: u64) -> Pace {
        Pace { bytes_per_s_max: bytes_per_s_max.max(1), paid: 0 }
    }

    /// `bytes` since the beginning have been gone through: waits as long as those take for which it has not waited yet;
    /// gives up once `stop` is set.
    pub fn wait(&mut self, bytes: u64, stop: &AtomicBool) -> Result<(), SnapshotError> {
        if stop.load(Ordering::Relaxed) {
            return Err(SnapshotError::Stopped);
        }
        std::thread::sleep(self.owed(bytes));
        Ok(())
    }

    fn owed(&mut self, bytes: u64) -> Duration {
        let owed = bytes.saturating_sub(self.paid);
        self.paid += owed;
        Duration::from_secs_f64(owed as f64 / self.bytes_per_s_max as f64)
    }
}

/// The file in the making.
pub(super) struct Output<'s> {
    path: PathBuf,
    file: File,
    buf: AlignedBuf,
    written: u64,
    pace: Pace,
    stop: &'s AtomicBool,
    kept: bool,
}

impl<'s> Output<'s> {
    /// Makes `path` anew. Not more than `bytes_per_s_max` are written a second; once `stop` is
    /// set it gives up.
    pub fn create(
        path: &Path,
        bytes_per_s_max: u64,
        stop: &'s AtomicBool,
    ) -> Result<Output<'s>, SnapshotError> {
        let make = |flags| {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .custom_flags(flags)
                .open(path)
        };
        // Not every file system knows direct I/O; a snapshot is as good without.
        let file = make(libc::O_DIRECT | libc::O_CLOEXEC)
            .or_else(|e| match e.raw_os_error() {
                Some(libc::EINVAL) => make(libc::O_CLOEXEC),
                _ => Err(e),
            })
            .map_err(|e| SnapshotError::io("create", path.display().to_string(), e))?;
        Ok(Output {
            path: path.to_owned(),
            file,
            buf: AlignedBuf::with_capacity(PIECE),
            written: 0,
            pace: Pace::new(bytes_per_s_max),
            stop,
            kept: false,
        })
    }

    /// Bytes put so far.
    pub fn position(&self) -> u64 {
        self.written + self.buf.len() as u64
    }

    /// Appends.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - self.buf.len()));
            self.buf.extend_from_slice(now);
            bytes = rest;
            if self.buf.len() == PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SnapshotError> {
        let written = self.file.write_all_at(&self.buf, self.written);
        written.map_err(|e| self.error("write", e))?;
        self.written += self.buf.len() as u64;
        self.buf.clear();
        self.pace.wait(self.written, self.stop)
    }

    /// Waits until as much as `bytes`, of what it is made of, may have been gone through.
    pub fn wait_for(&mut self, bytes: u64) -> Result<(), SnapshotError> {
        self.pace.wait(bytes, self.stop)
    }

    /// Ends the file with `footer`, which makes it whole sectors, and gives it its name, durably.
    /// Returns its length.
    pub fn finish(
        mut self,
        name: &Path,
        footer: impl FnOnce(u64) -> Vec<u8>,
        footer_bytes: usize,
    ) -> Result<u64, SnapshotError> {
        let end = (self.position() + footer_bytes as u64).next_multiple_of(SECTOR as u64);
        let zeros = vec![0; (end - self.position()) as usize - footer_bytes];
        self.put(&zeros)?;
        self.put(&footer(end))?;
        if !self.buf.is_empty() {
            self.flush()?;
        }
        self.file.sync_all().map_err(|e| self.error("sync", e))?;
        std::fs::rename(&self.path, name).map_err(|e| self.error("rename", e))?;
        self.kept = true;
        let dir = name.parent().unwrap_or(Path::new("."));
        let synced = File::open(dir).and_then(|d| d.sync_all());
        synced.map_err(|e| SnapshotError::io("sync", dir.display().to_string(), e))?;
        Ok(end)
    }

    fn error(&self, what: &'static str, err: io::Error) -> SnapshotError {
        SnapshotError::io(what, self.path.display().to_string(), err)
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // An unfinished one is of no use to anybody, and may hold the space others need.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_waited_for_once_however_late_it_is() {
        let mut pace = Pace::new(1000);
        let owed_ms: Vec<u128> =
            [500, 500, 200, 600, 2600].map(|bytes| pace.owed(bytes).as_millis()).into();
        assert_eq!(owed_ms, [500, 0, 0, 100, 2000]);
        assert!(Pace::new(0).wait(0, &AtomicBool::new(false)).is_ok());
        assert!(Pace::new(1).wait(1 << 40, &AtomicBool::new(true)).is_err(), "it was stopped");
    }
}
