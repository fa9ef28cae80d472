//! A set of 32-bit records found by their upper bits: small ones in place, large ones in a table.
//!
//! Both directions of the watch table are made of it (a path's connections, a connection's paths),
//! so its bytes a record are the bytes a watch.

use hashbrown::{HashTable, hash_table};

/// How many records need no allocation: as many as fit the size of a `HashTable`.
const IN_PLACE: usize = 5;
/// A table goes back in place at this size, lower than the above so that it does not flap.
const BACK_IN_PLACE: usize = 2;

/// Records whose key is what remains after shifting out the low `SHIFT` bits; keys are distinct.
#[derive(Debug)]
pub(super) struct IdSet<const SHIFT: u32>(Records);

#[derive(Debug)]
enum Records {
    Few { len: u32, items: [u32; IN_PLACE] },
    Many(HashTable<u32>),
}

impl<const SHIFT: u32> Default for IdSet<SHIFT> {
    fn default() -> Self {
        Self(Records::Few { len: 0, items: [0; IN_PLACE] })
    }
}

/// Keys are small dense integers: multiply them apart, then fold, for the table takes its bucket
/// from the low bits and its tag from the high ones.
fn hash(key: u32) -> u64 {
    let wide = u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    wide ^ (wide >> 32)
}

impl<const SHIFT: u32> IdSet<SHIFT> {
    pub fn len(&self) -> usize {
        match &self.0 {
            Records::Few { len, .. } => *len as usize,
            Records::Many(table) => table.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record of a key.
    pub fn get(&self, key: u32) -> Option<u32> {
        match &self.0 {
            Records::Few { len, items } => {
                items[..*len as usize].iter().copied().find(|item| item >> SHIFT == key)
            }
            Records::Many(table) => table.find(hash(key), |item| item >> SHIFT == key).copied(),
        }
    }

    /// Puts a record in, in the place of the one with its key.
    pub fn put(&mut self, item: u32) {
        let key = item >> SHIFT;
        if let Records::Few { len, items } = &mut self.0 {
            let used = &mut items[..*len as usize];
            if let Some(old) = used.iter_mut().find(|old| **old >> SHIFT == key) {
                *old = item;
                return;
            }
            if (*len as usize) < IN_PLACE {
                items[*len as usize] = item;
                *len += 1;
                return;
            }
            let mut table = HashTable::with_capacity(IN_PLACE + 1);
            for &old in items.iter() {
                table.insert_unique(hash(old >> SHIFT), old, |i| hash(i >> SHIFT));
            }
            self.0 = Records::Many(table);
        }
        if let Records::Many(table) = &mut self.0 {
            match table.find_mut(hash(key), |old| old >> SHIFT == key) {
                Some(old) => *old = item,
                None => {
                    table.insert_unique(hash(key), item, |i| hash(i >> SHIFT));
                }
            }
        }
    }

    /// Takes the record of a key out.
    pub fn remove(&mut self, key: u32) -> Option<u32> {
        let removed = match &mut self.0 {
            Records::Few { len, items } => {
                let used = &mut items[..*len as usize];
                let at = used.iter().position(|item| item >> SHIFT == key)?;
                let item = used[at];
                used[at] = used[used.len() - 1];
                *len -= 1;
                item
            }
            Records::Many(table) => {
                table.find_entry(hash(key), |item| item >> SHIFT == key).ok()?.remove().0
            }
        };
        self.shrink();
        Some(removed)
    }

    /// Keeps the records that `keep` says true to; it may change them, but not their keys.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut u32) -> bool) {
        match &mut self.0 {
            Records::Few { len, items } => {
                let mut kept = 0;
                for at in 0..*len as usize {
                    let mut item = items[at];
                    if keep(&mut item) {
                        items[kept] = item;
                        kept += 1;
                    }
                }
                *len = kept as u32;
            }
            Records::Many(table) => table.retain(keep),
        }
        self.shrink();
    }

    pub fn iter(&self) -> Iter<'_> {
        match &self.0 {
            Records::Few { len, items } => Iter::Few(items[..*len as usize].iter()),
            Records::Many(table) => Iter::Many(table.iter()),
        }
    }

    fn shrink(&mut self) {
        let Records::Many(table) = &mut self.0 else {
            return;
        };
        if table.len() <= BACK_IN_PLACE {
            let mut items = [0; IN_PLACE];
            let len = table.len() as u32;
            for (place, item) in items.iter_mut().zip(table.iter()) {
                *place = *item;
            }
            self.0 = Records::Few { len, items };
        } else if table.capacity() > 64 && table.len() < table.capacity() / 8 {
            // Leaves room to double, so that the work is paid for by the removals before it.
            table.shrink_to(table.len() * 2, |i| hash(i >> SHIFT));
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Iter<'a> {
    Few(std::slice::Iter<'a, u32>),
    Many(hash_table::Iter<'a, u32>),
}

impl Iterator for Iter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::Few(items) => items.next().copied(),
            Self::Many(items) => items.next().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn records_in_place_cost_no_more_than_an_empty_table() {
        assert!(size_of::<IdSet<0>>() <= size_of::<HashTable<u32>>());
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in prop::collection::vec((0u8..4, 0u32..40, 0u32..16), 0..400)) {
            let mut set = IdSet::<4>::default();
            let mut model = BTreeMap::new();
            for (op, key, low) in ops {
                match op {
                    0 | 1 => {
                        set.put(key << 4 | low);
                        model.insert(key, low);
                    }
                    2 => {
                        let want = model.remove(&key).map(|low| key << 4 | low);
                        prop_assert_eq!(set.remove(key), want);
                    }
                    _ => {
                        set.retain(|item| { *item = (*item & !15) | 3; *item >> 4 != key });
                        model.remove(&key);
                        model.values_mut().for_each(|low| *low = 3);
                    }
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.get(key), model.get(&key).map(|low| key << 4 | low));
            }
            let mut all: Vec<u32> = set.iter().collect();
            all.sort_unstable();
            prop_assert_eq!(all, model.iter().map(|(k, l)| k << 4 | l).collect::<Vec<_>>());
        }
    }
}
