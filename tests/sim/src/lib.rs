//! A simulated ensemble: the real protocol core, log, tree and prepare on virtual time, network and
//! disks. Everything that happens follows from a seed, so that any failure can be replayed.

pub mod check;
pub mod disk;
pub mod network;
pub mod random;
pub mod shrink;
pub mod store;
pub mod time;
