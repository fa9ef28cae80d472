//! Session ids: the server's id, a time, a count (SessionTrackerImpl.initializeNextSessionId).

/// The server id that a standalone server makes session ids with, as ZooKeeper's does.
pub const SERVER_ID_STANDALONE: i64 = 1;

const SERVER_SHIFT: u32 = 56;
const COUNT_MASK: i64 = (1 << SERVER_SHIFT) - 1;

/// A server id that no session id can be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("server id {0} is out of range: session ids need one of 0 to 254")]
pub struct ServerIdTooLarge(pub i64);

/// The generator of one server's session ids: one byte of server id, 40 bits of the milliseconds
/// it was seeded with, 16 bits that count on (into the time when they run over).
///
/// Ids own ephemeral nodes, and owners with 0xff in the top byte mean TTL nodes, `i64::MIN` means
/// containers, 0 means nobody; none of these is ever handed out.
#[derive(Debug, Clone)]
pub struct SessionIds {
    next: i64,
}

impl SessionIds {
    /// A generator for `server_id`, seeded with a time in milliseconds. The wall clock's is best:
    /// one that starts anew with the machine could meet ids of before.
    pub fn new(server_id: i64, seed_ms: u64) -> Result<Self, ServerIdTooLarge> {
        if !(0..=0xfe).contains(&server_id) {
            return Err(ServerIdTooLarge(server_id));
        }
        let time = ((seed_ms << 24) >> 8) as i64;
        Ok(Self { next: time | server_id << SERVER_SHIFT })
    }

    /// The next id that `is_taken` does not know (sessions outlive the generator that made them).
    pub fn next(&mut self, is_taken: impl Fn(i64) -> bool) -> i64 {
        loop {
            let id = self.next;
            let server = self.next & !COUNT_MASK;
            self.next = server | (self.next.wrapping_add(1) & COUNT_MASK);
            if id != 0 && id != i64::MIN && !is_taken(id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CONTAINER_OWNER, EphemeralType};

    fn ids(server_id: i64, seed_ms: u64) -> SessionIds {
        SessionIds::new(server_id, seed_ms).unwrap()
    }

    #[test]
    fn the_seed_is_laid_out_as_zookeepers() {
        // A server with id 1 that was up 0x71459e84 ms made 0x10071459e8408e9 its 0x8ea-th session.
        let first = ids(1, 0x7145_9e84).next(|_| false);
        assert_eq!(first, 0x0100_7145_9e84_0000);
        assert_eq!(ids(0x80, 1).next(|_| false) as u64, 0x8000_0000_0001_0000);
        // Only 40 bits of the time fit.
        assert_eq!(ids(1, 0xab12_3456_789a).next(|_| false), 0x0112_3456_789a_0000);
    }

    #[test]
    fn ids_count_up_and_keep_their_server() {
        let mut ids = ids(2, u64::MAX);
        let taken: Vec<i64> = (0..0x1_0003).map(|_| ids.next(|_| false)).collect();
        assert!(taken.iter().all(|id| id >> SERVER_SHIFT == 2));
        assert_eq!(taken[0xffff], 0x02ff_ffff_ffff_ffff);
        assert_eq!(taken[0x1_0000], 0x0200_0000_0000_0000);
    }

    #[test]
    fn no_id_means_something_else() {
        assert_eq!(ids(0, 0).next(|_| false), 1, "0 is nobody");
        assert_eq!(ids(0x80, 0).next(|_| false), CONTAINER_OWNER + 1);
        for server in [0, 1, 0x7f, 0x80, 0xfe] {
            let id = ids(server, 12345).next(|_| false);
            assert_eq!(EphemeralType::of(id, true), EphemeralType::of(1, true), "{server}");
        }
        assert_eq!(SessionIds::new(0xff, 0).unwrap_err(), ServerIdTooLarge(0xff));
        assert!(SessionIds::new(-1, 0).is_err());
    }

    #[test]
    fn living_ids_are_passed_over() {
        let first = 1 << SERVER_SHIFT;
        assert_eq!(ids(1, 0).next(|id| id < first + 3), first + 3);
    }
}
