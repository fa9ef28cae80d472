//! A server's disk: what was written but not synced may vanish or tear when the power fails.
//!
//! Owns the bytes of segments and of plain files (epochs, snapshots), the names in both directories,
//! which of them are durable, and the log writes that are under way. Never decides when something fails:
//! the world arms its faults. One disk outlives all the processes that run on it.
//!
//! - [`volume`]: the log's view of it, the seam that the real log runs over
//! - [`plain`]: files that are written, synced and renamed by hand

mod plain;
mod volume;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringkeeper::log::Write;
use ringkeeper::reactor::AlignedBuf;

use crate::random::Random;
pub use volume::{Segment, Volume};

/// What a disk writes whole: a torn write arrives in pieces of this size.
pub const PIECE: usize = 512;

/// So many of the last log writes are spared by rot.
const CERTAIN: usize = 16;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

/// Which of the two directories.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Segments.
    Log,
    /// Epochs and snapshots.
    Data,
}

#[derive(Default)]
struct State {
    log: Names,
    data: Names,
    files: BTreeMap<u64, File>,
    on_the_way: Vec<OnTheWay>,
    /// Log writes that have arrived, in order: file, offset, bytes.
    written: Vec<(u64, u64, usize)>,
    next_id: u64,
    full: bool,
    /// Synchronous changes that still succeed before the process dies.
    changes_left: Option<u64>,
    dead: bool,
    /// A bit of what was written has turned over.
    rotted: bool,
    /// What tears, and how, at the next crash.
    torn: Option<Random>,
}

enum File {
    /// Every byte is durable, but for what is on the way.
    Segment(Vec<u8>),
    Plain {
        bytes: Arc<[u8]>,
        synced: bool,
    },
}

struct OnTheWay {
    id: u64,
    file: u64,
    offset: u64,
    buf: AlignedBuf,
}

/// The names of a directory, and the changes of them that are not durable yet, in order.
#[derive(Default)]
struct Names {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<NameChange>,
}

enum NameChange {
    Make(String, u64),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Make(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Names {
    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// As a journal does: the first few changes survive.
    fn crash(&mut self, random: &mut Random) {
        let survive = random.below(self.pending.len() as u64 + 1) as usize;
        for change in self.pending.drain(..).take(survive) {
            change.apply(&mut self.durable);
        }
        self.now = self.durable.clone();
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        self.now.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Disk {
        Disk::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory of a log; a disk may hold several.
    pub fn volume(&self, number: u64) -> Volume {
        Volume::new(self.clone(), number)
    }

    /// Takes a log write as the reactor would; returns its number.
    pub fn submit(&self, write: Write<Segment>) -> (u64, u64) {
        let Write { file, offset, buf, token } = write;
        let mut state = self.lock();
        state.next_id += 1;
        let id = state.next_id;
        state.on_the_way.push(OnTheWay { id, file: file.id(), offset, buf });
        (id, token)
    }

    /// A write arrives whole, or fails and arrives in part.
    pub fn complete(
        &self,
        id: u64,
        fails: bool,
        random: &mut Random,
    ) -> (io::Result<usize>, AlignedBuf) {
        let mut state = self.lock();
        let Some(at) = state.on_the_way.iter().position(|w| w.id == id) else {
            return (Err(io::Error::other("no such write")), AlignedBuf::new());
        };
        let write = state.on_the_way.swap_remove(at);
        if fails {
            state.arrive_in_part(&write, random);
            return (Err(io::Error::from_raw_os_error(5)), write.buf);
        }
        let done = state.put(write.file, write.offset, &write.buf).map(|()| write.buf.len());
        // What a recycled segment held before is gone.
        let (from, to) = (write.offset, write.offset + write.buf.len() as u64);
        state.written.retain(|(file, offset, bytes)| {
            *file != write.file || *offset >= to || offset + *bytes as u64 <= from
        });
        state.written.push((write.file, write.offset, write.buf.len()));
        (done, write.buf)
    }

    /// Log writes under way.
    pub fn writes_on_the_way(&self) -> usize {
        self.lock().on_the_way.len()
    }

    /// The power fails, or the process is killed (then `power_stays`, and what the system had taken
    /// arrives): of each write on its way any subset of its pieces arrives.
    pub fn crash(&self, power_stays: bool, random: &mut Random) {
        let mut state = self.lock();
        let state = &mut *state;
        state.changes_left = None;
        state.dead = false;
        for write in std::mem::take(&mut state.on_the_way) {
            match random.below(4) {
                0 => {}
                1 => drop(state.put(write.file, write.offset, &write.buf)),
                _ => state.arrive_in_part(&write, random),
            }
        }
        if power_stays {
            return;
        }
        state.log.crash(random);
        state.data.crash(random);
        for file in state.files.values_mut() {
            file.tear(random);
        }
        state.forget_unnamed();
    }

    /// The process dies in its synchronous change number `changes` from now: that one arrives in part
    /// and fails, and so does every later one.
    pub fn die_after(&self, changes: u64, random: Random) {
        let mut state = self.lock();
        state.changes_left = Some(changes);
        state.torn = Some(random);
    }

    /// It dies in no change after all.
    pub fn live_on(&self) {
        let mut state = self.lock();
        if !state.dead {
            state.changes_left = None;
        }
    }

    /// Has the process died in a change?
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// From now on no file can be made or grow, or they can again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Turns a bit over in a log write that has arrived, but for the last few: rot in the very last
    /// frames cannot be told from a torn tail before a later frame says that they were durable. Says where.
    pub fn rot(&self, random: &mut Random) -> Option<String> {
        let mut state = self.lock();
        let certain = state.written.len().saturating_sub(CERTAIN);
        let (id, offset, bytes) =
            *state.written.get(random.below(certain as u64) as usize).filter(|_| certain > 0)?;
        let Some(File::Segment(segment)) = state.files.get_mut(&id) else { return None };
        let written = segment.get_mut(offset as usize..offset as usize + bytes)?;
        // Only where something is written: the rest of a sector are zeros whose rot harms nobody.
        let used = written.iter().rposition(|b| *b != 0)?;
        let at = random.below(used as u64 + 1) as usize;
        written[at] ^= 1 << random.below(8);
        state.rotted = true;
        Some(format!("file {id} at offset {}", offset as usize + at))
    }

    /// Whether rot has changed anything since the disk was new.
    pub fn has_rotted(&self) -> bool {
        self.lock().rotted
    }

    /// The log was cut: which of its writes still count cannot be told from here, so rot spares them.
    pub fn forget_written(&self) {
        self.lock().written.clear();
    }

    /// Takes everything away: a new disk.
    pub fn wipe(&self) {
        let mut state = self.lock();
        let next_id = state.next_id;
        *state = State { next_id, ..State::default() };
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.lock().files.values().map(|file| file.bytes().len()).sum()
    }
}

impl File {
    fn bytes(&self) -> &[u8] {
        match self {
            File::Segment(bytes) => bytes,
            File::Plain { bytes, .. } => bytes,
        }
    }

    /// Loses what was not synced: nothing, a tail of it, or pieces.
    fn tear(&mut self, random: &mut Random) {
        let File::Plain { bytes, synced } = self else { return };
        if std::mem::replace(synced, true) {
            return;
        }
        let mut torn = bytes.to_vec();
        match random.below(3) {
            0 => {}
            1 => torn.truncate(random.below(torn.len() as u64 + 1) as usize),
            _ => {
                for piece in torn.chunks_mut(PIECE) {
                    if random.chance(500) {
                        piece.fill(0);
                    }
                }
            }
        }
        *bytes = torn.into();
    }
}

impl State {
    fn put(&mut self, file: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let missing = || io::Error::other("write beyond the end of a segment");
        let Some(File::Segment(file)) = self.files.get_mut(&file) else { return Err(missing()) };
        let at = offset as usize;
        file.get_mut(at..at + bytes.len()).ok_or_else(missing)?.copy_from_slice(bytes);
        Ok(())
    }

    fn arrive_in_part(&mut self, write: &OnTheWay, random: &mut Random) {
        let mut bits = 0;
        for (piece, bytes) in write.buf.chunks(PIECE).enumerate() {
            if piece % 64 == 0 {
                bits = random.bits();
            }
            if bits >> (piece % 64) & 1 == 1 {
                // Beyond the file's end nothing arrives.
                let _ = self.put(write.file, write.offset + (piece * PIECE) as u64, bytes);
            }
        }
    }

    /// Counts a synchronous change; an error if the process has died.
    fn change(&mut self) -> io::Result<()> {
        if self.dead {
            return Err(io::Error::other("the process is dead"));
        }
        match &mut self.changes_left {
            Some(0) => {
                self.dead = true;
                Err(io::Error::other("the process dies"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, file: File) -> u64 {
        self.next_id += 1;
        self.files.insert(self.next_id, file);
        self.next_id
    }

    fn names(&mut self, place: Place) -> &mut Names {
        match place {
            Place::Log => &mut self.log,
            Place::Data => &mut self.data,
        }
    }

    /// Gives back files that no name, durable or not, leads to. Nothing is open after a crash.
    fn forget_unnamed(&mut self) {
        let (log, data) = (&self.log, &self.data);
        self.files.retain(|id, _| {
            [log, data].iter().any(|names| names.now.values().any(|named| named == id))
        });
    }
}

#[cfg(test)]
mod tests;
