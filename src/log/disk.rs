//! The disk as the log sees it: a small trait, so that tests and the simulator can put a failing
//! one underneath, and the real one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::log::{AlignedBuf, LogFile, remove_gently, remove_leftover, segment};

/// A directory of segments.
pub trait LogDir: Send + Sync + 'static {
    /// An open segment; clones are the same file.
    type File: SegmentFile;

    /// Names of all files in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and for direct, synced writes.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes a file of `bytes` written zeros, all of it durable but not yet its name.
    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Self::File>;
    /// Renames; durable after `sync`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes; durable after `sync`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Removes a segment, likewise; the room that it takes may become free by and by.
    fn retire(&self, name: &str) -> io::Result<()> {
        self.remove(name)
    }
    /// Goes on removing what [`LogDir::retire`] had begun to remove, as far as that can be done.
    fn clear(&self, name: &str) {
        let _ = self.remove(name);
    }
    /// Makes names durable.
    fn sync(&self) -> io::Result<()>;
    /// The newest segment that [`LogDir::set_newest`] was told of; 0: none.
    fn newest(&self) -> io::Result<u64> {
        Ok(0)
    }
    /// Remembers, durably, that a frame of this segment is on the medium.
    fn set_newest(&self, _index: u64) -> io::Result<()> {
        Ok(())
    }
}

/// An open segment.
pub trait SegmentFile: Clone + Send + 'static {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Reads all of `buf` at `offset` (both multiples of a sector); shorter only at the end.
    fn read_at(&self, offset: u64, buf: &mut AlignedBuf) -> io::Result<usize>;
    /// Writes all of `buf` at `offset` and returns when it is durable. Off the hot path only.
    fn write_at(&self, offset: u64, buf: &AlignedBuf) -> io::Result<()>;
}

/// Bytes that may still be written to the file system of `path`.
///
/// # Errors
/// The system's.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// A buffer of `bytes` zeros.
pub(crate) fn zeroed(bytes: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::with_capacity(bytes);
    buf.resize(bytes, 0);
    buf
}

/// A directory of the file system.
#[derive(Clone, Debug)]
pub struct RealDir {
    path: PathBuf,
    force_sync: bool,
}

/// Zeros are written in pieces of this size, so that log writes get their turn in between.
const ZERO_PIECE: usize = 256 << 10;

impl RealDir {
    /// The directory `path`, made if it is missing. Without `force_sync` (ZooKeeper's
    /// `forceSync=no`) writes are direct but not synced: a power failure may lose what was
    /// acknowledged.
    pub fn new(path: &Path, force_sync: bool) -> io::Result<RealDir> {
        std::fs::create_dir_all(path)?;
        Ok(RealDir { path: path.to_owned(), force_sync })
    }

    fn options(&self) -> OpenOptions {
        let sync = if self.force_sync { libc::O_DSYNC } else { 0 };
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT | sync | libc::O_CLOEXEC);
        options
    }
}

/// Says what an `EINVAL` at opening means.
fn explain_direct(err: io::Error) -> io::Error {
    if err.raw_os_error() == Some(libc::EINVAL) {
        return io::Error::other(
            "the file system knows no direct I/O; put dataLogDir on one that does (ext4, xfs)",
        );
    }
    err
}

impl LogDir for RealDir {
    type File = LogFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<LogFile> {
        let file = self.options().open(self.path.join(name)).map_err(explain_direct)?;
        Ok(LogFile::from_file(file))
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<LogFile> {
        let path = self.path.join(name);
        {
            // Not synced piece by piece: one sync at the end makes all of it durable.
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .custom_flags(libc::O_DIRECT | libc::O_CLOEXEC)
                .open(&path)
                .map_err(explain_direct)?;
            let zeros = zeroed(ZERO_PIECE);
            let mut offset = 0;
            while offset < bytes {
                let piece = (bytes - offset).min(ZERO_PIECE as u64) as usize;
                file.write_all_at(&zeros[..piece], offset)?;
                offset += piece as u64;
            }
            file.sync_all()?;
        }
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn retire(&self, name: &str) -> io::Result<()> {
        remove_gently(&self.path.join(name))
    }

    fn clear(&self, name: &str) {
        remove_leftover(&self.path.join(name));
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn newest(&self) -> io::Result<u64> {
        Ok(self.list()?.iter().filter_map(|name| segment::newest_of(name)).max().unwrap_or(0))
    }

    /// The name of an empty file says it: a name changes as a whole.
    fn set_newest(&self, index: u64) -> io::Result<()> {
        if !self.force_sync {
            return Ok(()); // What is on the medium is not known.
        }
        let mark = segment::newest_name(index);
        match self.newest()? {
            0 => drop(File::create(self.path.join(mark))?),
            before => self.rename(&segment::newest_name(before), &mark)?,
        }
        self.sync()
    }
}

impl SegmentFile for LogFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file().metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut AlignedBuf) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file().read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, buf: &AlignedBuf) -> io::Result<()> {
        self.file().write_all_at(buf, offset)?;
        // With O_DSYNC this returns at once; without it (forceSync=no) the few writes that mark
        // incarnations are synced all the same.
        self.file().sync_data()
    }
}
