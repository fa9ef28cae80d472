//! One server a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::log::error::LogError;

/// Holds a directory against other servers until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    file: File,
    /// The directory itself, where the file system can lock one: a file that looks left over may be removed, and then another
    /// could be made beside the one that is locked.
    dir: Option<File>,
}

/// How long to wait for a lock whose holder's process has gone: the kernel still writes for it.
const WAIT_GONE: Duration = Duration::from_secs(10);
/// The same where the process is still there: it may be about to end.
const WAIT_ALIVE: Duration = Duration::from_secs(1);

impl DirLock {
    /// Locks `dir` (made if missing) through the file `lock` in it. A holder that was killed is waited for, for a while.
    ///
    /// # Errors
    /// `Locked` if another process, or another server in this one, holds it.
    pub fn acquire(dir: &Path) -> Result<DirLock, LogError> {
        let shown = dir.display().to_string();
        std::fs::create_dir_all(dir).map_err(|e| LogError::io("create", &shown, e))?;
        let path = dir.join("lock");
        let shown = path.display().to_string();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| LogError::io("open", &shown, e))?;
        let opened = File::open(dir).ok();
        let began = Instant::now();
        let held_dir = loop {
            match file.try_lock().and_then(|()| try_lock_dir(opened.as_ref())) {
                Ok(held) => break held,
                Err(TryLockError::WouldBlock) => {
                    let holder = holder(&mut file);
                    if began.elapsed() > if has_gone(&holder) { WAIT_GONE } else { WAIT_ALIVE } {
                        return Err(LogError::Locked { path: shown, holder });
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::Error(err)) => return Err(LogError::io("lock", &shown, err)),
            }
        };
        // Written over in place, which takes no room where there was a holder before; on a full disk its number is not
        // worth refusing a start for.
        let written = file.rewind().and_then(|()| writeln!(file, "{:<10}", std::process::id()));
        match written {
            Err(e) if !matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(LogError::io("write", &shown, e));
            }
            _ => {}
        }
        Ok(DirLock { file, dir: opened.filter(|_| held_dir) })
    }

    /// The process that holds `dir`, if one does; takes no part in it. One that has gone is waited for, as by who starts.
    pub fn holder_of(dir: &Path) -> Option<String> {
        let began = Instant::now();
        loop {
            let holder = DirLock::held_by(dir)?;
            if !has_gone(&holder) || began.elapsed() > WAIT_GONE {
                return Some(holder);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn held_by(dir: &Path) -> Option<String> {
        // Shared, so that two who look do not see each other.
        let is_taken =
            |file: &File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let mut file = File::open(dir.join("lock")).ok();
        let taken = file.as_ref().is_some_and(is_taken)
            || File::open(dir).is_ok_and(|opened| is_taken(&opened));
        taken.then(|| file.as_mut().map(holder).unwrap_or_default())
    }

    /// What is locked once more: the lock lasts until both are closed.
    pub fn share(&self) -> io::Result<Vec<OwnedFd>> {
        let held = [Some(&self.file), self.dir.as_ref()];
        held.into_iter().flatten().map(|file| file.try_clone().map(OwnedFd::from)).collect()
    }
}

/// Whether it is locked now; some file systems lock files only.
fn try_lock_dir(dir: Option<&File>) -> Result<bool, TryLockError> {
    match dir.map(File::try_lock) {
        Some(Ok(())) => Ok(true),
        Some(Err(TryLockError::WouldBlock)) => Err(TryLockError::WouldBlock),
        Some(Err(TryLockError::Error(_))) | None => Ok(false),
    }
}

/// Whether that process is no more, but the kernel still writes for it.
fn has_gone(holder: &str) -> bool {
    !holder.is_empty() && !Path::new("/proc").join(holder).exists()
}

/// The process that holds the lock, as the file says. That is for people, and to see whether it has gone; an unreadable
/// file is no other error.
fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    let _ = file.rewind().and_then(|()| file.take(64).read_to_string(&mut holder));
    holder.trim().to_owned()
}
