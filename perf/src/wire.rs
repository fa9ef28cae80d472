//! The few ZooKeeper records that the measurements need, encoded and decoded by hand.
//!
//! Independent of the product's codec on purpose: a mistake there must show here.
//! Encoders append whole frames (length prefix included) to a buffer; decoders take the body of a
//! frame (length prefix removed). Numbers are big-endian; lengths are in bytes.

/// Operation codes (`ZooDefs.OpCode`).
pub mod op {
    /// create
    pub const CREATE: i32 = 1;
    /// getData
    pub const GET_DATA: i32 = 4;
    /// setData
    pub const SET_DATA: i32 = 5;
    /// multi
    pub const MULTI: i32 = 14;
    /// closeSession
    pub const CLOSE_SESSION: i32 = -11;
}

/// The xid of a watch event's reply header.
pub const XID_NOTIFICATION: i32 = -1;
/// Watch event: the data of a node changed.
pub const EVENT_DATA_CHANGED: i32 = 3;
/// Bytes of a Stat.
pub const STAT_BYTES: usize = 68;
/// Bytes of a reply header.
pub const REPLY_HEADER_BYTES: usize = 16;
/// Frames longer than this are taken for nonsense.
pub const FRAME_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// What can be wrong with bytes from a server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The frame ends inside a field.
    #[error("the frame ends inside {0}")]
    Short(&'static str),
    /// A length that cannot be.
    #[error("{what} has an impossible length {length}")]
    Length {
        /// The field.
        what: &'static str,
        /// The length it claims, in bytes or items.
        length: i32,
    },
    /// A text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    Text(&'static str),
}

/// Reads fields from the front of a frame's body.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `body`.
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(WireError::Short(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// A 32-bit number.
    pub fn int(&mut self, what: &'static str) -> Result<i32, WireError> {
        let bytes = self.take(4, what)?;
        Ok(i32::from_be_bytes(bytes.try_into().map_err(|_| WireError::Short(what))?))
    }

    /// A 64-bit number.
    pub fn long(&mut self, what: &'static str) -> Result<i64, WireError> {
        let bytes = self.take(8, what)?;
        Ok(i64::from_be_bytes(bytes.try_into().map_err(|_| WireError::Short(what))?))
    }

    /// A buffer; the absent one (length −1) reads as empty.
    pub fn buffer(&mut self, what: &'static str) -> Result<&'a [u8], WireError> {
        match self.int(what)? {
            -1 => Ok(&[]),
            length if length < 0 => Err(WireError::Length { what, length }),
            length => self.take(length as usize, what),
        }
    }

    /// A text.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.buffer(what)?).map_err(|_| WireError::Text(what))
    }
}

/// The header of every reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// Number of the request it answers; −1 for watch events.
    pub xid: i32,
    /// Newest transaction the server had applied.
    pub zxid: i64,
    /// 0 or an error code.
    pub err: i32,
}

impl ReplyHeader {
    /// Reads a header and leaves the body in the reader.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { xid: reader.int("xid")?, zxid: reader.long("zxid")?, err: reader.int("err")? })
    }
}

/// The part of a Stat that measurements look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Zxid of the last change of the data.
    pub mzxid: i64,
    /// How many times the data changed.
    pub version: i32,
    /// Length of the data in bytes.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
}

impl Stat {
    /// Reads a whole Stat.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.long("czxid")?;
        let mzxid = reader.long("mzxid")?;
        reader.long("ctime")?;
        reader.long("mtime")?;
        let version = reader.int("version")?;
        reader.int("cversion")?;
        reader.int("aversion")?;
        reader.long("ephemeralOwner")?;
        let data_length = reader.int("dataLength")?;
        let num_children = reader.int("numChildren")?;
        reader.long("pzxid")?;
        Ok(Self { mzxid, version, data_length, num_children })
    }
}

/// The answer to a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Agreed session time-out in milliseconds.
    pub timeout_ms: i32,
    /// The session's number; 0 says that the session is refused.
    pub session_id: i64,
}

impl ConnectResponse {
    /// Reads it from a frame's body.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        reader.int("protocolVersion")?;
        let timeout_ms = reader.int("timeOut")?;
        let session_id = reader.long("sessionId")?;
        reader.buffer("passwd")?;
        Ok(Self { timeout_ms, session_id })
    }
}

/// A watch event, after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    /// What happened (3: data changed).
    pub kind: i32,
    /// State of the connection (3: connected).
    pub state: i32,
    /// The node.
    pub path: &'a str,
}

impl<'a> WatcherEvent<'a> {
    /// Reads it from what follows the reply header.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self {
            kind: reader.int("type")?,
            state: reader.int("state")?,
            path: reader.text("path")?,
        })
    }
}

/// The next whole frame at the front of `bytes`: its body and the bytes it takes with its prefix.
/// `None` while more bytes are needed.
#[inline]
pub fn next_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, WireError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*prefix);
    if length < 0 || length as usize > FRAME_LIMIT_BYTES {
        return Err(WireError::Length { what: "a frame", length });
    }
    let length = length as usize;
    Ok(rest.get(..length).map(|body| (body, length + 4)))
}

/// Appends fields; [`frame`] wraps it so that the prefix is right.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// A 32-bit number.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A 64-bit number.
    pub fn long(&mut self, value: i64) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A truth value.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.out.push(u8::from(value));
        self
    }

    /// A buffer with its length.
    pub fn buffer(&mut self, value: &[u8]) -> &mut Self {
        self.int(i32::try_from(value.len()).expect("our own buffers are small"));
        self.out.extend_from_slice(value);
        self
    }

    /// A text with its length.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.buffer(value.as_bytes())
    }
}

/// Appends one frame whose body `fill` writes.
pub fn frame(out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(&mut Writer { out });
    let length = u32::try_from(out.len() - start - 4).expect("our own frames are small");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A handshake for a new session.
pub fn connect(out: &mut Vec<u8>, timeout_ms: i32) {
    frame(out, |w| {
        w.int(0).long(0).int(timeout_ms).long(0).buffer(&[0; 16]).boolean(false);
    });
}

/// A getData request.
pub fn get_data(out: &mut Vec<u8>, xid: i32, path: &str, watch: bool) {
    frame(out, |w| {
        w.int(xid).int(op::GET_DATA).text(path).boolean(watch);
    });
}

/// A setData request that fits any version.
pub fn set_data(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    frame(out, |w| {
        w.int(xid).int(op::SET_DATA).text(path).buffer(data).int(-1);
    });
}

/// The end of a session.
pub fn close_session(out: &mut Vec<u8>, xid: i32) {
    frame(out, |w| {
        w.int(xid).int(op::CLOSE_SESSION);
    });
}

fn create_body(w: &mut Writer<'_>, path: &str, data: &[u8]) {
    // One ACL, world:anyone with all rights; flags 0: persistent.
    w.text(path).buffer(data).int(1).int(31).text("world").text("anyone").int(0);
}

/// A create request for a persistent node that everybody may use.
pub fn create(out: &mut Vec<u8>, xid: i32, path: &str, data: &[u8]) {
    frame(out, |w| {
        w.int(xid).int(op::CREATE);
        create_body(w, path, data);
    });
}

/// One multi that creates all these nodes with the same data.
pub fn multi_create<'p>(
    out: &mut Vec<u8>,
    xid: i32,
    paths: impl Iterator<Item = &'p str>,
    data: &[u8],
) {
    frame(out, |w| {
        w.int(xid).int(op::MULTI);
        for path in paths {
            w.int(op::CREATE).boolean(false).int(-1);
            create_body(w, path, data);
        }
        w.int(-1).boolean(true).int(-1);
    });
}

/// Whether the body of a multi reply consists of `count` successful creates.
pub fn multi_created(reader: &mut Reader<'_>, count: usize) -> Result<bool, WireError> {
    for _ in 0..count {
        let kind = reader.int("multi type")?;
        reader.take(1, "multi done")?;
        let err = reader.int("multi err")?;
        if kind != op::CREATE || err != 0 {
            return Ok(false);
        }
        reader.text("created path")?;
    }
    Ok(reader.int("multi type")? == -1)
}

/// The xid of a frame that this program encoded, to be overwritten.
#[inline]
pub fn patch_xid(frame: &mut [u8], xid: i32) {
    frame[4..8].copy_from_slice(&xid.to_be_bytes());
}

/// Bytes behind the header of a getData reply with this much data.
pub const fn get_data_reply_bytes(data_bytes: usize) -> usize {
    4 + data_bytes + STAT_BYTES
}

/// Bytes behind the header of a setData reply.
pub const SET_DATA_REPLY_BYTES: usize = STAT_BYTES;

#[cfg(test)]
mod tests;
