//! The files of `src/tree` that synchronise threads.

#[allow(dead_code)]
#[path = "../../../src/tree/slots.rs"]
mod slots;
#[allow(unused_imports)]
#[path = "../../../src/tree/sync.rs"]
mod sync;
