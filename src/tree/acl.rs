//! Interned ACLs: znodes of equal ACLs share one list, named by a number.
//!
//! Versions hold references. A list that no version refers to any more goes the way of a version: it
//! is unlinked, waits until every reader has passed a quiescent point, and only then its number is used
//! again. Number 0 is "everybody may do everything" and is never given back.

use super::TreeError;
use crate::protocol::{Acl, AclRef, perms};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The number of an interned ACL. Good for as long as a version that has it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct AclId(pub(super) u32);

impl AclId {
    /// Everybody may do everything: `world:anyone` with all permissions.
    pub const OPEN: AclId = AclId(0);

    /// The ACL of a number that was taken from an id.
    pub fn from_number(number: u32) -> AclId {
        AclId(number)
    }

    /// The number itself, for tables beside the tree.
    pub fn number(self) -> u32 {
        self.0
    }
}

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;
/// The most different ACLs that may be in use at one time.
pub(super) const ACLS_MAX: usize = CHUNK * CHUNKS;

type Chunk = [AtomicPtr<Vec<Acl>>; CHUNK];

/// What readers see: the list of each number.
pub(super) struct AclTable {
    chunks: Box<[AtomicPtr<Chunk>]>,
    used: AtomicU32,
}

impl AclTable {
    fn new() -> Self {
        let chunks = (0..CHUNKS).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect();
        Self { chunks, used: AtomicU32::new(0) }
    }

    fn slot(&self, id: u32) -> Option<&AtomicPtr<Vec<Acl>>> {
        let chunk = self.chunks.get(id as usize / CHUNK)?.load(Ordering::Acquire);
        // SAFETY: chunks are only ever added, and freed when the table is dropped.
        let chunk = unsafe { chunk.as_ref()? };
        chunk.get(id as usize % CHUNK)
    }

    /// The list of a number; none if the number is not in use.
    ///
    /// # Safety
    /// The caller is the writer, or an online reader that does not quiesce before the slice is done with.
    pub(super) unsafe fn list(&self, id: AclId) -> &[Acl] {
        let Some(slot) = self.slot(id.0) else { return &[] };
        // SAFETY: the caller's; unlinked lists are freed after all readers have quiesced.
        unsafe { slot.load(Ordering::Acquire).as_ref() }.map_or(&[], Vec::as_slice)
    }

    /// Writer: the slot of a number, in a chunk made if need be.
    fn slot_or_new(&self, id: u32) -> Option<&AtomicPtr<Vec<Acl>>> {
        let cell = self.chunks.get(id as usize / CHUNK)?;
        if cell.load(Ordering::Relaxed).is_null() {
            let chunk: Box<Chunk> =
                Box::new(std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())));
            cell.store(Box::into_raw(chunk), Ordering::Release);
        }
        self.slot(id)
    }
}

impl Drop for AclTable {
    fn drop(&mut self) {
        for cell in &self.chunks {
            let chunk = cell.load(Ordering::Relaxed);
            if chunk.is_null() {
                continue;
            }
            // SAFETY: chunks and lists were made by `Box::into_raw`, each is linked once, and nobody
            // reads a table that is being dropped.
            unsafe {
                for slot in Box::from_raw(chunk).iter() {
                    let list = slot.load(Ordering::Relaxed);
                    if !list.is_null() {
                        drop(Box::from_raw(list));
                    }
                }
            }
        }
    }
}

/// What the writer knows: who has which number, and how many versions refer to it.
pub(super) struct AclWriter {
    by_hash: HashMap<u64, Vec<u32>>,
    references: Vec<u32>,
    free: Vec<u32>,
    /// Interned and not yet referred to; looked at again when something is published.
    floating: Vec<u32>,
    hasher: RandomState,
}

fn is_open(list: &[AclRef<'_>]) -> bool {
    matches!(list, [one] if *one == AclRef::ANYONE_ALL)
}

impl AclWriter {
    /// The writer's half and the readers' half, with [`AclId::OPEN`] in them.
    pub(super) fn new() -> (Self, AclTable) {
        let table = AclTable::new();
        let mut writer = Self {
            by_hash: HashMap::new(),
            references: Vec::new(),
            free: Vec::new(),
            floating: Vec::new(),
            hasher: RandomState::new(),
        };
        let open = AclRef { perms: perms::ALL, scheme: "world", id: "anyone" };
        // Cannot fail: the table is empty. One reference for ever.
        if writer.add(&table, &[open]).is_ok() {
            writer.references[0] = 1;
        }
        writer.floating.clear();
        (writer, table)
    }

    fn hash(&self, list: &[AclRef<'_>]) -> u64 {
        self.hasher.hash_one(list)
    }

    /// The number of a list, a new one if need be. It stays good until the next publication even if no
    /// version refers to it.
    pub(super) fn intern(
        &mut self,
        table: &AclTable,
        list: &[AclRef<'_>],
    ) -> Result<AclId, TreeError> {
        if is_open(list) {
            return Ok(AclId::OPEN);
        }
        let same = |id: &u32| {
            // SAFETY: this is the writer, and `by_hash` names lists in use alone.
            let known = unsafe { table.list(AclId(*id)) };
            known.len() == list.len() && known.iter().zip(list).all(|(a, b)| a.as_ref() == *b)
        };
        let known =
            self.by_hash.get(&self.hash(list)).and_then(|ids| ids.iter().find(|id| same(id)));
        match known {
            Some(&id) => Ok(AclId(id)),
            None => self.add(table, list),
        }
    }

    fn add(&mut self, table: &AclTable, list: &[AclRef<'_>]) -> Result<AclId, TreeError> {
        let id = match self.free.pop() {
            Some(id) => id,
            None if self.references.len() == ACLS_MAX => return Err(TreeError::TooManyAcls),
            None => {
                self.references.push(0);
                self.references.len() as u32 - 1
            }
        };
        let Some(slot) = table.slot_or_new(id) else { return Err(TreeError::TooManyAcls) };
        let owned: Vec<Acl> = list.iter().map(AclRef::to_owned).collect();
        slot.store(Box::into_raw(Box::new(owned)), Ordering::Release);
        table.used.fetch_add(1, Ordering::Relaxed);
        self.by_hash.entry(self.hash(list)).or_default().push(id);
        self.floating.push(id);
        Ok(AclId(id))
    }

    /// A version refers to it.
    pub(super) fn acquire(&mut self, id: u32) {
        if let Some(count) = self.references.get_mut(id as usize) {
            *count += 1;
        }
    }

    /// A version that referred to it is gone. Returns the list to free, once nobody reads it, if that
    /// was the last.
    pub(super) fn release(&mut self, table: &AclTable, id: u32) -> Option<NonNull<Vec<Acl>>> {
        let count = self.references.get_mut(id as usize)?;
        *count = count.saturating_sub(1);
        if *count == 0 { self.unlink(table, id) } else { None }
    }

    fn unlink(&mut self, table: &AclTable, id: u32) -> Option<NonNull<Vec<Acl>>> {
        let slot = table.slot(id)?;
        let list = NonNull::new(slot.load(Ordering::Relaxed))?;
        // SAFETY: this is the writer, and the list is still linked.
        let refs: Vec<AclRef<'_>> = unsafe { list.as_ref() }.iter().map(Acl::as_ref).collect();
        let hash = self.hash(&refs);
        if let Some(ids) = self.by_hash.get_mut(&hash) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.by_hash.remove(&hash);
            }
        }
        slot.store(std::ptr::null_mut(), Ordering::Release);
        table.used.fetch_sub(1, Ordering::Relaxed);
        Some(list)
    }

    /// Whether some list was interned and may have come to nothing.
    pub(super) fn has_floating(&self) -> bool {
        !self.floating.is_empty()
    }

    /// Unlinks one list that was interned and came to nothing, if there is any.
    pub(super) fn unlink_floating(&mut self, table: &AclTable) -> Option<(u32, NonNull<Vec<Acl>>)> {
        while let Some(id) = self.floating.pop() {
            if self.references.get(id as usize) == Some(&0)
                && let Some(list) = self.unlink(table, id)
            {
                return Some((id, list));
            }
        }
        None
    }

    /// The number may be used again: nobody can read its old list.
    pub(super) fn recycle(&mut self, id: u32) {
        self.free.push(id);
    }

    /// How many lists are in use.
    pub(super) fn len(&self, table: &AclTable) -> usize {
        table.used.load(Ordering::Relaxed) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(id: &str) -> AclRef<'_> {
        AclRef { perms: 1, scheme: "digest", id }
    }

    #[test]
    fn equal_lists_share_a_number_until_the_last_reference_goes() {
        let (mut writer, table) = AclWriter::new();
        assert_eq!(writer.intern(&table, &[AclRef::ANYONE_ALL]), Ok(AclId::OPEN));
        let a = writer.intern(&table, &[acl("a")]).unwrap();
        let ab = writer.intern(&table, &[acl("a"), acl("b")]).unwrap();
        assert_ne!(a, ab);
        assert_eq!(writer.intern(&table, &[acl("a")]), Ok(a));
        // SAFETY: single-threaded.
        unsafe {
            assert_eq!(table.list(a), [acl("a").to_owned()]);
            assert_eq!(table.list(AclId::OPEN), [AclRef::ANYONE_ALL.to_owned()]);
            assert!(table.list(AclId(77)).is_empty());
            assert!(table.list(AclId(u32::MAX)).is_empty());
        }
        writer.acquire(a.0);
        writer.acquire(a.0);
        assert!(writer.release(&table, a.0).is_none());
        let gone = writer.release(&table, a.0).unwrap();
        // SAFETY: nobody reads it.
        drop(unsafe { Box::from_raw(gone.as_ptr()) });
        // SAFETY: single-threaded.
        assert!(unsafe { table.list(a) }.is_empty());
        let other = writer.intern(&table, &[acl("a")]).unwrap();
        assert_ne!(other, a, "a number is used again only after recycling");
        writer.recycle(a.0);
        assert_eq!(writer.intern(&table, &[acl("c")]), Ok(a));
        assert_eq!(writer.len(&table), 4);
    }

    #[test]
    fn what_was_interned_for_nothing_goes_again() {
        let (mut writer, table) = AclWriter::new();
        let used = writer.intern(&table, &[acl("used")]).unwrap();
        writer.acquire(used.0);
        let idle = writer.intern(&table, &[acl("idle")]).unwrap();
        let (id, list) = writer.unlink_floating(&table).unwrap();
        assert_eq!(id, idle.0);
        // SAFETY: nobody reads it.
        drop(unsafe { Box::from_raw(list.as_ptr()) });
        assert!(writer.unlink_floating(&table).is_none());
        assert_eq!(writer.len(&table), 2);
    }
}
