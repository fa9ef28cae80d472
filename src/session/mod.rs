//! Sessions: their ids, passwords and time-outs, when they expire, and which connection they are on.
//!
//! Owns: the id generator, the password rule, the expiry wheel, the slots in which shards note that
//! they heard from a session, and the registry of live sessions that the ensemble core holds.
//! Never does: I/O, reading a clock (`now_ms`, monotonic, is handed in), the transactions that
//! create and close sessions (the core makes those; the tree has what is committed of them).
//!
//! Two times are told apart: *monotonic* milliseconds as they are handed in, and *alive*
//! milliseconds, which stand still while the process stalled (see [`AliveClock`]).

mod alive;
mod heard;
mod ids;
mod password;
mod registry;
mod timeout;
mod wheel;

pub use alive::AliveClock;
pub use heard::HeardSlots;
pub use ids::{SERVER_ID_STANDALONE, ServerIdTooLarge, SessionIds};
pub use password::{check_password, password};
pub use registry::{
    Attached, Attachment, Expiry, RegistryConfig, SessionRefused, SessionRegistry, SessionView,
    TooManySessions,
};
pub use timeout::{TimeoutBounds, TimeoutBoundsError};
pub use wheel::{Look, Wheel};
