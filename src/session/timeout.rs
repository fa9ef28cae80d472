//! How long a session may be silent: what clients ask for, within the server's bounds.

/// The bounds, in milliseconds (`minSessionTimeout`, `maxSessionTimeout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutBounds {
    min_ms: i32,
    max_ms: i32,
}

/// Bounds that leave no time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeoutBoundsError {
    /// The least is above the most.
    #[error("minSessionTimeout={min_ms} must not be larger than maxSessionTimeout={max_ms}")]
    MinAboveMax {
        /// The least.
        min_ms: i32,
        /// The most.
        max_ms: i32,
    },
    /// A session could not live at all.
    #[error("maxSessionTimeout={max_ms} must be positive")]
    NotPositive {
        /// The most.
        max_ms: i32,
    },
}

impl TimeoutBounds {
    /// Bounds from the configuration: unset (or −1) means 2 and 20 ticks.
    pub fn new(
        tick_ms: i32,
        min_ms: Option<i32>,
        max_ms: Option<i32>,
    ) -> Result<Self, TimeoutBoundsError> {
        let set = |value: Option<i32>| value.filter(|ms| *ms != -1);
        let min_ms = set(min_ms).unwrap_or_else(|| tick_ms.saturating_mul(2));
        let max_ms = set(max_ms).unwrap_or_else(|| tick_ms.saturating_mul(20));
        if min_ms > max_ms {
            return Err(TimeoutBoundsError::MinAboveMax { min_ms, max_ms });
        }
        if max_ms <= 0 {
            return Err(TimeoutBoundsError::NotPositive { max_ms });
        }
        Ok(Self { min_ms, max_ms })
    }

    /// What a client that asked for `requested_ms` gets.
    pub fn negotiate(&self, requested_ms: i32) -> i32 {
        // At least 1, whatever the bounds: a time-out of nothing expires at once.
        requested_ms.clamp(self.min_ms, self.max_ms).max(1)
    }

    /// The least, in milliseconds.
    pub fn min_ms(&self) -> i32 {
        self.min_ms
    }

    /// The most, in milliseconds.
    pub fn max_ms(&self) -> i32 {
        self.max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_to_twenty_ticks_unless_set() {
        let bounds = TimeoutBounds::new(2000, None, Some(-1)).unwrap();
        assert_eq!((bounds.min_ms(), bounds.max_ms()), (4000, 40_000));
        for (asked, got) in
            [(0, 4000), (-5, 4000), (4000, 4000), (30_000, 30_000), (i32::MAX, 40_000)]
        {
            assert_eq!(bounds.negotiate(asked), got);
        }
        let bounds = TimeoutBounds::new(2000, Some(100), Some(200)).unwrap();
        assert_eq!((bounds.negotiate(1), bounds.negotiate(1000)), (100, 200));
    }

    #[test]
    fn impossible_bounds_are_refused() {
        assert_eq!(
            TimeoutBounds::new(2000, Some(50_000), None),
            Err(TimeoutBoundsError::MinAboveMax { min_ms: 50_000, max_ms: 40_000 })
        );
        assert!(TimeoutBounds::new(2000, Some(-7), Some(0)).is_err());
    }
}
