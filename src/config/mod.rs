//! Configuration: ZooKeeper's `zoo.cfg` and the command line's flags become one plain [`Config`].
//!
//! This room owns the one table of keys ([`table`]) from which parsing, warnings and
//! `docs/configuration.md` are made. It reads files once, at the start; it never holds global
//! state, and no other room reads a property by name: they are handed the values they need.

mod alike;
pub mod document;
pub mod error;
pub mod keys;
pub mod load;
pub mod properties;
pub mod settings;
pub mod table;

pub use error::{ConfigError, Place, Problem, Warning};
pub use load::{Loaded, Override, load};
pub use settings::{Config, Pinning, Placement};
