//! A simulated ensemble: the real protocol core, log, tree and prepare on virtual time, network and
//! disks. Everything that happens follows from a seed, so that any failure can be replayed.

pub mod aim;
pub mod check;
pub mod client;
pub mod config;
pub mod context;
pub mod disk;
pub mod network;
pub mod odd;
pub mod plan;
pub mod random;
pub mod report;
pub mod run;
pub mod server;
pub mod shrink;
pub mod store;
pub mod time;
pub mod trace;
pub mod whole;
pub mod wire;
pub mod world;
