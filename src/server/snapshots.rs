//! The thread that takes snapshots: an ordinary, unpinned one of low priority.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::admin::{CoreLetter, Office};
use crate::config::Config;
use crate::ensemble::SnapshotRequests;
use crate::metrics::{Counter, Summary, Writer};
use crate::reactor::Waker;
use crate::snapshot::{self, SnapshotPolicy, WriteOptions};
use crate::tree::Tree;

use super::recovery::Report;

/// Both ends of the way to the thread, before it runs.
pub(super) struct Snapshots {
    ask: SyncSender<()>,
    asked: Receiver<()>,
}

/// What the thread works with.
pub(super) struct Taker {
    pub tree: Arc<Tree>,
    pub dir: PathBuf,
    pub retain: usize,
    pub purges: bool,
    pub core: Office,
    pub waker: Waker,
    pub metrics: Writer,
}

/// The running thread; dropping it gives up a snapshot in the making and joins.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    ask: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Snapshots {
    pub(super) fn new() -> Snapshots {
        let (ask, asked) = sync_channel(1);
        Snapshots { ask, asked }
    }

    /// The core's end.
    /// What was replayed counts as logged: a server that is started again and again would never take a snapshot otherwise.
    pub(super) fn requests(&self, config: &Config, replayed: &Report) -> SnapshotRequests {
        let seed = crate::process::wall_clock_ms() as u64;
        let size_limit = (config.snap_size_limit_kb as i64).saturating_mul(1024);
        let policy = SnapshotPolicy::new(u64::from(config.snap_count), size_limit, seed);
        let mut requests = SnapshotRequests::new(policy, self.ask.clone());
        requests.logged(replayed.transactions, replayed.bytes);
        requests
    }

    pub(super) fn start(self, taker: Taker) -> std::io::Result<Running> {
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, stopped) = (self.asked, stop.clone());
        let body = move || {
            while asked.recv().is_ok() && !stopped.load(Ordering::Acquire) {
                taker.take(&stopped);
            }
        };
        let thread = std::thread::Builder::new().name("snapshot".into()).spawn(body)?;
        Ok(Running { stop, ask: self.ask, thread: Some(thread) })
    }
}

impl Taker {
    fn take(&self, stop: &AtomicBool) {
        let began = Instant::now();
        let retain = if self.purges { self.retain } else { usize::MAX };
        let options =
            WriteOptions { now_ms: crate::process::wall_clock_ms(), ..WriteOptions::default() };
        let letter = match snapshot::take(&self.tree, &self.dir, retain, &options, stop) {
            Ok((verified, oldest)) => {
                let info = verified.info();
                tracing::info!(
                    "snapshot of zxid 0x{:x}: {} znodes, {} bytes, {:.1} s",
                    info.zxid,
                    info.nodes,
                    info.file_bytes,
                    began.elapsed().as_secs_f64()
                );
                self.metrics.record(Summary::SnapshotTime, began.elapsed().as_nanos() as u64);
                let purge_to = self.purges.then_some(oldest);
                CoreLetter::SnapshotTaken { raw_bytes: info.raw_bytes, purge_to }
            }
            Err(_) if stop.load(Ordering::Acquire) => return,
            Err(e) => {
                tracing::error!("a snapshot could not be taken; the log is kept: {e}");
                self.metrics.count(Counter::SnapshotErrors);
                CoreLetter::SnapshotFailed
            }
        };
        self.core.mailbox.send(letter);
        self.waker.wake();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread if it waits; if its queue is full, it is awake.
        let _ = self.ask.try_send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
