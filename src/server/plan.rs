//! Which thread runs what, and on which CPU; and what sizes follow from the configured ones.

use crate::config::{Config, Pinning, Placement};

/// Shards at the most; `ringkeeper.shards` accepts no more either.
pub(super) const SHARDS_MAX: usize = 63;

/// One pinned thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ThreadPlan {
    pub name: String,
    pub cpu: Option<usize>,
    pub shard: bool,
    pub core: bool,
}

/// The threads of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub shards: usize,
    pub cpus: usize,
    pub together: bool,
    pub threads: Vec<ThreadPlan>,
}

impl Plan {
    /// N CPUs: N − 1 shards and the core; on one or two, one thread for a shard and the core, so that no hop lies
    /// between them and the machine's other CPU is left to those who use the server.
    pub(super) fn new(config: &Config) -> Plan {
        let available = std::thread::available_parallelism().map_or(1, |n| n.get());
        let cpus = if config.cores.is_empty() { available } else { config.cores.len() };
        let shards = match config.shards {
            0 => cpus.saturating_sub(1).clamp(1, SHARDS_MAX),
            n => n as usize,
        };
        let together = match config.placement {
            Placement::Together => true,
            Placement::Apart => false,
            Placement::Auto => shards == 1 && cpus <= 2,
        };
        let mut threads: Vec<ThreadPlan> = (0..shards)
            .map(|i| ThreadPlan {
                name: format!("shard-{i}"),
                cpu: None,
                shard: true,
                core: together && i == 0,
            })
            .collect();
        if !together {
            let name = "core".to_string();
            threads.push(ThreadPlan { name, cpu: None, shard: false, core: true });
        }
        let pin = match config.pinning {
            Pinning::Yes => true,
            Pinning::No => false,
            Pinning::Auto => config.cores.len() >= threads.len(),
        };
        if pin {
            for (i, thread) in threads.iter_mut().enumerate() {
                thread.cpu = Some(config.cores.get(i).copied().unwrap_or(i % cpus));
            }
        }
        Plan { shards, cpus, together, threads }
    }

    /// Descriptors that the server has open itself, and some to spare: a thread's rings and wakes, segments, snapshots,
    /// locks, standard streams.
    pub(super) fn own_descriptors(&self) -> u64 {
        32 + 12 * self.threads.len() as u64
    }

    /// The thread of a shard.
    pub(super) fn shard_thread(&self, shard: usize) -> usize {
        shard
    }

    /// The thread of the core.
    pub(super) fn core_thread(&self) -> usize {
        if self.together { 0 } else { self.threads.len() - 1 }
    }
}

/// Room in a segment beside its largest transaction: the start frame, the frame's header and index, the sectors' rest.
const SEGMENT_OVERHEAD_BYTES: u64 = 64 << 10;

/// Bytes of one transaction at the most. ZooKeeper allows a stored record twice the longest request.
pub(super) fn txn_bytes_max(config: &Config) -> usize {
    (u64::from(config.jute_maxbuffer_bytes) * 2).clamp(64 << 10, 1 << 30) as usize
}

/// Bytes of a log segment: what is configured, or what the largest transaction needs if that is more.
pub(super) fn segment_bytes(config: &Config) -> u64 {
    let needed = txn_bytes_max(config) as u64 + SEGMENT_OVERHEAD_BYTES;
    (config.pre_alloc_size_kb << 10).max(needed).next_multiple_of(4096)
}

/// Transaction bytes at which a batch is large enough. A quarter of a segment and one transaction more always find room in the
/// two spare segments, however the frames fall.
pub(super) fn batch_bytes_max(config: &Config) -> usize {
    (segment_bytes(config) / 4).min(4 << 20) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(cores: &[usize], shards: u32, placement: Placement) -> Plan {
        let config = Config { cores: cores.to_vec(), shards, placement, ..Config::default() };
        Plan::new(&config)
    }

    #[test]
    fn two_cpus_share_one_thread_and_more_do_not() {
        let two = plan(&[0, 1], 0, Placement::Auto);
        assert!(two.together && two.threads.len() == 1 && two.core_thread() == 0);
        let four = plan(&[0, 1, 2, 3], 0, Placement::Auto);
        assert_eq!((four.shards, four.threads.len(), four.core_thread()), (3, 4, 3));
        assert_eq!(four.threads[3].cpu, Some(3));
        assert!(four.threads[3].core && !four.threads[3].shard);
        let many: Vec<_> = (0..700).collect();
        assert_eq!(plan(&many, 0, Placement::Auto).shards, SHARDS_MAX);
    }

    #[test]
    fn any_transaction_fits_a_segment() {
        for (jute_maxbuffer_bytes, pre_alloc_size_kb) in [
            (1024, 1024),
            (0xfffff, 1024),
            (0xfffff, 65536),
            (100 << 20, 65536),
            (i32::MAX as u32, 4 << 20),
        ] {
            let config = Config { jute_maxbuffer_bytes, pre_alloc_size_kb, ..Config::default() };
            let (txn, segment) = (txn_bytes_max(&config) as u64, segment_bytes(&config));
            assert!(txn + SEGMENT_OVERHEAD_BYTES <= segment && segment % 4096 == 0);
            assert!(segment >= pre_alloc_size_kb << 10);
            assert!(batch_bytes_max(&config) as u64 <= segment / 4);
        }
        let config = Config { pre_alloc_size_kb: 65536, ..Config::default() };
        assert_eq!((segment_bytes(&config), batch_bytes_max(&config)), (64 << 20, 4 << 20));
    }

    #[test]
    fn placement_can_be_asked_for() {
        let apart = plan(&[0, 1], 2, Placement::Apart);
        assert_eq!((apart.shards, apart.threads.len()), (2, 3));
        assert!(apart.threads.iter().all(|t| t.cpu.is_none()), "more threads than CPUs named");
        let together = plan(&[0, 1, 2], 3, Placement::Together);
        assert!(together.threads[0].core && together.threads.len() == 3);
    }
}
