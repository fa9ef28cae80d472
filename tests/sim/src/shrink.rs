//! Shrinking: the fewest faults with which a seed still fails (delta debugging).

use std::time::{Duration, Instant};

/// Takes out of `items` what is not needed for `fails` to hold, trying ever smaller pieces, until
/// nothing more can go or the time is up. `fails(items)` must hold at the beginning.
pub fn shrink<T: Clone>(
    mut items: Vec<T>,
    budget: Duration,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let end = Instant::now() + budget;
    let mut pieces = 2;
    while !items.is_empty() {
        let size = items.len().div_ceil(pieces);
        let mut at = 0;
        let mut shrunk = false;
        while at < items.len() {
            if Instant::now() > end {
                return items;
            }
            let to = (at + size).min(items.len());
            let rest: Vec<T> = items[..at].iter().chain(&items[to..]).cloned().collect();
            if fails(&rest) {
                items = rest;
                shrunk = true;
            } else {
                at = to;
            }
        }
        match (shrunk, size) {
            (false, 1) => break,
            (false, _) => pieces = (pieces * 2).min(items.len()),
            (true, _) => pieces = pieces.min(items.len()).max(2),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_stays() {
        let budget = Duration::from_secs(60);
        let needs = |wanted: &[u32]| {
            let wanted = wanted.to_vec();
            move |items: &[u32]| wanted.iter().all(|w| items.contains(w))
        };
        let all: Vec<u32> = (0..50).collect();
        assert_eq!(shrink(all.clone(), budget, needs(&[7, 31, 32])), [7, 31, 32]);
        assert_eq!(shrink(all.clone(), budget, needs(&[49])), [49]);
        assert!(shrink(all.clone(), budget, |_| true).is_empty());
        assert_eq!(shrink(all.clone(), budget, needs(&all)), all);
        assert_eq!(shrink(all.clone(), Duration::ZERO, |_| true), all);
    }
}
