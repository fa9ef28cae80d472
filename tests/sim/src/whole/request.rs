//! What clients ask, as bytes of the client protocol.

use ringkeeper::protocol::{AclRef, xid};
use ringkeeper::protocol::{
    AddWatchMode, AddWatchRequest, CheckVersionRequest, CreateMode, CreateRequest, DeleteRequest,
    ExistsRequest, GetChildren2Request, GetChildrenRequest, GetDataRequest, GetEphemeralsRequest,
    MultiOp, OpCode, RemoveWatchesRequest, RequestHeader, SetDataRequest, SetWatches2, SyncRequest,
    WatcherType, Zxid, begin_frame, end_frame, end_multi, perms,
};
use std::rc::Rc;

use super::model::History;
use super::watches::{Kind, Watches};

/// One change of a multi, or alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// create2.
    Create {
        /// The znode, without its number.
        path: String,
        /// Its data.
        data: Vec<u8>,
        /// See [`CreateMode`].
        mode: CreateMode,
    },
    /// setData.
    SetData {
        /// The znode.
        path: String,
        /// Its new data.
        data: Vec<u8>,
        /// The version it must have, −1 for any.
        version: i32,
    },
    /// delete.
    Delete {
        /// The znode.
        path: String,
        /// The version it must have, −1 for any.
        version: i32,
    },
    /// check, in a multi only.
    Check {
        /// The znode.
        path: String,
        /// The version it must have, −1 for any.
        version: i32,
    },
}

/// A watch to be set again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// The znode.
    pub path: String,
    /// What was watched.
    pub kind: Kind,
    /// Whether the client knows of no such znode.
    pub missing: bool,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// getData.
    GetData(String, bool),
    /// exists.
    Exists(String, bool),
    /// getChildren2.
    GetChildren(String, bool),
    /// multiRead: getData of the first ones, getChildren of the second ones.
    MultiRead(Vec<String>, Vec<String>),
    /// A change alone.
    Change(Change),
    /// multi.
    Multi(Vec<Change>),
    /// sync.
    Sync(String),
    /// getEphemerals of all.
    GetEphemerals,
    /// addWatch, recursive or not.
    AddWatch(String, bool),
    /// removeWatches.
    RemoveWatches(String, Kind),
    /// setWatches2: after a reconnect, relative to the last zxid seen.
    SetWatches(Zxid, Vec<Again>),
    /// ping.
    Ping,
    /// closeSession.
    Close,
}

const ACL: [AclRef<'static>; 1] = [AclRef { perms: perms::ALL, scheme: "world", id: "anyone" }];

impl Change {
    fn op(&self) -> MultiOp<'_> {
        match self {
            Change::Create { path, data, mode } => MultiOp::Create {
                op: OpCode::Create2,
                request: CreateRequest {
                    path,
                    data: Some(data),
                    acl: ACL.to_vec(),
                    flags: mode.flags(),
                },
            },
            Change::SetData { path, data, version } => {
                MultiOp::SetData(SetDataRequest { path, data: Some(data), version: *version })
            }
            Change::Delete { path, version } => {
                MultiOp::Delete(DeleteRequest { path, version: *version })
            }
            Change::Check { path, version } => {
                MultiOp::Check(CheckVersionRequest { path, version: *version })
            }
        }
    }
}

impl Ask {
    /// Whether it becomes a transaction.
    pub fn is_write(&self) -> bool {
        matches!(self, Ask::Change(_) | Ask::Multi(_) | Ask::Close)
    }

    fn op(&self) -> OpCode {
        match self {
            Ask::GetData(..) => OpCode::GetData,
            Ask::Exists(..) => OpCode::Exists,
            Ask::GetChildren(..) => OpCode::GetChildren2,
            Ask::MultiRead(..) => OpCode::MultiRead,
            Ask::Change(change) => change.op().op(),
            Ask::Multi(_) => OpCode::Multi,
            Ask::Sync(_) => OpCode::Sync,
            Ask::GetEphemerals => OpCode::GetEphemerals,
            Ask::AddWatch(..) => OpCode::AddWatch,
            Ask::RemoveWatches(..) => OpCode::RemoveWatches,
            Ask::SetWatches(..) => OpCode::SetWatches2,
            Ask::Ping => OpCode::Ping,
            Ask::Close => OpCode::CloseSession,
        }
    }

    /// Appends the request's frame.
    pub fn encode(&self, number: i32, out: &mut Vec<u8>) {
        let frame = begin_frame(out);
        RequestHeader { xid: number, op_raw: self.op().code() }.encode(out);
        match self {
            Ask::GetData(path, watch) => GetDataRequest { path, watch: *watch }.encode(out),
            Ask::Exists(path, watch) => ExistsRequest { path, watch: *watch }.encode(out),
            Ask::GetChildren(path, watch) => {
                GetChildren2Request { path, watch: *watch }.encode(out);
            }
            Ask::MultiRead(data, children) => {
                for path in data {
                    MultiOp::GetData(GetDataRequest { path, watch: false }).encode(out);
                }
                for path in children {
                    MultiOp::GetChildren(GetChildrenRequest { path, watch: false }).encode(out);
                }
                end_multi(out);
            }
            Ask::Change(change) => match change.op() {
                MultiOp::Create { request, .. } => request.encode(out),
                MultiOp::SetData(request) => request.encode(out),
                MultiOp::Delete(request) => request.encode(out),
                _ => unreachable!("a check stands in a multi only"),
            },
            Ask::Multi(changes) => {
                changes.iter().for_each(|change| change.op().encode(out));
                end_multi(out);
            }
            Ask::Sync(path) => SyncRequest { path: Some(path) }.encode(out),
            Ask::GetEphemerals => GetEphemeralsRequest { prefix_path: None }.encode(out),
            Ask::AddWatch(path, recursive) => {
                let mode = match recursive {
                    true => AddWatchMode::PersistentRecursive,
                    false => AddWatchMode::Persistent,
                };
                AddWatchRequest { path: Some(path), mode: mode.code() }.encode(out);
            }
            Ask::RemoveWatches(path, kind) => {
                let kind = match kind {
                    Kind::Data => WatcherType::Data,
                    Kind::Child => WatcherType::Children,
                    Kind::Persistent => WatcherType::Persistent,
                    Kind::Recursive => WatcherType::PersistentRecursive,
                };
                RemoveWatchesRequest { path: Some(path), kind: kind.code() }.encode(out);
            }
            Ask::SetWatches(seen, watches) => set_watches(*seen, watches).encode(out),
            Ask::Ping | Ask::Close => {}
        }
        end_frame(out, frame);
    }

    /// The number that its answer carries, if it is not a client's own.
    pub fn fixed_xid(&self) -> Option<i32> {
        match self {
            Ask::Ping => Some(xid::PING),
            Ask::SetWatches(..) => Some(xid::SET_WATCHES),
            _ => None,
        }
    }
}

fn set_watches(relative_zxid: Zxid, watches: &[Again]) -> SetWatches2<'_> {
    let of = |kind, missing| {
        let is = move |again: &&Again| {
            again.kind == kind && (again.missing && kind == Kind::Data) == missing
        };
        watches.iter().filter(is).map(|again| again.path.as_str()).collect::<Vec<_>>()
    };
    SetWatches2 {
        relative_zxid,
        data_watches: of(Kind::Data, false),
        exist_watches: of(Kind::Data, true),
        child_watches: of(Kind::Child, false),
        persistent_watches: of(Kind::Persistent, false),
        persistent_recursive_watches: of(Kind::Recursive, false),
    }
}

/// What a client asks that goes on watching after a reconnect. What it watches has not changed up to `seen`, so it
/// knows which of these znodes were there then.
pub fn rewatch(history: &History, seen: Zxid, watches: &Watches) -> Ask {
    let again = |(path, kind): (&Rc<str>, Kind)| Again {
        path: path.to_string(),
        kind,
        missing: history.node(path, seen).is_none(),
    };
    Ask::SetWatches(seen, watches.all().map(again).collect())
}
