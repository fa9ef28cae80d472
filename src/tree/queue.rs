//! A queue in blocks: growing never copies what is in it, and what it has outgrown is freed.

use std::collections::VecDeque;

const BLOCK: usize = 512;

/// First in, first out, and last in, first out as well.
pub(super) struct BlockQueue<T> {
    /// All but the last are full; items before `head` in the first are gone.
    blocks: VecDeque<Vec<T>>,
    head: usize,
    len: usize,
    /// One emptied block, so that a queue that hovers about a boundary does not allocate.
    spare: Option<Vec<T>>,
}

impl<T: Copy> BlockQueue<T> {
    pub(super) fn new() -> Self {
        Self { blocks: VecDeque::new(), head: 0, len: 0, spare: None }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push_back(&mut self, item: T) {
        match self.blocks.back_mut() {
            Some(block) if block.len() < BLOCK => block.push(item),
            _ => {
                let mut block = self.spare.take().unwrap_or_else(|| Vec::with_capacity(BLOCK));
                block.push(item);
                self.blocks.push_back(block);
            }
        }
        self.len += 1;
    }

    pub(super) fn front(&self) -> Option<T> {
        self.blocks.front()?.get(self.head).copied()
    }

    pub(super) fn back(&self) -> Option<T> {
        if self.len == 0 { None } else { self.blocks.back()?.last().copied() }
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let block = self.blocks.front()?;
        let item = *block.get(self.head)?;
        self.head += 1;
        self.len -= 1;
        if self.head == block.len() {
            let block = self.blocks.pop_front();
            self.keep(block);
            self.head = 0;
        }
        Some(item)
    }

    pub(super) fn pop_back(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let only = self.blocks.len() == 1;
        let block = self.blocks.back_mut()?;
        let item = block.pop()?;
        self.len -= 1;
        if block.is_empty() || (only && self.len == 0) {
            let block = self.blocks.pop_back();
            self.keep(block);
        }
        if self.blocks.is_empty() {
            self.head = 0;
        }
        Some(item)
    }

    fn keep(&mut self, block: Option<Vec<T>>) {
        if let Some(mut block) = block {
            block.clear();
            self.spare = Some(block);
        }
    }

    /// All items, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.blocks.iter().flatten().skip(self.head).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_deque(steps in prop::collection::vec((0u8..5, 1usize..900), 1..60)) {
            let mut queue = BlockQueue::new();
            let mut model = VecDeque::new();
            let mut next = 0u32;
            for (kind, times) in steps {
                for _ in 0..times {
                    match kind {
                        0..=2 => {
                            queue.push_back(next);
                            model.push_back(next);
                            next += 1;
                        }
                        3 => prop_assert_eq!(queue.pop_front(), model.pop_front()),
                        _ => prop_assert_eq!(queue.pop_back(), model.pop_back()),
                    }
                    prop_assert_eq!(queue.front(), model.front().copied());
                    prop_assert_eq!(queue.back(), model.back().copied());
                    prop_assert_eq!(queue.len(), model.len());
                }
            }
            prop_assert!(queue.iter().eq(model.iter().copied()));
        }
    }
}
