//! Latency histograms, medians over rounds, ratios within a round.

use hdrhistogram::Histogram;

/// Latencies in nanoseconds, to three digits, from 1 ns to two minutes.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// Longest latency that is told apart, in nanoseconds.
    pub const LIMIT_NS: u64 = 120_000_000_000;

    /// Empty.
    pub fn new() -> Self {
        let histogram =
            Histogram::new_with_max(Self::LIMIT_NS, 3).expect("constant bounds are valid");
        Self { histogram }
    }

    /// Counts one latency; what is over the limit counts as the limit.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("both have the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency in microseconds that this share (0 to 1) does not exceed; NaN when empty.
    pub fn quantile_us(&self, share: f64) -> f64 {
        if self.count() == 0 {
            return f64::NAN;
        }
        self.histogram.value_at_quantile(share) as f64 / 1e3
    }

    /// The longest, in microseconds; NaN when empty.
    pub fn max_us(&self) -> f64 {
        self.quantile_us(1.0)
    }
}

/// The middle of the finite values (the mean of the middle two of an even number); NaN for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// Lowest and highest of the finite values.
pub fn span(values: &[f64]) -> Option<(f64, f64)> {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    finite.fold(None, |span, v| match span {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

/// Value over base, round by round: drift of the machine between rounds falls out of it.
/// Rounds that lack either, or whose base is 0, are left out.
pub fn ratios(values: &[f64], bases: &[f64]) -> Vec<f64> {
    let pairs = values.iter().zip(bases);
    pairs.filter(|(_, base)| **base != 0.0).map(|(v, b)| v / b).filter(|r| r.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_set() {
        let mut latencies = Latencies::new();
        assert!(latencies.quantile_us(0.5).is_nan());
        for us in 1..=1000u64 {
            latencies.record(us * 1000);
        }
        let close = |got: f64, want: f64| (got - want).abs() <= want * 0.002;
        assert!(close(latencies.quantile_us(0.5), 500.0), "{}", latencies.quantile_us(0.5));
        assert!(close(latencies.quantile_us(0.99), 990.0), "{}", latencies.quantile_us(0.99));
        assert!(close(latencies.quantile_us(0.999), 999.0), "{}", latencies.quantile_us(0.999));
        assert!(close(latencies.max_us(), 1000.0), "{}", latencies.max_us());
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn a_stall_beyond_the_limit_is_kept_as_the_limit() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert_eq!(latencies.count(), 1);
        assert!(latencies.max_us() >= Latencies::LIMIT_NS as f64 / 1e3 * 0.999);
    }

    #[test]
    fn merging_adds_counts() {
        let (mut a, mut b) = (Latencies::new(), Latencies::new());
        a.record(1_000);
        b.record(3_000_000);
        a.merge(&b);
        assert_eq!(a.count(), 2);
        assert!(a.max_us() > 2_990.0);
    }

    #[test]
    fn medians_skip_what_is_missing() {
        assert!(median(&[]).is_nan());
        assert!(median(&[f64::NAN]).is_nan());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[9.0, f64::NAN, 5.0, 7.0]), 7.0);
        assert_eq!(span(&[2.0, f64::NAN, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(span(&[f64::NAN]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine halves its speed in the second round: the ratio does not move.
        assert_eq!(ratios(&[200.0, 100.0], &[100.0, 50.0]), [2.0, 2.0]);
        assert_eq!(ratios(&[200.0, f64::NAN, 9.0], &[100.0, 50.0, 0.0]), [2.0]);
    }
}
