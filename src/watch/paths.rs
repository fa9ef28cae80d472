//! The watched paths, each kept once under a number.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::kind::KIND_BITS;
use super::set::IdSet;

/// Entries come in chunks that never move, so that growing copies nothing.
const CHUNK: usize = 1024;
/// The index is many small tables, so that growing one of them stops nobody: at a million paths
/// each rehash is of 4,000.
const TABLES: usize = 256;

/// One watched path and who watches it.
#[derive(Debug, Default)]
pub(super) struct PathEntry {
    pub path: Box<str>,
    hash: u64,
    /// Connection index and kinds, one record a connection.
    pub watchers: IdSet<KIND_BITS>,
    /// How many watchers ZooKeeper would hold in its manager of data watches.
    pub data: u32,
    /// How many of them are recursive.
    pub recursive: u32,
}

#[derive(Debug)]
pub(super) struct Paths {
    chunks: Vec<Box<[PathEntry]>>,
    /// Numbers below this have been given out at least once.
    used: u32,
    free: Vec<u32>,
    index: Box<[HashTable<u32>]>,
    hasher: DefaultHashBuilder,
    bytes: usize,
}

impl Paths {
    pub fn new() -> Self {
        Self {
            chunks: Vec::new(),
            used: 0,
            free: Vec::new(),
            index: (0..TABLES).map(|_| HashTable::new()).collect(),
            hasher: DefaultHashBuilder::default(),
            bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.used as usize - self.free.len()
    }

    /// Bytes of the paths' text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn get(&self, id: u32) -> &PathEntry {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    pub fn get_mut(&mut self, id: u32) -> &mut PathEntry {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }

    pub fn find(&self, path: &str) -> Option<u32> {
        if self.len() == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(path);
        self.index[table_of(hash)].find(hash, |&id| self.is_at(id, hash, path)).copied()
    }

    /// The number of a path that has none yet.
    pub fn insert(&mut self, path: &str) -> u32 {
        debug_assert!(self.find(path).is_none());
        let hash = self.hasher.hash_one(path);
        let id = self.free.pop().unwrap_or_else(|| self.grow());
        let entry = self.get_mut(id);
        entry.path = path.into();
        entry.hash = hash;
        self.bytes += path.len();
        let chunks = &self.chunks;
        let rehash = |&id: &u32| chunks[id as usize / CHUNK][id as usize % CHUNK].hash;
        self.index[table_of(hash)].insert_unique(hash, id, rehash);
        id
    }

    /// Forgets a path that nobody watches any more.
    pub fn remove(&mut self, id: u32) {
        let entry = std::mem::take(self.get_mut(id));
        debug_assert!(entry.watchers.is_empty() && entry.data == 0 && entry.recursive == 0);
        self.bytes -= entry.path.len();
        let table = &mut self.index[table_of(entry.hash)];
        if let Ok(found) = table.find_entry(entry.hash, |&other| other == id) {
            found.remove();
        }
        let (len, capacity) = (table.len(), table.capacity());
        if capacity > 64 && len < capacity / 8 {
            let chunks = &self.chunks;
            table.shrink_to(len * 2, |&id| chunks[id as usize / CHUNK][id as usize % CHUNK].hash);
        }
        self.free.push(id);
        if self.len() == 0 {
            // One chunk stays: a lone watch that comes and goes should not pay for it each time.
            self.chunks.truncate(1);
            self.free = Vec::new();
            self.used = 0;
        }
    }

    /// Every path in the order of its number, from `from` on.
    pub fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, &PathEntry)> {
        (from..self.used).map(|id| (id, self.get(id))).filter(|(_, e)| !e.watchers.is_empty())
    }

    fn grow(&mut self) -> u32 {
        if self.used as usize == self.chunks.len() * CHUNK {
            self.chunks.push((0..CHUNK).map(|_| PathEntry::default()).collect());
        }
        self.used += 1;
        self.used - 1
    }

    fn is_at(&self, id: u32, hash: u64, path: &str) -> bool {
        let entry = self.get(id);
        entry.hash == hash && &*entry.path == path
    }
}

// Not the bits that a table itself takes its bucket (low) or its tag (the top seven) from.
fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

/// How deep a path lies, the root being 0.
pub(super) fn depth(path: &str) -> usize {
    if path == "/" { 0 } else { path.bytes().filter(|&b| b == b'/').count() }
}

/// The path above, `None` above the root and for text that is no path.
pub(super) fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() > 1 => Some("/"),
        0 => None,
        at => Some(&path[..at]),
    }
}
