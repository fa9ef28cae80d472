//! A mailbox: what is sent to a pinned thread now and then (a four-letter word's answer, a request for facts), off
//! every hot path. The owner looks at a flag; only when it is up does it take the lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Letters for one thread, from any.
#[derive(Debug)]
pub struct Mailbox<T> {
    letters: Mutex<Vec<T>>,
    /// Stored with Release after the letter is in, swapped with Acquire before the letters are taken: an owner that
    /// sees it down has missed no letter that was sent before it was last woken.
    waiting: AtomicBool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox { letters: Mutex::default(), waiting: AtomicBool::new(false) }
    }
}

impl<T> Mailbox<T> {
    /// Puts a letter in. The caller wakes the owner.
    pub fn send(&self, letter: T) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        self.waiting.store(true, Ordering::Release);
    }

    /// Takes all letters; costs one load when there are none.
    pub fn take(&self) -> Vec<T> {
        if !self.waiting.load(Ordering::Relaxed) || !self.waiting.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether letters wait.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_taken_once_and_in_order() {
        let mailbox = Mailbox::default();
        assert!(mailbox.take().is_empty() && !mailbox.is_waiting());
        mailbox.send(1);
        mailbox.send(2);
        assert!(mailbox.is_waiting());
        assert_eq!(mailbox.take(), [1, 2]);
        assert!(mailbox.take().is_empty());
        mailbox.send(3);
        assert_eq!(mailbox.take(), [3]);
    }
}
