//! What a reactor is told at its start, and what it tells while it runs.

use super::{PassClock, Waker};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How to run one reactor.
#[derive(Debug)]
pub struct ReactorConfig {
    /// The thread's name.
    pub name: String,
    /// The CPU to pin the thread to; `None`: wherever the scheduler likes.
    pub cpu: Option<usize>,
    /// Bound and listening sockets (SO_REUSEPORT where reactors share a port). What is set on them
    /// and inherited holds for their connections; TCP_NODELAY is always set.
    pub listen: Vec<TcpListener>,
    /// How long to poll for work before sleeping, microseconds. 0: never. While it polls, the
    /// thread uses its core fully.
    pub busy_poll_us: u32,
    /// Entries of the submission queue.
    pub submissions: u32,
    /// Entries of the completion queue.
    pub completions: u32,
    /// Receive buffers (of 2 KiB) at most; as many are used as were ever needed at once.
    pub recv_buffers_max: u16,
    /// Connections at most. One more is accepted and closed at once.
    pub connections_max: usize,
    /// How long a closing connection that still has something to send may go without its peer taking any of it,
    /// milliseconds.
    pub linger_ms: u32,
    /// Files that stay open until the kernel has ended everything it does for this reactor, even if the process is
    /// killed before: a lock of a directory to which writes may be under way.
    pub held_files: Vec<OwnedFd>,
    /// The waker to answer to; made beforehand so that others could be given it. `None`: a new one.
    pub waker: Option<Waker>,
    /// The clock to keep; made beforehand so that others could be given it. `None`: a new one.
    pub clock: Option<Arc<PassClock>>,
    /// Where to count; made beforehand so that others could be given it. `None`: a new one.
    pub stats: Option<Arc<ReactorStats>>,
}

impl Default for ReactorConfig {
    fn default() -> Self {
        Self {
            name: "reactor".into(),
            cpu: None,
            listen: Vec::new(),
            busy_poll_us: 0,
            submissions: 4096,
            completions: 32_768,
            recv_buffers_max: 4096,
            connections_max: 1 << 20,
            linger_ms: 5_000,
            held_files: Vec::new(),
            waker: None,
            clock: None,
            stats: None,
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one reactor, since its start. Brought up to date at least every few
        /// milliseconds while it works, and before it parks.
        #[derive(Debug, Default)]
        pub struct ReactorStats { $($(#[$doc])* pub $name: AtomicU64,)* }

        /// The same on the reactor's own thread.
        #[derive(Debug, Default)]
        pub(super) struct Counts { $(pub(super) $name: u64,)* }

        impl Counts {
            pub(super) fn publish(&self, to: &ReactorStats) {
                $(to.$name.store(self.$name, Ordering::Relaxed);)*
            }
        }
    };
}

counters! {
    /// Connections now open.
    connections,
    /// Passes made.
    passes,
    /// System calls to the ring.
    enters,
    /// Connections accepted.
    accepted,
    /// Connections closed at once because `connections_max` was reached.
    refused,
    /// Accepts that failed, for want of descriptors or memory for instance.
    accept_errors,
    /// Receives that found no buffer and were started again.
    recv_no_buffer,
    /// Bytes received.
    recv_bytes,
    /// Sends made.
    sends,
    /// Bytes sent.
    send_bytes,
    /// Sends that found the socket full and had to wait.
    sends_waited,
    /// Connections that ended by an error rather than by a close.
    conn_errors,
    /// Wakes sent to other reactors that slept.
    wakes_sent,
    /// Wakes that needed no sending because the other reactor was awake.
    wakes_spared,
    /// Waits in the own ring.
    waits,
    /// Parks through the executor.
    parks,
    /// Parks that slept over work until the coarse timer found it: should stay 0.
    wakes_lost,
    /// Log writes completed.
    writes,
    /// Completions that did not fit the completion queue.
    overflows,
}
