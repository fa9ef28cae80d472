//! One server a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::log::error::LogError;

/// Holds a directory against other servers until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Locks `dir` (made if missing) through the file `lock` in it.
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
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What the file says is for people only; an unreadable one is no other error.
                let _ = Read::by_ref(&mut file).take(64).read_to_string(&mut holder);
                return Err(LogError::Locked { path: shown, holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(err)) => return Err(LogError::io("lock", &shown, err)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|e| LogError::io("write", &shown, e))?;
        Ok(DirLock { _file: file })
    }
}
