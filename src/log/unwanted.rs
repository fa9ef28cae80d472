//! Large files that nobody needs any more go piece by piece.
//!
//! A file system that is mounted with `discard` tells the disk of a removed file's blocks at once or when its journal is
//! committed, and every write to the log waits meanwhile: some 15 ms for a segment of 64 MiB, which at full load are thousands
//! of requests, and after a long time without a snapshot there are dozens of segments. In steps of half a megabyte a write
//! takes some 130 µs longer. So such a file only loses its name at once, and a thread in the background shortens it by a
//! little, again and again. What it has not finished when the process ends is taken up at the next start.
//!
//! Files that nobody needs are seldom made faster than that for long: snapshots are written at about that pace, and segments are
//! used again. Where many wait the steps are larger, and where room is short files go at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

use super::free_bytes;

/// What the names of such files begin with.
const PREFIX: &str = "unwanted.";
/// By how much a file is shortened, and how long the disk is left alone after that: some 60 MB/s.
const PIECE_BYTES: u64 = 512 << 10;
const PAUSE: Duration = Duration::from_millis(8);
/// For so many files that wait steps are twice as large, up to 4 MiB, at which a write may take a millisecond longer.
const FILES_PER_DOUBLING: usize = 8;
const DOUBLINGS_MAX: usize = 3;
/// With less free on the file system there is no time for that.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Removes a file: its name at once and for good, its blocks by and by.
///
/// # Errors
/// The system's; then the file still has its name.
pub fn remove_gently(path: &Path) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else { return std::fs::remove_file(path) };
    let meta = std::fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.len() <= PIECE_BYTES {
        return std::fs::remove_file(path);
    }
    let mut renamed = path.to_owned();
    if !name.starts_with(PREFIX) {
        renamed.set_file_name(format!("{PREFIX}{name}"));
        std::fs::rename(path, &renamed)?;
        // Or a power failure might give the old name back to a file that is no longer whole.
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
    }
    match thread() {
        Some(queue) if queue.send(renamed.clone()).is_ok() => Ok(()),
        _ => std::fs::remove_file(&renamed),
    }
}

/// Goes on with what an earlier process has not finished. Nothing depends on it: what cannot be removed is told of, and stays.
pub fn remove_leftover(path: &Path) {
    match remove_gently(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} is not needed any more and cannot be removed: {e}", path.display());
        }
        _ => {}
    }
}

/// Whether a file is one that an earlier process has not finished with.
pub fn is_unwanted(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The way to the thread; `None` if the system starts no more threads.
fn thread() -> Option<&'static Sender<PathBuf>> {
    static QUEUE: OnceLock<Option<Sender<PathBuf>>> = OnceLock::new();
    let started = QUEUE.get_or_init(|| {
        let (sender, queue) = channel();
        let thread = std::thread::Builder::new().name("unwanted".into());
        thread.spawn(move || work(&queue)).ok().map(|_| sender)
    });
    started.as_ref()
}

fn work(queue: &Receiver<PathBuf>) {
    super::lower_priority();
    let mut waiting = std::collections::VecDeque::new();
    loop {
        match queue.try_recv() {
            Ok(path) => waiting.push_back(path),
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => match waiting.front() {
                None => match queue.recv() {
                    Ok(path) => waiting.push_back(path),
                    Err(_) => return,
                },
                Some(path) => {
                    let doublings = (waiting.len() / FILES_PER_DOUBLING).min(DOUBLINGS_MAX);
                    if !is_urgent(path) && shorten(path, PIECE_BYTES << doublings) {
                        std::thread::sleep(PAUSE);
                    } else {
                        // Gone, or it cannot be shortened: then it goes as a whole, or at the next start.
                        let _ = std::fs::remove_file(path);
                        waiting.pop_front();
                    }
                }
            },
        }
    }
}

/// Whether room is short where the file is. If that cannot be told, it is not.
fn is_urgent(path: &Path) -> bool {
    path.parent().and_then(|dir| free_bytes(dir).ok()).is_some_and(|free| free < FREE_BYTES_MIN)
}

/// Takes so many bytes off the end of a file, for good; `false` if nothing would be left, or it failed.
fn shorten(path: &Path, bytes: u64) -> bool {
    let shorter = |file: File| {
        let left = file.metadata()?.len().saturating_sub(bytes);
        if left > 0 {
            file.set_len(left)?;
            file.sync_all()?;
        }
        io::Result::Ok(left > 0)
    };
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW).open(path);
    file.and_then(shorter).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("a directory");
        entries.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect()
    }

    #[test]
    fn a_name_goes_at_once_and_the_file_in_the_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("small"), b"x").expect("written");
        remove_gently(&path("small")).expect("removed");
        assert!(names(dir.path()).is_empty());
        // One of an earlier process among them.
        for name in ["a", "unwanted.b", "c"] {
            std::fs::write(path(name), vec![1; 3 << 20]).expect("written");
            remove_gently(&path(name)).expect("removed");
        }
        assert!(names(dir.path()).iter().all(|name| is_unwanted(name)));
        while !names(dir.path()).is_empty() {
            std::thread::yield_now();
        }
        assert!(remove_gently(&path("a")).is_err(), "it is not there any more");
    }

    #[test]
    fn what_an_earlier_process_left_never_stops_anybody() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("unwanted.dir")).expect("made");
        std::fs::write(path("other"), vec![1; 3 << 20]).expect("written");
        std::os::unix::fs::symlink(path("other"), path("unwanted.link")).expect("linked");
        std::os::unix::fs::symlink(path("none"), path("unwanted.dangling")).expect("linked");
        for name in ["unwanted.dir", "unwanted.link", "unwanted.dangling", "unwanted.gone"] {
            remove_leftover(&path(name));
        }
        let mut left = names(dir.path());
        left.sort_unstable();
        assert_eq!(left, ["other", "unwanted.dir"]);
        assert_eq!(std::fs::metadata(path("other")).expect("a file").len(), 3 << 20);
    }

    #[test]
    fn a_file_is_shortened_until_one_piece_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        std::fs::write(&path, vec![1; 5000]).expect("written");
        let bytes = || std::fs::metadata(&path).expect("a file").len();
        assert!(shorten(&path, 2000));
        assert_eq!(bytes(), 3000);
        assert!(shorten(&path, 2000));
        assert_eq!(bytes(), 1000);
        assert!(!shorten(&path, 2000));
        assert!(!shorten(&dir.path().join("none"), 2000));
    }
}
