//! The bodies of requests, one group of operations a file. Everything borrows from the request's bytes;
//! reads and setData decode without allocating.

mod admin;
mod read;
mod watch;
mod write;

pub use admin::{AuthPacket, ReconfigRequest, SaslRequest};
pub use read::{
    ExistsRequest, GetAclRequest, GetAllChildrenNumberRequest, GetChildren2Request,
    GetChildrenRequest, GetDataRequest, GetEphemeralsRequest, SyncRequest,
};
pub use watch::{
    AddWatchRequest, CheckWatchesRequest, RemoveWatchesRequest, SetWatches, SetWatches2,
};
pub use write::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteContainerRequest, DeleteRequest,
    SetAclRequest, SetDataRequest,
};
