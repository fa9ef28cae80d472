//! The small words of the protocol: zxids, servers, connections, generations, transactions.

use std::fmt;
use std::sync::Arc;

/// A transaction's number: the epoch of the leader that proposed it in the high 32 bits, its place within that epoch
/// in the low ones. Signed as on the wire; never negative in a log.
pub type Zxid = i64;

/// A server's number, the `x` of `server.x`. Voters and observers have positive ones; a learner that takes part in
/// nothing (see [`Durable::intact`](super::Durable)) names itself by a negative one.
pub type Sid = i64;

/// A leader's number. A zxid holds 32 bits of it, of which ZooKeeper uses 31.
pub type Epoch = i64;

/// A transaction's bytes as ZooKeeper logs them: header, body, digest. The core never looks into them.
pub type Txn = Arc<[u8]>;

/// The last epoch there may be: one more would make zxids negative.
pub const EPOCH_MAX: Epoch = i32::MAX as Epoch;

/// The last counter of an epoch that a transaction may have. The one after it, all ones, makes the leader give up
/// (ZooKeeper's `Leader.propose`).
pub const COUNTER_MAX: i64 = 0xffff_fffe;

/// The epoch that a zxid belongs to.
#[inline]
pub fn epoch_of(zxid: Zxid) -> Epoch {
    zxid >> 32
}

/// A zxid's place within its epoch. 0: no transaction has it, a new leader publishes it when it is established.
#[inline]
pub fn counter_of(zxid: Zxid) -> i64 {
    zxid & 0xffff_ffff
}

/// The zxid at `counter` of `epoch`.
#[inline]
pub fn make_zxid(epoch: Epoch, counter: i64) -> Zxid {
    (epoch << 32) | (counter & 0xffff_ffff)
}

/// A zxid as people write it: epoch and counter in hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Show(pub Zxid);

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{:x}.{:x}", epoch_of(self.0), counter_of(self.0))
    }
}

/// One connection of the quorum port, incoming or outgoing. The driver gives out the numbers and **never uses one
/// twice** in the life of a process, so that what comes late from an old connection can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Numbers the histories of a log within one process: it grows whenever the role changes, the log is cut, or another
/// log is written to. A completion that carries an older one is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);
