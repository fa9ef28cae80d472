//! Which thread runs what, and on which CPU.

use crate::config::{Config, Pinning, Placement};

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
            0 => cpus.saturating_sub(1).max(1),
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

    /// The thread of a shard.
    pub(super) fn shard_thread(&self, shard: usize) -> usize {
        shard
    }

    /// The thread of the core.
    pub(super) fn core_thread(&self) -> usize {
        if self.together { 0 } else { self.threads.len() - 1 }
    }
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
