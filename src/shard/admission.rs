//! Who is let in while many ask: the limits on connections, the throttle on new and renewed
//! sessions (ZooKeeper's `BlueThrottle`), and the budget of large requests. Shared by the shards;
//! touched when a connection opens, attaches or closes and for large requests, never for others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The settings of [`Throttle`], as the configuration's keys name them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThrottleSettings {
    /// `connectionMaxTokens`; 0 lets everybody in.
    pub max_tokens: u32,
    /// `connectionTokenFillTime`, in ms, at least 1.
    pub fill_time_ms: u32,
    /// `connectionTokenFillCount`.
    pub fill_count: u32,
    /// `connectionFreezeTime`, in ms; negative drops by tokens alone.
    pub freeze_time_ms: i32,
    /// `connectionDropIncrease`.
    pub drop_increase: f64,
    /// `connectionDropDecrease`.
    pub drop_decrease: f64,
    /// `connectionDecreaseRatio`.
    pub decrease_ratio: f64,
    /// Tokens a new and a renewed session costs, if `connection_throttle_weight_enabled`.
    /// The settings above count in new sessions then.
    pub weights: Option<(u32, u32)>,
}

/// A token bucket before which connections are dropped at random, the more the longer the bucket
/// stays empty: dropping early spreads those who come again.
#[derive(Debug)]
pub struct Throttle {
    settings: ThrottleSettings,
    tokens_max: i64,
    fill_count: i64,
    tokens: i64,
    filled_ms: i64,
    changed_ms: i64,
    drop: f64,
    random: u64,
}

impl Throttle {
    /// A full bucket. The seed is for the random drops.
    pub fn new(settings: ThrottleSettings, now_ms: i64, seed: u64) -> Throttle {
        let unit = settings.weights.map_or(1, |(global, _)| i64::from(global));
        let tokens_max = i64::from(settings.max_tokens) * unit;
        Throttle {
            tokens_max,
            fill_count: i64::from(settings.fill_count) * unit,
            tokens: tokens_max,
            filled_ms: now_ms,
            changed_ms: now_ms,
            drop: 0.0,
            random: seed | 1,
            settings,
        }
    }

    /// Whether a connection that asks for a session, new or renewed, may go on.
    pub fn admit(&mut self, renewed: bool, now_ms: i64) -> bool {
        if self.tokens_max == 0 {
            return true;
        }
        self.refill(now_ms);
        if self.settings.freeze_time_ms >= 0 && self.dropped_at_random(now_ms) {
            return false;
        }
        let cost = match self.settings.weights {
            None => 1,
            Some((_, renew)) if renewed => i64::from(renew),
            Some((global, _)) => i64::from(global),
        };
        if self.tokens < cost {
            return false;
        }
        self.tokens -= cost;
        true
    }

    /// The probability that the next connection is dropped whatever the bucket holds.
    pub fn drop_probability(&self) -> f64 {
        self.drop
    }

    /// Tokens that are missing from a full bucket.
    pub fn deficit(&self) -> u64 {
        (self.tokens_max - self.tokens).max(0) as u64
    }

    fn refill(&mut self, now_ms: i64) {
        let fill_time = i64::from(self.settings.fill_time_ms.max(1));
        let passed = now_ms.saturating_sub(self.filled_ms);
        if passed > fill_time {
            let fresh = passed.saturating_mul(self.fill_count) / fill_time;
            self.tokens = self.tokens.saturating_add(fresh).min(self.tokens_max);
            self.filled_ms = now_ms;
        }
    }

    fn dropped_at_random(&mut self, now_ms: i64) -> bool {
        let passed = now_ms.saturating_sub(self.changed_ms);
        if passed > i64::from(self.settings.freeze_time_ms) {
            let threshold = (self.tokens_max as f64 * self.settings.decrease_ratio).round() as i64;
            let missing = self.tokens_max - self.tokens;
            if missing == self.tokens_max {
                self.drop = (self.drop + self.settings.drop_increase).min(1.0);
            } else if missing <= threshold {
                self.drop = (self.drop - self.settings.drop_decrease).max(0.0);
            }
            self.changed_ms = now_ms;
        }
        self.next_random() < self.drop
    }

    /// Uniform in [0, 1): xorshift64*, good enough to spread drops.
    fn next_random(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What [`Admission`] lets in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionConfig {
    /// `maxCnxns`: connections in all; 0 for no limit.
    pub connections_max: u64,
    /// `maxClientCnxns`: connections of one address; 0 for no limit.
    pub per_address_max: usize,
    /// The throttle on new and renewed sessions.
    pub throttle: ThrottleSettings,
    /// `largeRequestMaxBytes`: bytes of large requests in flight.
    pub large_bytes_max: u64,
}

impl AdmissionConfig {
    /// Lets everybody in.
    pub const OPEN: AdmissionConfig = AdmissionConfig {
        connections_max: 0,
        per_address_max: 0,
        throttle: ThrottleSettings {
            max_tokens: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: -1,
            drop_increase: 0.0,
            drop_decrease: 0.0,
            decrease_ratio: 0.0,
            weights: None,
        },
        large_bytes_max: u64::MAX,
    };
}

/// Why a connection is not let in, with the limit that it met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// The server has as many connections as it may.
    InAll(u64),
    /// Its address has.
    OfAddress(usize),
}

/// What all shards share at the door.
#[derive(Debug)]
pub struct Admission {
    config: AdmissionConfig,
    connections: AtomicU64,
    addresses: Mutex<HashMap<IpAddr, usize>>,
    /// `None` lets everybody in.
    throttle: Option<Mutex<Throttle>>,
    large_bytes: AtomicU64,
}

impl Admission {
    /// Nobody in yet. The seed is for the throttle's random drops.
    pub fn new(config: AdmissionConfig, now_ms: i64, seed: u64) -> Admission {
        let throttled = config.throttle.max_tokens > 0;
        Admission {
            config,
            connections: AtomicU64::new(0),
            addresses: Mutex::default(),
            throttle: throttled.then(|| Mutex::new(Throttle::new(config.throttle, now_ms, seed))),
            large_bytes: AtomicU64::new(0),
        }
    }

    /// A connection opened.
    ///
    /// # Errors
    /// There are too many: close it; it does not count.
    pub fn open(&self, address: IpAddr) -> Result<(), TooMany> {
        let AdmissionConfig { connections_max, per_address_max, .. } = self.config;
        let max = if connections_max == 0 { u64::MAX } else { connections_max };
        if !take(&self.connections, 1, max) {
            return Err(TooMany::InAll(connections_max));
        }
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if per_address_max != 0 && *count >= per_address_max {
            self.connections.fetch_sub(1, Relaxed);
            return Err(TooMany::OfAddress(per_address_max));
        }
        *count += 1;
        Ok(())
    }

    /// A connection that [`open`](Self::open) let in closed.
    pub fn close(&self, address: IpAddr) {
        self.connections.fetch_sub(1, Relaxed);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&address);
            }
        }
    }

    /// Whether a connection may go on that asks for a session, new or renewed; if it may, with the tokens that the
    /// bucket lacks then (`zk_connection_token_deficit`).
    pub fn session(&self, renewed: bool, now_ms: i64) -> Option<u64> {
        let Some(throttle) = &self.throttle else { return Some(0) };
        let mut throttle = throttle.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.admit(renewed, now_ms).then(|| throttle.deficit())
    }

    /// For `zk_connection_drop_probability`.
    pub fn drop_probability(&self) -> f64 {
        let Some(throttle) = &self.throttle else { return 0.0 };
        throttle.lock().unwrap_or_else(PoisonError::into_inner).drop_probability()
    }

    /// Whether a large request that was announced would find room now.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        let taken = self.large_bytes.load(Relaxed);
        taken.saturating_add(bytes as u64) <= self.config.large_bytes_max
    }

    /// A large request came in. `false`: there is no room for it, close the connection.
    pub fn begin_large(&self, bytes: usize) -> bool {
        take(&self.large_bytes, bytes as u64, self.config.large_bytes_max)
    }

    /// A large request that was let in was answered, or its connection closed.
    pub fn end_large(&self, bytes: usize) {
        self.large_bytes.fetch_sub(bytes as u64, Relaxed);
    }
}

/// Adds to a total unless it would pass the limit.
fn take(total: &AtomicU64, by: u64, max: u64) -> bool {
    let added = |now: u64| now.checked_add(by).filter(|&sum| sum <= max);
    total.fetch_update(Relaxed, Relaxed, added).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ThrottleSettings = ThrottleSettings {
        max_tokens: 3,
        fill_time_ms: 10,
        fill_count: 1,
        freeze_time_ms: -1,
        drop_increase: 0.5,
        drop_decrease: 0.25,
        decrease_ratio: 0.0,
        weights: None,
    };

    #[test]
    fn no_tokens_means_no_throttle() {
        let mut throttle = Throttle::new(ThrottleSettings { max_tokens: 0, ..PLAIN }, 0, 1);
        assert!((0..1000).all(|_| throttle.admit(false, 0)));
    }

    #[test]
    fn tokens_run_out_and_come_back() {
        let mut throttle = Throttle::new(PLAIN, 0, 1);
        let admitted = (0..5).filter(|_| throttle.admit(false, 0)).count();
        assert_eq!((admitted, throttle.deficit()), (3, 3));
        assert!(!throttle.admit(false, 10), "only after more than the fill time, as in ZooKeeper");
        assert!(throttle.admit(false, 11));
        assert!(!throttle.admit(false, 12));
        assert_eq!((0..9).filter(|_| throttle.admit(true, i64::MAX)).count(), 3, "no overflow");
        assert_eq!(throttle.drop_probability(), 0.0);
    }

    #[test]
    fn renewed_sessions_cost_less_when_weighed() {
        let settings = ThrottleSettings { weights: Some((3, 2)), ..PLAIN };
        let mut throttle = Throttle::new(settings, 0, 1);
        assert_eq!(
            (0..9).filter(|_| throttle.admit(false, 0)).count(),
            3,
            "tokens are new sessions"
        );
        let mut throttle = Throttle::new(settings, 0, 1);
        assert_eq!((0..9).filter(|_| throttle.admit(true, 0)).count(), 4);
    }

    #[test]
    fn an_empty_bucket_makes_drops_likely_and_a_full_one_ends_them() {
        let settings = ThrottleSettings { freeze_time_ms: 0, fill_time_ms: 1000, ..PLAIN };
        let mut throttle = Throttle::new(settings, 0, 7);
        assert_eq!((0..3).filter(|_| throttle.admit(false, 0)).count(), 3);
        for now in 1..=2 {
            throttle.admit(false, now);
        }
        assert_eq!(throttle.drop_probability(), 1.0);
        assert!(!throttle.admit(false, 999_999), "certain, though the bucket is full again");
        assert_eq!(throttle.drop_probability(), 0.75);
        for now in 1_000_000..1_000_003 {
            throttle.tokens = throttle.tokens_max;
            throttle.admit(false, now);
        }
        assert_eq!(throttle.drop_probability(), 0.0);
    }

    #[test]
    fn random_drops_follow_the_probability() {
        let mut throttle = Throttle::new(PLAIN, 0, 42);
        let below = (0..10_000).filter(|_| throttle.next_random() < 0.3).count();
        assert!((2800..3200).contains(&below), "{below}");
    }

    const NARROW: AdmissionConfig =
        AdmissionConfig { throttle: PLAIN, large_bytes_max: 100, ..AdmissionConfig::OPEN };
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn connections_have_a_limit_in_all_and_one_an_address() {
        let config = AdmissionConfig { connections_max: 3, per_address_max: 2, ..NARROW };
        let door = Admission::new(config, 0, 1);
        assert_eq!([door.open(HERE), door.open(HERE)], [Ok(()); 2]);
        for _ in 0..9 {
            assert_eq!(door.open(HERE), Err(TooMany::OfAddress(2)));
        }
        assert_eq!(door.open(THERE), Ok(()), "who was refused does not count");
        assert_eq!(door.open(THERE), Err(TooMany::InAll(3)));
        door.close(HERE);
        assert_eq!([door.open(THERE), door.open(HERE)], [Ok(()), Err(TooMany::InAll(3))]);
        let open = Admission::new(NARROW, 0, 1);
        assert!((0..100).all(|_| open.open(HERE).is_ok()));
    }

    #[test]
    fn large_requests_share_their_room() {
        let door = Admission::new(NARROW, 0, 1);
        assert!(door.has_room_for(100) && !door.has_room_for(101));
        assert!(door.begin_large(60) && !door.has_room_for(60) && !door.begin_large(60));
        door.end_large(60);
        assert!(door.begin_large(100) && !door.begin_large(usize::MAX));
        assert!(!door.has_room_for(usize::MAX));
    }

    #[test]
    fn sessions_pass_the_throttle_if_there_is_one() {
        let door = Admission::new(NARROW, 0, 1);
        let admitted: Vec<_> = (0..5).map(|_| door.session(false, 0)).collect();
        assert_eq!(admitted, [Some(1), Some(2), Some(3), None, None]);
        assert_eq!(door.drop_probability(), 0.0);
        let throttle = ThrottleSettings { max_tokens: 0, ..PLAIN };
        let door = Admission::new(AdmissionConfig { throttle, ..NARROW }, 0, 1);
        assert!((0..100).all(|_| door.session(true, 0) == Some(0)));
    }
}
