//! A disk in memory that loses, tears, reorders and rots on demand: for the log's tests and for
//! simulators.
//!
//! A submitted write is on its way until it is completed; a crash lets any subset of its pieces
//! arrive. Names are lost in a crash unless the directory was synced after they were made.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log::AlignedBuf;
use crate::log::disk::{LogDir, SegmentFile};
use crate::log::writer::Write;

/// What a disk writes whole: a torn write arrives in pieces of this size.
pub const PIECE: usize = 512;

/// The directory. Clones are the same directory.
#[derive(Clone, Default)]
pub struct SimDir {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Vec<u8>>,
    on_the_way: Vec<OnTheWay>,
    next_file: u64,
    bytes_max: Option<u64>,
    /// Changes that still succeed before the process dies.
    changes_left: Option<u64>,
    /// Which pieces of the synchronous write arrive that it dies in.
    torn: u64,
    /// See [`LogDir::set_newest`].
    newest: u64,
}

#[derive(Clone)]
struct OnTheWay {
    token: u64,
    file: u64,
    offset: u64,
    bytes: Vec<u8>,
}

/// An open file.
#[derive(Clone)]
pub struct SimFile {
    dir: SimDir,
    id: u64,
}

impl SimDir {
    /// An empty directory.
    pub fn new() -> SimDir {
        SimDir::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on files of together at most `bytes` fit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.lock().bytes_max = bytes;
    }

    /// The process dies in its change number `changes` from now (of names or by synchronous
    /// writes): that one fails, a write arriving in the pieces whose bits are set in `torn`, and
    /// so does every later one. `None`: it lives again.
    pub fn die_after(&self, changes: Option<u64>, torn: u64) {
        let mut state = self.lock();
        state.changes_left = changes;
        state.torn = torn;
    }

    /// Takes a write as the reactor would.
    pub fn submit(&self, write: Write<SimFile>) -> (u64, AlignedBuf) {
        let Write { file, offset, buf, token } = write;
        let way = OnTheWay { token, file: file.id, offset, bytes: buf.to_vec() };
        self.lock().on_the_way.push(way);
        (token, buf)
    }

    /// The write arrives whole; says how much was written.
    pub fn complete(&self, token: u64) -> io::Result<usize> {
        let mut state = self.lock();
        let Some(at) = state.on_the_way.iter().position(|w| w.token == token) else {
            return Err(io::Error::other("no such write"));
        };
        let write = state.on_the_way.swap_remove(at);
        let len = write.bytes.len();
        state.put(write.file, write.offset, &write.bytes)?;
        Ok(len)
    }

    /// Tokens of the writes on their way, and in how many pieces each may arrive.
    pub fn on_the_way(&self) -> Vec<(u64, usize)> {
        let state = self.lock();
        state.on_the_way.iter().map(|w| (w.token, w.bytes.len().div_ceil(PIECE))).collect()
    }

    /// The power fails: of each write on its way only those pieces arrive that `arrives(token,
    /// piece)` lets through; names that were not synced are lost unless `names_arrive`.
    pub fn crash(&self, names_arrive: bool, arrives: &mut dyn FnMut(u64, usize) -> bool) {
        let mut state = self.lock();
        state.changes_left = None;
        for write in std::mem::take(&mut state.on_the_way) {
            for (piece, bytes) in write.bytes.chunks(PIECE).enumerate() {
                if arrives(write.token, piece) {
                    let offset = write.offset + (piece * PIECE) as u64;
                    // Beyond the file's end nothing arrives.
                    let _ = state.put(write.file, offset, bytes);
                }
            }
        }
        if names_arrive {
            state.synced_names = state.names.clone();
        }
        state.names = state.synced_names.clone();
    }

    /// A copy of the directory as it stands, without what is on its way.
    pub fn copy(&self) -> SimDir {
        let state = self.lock();
        let copy = SimDir::new();
        {
            let mut to = copy.lock();
            to.names = state.names.clone();
            to.synced_names = state.synced_names.clone();
            to.files = state.files.clone();
            to.next_file = state.next_file;
        }
        copy
    }

    /// Copies what is on its way in `from`, of which this directory is a copy.
    pub fn take_on_the_way(&self, from: &SimDir) {
        self.lock().on_the_way = from.lock().on_the_way.clone();
    }

    /// Changes bytes of a file as rot would; `false` if there is no such file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.lock();
        let Some(id) = state.names.get(name).copied() else { return false };
        state.files.get_mut(&id).map(change).is_some()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        state.files.get(state.names.get(name)?).cloned()
    }
}

impl State {
    fn put(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let missing = || io::Error::other("write beyond the end of a segment");
        let file = self.files.get_mut(&file).ok_or_else(missing)?;
        let at = offset as usize;
        file.get_mut(at..at + bytes.len()).ok_or_else(missing)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Counts a change; an error if the process has died.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl LogDir for SimDir {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        Ok(SimFile { dir: self.clone(), id: self.lock().id(name)? })
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.change()?;
        let used: u64 = state.names.values().map(|id| state.files[id].len() as u64).sum();
        if state.bytes_max.is_some_and(|max| used + bytes > max) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let id = state.next_file;
        state.next_file += 1;
        state.names.insert(name.to_owned(), id);
        state.files.insert(id, vec![0; bytes as usize]);
        Ok(SimFile { dir: self.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let id = state.id(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.id(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.synced_names = state.names.clone();
        Ok(())
    }

    fn newest(&self) -> io::Result<u64> {
        Ok(self.lock().newest)
    }

    fn set_newest(&self, index: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        assert!(index > state.newest, "only higher numbers are ever begun");
        state.newest = index;
        Ok(())
    }
}

impl SegmentFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.dir.lock();
        Ok(state.files.get(&self.id).map_or(0, |f| f.len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut AlignedBuf) -> io::Result<usize> {
        let state = self.dir.lock();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let rest = file.get(offset as usize..).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, buf: &AlignedBuf) -> io::Result<()> {
        let mut state = self.dir.lock();
        let last = state.changes_left == Some(0) && state.torn != 0;
        if last {
            let torn = std::mem::take(&mut state.torn);
            for (piece, bytes) in buf.chunks(PIECE).enumerate() {
                if torn >> (piece % 64) & 1 == 1 {
                    state.put(self.id, offset + (piece * PIECE) as u64, bytes)?;
                }
            }
        }
        state.change()?;
        state.put(self.id, offset, buf)
    }
}
