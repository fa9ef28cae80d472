//! Requests about watches themselves: addWatch, checkWatches, removeWatches, and setting them again after a
//! reconnect (setWatches, setWatches2).

use crate::jute::Decoder;
use crate::metrics::Counter;
use crate::protocol::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, ErrorCode, OpCode, RemoveWatchesRequest,
    SetWatches, SetWatches2, WatcherType, put_event,
};
use crate::reactor::Io;
use crate::watch::{NodeZxids, Removed, Rewatch, WatchKind};

use super::State;
use super::conn::{Conn, Phase};
use super::reads::Refusal;

/// The zxid of an event that no transaction caused just now (`WatchedEvent.NO_ZXID`).
const NO_ZXID: i64 = -1;

impl State {
    /// addWatch; the answer is an `ErrorResponse` of 0.
    pub(super) fn add_watch(
        &mut self,
        conn: &mut Conn,
        d: &mut Decoder<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let r = AddWatchRequest::decode(d)?;
        let kind = match AddWatchMode::from_i32(r.mode) {
            Some(AddWatchMode::Persistent) => WatchKind::Persistent,
            Some(AddWatchMode::PersistentRecursive) => WatchKind::PersistentRecursive,
            // `WatcherMode.fromZooDef` throws; the processor answers what it answers to any exception.
            None => return Err(ErrorCode::MarshallingError.into()),
        };
        self.watch(conn, r.path.unwrap_or_default(), kind)?;
        out.extend_from_slice(&0i32.to_be_bytes());
        Ok(())
    }

    pub(super) fn check_watches(
        &mut self,
        conn: &mut Conn,
        d: &mut Decoder<'_>,
    ) -> Result<(), Refusal> {
        let r = CheckWatchesRequest::decode(d)?;
        let kind = WatcherType::from_i32(r.kind).ok_or(ErrorCode::MarshallingError)?;
        if self.watches.contains(conn.id.index, r.path.unwrap_or_default(), kind) {
            Ok(())
        } else {
            Err(ErrorCode::NoWatcher.into())
        }
    }

    pub(super) fn remove_watches(
        &mut self,
        conn: &mut Conn,
        d: &mut Decoder<'_>,
    ) -> Result<(), Refusal> {
        let r = RemoveWatchesRequest::decode(d)?;
        let kind = WatcherType::from_i32(r.kind).ok_or(ErrorCode::MarshallingError)?;
        let removed = self.watches.remove(conn.id.index, r.path.unwrap_or_default(), kind);
        self.publish_watch_count();
        if removed == Removed::Yes { Ok(()) } else { Err(ErrorCode::NoWatcher.into()) }
    }

    /// setWatches and setWatches2: what happened since `relative_zxid` is told at once, before the answer; the
    /// rest is watched. Persistent watches get no catch-up events (`DataTree.setWatches`).
    pub(super) fn set_watches<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        op: OpCode,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let mut d = Decoder::new(body);
        if op == OpCode::SetWatches2 {
            let r = SetWatches2::decode(&mut d)?;
            self.rewatch(io, conn, &Rewatch::from(&r))
        } else {
            let r = SetWatches::decode(&mut d)?;
            self.rewatch(io, conn, &Rewatch::from(&r))
        }
    }

    fn rewatch<I: Io>(
        &mut self,
        io: &mut I,
        conn: &mut Conn,
        lists: &Rewatch<'_>,
    ) -> Result<(), Refusal> {
        let (reader, zxid, id) = (&self.reader, self.zxid, conn.id);
        let node = |path: &str| {
            // ZooKeeper keeps the root under the empty path as well.
            let path = if path.is_empty() { "/" } else { path };
            let stat = reader.get(path, zxid)?.stat();
            Some(NodeZxids { mzxid: stat.mzxid, pzxid: stat.pzxid })
        };
        let tell = |event, path: &str| {
            if let Some(out) = io.out(id) {
                put_event(out, NO_ZXID, event, path);
            }
        };
        let outcome = self.watches.rewatch(id.index, lists, node, tell);
        self.publish_watch_count();
        if let Err(full) = outcome {
            // Part of the watches is set, and no client expects this to fail: it starts afresh elsewhere.
            let why = format_args!("closed {}: {full}", conn.peer);
            self.complain(Counter::RefusedTooManyWatches, why);
            conn.phase = Phase::Closing;
            io.close(id, false);
        }
        Ok(())
    }
}
