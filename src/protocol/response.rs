//! The bodies of replies. The server writes them straight into a connection's output with the `put_`
//! functions; the records are for what reads them (the shell, the benchmark, tests).

use crate::jute::Encode;
use crate::protocol::{Acl, AclRef, Identity, ReplyHeader, Stat, WatcherEvent, xid};
use crate::protocol::{EventType, KeeperState, begin_frame, end_frame};

/// Appends a Stat.
#[inline]
pub fn put_stat(out: &mut Vec<u8>, stat: &Stat) {
    let mut bytes = [0; Stat::BYTES];
    let mut at = 0;
    let mut put = |value: &[u8]| {
        bytes[at..at + value.len()].copy_from_slice(value);
        at += value.len();
    };
    put(&stat.czxid.to_be_bytes());
    put(&stat.mzxid.to_be_bytes());
    put(&stat.ctime_ms.to_be_bytes());
    put(&stat.mtime_ms.to_be_bytes());
    put(&stat.version.to_be_bytes());
    put(&stat.cversion.to_be_bytes());
    put(&stat.aversion.to_be_bytes());
    put(&stat.ephemeral_owner.to_be_bytes());
    put(&stat.data_length.to_be_bytes());
    put(&stat.num_children.to_be_bytes());
    put(&stat.pzxid.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends a vector of strings, whose number need not be known before; returns it.
pub fn put_strings<'s>(out: &mut Vec<u8>, strings: impl IntoIterator<Item = &'s str>) -> usize {
    let at = out.len();
    out.put_count(0);
    let mut count = 0;
    for string in strings {
        out.put_str(string);
        count += 1;
    }
    patch_count(out, at, count);
    count
}

/// Writes a vector's count where one was left room for with `put_count(0)` (listings made in slices).
pub fn patch_count(out: &mut [u8], at: usize, count: usize) {
    debug_assert!(count <= i32::MAX as usize);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&(count as u32).to_be_bytes());
    }
}

/// Appends the names of children: the body of getChildren; with [`put_stat`] behind it, of getChildren2.
pub fn put_children<'s>(out: &mut Vec<u8>, children: impl IntoIterator<Item = &'s str>) -> usize {
    put_strings(out, children)
}

/// Appends an ACL.
pub fn put_acl(out: &mut Vec<u8>, acl: &[Acl]) {
    out.put_count(acl.len());
    for entry in acl {
        entry.as_ref().encode(out);
    }
}

/// Appends the body of whoAmI: a pair of strings an identity.
pub fn put_client_info<'s>(out: &mut Vec<u8>, identities: impl Iterator<Item = &'s Identity>) {
    let at = out.len();
    out.put_count(0);
    let mut count = 0;
    for identity in identities {
        out.put_str(&identity.scheme);
        out.put_str(&identity.id);
        count += 1;
    }
    patch_count(out, at, count);
}

/// Appends a whole notification, frame included. Its header carries the zxid that made the event, −1 for
/// the catch-up events of setWatches.
pub fn put_event(out: &mut Vec<u8>, zxid: i64, kind: EventType, path: &str) {
    let mark = begin_frame(out);
    ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }.encode(out);
    let state = KeeperState::SyncConnected.code();
    WatcherEvent { kind: kind.code(), state, path }.encode(out);
    end_frame(out, mark);
}

crate::record! {
    /// The answer to create.
    #[derive(Copy)]
    pub struct CreateResponse<'a> {
        /// The znode made, its number included.
        pub path: &'a str,
    }
}

crate::record! {
    /// The answer to create2, createContainer and createTTL.
    #[derive(Copy)]
    pub struct Create2Response<'a> {
        /// The znode made, its number included.
        pub path: &'a str,
        /// Its Stat.
        pub stat: Stat,
    }
}

crate::record! {
    /// The answer to getData.
    #[derive(Copy)]
    pub struct GetDataResponse<'a> {
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The Stat.
        pub stat: Stat,
    }
}

crate::record! {
    /// The answer to exists, setData and setACL.
    pub struct StatResponse {
        /// The Stat.
        pub stat: Stat,
    }
}

crate::record! {
    /// The answer to getChildren.
    pub struct GetChildrenResponse<'a> {
        /// The names, without order.
        pub children: Vec<&'a str>,
    }
}

crate::record! {
    /// The answer to getChildren2.
    pub struct GetChildren2Response<'a> {
        /// The names, without order.
        pub children: Vec<&'a str>,
        /// The parent's Stat.
        pub stat: Stat,
    }
}

crate::record! {
    /// The answer to getACL.
    pub struct GetAclResponse<'a> {
        /// The ACL.
        pub acl: Vec<AclRef<'a>>,
        /// The Stat.
        pub stat: Stat,
    }
}

crate::record! {
    /// The answer to sync.
    #[derive(Copy)]
    pub struct SyncResponse<'a> {
        /// The request's path.
        pub path: Option<&'a str>,
    }
}

crate::record! {
    /// The answer to getAllChildrenNumber.
    pub struct GetAllChildrenNumberResponse {
        /// How many descendants there are.
        pub total_number: i32,
    }
}

crate::record! {
    /// The answer to getEphemerals.
    pub struct GetEphemeralsResponse<'a> {
        /// Their paths.
        pub ephemerals: Vec<&'a str>,
    }
}

crate::record! {
    /// A step of SASL.
    #[derive(Copy)]
    pub struct SaslResponse<'a> {
        /// A token of the mechanism.
        pub token: Option<&'a [u8]>,
    }
}

crate::record! {
    /// One identity in the answer to whoAmI.
    #[derive(Copy)]
    pub struct ClientInfo<'a> {
        /// The scheme.
        pub auth_scheme: &'a str,
        /// The identity, with what is secret taken out.
        pub user: &'a str,
    }
}

crate::record! {
    /// The answer to whoAmI.
    pub struct WhoAmIResponse<'a> {
        /// The connection's identities.
        pub client_info: Vec<ClientInfo<'a>>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::Decoder;

    #[test]
    fn a_stat_is_written_as_its_record() {
        let stat = Stat {
            czxid: 1,
            mzxid: 2,
            ctime_ms: 3,
            mtime_ms: 4,
            version: 5,
            cversion: 6,
            aversion: 7,
            ephemeral_owner: 8,
            data_length: 9,
            num_children: 10,
            pzxid: 11,
        };
        let (mut fast, mut record) = (Vec::new(), Vec::new());
        put_stat(&mut fast, &stat);
        stat.encode(&mut record);
        assert_eq!(fast, record);
        assert_eq!(fast.len(), Stat::BYTES);
        assert_eq!(Stat::decode(&mut Decoder::new(&fast)), Ok(stat));
    }

    #[test]
    fn strings_are_counted_as_they_come() {
        let mut out = vec![1];
        assert_eq!(put_children(&mut out, ["a", "bc"]), 2);
        assert_eq!(out, [1, 0, 0, 0, 2, 0, 0, 0, 1, b'a', 0, 0, 0, 2, b'b', b'c']);
    }

    #[test]
    fn an_event_is_a_frame() {
        let mut out = Vec::new();
        put_event(&mut out, 5, EventType::NodeDataChanged, "/a");
        #[rustfmt::skip]
        let expected = [
            0, 0, 0, 30, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0,
            0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 2, b'/', b'a',
        ];
        assert_eq!(out, expected);
    }
}
