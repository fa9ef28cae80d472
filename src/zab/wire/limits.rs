//! How much is taken from a peer.

/// A client request's length at the most, `jute.maxbuffer` unless it is set.
pub const REQUEST_BYTES_MAX: usize = 0xfffff;

/// The bytes of a hello's addresses: at least 1, at most this many (`QuorumCnxManager.maxBuffer`).
pub const HELLO_ADDRESS_BYTES_MAX: usize = 2048;

/// A frame of the election port: at least 1 byte, at most this many (`QuorumCnxManager.PACKETMAXSIZE`).
pub const FRAME_BYTES_MAX: usize = 512 * 1024;

/// A notification without the peer's epoch, as servers before 3.4 sent them.
pub const NOTIFICATION_BYTES_28: usize = 28;
/// A notification with the peer's epoch; its last four bytes, the version, are not looked at.
pub const NOTIFICATION_BYTES_40: usize = 40;
/// A notification of today without its configuration's bytes.
pub const NOTIFICATION_BYTES_44: usize = 44;

/// How much a quorum port's packet may hold. What is longer is an error before anything is kept of it, so that a
/// reader holds at most one packet and what was handed to it at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The data of a packet; a node's path and data and an ACL list in a snapshot, each.
    pub data_bytes_max: usize,
    /// The identities of a request, all together.
    pub auth_bytes_max: usize,
}

impl Limits {
    /// What a server with this `jute.maxbuffer` takes. ZooKeeper's `BinaryInputArchive` takes as much again
    /// (`jute.maxbuffer.extrasize`), for a transaction is longer than the request that it was made from.
    pub const fn for_requests(bytes_max: usize) -> Limits {
        let extra = if bytes_max < 1024 { 1024 } else { bytes_max };
        Limits { data_bytes_max: bytes_max + extra, auth_bytes_max: REQUEST_BYTES_MAX }
    }

    /// The longest packet, all counted.
    pub const fn packet_bytes_max(&self) -> usize {
        4 + 8 + 4 + self.data_bytes_max + 4 + self.auth_bytes_max
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::for_requests(REQUEST_BYTES_MAX)
    }
}
