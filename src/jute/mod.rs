//! Jute: the big-endian primitive codec under every ZooKeeper record, on the wire and on disk.
//!
//! Owns the reading of primitives from borrowed bytes, the writing of them into a `Vec<u8>`, and the
//! [`record!`](crate::record) macro that makes a struct of fields into a record.
//! Never knows what a record means, never copies what it can borrow, never panics on its input.

mod decode;
mod encode;
mod field;

pub use decode::{DecodeError, Decoder};
pub use encode::Encode;
pub use field::Field;
