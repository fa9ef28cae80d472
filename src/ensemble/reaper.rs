//! Containers without children and TTL nodes past their time are deleted by transactions of the server's own
//! (`ContainerManager`): looked for at an interval, and paced so that a herd of them does not crowd out clients.

use std::collections::VecDeque;

use crate::jute::Encode;
use crate::prepare;
use crate::protocol::{EphemeralType, OpCode};

use super::{CoreConfig, EnsembleCore};

/// What is due to be looked for, and what was found.
pub(super) struct Reaper {
    interval_ms: u64,
    pause_ms: u64,
    never_used_ms: u64,
    next_look_ms: u64,
    next_delete_ms: u64,
    candidates: VecDeque<String>,
}

impl Reaper {
    pub(super) fn new(config: &CoreConfig) -> Reaper {
        Reaper {
            interval_ms: config.container_check_interval_ms.max(1),
            pause_ms: 60_000 / u64::from(config.container_max_per_minute.max(1)),
            never_used_ms: config.container_max_never_used_ms,
            next_look_ms: 0,
            next_delete_ms: 0,
            candidates: VecDeque::new(),
        }
    }
}

impl EnsembleCore {
    pub(super) fn reap(&mut self, now_ms: u64) {
        if self.reaper.next_look_ms == 0 {
            self.reaper.next_look_ms = now_ms + self.reaper.interval_ms;
        }
        if now_ms >= self.reaper.next_look_ms {
            self.reaper.next_look_ms = now_ms + self.reaper.interval_ms;
            self.find_candidates();
        }
        while now_ms >= self.reaper.next_delete_ms {
            let Some(path) = self.reaper.candidates.pop_front() else { return };
            self.reaper.next_delete_ms =
                self.reaper.next_delete_ms.max(now_ms.saturating_sub(1_000)) + self.reaper.pause_ms;
            self.delete_container(&path);
        }
    }

    fn find_candidates(&mut self) {
        if !self.reaper.candidates.is_empty() {
            return;
        }
        let mut found = VecDeque::new();
        for path in self.tree.containers() {
            if let Some(node) = self.tree.get(&path) {
                let stat = node.stat_persisted();
                let unused = self.wall_ms - stat.mtime_ms;
                let never_used_ms = self.reaper.never_used_ms;
                // A container that has had no child yet is kept: its maker is about to use it.
                let due = stat.cversion > 0
                    || (never_used_ms != 0 && unused > never_used_ms.min(i64::MAX as u64) as i64);
                if node.num_children() == 0 && due {
                    found.push_back(path.to_string());
                }
            }
        }
        for path in self.tree.ttl_nodes() {
            if let Some(node) = self.tree.get(&path)
                && node.num_children() == 0
                && let EphemeralType::Ttl(ttl_ms) = EphemeralType::of(node.raw_owner(), true)
                && ttl_ms != 0
                && self.wall_ms - node.stat_persisted().mtime_ms > ttl_ms
            {
                found.push_back(path.to_string());
            }
        }
        self.reaper.candidates = found;
    }

    fn delete_container(&mut self, path: &str) {
        tracing::info!("attempting to delete the unused container or TTL node {path}");
        let mut body = Vec::new();
        body.put_str(path);
        let request = prepare::Request {
            session_id: 0,
            cxid: 0,
            op: OpCode::DeleteContainer,
            body: &body,
            identities: &[],
            now_ms: self.wall_ms,
        };
        self.order(&request, None);
    }
}
