//! The stream behind SNAP: a whole tree as ZooKeeper's snapshots have it (`SerializeUtils.serializeSnapshot`), without
//! a file's header, seals and digest, and then the signature (`LearnerHandler`).
//!
//! ```text
//! int n, n × (long session, int timeout)
//! int n, n × (long id, vector<int perms, string scheme, string id>)
//! n × (string path, buffer data, long acl, StatPersisted)        the root's path is ""
//! string "/"
//! string "BenWasHere"
//! ```

use super::error::WireError;
use super::limits::Limits;
use super::measure::{Measure, Part};
use super::strings::java_text;
use crate::jute::{DecodeError, Decoder, Encode, Field};

/// What a leader writes behind a snapshot.
pub const SIGNATURE: &str = "BenWasHere";

/// The path that ends the nodes.
const END: &str = "/";

crate::record! {
    /// A znode's stat as it is stored (`StatPersisted`).
    pub struct NodeStat {
        /// The zxid that created it.
        pub czxid: i64,
        /// The zxid that last changed its data.
        pub mzxid: i64,
        /// When it was created, in milliseconds since 1970.
        pub ctime_ms: i64,
        /// When its data was last changed, in milliseconds since 1970.
        pub mtime_ms: i64,
        /// How often its data was changed.
        pub version: i32,
        /// How many children were created in it.
        pub cversion: i32,
        /// How often its ACL was changed.
        pub aversion: i32,
        /// A session, or the code of a container or of a time to live, or 0.
        pub ephemeral_owner: i64,
        /// The zxid that last changed its list of children.
        pub pzxid: i64,
    }
}

/// One entry of an ACL list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// Permissions, added up.
    pub perms: i32,
    /// The scheme of the identity.
    pub scheme: String,
    /// The identity within its scheme.
    pub id: String,
}

/// What the stream consists of, in this order: the count of sessions, so many sessions, the count of ACL lists, so
/// many lists, nodes, the end.
#[derive(Debug, Clone, PartialEq)]
pub enum SnapshotPiece<'a> {
    /// How many sessions follow.
    Sessions(u32),
    /// A session.
    Session {
        /// Its id.
        id: i64,
        /// Its timeout in milliseconds.
        timeout_ms: i32,
    },
    /// How many ACL lists follow.
    AclLists(u32),
    /// An ACL list.
    AclList {
        /// What nodes name it by.
        id: i64,
        /// Its entries.
        entries: Vec<AclEntry>,
    },
    /// A node.
    Node {
        /// Its path; the root's is empty.
        path: &'a str,
        /// Its data.
        data: Option<&'a [u8]>,
        /// The id of its ACL list; −1 for everybody may do everything.
        acl: i64,
        /// Its stat.
        stat: NodeStat,
    },
    /// That was all, and it was whole.
    End,
}

impl SnapshotPiece<'_> {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            SnapshotPiece::Sessions(count) | SnapshotPiece::AclLists(count) => {
                out.put_count(*count as usize);
            }
            SnapshotPiece::Session { id, timeout_ms } => {
                out.put_i64(*id);
                out.put_i32(*timeout_ms);
            }
            SnapshotPiece::AclList { id, entries } => {
                out.put_i64(*id);
                out.put_count(entries.len());
                for entry in entries {
                    out.put_i32(entry.perms);
                    out.put_str(&entry.scheme);
                    out.put_str(&entry.id);
                }
            }
            SnapshotPiece::Node { path, data, acl, stat } => {
                out.put_str(path);
                out.put_buffer(*data);
                out.put_i64(*acl);
                stat.encode(out);
            }
            SnapshotPiece::End => {
                out.put_str(END);
                out.put_str(SIGNATURE);
            }
        }
    }
}

/// Where in the stream a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    SessionCount,
    Sessions(u32),
    AclCount,
    AclLists(u32),
    Nodes,
    Over,
}

/// Reads the stream, piece by piece.
#[derive(Debug)]
pub(super) struct SnapshotState {
    stage: Stage,
    measure: Measure,
}

const COUNT: [Part; 1] = [Part::Fixed(4)];
const SESSION: [Part; 1] = [Part::Fixed(12)];

impl SnapshotState {
    pub(super) fn new() -> Self {
        SnapshotState { stage: Stage::SessionCount, measure: Measure::default() }
    }

    /// Whether the end has been read.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Reads a piece from exactly its bytes, which [`end`](Self::end) has measured.
    pub(super) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        base: u64,
    ) -> Result<SnapshotPiece<'a>, WireError> {
        self.measure = Measure::default();
        let mut fields = Decoder::new(bytes);
        let piece = match self.stage {
            Stage::SessionCount => SnapshotPiece::Sessions(count("sessions", &mut fields, base)?),
            Stage::Sessions(_) => {
                let (id, timeout_ms) =
                    read("session", base, || Ok((fields.i64()?, fields.i32()?)))?;
                SnapshotPiece::Session { id, timeout_ms }
            }
            Stage::AclCount => SnapshotPiece::AclLists(count("ACL lists", &mut fields, base)?),
            Stage::AclLists(_) => read("ACL list", base, || acl_list(&mut fields))?,
            Stage::Nodes => node(&mut fields, base)?,
            Stage::Over => SnapshotPiece::End,
        };
        self.stage = self.stage.after(&piece);
        Ok(piece)
    }

    /// The length of the piece that `input` begins with, or `None` as long as it is not whole.
    pub(super) fn end(
        &mut self,
        limits: &Limits,
        input: &[u8],
        base: u64,
    ) -> Result<Option<usize>, WireError> {
        let bytes_max = limits.data_bytes_max;
        let path = Part::Buffer { what: "path of a node", bytes_max };
        match self.stage {
            Stage::Over => Ok(None),
            Stage::SessionCount | Stage::AclCount => self.measure.end(&COUNT, input, base),
            Stage::Sessions(_) => self.measure.end(&SESSION, input, base),
            Stage::AclLists(_) => {
                let entries = Part::List { what: "ACL list", fixed: 4, buffers: 2, bytes_max };
                self.measure.end(&[Part::Fixed(8), entries], input, base)
            }
            Stage::Nodes => {
                let parts = [
                    path,
                    Part::Buffer { what: "data of a node", bytes_max },
                    Part::Fixed(8 + <NodeStat as Field<'_>>::BYTES_MIN),
                ];
                if self.measure.end(&parts[..1], input, base)?.is_none() {
                    return Ok(None);
                }
                if input.get(..5).is_some_and(is_end) {
                    let [path, ..] = parts;
                    let signature = Part::Buffer { what: "signature of a snapshot", bytes_max: 64 };
                    return self.measure.end(&[path, signature], input, base);
                }
                self.measure.end(&parts, input, base)
            }
        }
    }
}

/// Whether these bytes are the path that ends the nodes.
fn is_end(bytes: &[u8]) -> bool {
    bytes == [0, 0, 0, 1, b'/']
}

impl Stage {
    fn after(self, piece: &SnapshotPiece<'_>) -> Stage {
        match (self, piece) {
            (_, SnapshotPiece::Sessions(0)) => Stage::AclCount,
            (_, SnapshotPiece::Sessions(count)) => Stage::Sessions(*count),
            (Stage::Sessions(1), _) => Stage::AclCount,
            (Stage::Sessions(left), _) => Stage::Sessions(left.saturating_sub(1)),
            (_, SnapshotPiece::AclLists(0)) => Stage::Nodes,
            (_, SnapshotPiece::AclLists(count)) => Stage::AclLists(*count),
            (Stage::AclLists(1), _) => Stage::Nodes,
            (Stage::AclLists(left), _) => Stage::AclLists(left.saturating_sub(1)),
            (_, SnapshotPiece::End) => Stage::Over,
            (stage, _) => stage,
        }
    }
}

fn read<T>(
    what: &'static str,
    at: u64,
    read: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, WireError> {
    read().map_err(|error| WireError::Content { what, at, error })
}

fn count(what: &'static str, fields: &mut Decoder<'_>, at: u64) -> Result<u32, WireError> {
    let length = read(what, at, || fields.i32())?;
    u32::try_from(length).map_err(|_| WireError::BadLength { what, at, length })
}

fn acl_list<'a>(fields: &mut Decoder<'_>) -> Result<SnapshotPiece<'a>, DecodeError> {
    let id = fields.i64()?;
    let count = fields.count(12)?.unwrap_or_default();
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let perms = fields.i32()?;
        let scheme = java_text(fields.buffer()?.unwrap_or_default()).into_owned();
        let id = java_text(fields.buffer()?.unwrap_or_default()).into_owned();
        entries.push(AclEntry { perms, scheme, id });
    }
    Ok(SnapshotPiece::AclList { id, entries })
}

fn node<'a>(fields: &mut Decoder<'a>, at: u64) -> Result<SnapshotPiece<'a>, WireError> {
    let what = "node";
    let path = read(what, at, || Field::get(fields))?;
    if path == END {
        let found = read("end", at, || fields.buffer())?.unwrap_or_default();
        if found != SIGNATURE.as_bytes() {
            let found = java_text(found).into_owned();
            return Err(WireError::Signature { at, found, expected: SIGNATURE });
        }
        return Ok(SnapshotPiece::End);
    }
    let (data, acl) = read(what, at, || Ok((fields.buffer()?, fields.i64()?)))?;
    let stat = read(what, at, || NodeStat::decode(fields))?;
    Ok(SnapshotPiece::Node { path, data, acl, stat })
}
