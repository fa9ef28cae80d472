//! Runs the models of `src/lanes` and of the publication protocol of `src/tree` on their very files, without the rest of the package.

/// What the commit ring needs of the protocol.
pub mod protocol {
    /// A transaction id, signed as on the wire.
    pub type Zxid = i64;
}

pub mod lanes;
mod tree;
