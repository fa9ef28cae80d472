//! Random numbers from a seed: one stream a purpose.
//!
//! A stream is named by the seed, a word and a number (a server, a link), so that taking a fault out of
//! a plan leaves what everything else draws as it was, as far as the course of events allows.

/// One stream (xoshiro256++, seeded by splitmix64).
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of `seed` for `purpose`, the `index`th of its kind.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Random {
        let mut mixed = seed;
        for byte in purpose.bytes() {
            mixed = splitmix(&mut mixed) ^ u64::from(byte);
        }
        mixed = splitmix(&mut mixed) ^ index;
        Random { state: std::array::from_fn(|_| splitmix(&mut mixed)) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The tiny bias of the multiplication does not matter here.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        debug_assert!(low <= high);
        low + self.below(high - low + 1)
    }

    /// True `per_mille` times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// A number around `mean`, mostly small and sometimes large (exponential, at most 20 times the mean).
    pub fn spread(&mut self, mean: u64) -> u64 {
        let unit = (self.bits() >> 11) as f64 / (1u64 << 53) as f64;
        let times = (-(1.0 - unit).ln()).min(20.0);
        (mean as f64 * times) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |purpose, index| Random::new(7, purpose, index).bits();
        assert_eq!(draw("disk", 1), draw("disk", 1));
        assert_ne!(draw("disk", 1), draw("disk", 2));
        assert_ne!(draw("disk", 1), draw("link", 1));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut random = Random::new(1, "test", 0);
        for _ in 0..1000 {
            assert!(random.below(3) < 3);
            assert!((5..=9).contains(&random.between(5, 9)));
            assert!(random.spread(10) <= 200);
        }
        assert_eq!(random.below(0), 0);
    }
}
