//! Requests about watches themselves: addWatch, checkWatches, removeWatches, and setting them again after a
//! reconnect (setWatches, setWatches2).

use crate::jute::Decoder;
use crate::protocol::{
    AddWatchMode, AddWatchRequest, CheckWatchesRequest, ErrorCode, EventType, OpCode,
    RemoveWatchesRequest, SetWatches, SetWatches2, WatcherType, put_event,
};
use crate::reactor::Io;
use crate::watch::WatchKind;

use super::State;
use super::conn::Conn;
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
        self.watch(conn, r.path, kind)?;
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
        if self.watches.contains(conn.id.index, r.path, kind) {
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
        let removed = self.watches.remove(conn.id.index, r.path, kind);
        self.publish_watch_count();
        if removed { Ok(()) } else { Err(ErrorCode::NoWatcher.into()) }
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
        let r = if op == OpCode::SetWatches2 {
            SetWatches2::decode(&mut d)?
        } else {
            let r = SetWatches::decode(&mut d)?;
            SetWatches2 {
                relative_zxid: r.relative_zxid,
                data_watches: r.data_watches,
                exist_watches: r.exist_watches,
                child_watches: r.child_watches,
                persistent_watches: Vec::new(),
                persistent_recursive_watches: Vec::new(),
            }
        };
        for path in &r.data_watches {
            let missed = match self.reader.get(path, self.zxid).map(|n| n.stat().mzxid) {
                None => Some(EventType::NodeDeleted),
                Some(mzxid) if mzxid > r.relative_zxid => Some(EventType::NodeDataChanged),
                Some(_) => None,
            };
            self.catch_up(io, conn, missed, path, WatchKind::Data)?;
        }
        for path in &r.exist_watches {
            let there = self.reader.get(path, self.zxid).is_some();
            let missed = there.then_some(EventType::NodeCreated);
            self.catch_up(io, conn, missed, path, WatchKind::Exist)?;
        }
        for path in &r.child_watches {
            let missed = match self.reader.get(path, self.zxid).map(|n| n.stat().pzxid) {
                None => Some(EventType::NodeDeleted),
                Some(pzxid) if pzxid > r.relative_zxid => Some(EventType::NodeChildrenChanged),
                Some(_) => None,
            };
            self.catch_up(io, conn, missed, path, WatchKind::Child)?;
        }
        for path in &r.persistent_watches {
            self.watch(conn, path, WatchKind::Persistent)?;
        }
        for path in &r.persistent_recursive_watches {
            self.watch(conn, path, WatchKind::PersistentRecursive)?;
        }
        Ok(())
    }

    fn catch_up<I: Io>(
        &mut self,
        io: &mut I,
        conn: &Conn,
        missed: Option<EventType>,
        path: &str,
        kind: WatchKind,
    ) -> Result<(), Refusal> {
        match missed {
            Some(event) => {
                if let Some(out) = io.out(conn.id) {
                    put_event(out, NO_ZXID, event, path);
                }
                Ok(())
            }
            None => Ok(self.watch(conn, path, kind)?),
        }
    }
}

