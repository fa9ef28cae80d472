//! Requests out of the lanes: one lane after the other, as far as batch, log and old versions leave room. What does not
//! find room stays in its lane, and its shard's connections are the ones to wait.

use super::{
    BATCH_ENTRIES_BYTES_MAX, BATCH_TXNS_MAX, EnsembleCore, IN_FLIGHT_MAX, ROOM_AHEAD_BYTES,
};
use crate::jute::Decoder;
use crate::lanes::request::{Request, RequestKind};
use crate::log::{LogDir, Room};
use crate::metrics::Summary;
use crate::protocol::OpCode;
use crate::reactor::{Io, monotonic_ns};
use crate::tree::WARM_PATHS_MAX;

/// Requests about one node that is there, which begin with its path.
fn begins_with_path(op: OpCode) -> bool {
    matches!(op, OpCode::SetData | OpCode::Delete | OpCode::SetAcl)
}

impl<D: LogDir> EnsembleCore<D> {
    pub(super) fn take_requests<I: Io>(&mut self, io: &mut I) {
        // Taken out so that a batch can be borrowed from its lane while its requests are worked on.
        let mut shards = std::mem::take(&mut self.shards);
        let n = shards.len();
        if shards.iter_mut().all(|s| s.lane.is_empty()) {
            self.shards = shards;
            return;
        }
        let (began_ns, mut requests) = (monotonic_ns(), 0);
        for i in 0..n {
            let index = (self.turn + i) % n;
            let lane = &mut shards[index].lane;
            while self.has_room() {
                let Some(batch) = lane.peek() else { break };
                let mut rest = &batch[self.taken[index]..];
                let mut until_warm = 0;
                while self.has_room()
                    && let Some((request, tail)) = Request::take(rest)
                {
                    if until_warm == 0 && !tail.is_empty() {
                        until_warm = self.warm(rest);
                    }
                    until_warm = until_warm.saturating_sub(1);
                    self.request(io, index, &request);
                    let asks = matches!(request.kind, RequestKind::Client | RequestKind::Connect);
                    requests += u64::from(asks);
                    rest = tail;
                }
                self.taken[index] = batch.len() - rest.len();
                if !rest.is_empty() {
                    break;
                }
                self.taken[index] = 0;
                lane.pop();
            }
        }
        self.shards = shards;
        self.turn = (self.turn + 1) % n.max(1);
        if let Some(each_ns) = (monotonic_ns() - began_ns).checked_div(requests) {
            self.metrics.record_many(Summary::PrepTime, each_ns, requests);
        }
    }

    /// Has the processor fetch what the next requests will look at: in a large tree each would wait for memory several
    /// times. Returns how many requests it has looked at.
    fn warm(&self, batch: &[u8]) -> usize {
        if !self.tree.is_worth_warming() {
            return usize::MAX;
        }
        let (mut paths, mut count, mut requests, mut rest) = ([""; WARM_PATHS_MAX], 0, 0, batch);
        while requests < WARM_PATHS_MAX
            && let Some((request, tail)) = Request::take(rest)
        {
            (rest, requests) = (tail, requests + 1);
            if OpCode::from_i32(request.op).is_some_and(begins_with_path)
                && let Ok(path) = Decoder::new(request.body).str()
            {
                paths[count] = path;
                count += 1;
            }
        }
        if count > 1 {
            self.tree.warm(paths[..count].iter().copied());
        }
        requests
    }

    pub(super) fn has_room(&mut self) -> bool {
        !self.is_crowded()
            && self.building.txns.bytes() < self.config.batch_bytes_max
            && self.building.count < BATCH_TXNS_MAX
            && self.building.entries.len() < BATCH_ENTRIES_BYTES_MAX
            && self.in_flight.len() <= IN_FLIGHT_MAX
            && self.log_has_room() != Room::Soon
    }

    /// Whether old versions take all the memory they may. What pins keep does not count: it is bounded by the tree.
    pub(super) fn is_crowded(&self) -> bool {
        let retained = self.tree.retained_bytes();
        retained.superseded_bytes + retained.unlinked_bytes >= self.config.retained_bytes_max
    }

    /// Whether the log takes what is in the making, and a good deal more.
    pub(super) fn log_has_room(&mut self) -> Room {
        self.log.room((self.building.txns.bytes() + ROOM_AHEAD_BYTES) as u64)
    }

    fn request<I: Io>(&mut self, io: &mut I, shard: usize, request: &Request<'_>) {
        self.gather.arrived();
        match request.kind {
            RequestKind::Client => self.client_request(shard, request),
            RequestKind::Connect => self.connect(shard, request, io.now_ns() / 1_000_000),
            RequestKind::Disconnect => self.disconnect(request),
            RequestKind::Release => self.identities.release(request.identities),
        }
    }
}
