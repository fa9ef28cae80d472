//! A shard. (Front file of the room; only the four-letter words are here so far.)

pub mod words;
