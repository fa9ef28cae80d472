//! Lists of identities as numbers, so that a request carries four bytes instead of the list.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::AuthConfig;
use super::scheme::Scheme;
use crate::protocol::Identity;

/// Scheme and shown name of each identity, as whoAmI answers them (AuthUtil.getClientInfos); an
/// identity of a scheme that is not here shows no name.
pub fn who_am_i<'a>(
    config: &'a AuthConfig,
    ids: &'a [Identity],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    ids.iter().map(|id| {
        let name = Scheme::lookup(config, &id.scheme).map_or("", |s| s.user_name(&id.id));
        (id.scheme.as_str(), name)
    })
}

/// The bound on distinct identity lists is reached; the connection that brought one is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{max} distinct identity lists are in use, the most allowed: close connections or raise it"
)]
pub struct TooManyIdentities {
    /// The limit.
    pub max: usize,
}

/// Interned identity lists, shared by shards (which intern) and the core (which looks up).
///
/// How to use it: a connection [`acquire`](Self::acquire)s the number of its list when it opens and
/// when it authenticates, keeps the list for its own reads, and stamps the number on its requests.
/// A number is [`release`](Self::release)d *behind the last request that carries it*, by whoever
/// takes requests out of the lane. Numbers count up and are not given out again until four billion
/// later ones were, so one released too early is unknown, never somebody else's.
#[derive(Debug)]
pub struct IdentityTable {
    inner: Mutex<Inner>,
    lists_max: usize,
}

#[derive(Debug)]
struct Inner {
    numbers: HashMap<Arc<[Identity]>, u32>,
    lists: HashMap<u32, Entry>,
    next: u32,
}

#[derive(Debug)]
struct Entry {
    list: Arc<[Identity]>,
    refs: u64,
}

impl IdentityTable {
    /// An empty table for at most `lists_max` distinct lists.
    pub fn new(lists_max: usize) -> Self {
        let inner = Inner { numbers: HashMap::new(), lists: HashMap::new(), next: 0 };
        // Numbers must stay scarce beside the space they come from.
        Self { inner: Mutex::new(inner), lists_max: lists_max.min(1 << 30) }
    }

    /// The number and the shared list of `ids`; each call counts as one reference.
    pub fn acquire(&self, ids: &[Identity]) -> Result<(u32, Arc<[Identity]>), TooManyIdentities> {
        let mut inner = self.lock();
        if let Some(&number) = inner.numbers.get(ids)
            && let Some(entry) = inner.lists.get_mut(&number)
        {
            entry.refs += 1;
            return Ok((number, entry.list.clone()));
        }
        if inner.lists.len() >= self.lists_max {
            return Err(TooManyIdentities { max: self.lists_max });
        }
        let number = inner.unused_number();
        let list: Arc<[Identity]> = ids.into();
        inner.numbers.insert(list.clone(), number);
        inner.lists.insert(number, Entry { list: list.clone(), refs: 1 });
        Ok((number, list))
    }

    /// Gives one reference back; the list goes with the last. Unknown numbers are ignored.
    pub fn release(&self, number: u32) {
        let mut inner = self.lock();
        let Some(entry) = inner.lists.get_mut(&number) else {
            debug_assert!(false, "identity list {number} was released more often than acquired");
            return;
        };
        entry.refs -= 1;
        if entry.refs == 0
            && let Some(entry) = inner.lists.remove(&number)
        {
            inner.numbers.remove(&entry.list);
        }
    }

    /// The list of a number, if anybody still holds it.
    pub fn get(&self, number: u32) -> Option<Arc<[Identity]>> {
        self.lock().lists.get(&number).map(|entry| entry.list.clone())
    }

    /// Distinct lists in use.
    pub fn len(&self) -> usize {
        self.lock().lists.len()
    }

    /// Whether no list is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock leaves the maps half changed, so a poisoned lock is still sound.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn unused_number(&mut self) -> u32 {
        loop {
            let number = self.next;
            self.next = self.next.wrapping_add(1);
            if !self.lists.contains_key(&number) {
                return number;
            }
        }
    }
}

/// The core's own look at the table: keeps what it met lately, so that the lock stays off its way.
///
/// Entries never lie (a number means one list until it wraps), so nothing has to be invalidated.
#[derive(Debug)]
pub struct IdentityCache {
    slots: Vec<Option<(u32, Arc<[Identity]>)>>,
}

impl Default for IdentityCache {
    fn default() -> Self {
        Self { slots: vec![None; 1024] }
    }
}

impl IdentityCache {
    /// The list of `number`, from here or from the table.
    pub fn get(&mut self, table: &IdentityTable, number: u32) -> Option<&Arc<[Identity]>> {
        let at = number as usize % self.slots.len();
        let slot = &mut self.slots[at];
        if !matches!(slot, Some((held, _)) if *held == number) {
            *slot = Some((number, table.get(number)?));
        }
        slot.as_ref().map(|(_, list)| list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    #[test]
    fn who_am_i_shows_names_only() {
        let ids = [id("ip", "10.0.0.1"), id("digest", "me:secret"), id("super", "")];
        let config = AuthConfig::default();
        let shown: Vec<_> = who_am_i(&config, &ids).collect();
        assert_eq!(shown, [("ip", "10.0.0.1"), ("digest", "me"), ("super", "")]);
    }

    #[test]
    fn equal_lists_share_a_number_until_the_last_goes() {
        let table = IdentityTable::new(10);
        let (a, list) = table.acquire(&[id("ip", "1")]).unwrap();
        let (b, _) = table.acquire(&[id("ip", "1")]).unwrap();
        let (c, _) = table.acquire(&[id("ip", "2")]).unwrap();
        assert_eq!(a, b);
        assert_ne!(a, c);
        table.release(a);
        assert_eq!(table.get(b).as_deref(), Some(&*list));
        table.release(b);
        assert_eq!(table.get(b), None);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_released_number_is_nobody_elses() {
        let table = IdentityTable::new(10);
        let (a, _) = table.acquire(&[id("digest", "admin:x")]).unwrap();
        table.release(a);
        let (b, _) = table.acquire(&[id("digest", "other:y")]).unwrap();
        assert_ne!(a, b);
        assert_eq!(table.get(a), None);
    }

    #[test]
    fn numbers_wrap_past_those_in_use() {
        let table = IdentityTable::new(10);
        let (a, _) = table.acquire(&[id("ip", "1")]).unwrap();
        table.lock().next = u32::MAX;
        let (b, _) = table.acquire(&[id("ip", "2")]).unwrap();
        let (c, _) = table.acquire(&[id("ip", "3")]).unwrap();
        assert_eq!((a, b, c), (0, u32::MAX, 1));
    }

    #[test]
    fn the_bound_refuses_new_lists_only() {
        let table = IdentityTable::new(1);
        table.acquire(&[id("ip", "1")]).unwrap();
        assert!(table.acquire(&[id("ip", "2")]).is_err());
        assert!(table.acquire(&[id("ip", "1")]).is_ok());
    }

    #[test]
    fn the_cache_answers_as_the_table() {
        let table = IdentityTable::new(4000);
        let mut cache = IdentityCache::default();
        let numbers: Vec<u32> =
            (0..3000).map(|n| table.acquire(&[id("ip", &n.to_string())]).unwrap().0).collect();
        for _ in 0..2 {
            for &n in &numbers {
                assert_eq!(cache.get(&table, n).cloned(), table.get(n));
            }
        }
        assert_eq!(cache.get(&table, 999_999), None);
    }
}
