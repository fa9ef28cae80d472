//! How a znode is to be made (`CreateMode`).

/// The `flags` of a create request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent = 0,
    /// Goes with its session.
    Ephemeral = 1,
    /// Persistent, with a number behind its name.
    PersistentSequential = 2,
    /// Ephemeral, with a number behind its name.
    EphemeralSequential = 3,
    /// Goes some time after its last child.
    Container = 4,
    /// Goes when it has had no change and no child for its time to live.
    PersistentWithTtl = 5,
    /// The same, with a number behind its name.
    PersistentSequentialWithTtl = 6,
}

impl CreateMode {
    /// The mode that a request's flags mean; `None` is an invalid value (BadArguments).
    pub fn from_flags(flags: i32) -> Option<CreateMode> {
        Some(match flags {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            5 => CreateMode::PersistentWithTtl,
            6 => CreateMode::PersistentSequentialWithTtl,
            _ => return None,
        })
    }

    /// The flags on the wire.
    pub fn flags(self) -> i32 {
        self as i32
    }

    /// Whether a number is put behind the name.
    pub fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        )
    }

    /// Whether the znode goes with its session.
    pub fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    /// Whether it is a container.
    pub fn is_container(self) -> bool {
        self == CreateMode::Container
    }

    /// Whether it has a time to live.
    pub fn is_ttl(self) -> bool {
        matches!(self, CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_what_they_say() {
        let table = [
            (0, false, false, false, false),
            (1, false, true, false, false),
            (2, true, false, false, false),
            (3, true, true, false, false),
            (4, false, false, true, false),
            (5, false, false, false, true),
            (6, true, false, false, true),
        ];
        for (flags, sequential, ephemeral, container, ttl) in table {
            let mode = CreateMode::from_flags(flags).unwrap();
            assert_eq!(mode.flags(), flags);
            assert_eq!(mode.is_sequential(), sequential, "{flags}");
            assert_eq!(mode.is_ephemeral(), ephemeral, "{flags}");
            assert_eq!(mode.is_container(), container, "{flags}");
            assert_eq!(mode.is_ttl(), ttl, "{flags}");
        }
        assert_eq!(CreateMode::from_flags(7), None);
        assert_eq!(CreateMode::from_flags(-1), None);
    }
}
