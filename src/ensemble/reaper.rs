//! Containers without children and TTL nodes past their time are deleted by transactions of the server's own
//! (`ContainerManager`): looked for at an interval, and paced so that a herd of them does not crowd out clients.

use std::collections::VecDeque;

use crate::jute::Encode;
use crate::log::LogDir;
use crate::prepare::{self, ReapConfig, reap_candidates};
use crate::protocol::OpCode;

use super::{CoreConfig, EnsembleCore};

/// Nodes found in one look; the next look finds the rest.
const CANDIDATES_MAX: usize = 100_000;
/// Found, and in use again when their turn comes: so many are passed at a go.
const SPARED_MAX: usize = 1_000;

/// What is due to be looked for, and what was found.
pub(super) struct Reaper {
    interval_ms: u64,
    pause_ms: u64,
    config: ReapConfig,
    next_look_ms: u64,
    next_delete_ms: u64,
    candidates: VecDeque<String>,
}

impl Reaper {
    pub(super) fn new(config: &CoreConfig) -> Reaper {
        Reaper {
            interval_ms: config.container_check_interval_ms.max(1),
            pause_ms: 60_000 / u64::from(config.container_max_per_minute.max(1)),
            config: ReapConfig {
                never_used_ms_max: config.container_max_never_used_ms,
                candidates_max: CANDIDATES_MAX,
            },
            next_look_ms: 0,
            next_delete_ms: 0,
            candidates: VecDeque::new(),
        }
    }
}

impl<D: LogDir> EnsembleCore<D> {
    pub(super) fn reap(&mut self, now_ms: u64) {
        if self.reaper.next_look_ms == 0 {
            self.reaper.next_look_ms = now_ms + self.reaper.interval_ms;
        }
        if now_ms >= self.reaper.next_look_ms {
            self.reaper.next_look_ms = now_ms + self.reaper.interval_ms;
            self.find_candidates();
        }
        let mut spared = 0;
        while now_ms >= self.reaper.next_delete_ms && spared < SPARED_MAX {
            // What is not deleted for want of room is due as soon as there is some.
            if self.reaper.candidates.is_empty() || !self.may_log() {
                return;
            }
            let Some(path) = self.reaper.candidates.pop_front() else { return };
            if !prepare::is_due(&self.tree, &path, &self.reaper.config, self.wall_ms) {
                spared += 1;
                continue;
            }
            self.reaper.next_delete_ms =
                self.reaper.next_delete_ms.max(now_ms.saturating_sub(1_000)) + self.reaper.pause_ms;
            self.delete_container(&path);
        }
    }

    fn find_candidates(&mut self) {
        if self.reaper.candidates.is_empty() {
            let found = reap_candidates(&self.tree, &self.reaper.config, self.wall_ms);
            self.reaper.candidates = found.into();
        }
    }

    fn delete_container(&mut self, path: &str) {
        tracing::info!("deleting the unused container or expired TTL node {path}");
        let mut body = Vec::new();
        body.put_str(path);
        self.order(&self.own_request(0, OpCode::DeleteContainer, &body), None);
    }
}
