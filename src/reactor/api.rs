//! What a resident and the loop that steps it know of each other. The simulator implements [`Io`]
//! too, so nothing here may need a kernel.

use super::{AlignedBuf, Waker, monotonic_ns};
use std::io;
use std::net::{SocketAddr, TcpStream};

/// A connection of one reactor. The generation tells apart connections that used one index in turn.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash)]
pub struct ConnId {
    /// Place in the reactor's table; small, reused.
    pub index: u32,
    /// How often the place was used before.
    pub generation: u32,
}

/// What [`Resident::step`] wants next.
#[derive(Debug, Copy, Clone, Eq, PartialEq)]
pub enum Turn {
    /// There is more work: go round again without sleeping.
    Again,
    /// Nothing to do until something arrives, or until the deadline ([`Io::now_ns`]'s clock).
    Idle {
        /// When to step again at the latest, whatever happens.
        deadline_ns: Option<u64>,
    },
    /// As [`Turn::Idle`], but something is about to complete that is worth staying awake for.
    Soon {
        /// Until when to poll ([`Io::now_ns`]'s clock); then it may sleep.
        poll_until_ns: u64,
        /// When to step again at the latest, whatever happens.
        deadline_ns: Option<u64>,
    },
    /// Nothing to do until several things have arrived, or until soon: answers have just left, and what they call
    /// forth is worth more together, or it would wait for the log anyway. Sleeping through the first arrivals saves a
    /// wake-up each.
    Gather {
        /// When to step again at the latest ([`Io::now_ns`]'s clock): some tens of microseconds ahead, for everything
        /// else that arrives waits as well.
        until_ns: u64,
        /// How many completions to sleep through, at least 1.
        arrivals: u32,
    },
}

impl Turn {
    /// What suits both, of two residents of one thread or two reasons of one: the one that waits less.
    pub fn sooner(self, other: Turn) -> Turn {
        match (self, other) {
            (Turn::Again, _) | (_, Turn::Again) => Turn::Again,
            // Some tens of microseconds: no deadline of anybody else's is hurt by that.
            (gather @ Turn::Gather { .. }, _) | (_, gather @ Turn::Gather { .. }) => gather,
            (Turn::Idle { deadline_ns: a }, Turn::Idle { deadline_ns: b }) => {
                Turn::Idle { deadline_ns: earlier(a, b) }
            }
            (Turn::Soon { poll_until_ns, deadline_ns: a }, Turn::Idle { deadline_ns: b })
            | (Turn::Idle { deadline_ns: a }, Turn::Soon { poll_until_ns, deadline_ns: b }) => {
                Turn::Soon { poll_until_ns, deadline_ns: earlier(a, b) }
            }
            (
                Turn::Soon { poll_until_ns: a, deadline_ns },
                Turn::Soon { poll_until_ns: b, deadline_ns: later },
            ) => Turn::Soon { poll_until_ns: a.max(b), deadline_ns: earlier(deadline_ns, later) },
        }
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

/// What a resident may ask of whoever steps it.
pub trait Io {
    /// What a log is written to: [`super::LogFile`], or a simulated disk's.
    type File;

    /// Monotonic time, read once a pass. [`super::monotonic_ns`] is the same clock.
    fn now_ns(&self) -> u64;

    /// The same clock, read anew: for work that watches how long it takes.
    #[inline]
    fn clock_ns(&self) -> u64 {
        monotonic_ns()
    }

    /// The wall clock, milliseconds since 1970.
    #[inline]
    fn wall_clock_ms(&self) -> i64 {
        crate::process::wall_clock_ms()
    }

    /// Ends the process: see [`crate::process::fatal`].
    fn fatal(&mut self, why: &str) -> ! {
        crate::process::fatal(why)
    }

    /// The connection's output, to append to; `None` once it is gone or being closed. All that is
    /// appended in one pass leaves in one send.
    fn out(&mut self, c: ConnId) -> Option<&mut Vec<u8>>;

    /// Bytes appended and not yet taken by the kernel; 0 for a connection that is gone.
    fn backlog(&self, c: ConnId) -> usize;

    /// Bytes of the connection's output that its peer has taken, as far as is known; 0 for a connection that is gone.
    /// It tells a reader that is slow from one that has stopped: the backlog may stand still for minutes while
    /// megabytes in the kernel's own queue drain. Costs a system call.
    fn taken(&self, c: ConnId) -> u64;

    /// Memory that the connection's output holds: more than its backlog by what has left of a send that has not ended,
    /// and by room to grow. 0 for a connection that is gone.
    fn held(&self, c: ConnId) -> usize;

    /// Memory held by the output of all connections, but those that are closed without it.
    fn output_bytes(&mut self) -> usize;

    /// Closes: after what was appended has left, or at once and without it. `closed` follows.
    fn close(&mut self, c: ConnId, after_flush: bool);

    /// Keeps the connection, whose answer is being made, although its peer may end its half of it: it is written to and closed
    /// as if it had not. What a peer that is gone altogether was to be told is found out when it is sent.
    fn outlive_input(&mut self, c: ConnId) {
        let _ = c;
    }

    /// Stops reading the socket. No `bytes` follow until [`resume`](Self::resume); what the kernel
    /// had already delivered is kept.
    fn pause(&mut self, c: ConnId);

    /// Reads the socket again, what was kept first.
    fn resume(&mut self, c: ConnId);

    /// Stops accepting connections on every listener. One that is just being accepted may still come.
    fn pause_accept(&mut self);

    /// Accepts connections again.
    fn resume_accept(&mut self);

    /// Starts a write of the whole buffer; `disk_done` brings the buffer back. Several may be in
    /// flight, and they complete in any order. Offset, length and address must suit the file
    /// (O_DIRECT: multiples of [`super::ALIGN`]).
    fn write(&mut self, file: &Self::File, offset: u64, buf: AlignedBuf, token: u64);

    /// Makes another reactor go through a pass that begins after this one's `step`; sent at the end
    /// of the pass, once, and only if that reactor sleeps.
    fn wake(&mut self, who: &Waker);

    /// Takes over a stream that somebody else connected (a peer's, say). No `opened` follows; from
    /// here on it is a connection like any other. `None` if there is no room for it or if whoever
    /// steps the resident has no sockets.
    fn adopt(&mut self, stream: TcpStream) -> Option<ConnId> {
        drop(stream);
        None
    }
}

/// A state machine that a reactor steps. All calls come from one thread, one at a time.
pub trait Resident {
    /// What its log, if it has one, is written to.
    type File;

    /// A connection was accepted.
    fn opened<I: Io<File = Self::File>>(
        &mut self,
        io: &mut I,
        c: ConnId,
        peer: SocketAddr,
        local: SocketAddr,
    );

    /// Bytes arrived. They are only there during the call.
    fn bytes<I: Io<File = Self::File>>(&mut self, io: &mut I, c: ConnId, data: &[u8]);

    /// The backlog is 0 again after one send had not been enough for it, or while the connection is paused. Otherwise not
    /// called when all that was appended in a pass left with its send.
    fn drained<I: Io<File = Self::File>>(&mut self, io: &mut I, c: ConnId);

    /// The peer closed or reset the connection, or our close is complete. `c` is dead from here on.
    fn closed<I: Io<File = Self::File>>(&mut self, io: &mut I, c: ConnId);

    /// A write completed: how many bytes were written, or why none.
    fn disk_done<I: Io<File = Self::File>>(
        &mut self,
        io: &mut I,
        token: u64,
        result: io::Result<usize>,
        buf: AlignedBuf,
    );

    /// Once a pass, after all completions were delivered.
    fn step<I: Io<File = Self::File>>(&mut self, io: &mut I) -> Turn;

    /// About to park: set parked flags, fence, look once more. True: may park.
    fn before_park(&mut self) -> bool {
        true
    }

    /// Back from the park for which `before_park` said true.
    fn after_park(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sooner_turn_wins() {
        let idle = |deadline_ns| Turn::Idle { deadline_ns };
        assert_eq!(idle(Some(3)).sooner(idle(Some(2))), idle(Some(2)));
        assert_eq!(idle(None).sooner(idle(Some(2))), idle(Some(2)));
        assert_eq!(idle(None).sooner(idle(None)), idle(None));
        assert_eq!(idle(Some(1)).sooner(Turn::Again), Turn::Again);
        let gather = Turn::Gather { until_ns: 5, arrivals: 2 };
        assert_eq!(idle(Some(1)).sooner(gather), gather);
        assert_eq!(gather.sooner(Turn::Again), Turn::Again);
        let soon = |poll_until_ns, deadline_ns| Turn::Soon { poll_until_ns, deadline_ns };
        assert_eq!(idle(Some(3)).sooner(soon(9, Some(5))), soon(9, Some(3)));
        assert_eq!(soon(9, Some(5)).sooner(idle(None)), soon(9, Some(5)));
        assert_eq!(soon(9, None).sooner(soon(8, Some(2))), soon(9, Some(2)));
        assert_eq!(soon(9, None).sooner(gather), gather);
    }
}
