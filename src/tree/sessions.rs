//! Sessions, each with the zxids of its birth and death, so that a pinned reader finds the table as it
//! was at its zxid.

use super::TreeError;
use super::slab::{ALIVE, NEWEST};
use crate::protocol::Zxid;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Ordering};

const CHUNK: usize = 1024;

/// What is known of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its time-out in milliseconds.
    pub timeout_ms: i32,
}

/// One life of one session. All fields are atomics because a reader that scans the table may look at a
/// slot while the writer fills it; what it sees then has not been born.
struct Slot {
    id: AtomicI64,
    timeout_ms: AtomicI32,
    /// [`ALIVE`] in a free slot: never born. Stored last, and loaded first.
    birth: AtomicI64,
    death: AtomicI64,
}

type Chunk = [Slot; CHUNK];

/// What one life takes of memory, in bytes.
pub(super) const SLOT_BYTES: usize = size_of::<Slot>();

/// What readers see: all lives, in slots that never move.
pub(super) struct SessionSlab {
    chunks: Box<[AtomicPtr<Chunk>]>,
    used: AtomicU32,
}

impl SessionSlab {
    pub(super) fn new(sessions_max: u32) -> Self {
        let chunks = (sessions_max as usize).div_ceil(CHUNK).max(1);
        let chunks = (0..chunks).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect();
        Self { chunks, used: AtomicU32::new(0) }
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        let chunk = self.chunks.get(index as usize / CHUNK)?.load(Ordering::Acquire);
        // SAFETY: chunks are only ever added, and freed when the slab is dropped.
        unsafe { chunk.as_ref()?.get(index as usize % CHUNK) }
    }

    /// The sessions that live at `at`, with their time-outs in milliseconds, in no order.
    /// No slot is used again while its session lives at a zxid that the caller holds.
    pub(super) fn at(&self, at: Zxid) -> impl Iterator<Item = (i64, i32)> {
        let used = self.used.load(Ordering::Acquire);
        (0..used).filter_map(move |index| {
            let slot = self.slot(index)?;
            let lives =
                slot.birth.load(Ordering::Acquire) <= at && at < slot.death.load(Ordering::Acquire);
            lives
                .then(|| (slot.id.load(Ordering::Relaxed), slot.timeout_ms.load(Ordering::Relaxed)))
        })
    }
}

impl Drop for SessionSlab {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Relaxed);
            if !chunk.is_null() {
                // SAFETY: made by `Box::into_raw`, and nobody reads a slab that is being dropped.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

/// What the writer knows: the living sessions by id.
pub(super) struct SessionWriter {
    slots: BTreeMap<i64, u32>,
    free: Vec<u32>,
    sessions_max: u32,
}

impl SessionWriter {
    pub(super) fn new(sessions_max: u32) -> (Self, SessionSlab) {
        let writer = Self { slots: BTreeMap::new(), free: Vec::new(), sessions_max };
        (writer, SessionSlab::new(sessions_max))
    }

    pub(super) fn get(&self, slab: &SessionSlab, id: i64) -> Option<SessionInfo> {
        let slot = slab.slot(*self.slots.get(&id)?)?;
        Some(SessionInfo { timeout_ms: slot.timeout_ms.load(Ordering::Relaxed) })
    }

    pub(super) fn slot_of(&self, id: i64) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// The living sessions, by id.
    pub(super) fn iter<'a>(
        &'a self,
        slab: &'a SessionSlab,
    ) -> impl Iterator<Item = (i64, SessionInfo)> + 'a {
        self.slots.iter().filter_map(|(&id, &index)| {
            let timeout_ms = slab.slot(index)?.timeout_ms.load(Ordering::Relaxed);
            Some((id, SessionInfo { timeout_ms }))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether another life can begin; asked before anything is changed.
    pub(super) fn has_room(&self, slab: &SessionSlab) -> bool {
        !self.free.is_empty() || slab.used.load(Ordering::Relaxed) < self.sessions_max
    }

    /// Begins a life and returns its slot. The id must not be alive.
    pub(super) fn create(
        &mut self,
        slab: &SessionSlab,
        zxid: Zxid,
        id: i64,
        timeout_ms: i32,
    ) -> Result<u32, TreeError> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.fresh(slab)?,
        };
        let slot = slab.slot(index).ok_or(TreeError::TooManySessions)?;
        slot.death.store(ALIVE, Ordering::Relaxed);
        slot.timeout_ms.store(timeout_ms, Ordering::Relaxed);
        slot.id.store(id, Ordering::Relaxed);
        slot.birth.store(zxid, Ordering::Release);
        self.slots.insert(id, index);
        Ok(index)
    }

    fn fresh(&self, slab: &SessionSlab) -> Result<u32, TreeError> {
        let index = slab.used.load(Ordering::Relaxed);
        let cell = slab.chunks.get(index as usize / CHUNK);
        let Some(cell) = cell.filter(|_| index < self.sessions_max) else {
            return Err(TreeError::TooManySessions);
        };
        if cell.load(Ordering::Relaxed).is_null() {
            let chunk: Box<Chunk> = Box::new(std::array::from_fn(|_| Slot {
                id: AtomicI64::new(0),
                timeout_ms: AtomicI32::new(0),
                birth: AtomicI64::new(ALIVE),
                death: AtomicI64::new(ALIVE),
            }));
            cell.store(Box::into_raw(chunk), Ordering::Release);
        }
        slab.used.store(index + 1, Ordering::Release);
        Ok(index)
    }

    /// Ends a life at `zxid`.
    pub(super) fn close(&mut self, slab: &SessionSlab, zxid: Zxid, index: u32) {
        if let Some(slot) = slab.slot(index) {
            slot.death.store(zxid, Ordering::Release);
            self.slots.remove(&slot.id.load(Ordering::Relaxed));
        }
    }

    /// Undoes [`Self::close`].
    pub(super) fn reopen(&mut self, slab: &SessionSlab, index: u32) {
        if let Some(slot) = slab.slot(index) {
            slot.death.store(ALIVE, Ordering::Release);
            self.slots.insert(slot.id.load(Ordering::Relaxed), index);
        }
    }

    /// Undoes [`Self::create`]: the life has never been. The slot may be used again once every reader
    /// has quiesced.
    pub(super) fn unborn(&mut self, slab: &SessionSlab, index: u32) {
        if let Some(slot) = slab.slot(index) {
            slot.birth.store(ALIVE, Ordering::Release);
            self.slots.remove(&slot.id.load(Ordering::Relaxed));
        }
    }

    /// When a life began.
    pub(super) fn birth(&self, slab: &SessionSlab, index: u32) -> Zxid {
        slab.slot(index).map_or(NEWEST, |slot| slot.birth.load(Ordering::Relaxed))
    }

    /// The slot of an ended life is shown to nobody from here on.
    pub(super) fn hide(&self, slab: &SessionSlab, index: u32) {
        if let Some(slot) = slab.slot(index) {
            slot.birth.store(ALIVE, Ordering::Release);
        }
    }

    /// The slot may be used again: nobody is looking at it.
    pub(super) fn recycle(&mut self, index: u32) {
        self.free.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_of_each_zxid_and_its_bound() {
        let (mut writer, slab) = SessionWriter::new(2);
        let one = writer.create(&slab, 5, 100, 4000).unwrap();
        writer.create(&slab, 7, 50, 6000).unwrap();
        assert!(!writer.has_room(&slab));
        assert_eq!(writer.create(&slab, 8, 60, 1), Err(TreeError::TooManySessions));
        writer.close(&slab, 9, one);
        let at = |at| slab.at(at).collect::<BTreeSet<_>>();
        assert_eq!(at(4), BTreeSet::new());
        assert_eq!(at(5), BTreeSet::from([(100, 4000)]));
        assert_eq!(at(8), BTreeSet::from([(100, 4000), (50, 6000)]));
        assert_eq!(at(9), BTreeSet::from([(50, 6000)]));
        assert_eq!(at(NEWEST), at(9));
        writer.reopen(&slab, one);
        assert_eq!(at(9), at(8));
        assert_eq!(writer.get(&slab, 100), Some(SessionInfo { timeout_ms: 4000 }));
        let order: Vec<i64> = writer.iter(&slab).map(|(id, _)| id).collect();
        assert_eq!(order, [50, 100]);
        writer.unborn(&slab, one);
        assert_eq!(at(8), BTreeSet::from([(50, 6000)]));
        writer.recycle(one);
        assert_eq!(writer.create(&slab, 9, 70, 1), Ok(one));
    }
}
