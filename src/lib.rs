//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.

pub mod cli;
pub mod lanes;
pub mod reactor;
/// Stand-in until the protocol room is merged.
pub mod protocol {
    /// A transaction id, signed as on the wire.
    pub type Zxid = i64;
}
