//! Spare segments: made ahead in the background, zero-written or recycled, so that the writer
//! never extends a file.
//!
//! A spare already has the name of a segment, and a first sector of zeros; it becomes one when
//! its start frame is written, a plain overwrite with no metadata behind it.
//!
//! So a segment that is lost with the log's end would look like a spare that nobody has used yet. Therefore the name of
//! the newest one that has been written to is remembered in the directory ([`LogDir::set_newest`]), by this thread, a
//! moment after its first frame is on the medium: never before, or a crash would leave a name without a frame.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::log::disk::{LogDir, SegmentFile, zeroed};
use crate::log::error::LogError;
use crate::log::frame::SECTOR;
use crate::log::segment::{self, UNFINISHED};

/// How long the maker waits before it tries again after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Recycled segments kept at the most, however many were used up from one snapshot to the next: with segments as large as
/// they are by default, what `snapSizeLimitInKb` by default lets the log grow by in that time.
const KEPT_MAX: usize = 64;

/// A segment that is ready to be written.
pub(crate) struct Spare<F> {
    pub index: u64,
    pub file: F,
    pub bytes: u64,
}

struct State<F> {
    ready: VecDeque<Spare<F>>,
    /// Segments that nobody needs any more.
    retired: VecDeque<u64>,
    next_index: u64,
    /// What a batch that waits needs at once, if that is more than are kept ready.
    asked: usize,
    /// Spares taken since segments were last given back, and how many are to be kept of those that are: as many as were
    /// taken lately from one time to the next, for so many will be needed again. Removing them and writing zeros anew would
    /// cost the disk each of their bytes twice.
    taken: usize,
    kept: usize,
    failed: Option<String>,
    /// The newest segment of which a frame is on the medium, and the newest that was remembered.
    reached: u64,
    remembered: u64,
    stop: bool,
}

struct Shared<F> {
    state: Mutex<State<F>>,
    changed: Condvar,
}

impl<F> Shared<F> {
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        // The state is only ever changed by single assignments: it is whole even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's side.
pub(crate) struct Spares<F> {
    shared: Arc<Shared<F>>,
}

/// Makes spares; run by a background thread, or by hand in a simulator.
pub struct SpareMaker<D: LogDir> {
    dir: Arc<D>,
    shared: Arc<Shared<D::File>>,
    segment_bytes: u64,
    wanted: usize,
    notify: Option<Box<dyn Fn() + Send>>,
}

/// The background thread that makes spares; dropping it stops and joins the thread.
pub struct SpareThread {
    stop: Option<Box<dyn FnOnce() + Send>>,
    thread: Option<JoinHandle<()>>,
}

/// Joins the two sides. `ready` are spares found at the start, `next_index` is above all segments.
pub(crate) fn pair<D: LogDir>(
    dir: Arc<D>,
    segment_bytes: u64,
    wanted: usize,
    ready: VecDeque<Spare<D::File>>,
    next_index: u64,
    newest: u64,
) -> (Spares<D::File>, SpareMaker<D>) {
    let (retired, failed) = (VecDeque::new(), None);
    let (asked, taken, kept, stop) = (0, 0, 0, false);
    let (reached, remembered) = (newest, newest);
    let state =
        State { ready, retired, next_index, asked, taken, kept, failed, reached, remembered, stop };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    let maker = SpareMaker { dir, shared: shared.clone(), segment_bytes, wanted, notify: None };
    (Spares { shared }, maker)
}

impl<F> Spares<F> {
    /// Takes the next spare.
    pub fn take(&self) -> Option<Spare<F>> {
        let spare = {
            let mut state = self.shared.lock();
            state.asked = 0;
            state.taken += usize::from(!state.ready.is_empty());
            state.ready.pop_front()
        };
        self.shared.changed.notify_all();
        spare
    }

    /// A batch waits until so many are ready: a learner that catches up may need more than are kept.
    pub fn ask(&self, needed: usize) {
        {
            let mut state = self.shared.lock();
            state.asked = state.asked.max(needed);
        }
        self.shared.changed.notify_all();
    }

    /// A frame of this segment is on the medium.
    pub fn reached(&self, index: u64) {
        {
            let mut state = self.shared.lock();
            state.reached = state.reached.max(index);
        }
        self.shared.changed.notify_all();
    }

    /// Spares that are ready, and why there are no more, if making them failed.
    pub fn status(&self) -> (usize, Option<String>) {
        let state = self.shared.lock();
        (state.ready.len(), state.failed.clone())
    }

    /// Gives segments back, to be recycled or removed.
    pub fn retire(&self, indexes: impl Iterator<Item = u64>) {
        {
            let mut state = self.shared.lock();
            let before = state.retired.len();
            state.retired.extend(indexes);
            if state.retired.len() > before {
                // Not only the last time counts: what is taken swings, and each swing would remove and make some.
                let lately = state.kept - state.kept.div_ceil(4);
                state.kept = std::mem::take(&mut state.taken).max(lately).min(KEPT_MAX);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl<D: LogDir> SpareMaker<D> {
    /// Called whenever a spare became ready or making one failed, for a writer that waits.
    pub fn on_change(&mut self, notify: Box<dyn Fn() + Send>) {
        self.notify = Some(notify);
    }

    /// Does one thing that is due: recycles or removes a retired segment, or makes a spare.
    /// `false`: nothing was due, or it failed (then the writer's status says why).
    pub fn turn(&self) -> bool {
        self.remember_newest();
        let (retired, short, index) = {
            let mut state = self.shared.lock();
            let retired = state.retired.pop_front();
            let kept = if retired.is_some() { state.kept } else { 0 };
            // Beside those that are kept ready anyway, or as many would be removed now and made anew soon.
            let short = state.ready.len() < self.wanted.max(state.asked) + kept;
            if short {
                state.next_index += 1;
            }
            (retired, short, state.next_index - 1)
        };
        let done = match (retired, short) {
            (Some(old), true) => self.recycle(old, index).map(Some),
            (Some(old), false) => self.remove(old).map(|()| None),
            (None, true) => self.make(index).map(Some),
            (None, false) => return false,
        };
        let ok = done.is_ok();
        {
            let mut state = self.shared.lock();
            match done {
                Ok(spare) => {
                    state.ready.extend(spare);
                    state.failed = None;
                }
                Err(err) => {
                    // The number was not used: segments are numbered without gaps.
                    state.next_index -= u64::from(short);
                    let why = err.to_string();
                    if state.failed.as_ref() != Some(&why) {
                        tracing::warn!("{why}; tried again every second");
                    }
                    state.failed = Some(why);
                }
            }
        }
        self.shared.changed.notify_all();
        if let Some(notify) = &self.notify {
            notify();
        }
        ok
    }

    /// Without it the log is as good, only the loss of its end would not be seen: told of, and tried with the next segment.
    fn remember_newest(&self) {
        let newest = {
            let mut state = self.shared.lock();
            let is_new = state.reached > state.remembered;
            state.remembered = state.reached;
            if is_new { state.reached } else { return }
        };
        if let Err(err) = self.dir.set_newest(newest) {
            let name = segment::newest_name(newest);
            tracing::warn!("log: cannot make {name} in its directory: {err}");
        }
    }

    fn make(&self, index: u64) -> Result<Spare<D::File>, LogError> {
        let name = segment::name(index);
        let made = self.dir.create_zeroed(UNFINISHED, self.segment_bytes);
        let file = match made {
            Ok(file) => file,
            Err(err) => {
                // Give back what was taken: the disk may be full.
                let _ = self.dir.remove(UNFINISHED);
                return Err(LogError::io("make", name, err));
            }
        };
        self.dir.rename(UNFINISHED, &name).map_err(|e| LogError::io("rename", &name, e))?;
        self.dir.sync().map_err(|e| LogError::io("sync the directory of", &name, e))?;
        Ok(Spare { index, file, bytes: self.segment_bytes })
    }

    /// Zeroes the first sector, durably, before the new name could make it look live.
    fn recycle(&self, old: u64, index: u64) -> Result<Spare<D::File>, LogError> {
        let (old, name) = (segment::name(old), segment::name(index));
        let file = self.dir.open(&old).map_err(|e| LogError::io("open", &old, e))?;
        let bytes = file.size().map_err(|e| LogError::io("measure", &old, e))?;
        if bytes != self.segment_bytes {
            self.dir.retire(&old).map_err(|e| LogError::io("remove", &old, e))?;
            return self.make(index);
        }
        let zeros = zeroed(SECTOR);
        file.write_at(0, &zeros).map_err(|e| LogError::io("clear", &old, e))?;
        self.dir.rename(&old, &name).map_err(|e| LogError::io("rename", &old, e))?;
        self.dir.sync().map_err(|e| LogError::io("sync the directory of", &name, e))?;
        Ok(Spare { index, file, bytes })
    }

    fn remove(&self, old: u64) -> Result<(), LogError> {
        let old = segment::name(old);
        self.dir.retire(&old).map_err(|e| LogError::io("remove", &old, e))?;
        self.dir.sync().map_err(|e| LogError::io("sync the directory of", &old, e))
    }

    /// Starts the background thread.
    pub fn spawn(self) -> std::io::Result<SpareThread> {
        let shared = self.shared.clone();
        let stop = move || {
            shared.lock().stop = true;
            shared.changed.notify_all();
        };
        let thread = std::thread::Builder::new().name("log-spares".into()).spawn(move || {
            // At the ordinary priority, unlike other work in the background: when the log needs its next segment, every
            // write waits for this thread, and it takes next to no processor time.
            loop {
                while self.turn() {}
                let state = self.shared.lock();
                if state.stop {
                    return;
                }
                let short = state.ready.len() < self.wanted.max(state.asked);
                let due = !state.retired.is_empty() || short || state.reached > state.remembered;
                if due && state.failed.is_none() {
                    continue;
                }
                if due {
                    // What is due failed: wait, for the disk may get room again.
                    drop(self.shared.changed.wait_timeout(state, RETRY));
                } else {
                    drop(self.shared.changed.wait(state));
                }
            }
        })?;
        Ok(SpareThread { stop: Some(Box::new(stop)), thread: Some(thread) })
    }
}

impl Drop for SpareThread {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
