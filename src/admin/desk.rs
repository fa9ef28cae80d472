//! The desk's thread.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::words::{self, ConfView, EphemeralsView, MonitorFacts, ServerView, Stats, Word};
use super::{CoreLetter, CorePart, DeskMail, ShardLetter, ShardPart};
use crate::lanes::Mailbox;
use crate::metrics::{self, Registry};
use crate::protocol::EphemeralType;
use crate::reactor::{ConnId, Waker};
use crate::tree::{Tree, Walker};

/// Words that may wait for the desk; one more is answered with nothing and its connection closed.
const WAITING_MAX: usize = 1024;
/// A part that does not come by then is left out.
const PART_TIMEOUT: Duration = Duration::from_secs(5);

/// A shard's way to the desk.
#[derive(Debug, Clone)]
pub struct ShardDesk {
    /// Letters from the desk.
    pub mailbox: Arc<Mailbox<ShardLetter>>,
    mail: SyncSender<DeskMail>,
}

impl ShardDesk {
    /// Gives the desk a word; false if too many wait.
    pub fn ask(&self, word: Word, shard: u16, conn: ConnId) -> bool {
        let asked = DeskMail::Asked { word, shard, conn };
        self.mail.try_send(asked).is_ok()
    }

    /// Gives the desk this shard's part of an answer.
    pub fn tell(&self, question: u64, part: ShardPart) {
        // A desk that is gone or choked gets no part, and answers without it.
        let _ = self.mail.try_send(DeskMail::ShardPart(question, part));
    }
}

/// The core's way to the desk.
#[derive(Debug, Clone)]
pub struct Office {
    /// Letters from the desk and from the snapshot thread.
    pub mailbox: Arc<Mailbox<CoreLetter>>,
    mail: SyncSender<DeskMail>,
}

impl Office {
    /// Gives the desk the core's part of an answer.
    pub fn tell(&self, question: u64, part: CorePart) {
        let _ = self.mail.try_send(DeskMail::CorePart(question, part));
    }
}

/// What the desk knows without asking.
pub struct DeskFacts {
    /// For `conf`.
    pub conf: ConfView,
    /// Where snapshots are.
    pub data_dir: PathBuf,
    /// Where the log is.
    pub data_log_dir: PathBuf,
    /// All counters.
    pub metrics: Arc<Registry>,
    /// Probability with which the throttle drops a connection.
    pub connection_drop_probability: Box<dyn Fn() -> f64 + Send>,
    /// `standalone`, `leader`, …
    pub mode: &'static str,
}

/// The desk before its thread runs, and its handle afterwards.
pub struct Desk {
    mail: SyncSender<DeskMail>,
    inbox: Option<Receiver<DeskMail>>,
    thread: Option<JoinHandle<()>>,
    core: Arc<Mailbox<CoreLetter>>,
}

impl Desk {
    /// A desk that does not run yet.
    pub fn new() -> Desk {
        let (mail, inbox) = sync_channel(WAITING_MAX);
        Desk { mail, inbox: Some(inbox), thread: None, core: Arc::default() }
    }

    /// The way to the desk for one shard.
    pub fn shard(&self) -> ShardDesk {
        ShardDesk { mailbox: Arc::default(), mail: self.mail.clone() }
    }

    /// The way to the desk for the core.
    pub fn office(&self) -> Office {
        Office { mailbox: self.core.clone(), mail: self.mail.clone() }
    }

    /// Starts the thread.
    pub fn open(
        &mut self,
        facts: DeskFacts,
        tree: &Arc<Tree>,
        shards: Vec<(ShardDesk, Waker)>,
        core: Waker,
    ) -> std::io::Result<()> {
        let tree = tree.clone();
        let inbox = self.inbox.take().expect("a desk is opened once");
        let core = (self.core.clone(), core);
        let mut clerk = Clerk { facts, tree, shards, core, questions: HashMap::new(), last: 0 };
        let body = move || clerk.work(&inbox);
        self.thread = Some(std::thread::Builder::new().name("desk".into()).spawn(body)?);
        Ok(())
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.mail.try_send(DeskMail::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A word that waits for its parts.
struct Question {
    word: Word,
    shard: u16,
    conn: ConnId,
    asked: Instant,
    missing: usize,
    parts: ShardPart,
    core: CorePart,
}

struct Clerk {
    facts: DeskFacts,
    tree: Arc<Tree>,
    shards: Vec<(ShardDesk, Waker)>,
    core: (Arc<Mailbox<CoreLetter>>, Waker),
    questions: HashMap<u64, Question>,
    last: u64,
}

impl Clerk {
    fn work(&mut self, inbox: &Receiver<DeskMail>) {
        loop {
            let mail = match self.questions.is_empty() {
                true => inbox.recv().ok(),
                false => inbox.recv_timeout(PART_TIMEOUT).ok(),
            };
            match mail {
                Some(DeskMail::Stop) => return,
                Some(DeskMail::Asked { word, shard, conn }) => self.asked(word, shard, conn),
                Some(DeskMail::ShardPart(question, part)) => self.shard_part(question, part),
                Some(DeskMail::CorePart(question, part)) => self.core_part(question, part),
                None => {}
            }
            self.answer_what_is_ready();
        }
    }

    fn asked(&mut self, word: Word, shard: u16, conn: ConnId) {
        match word.effect() {
            words::Effect::ResetConnections => {
                for (desk, waker) in &self.shards {
                    desk.mailbox.send(ShardLetter::ResetConnections);
                    waker.wake();
                }
            }
            words::Effect::ResetServer => self.facts.metrics.reset(),
            words::Effect::None | words::Effect::SetTraceMask => {}
        }
        self.last += 1;
        let needs = word.needs();
        let mut missing = 0;
        if needs.connections || needs.watchers || needs.watch_summary {
            for (desk, waker) in &self.shards {
                desk.mailbox.send(ShardLetter::Tell(self.last, needs));
                waker.wake();
                missing += 1;
            }
        }
        if needs.sessions || needs.digests {
            self.core.0.send(CoreLetter::Tell(self.last));
            self.core.1.wake();
            missing += 1;
        }
        let (parts, core) = Default::default();
        let question = Question { word, shard, conn, asked: Instant::now(), missing, parts, core };
        self.questions.insert(self.last, question);
    }

    fn shard_part(&mut self, question: u64, mut part: ShardPart) {
        let Some(q) = self.questions.get_mut(&question) else { return };
        q.missing = q.missing.saturating_sub(1);
        q.parts.connections.append(&mut part.connections);
        q.parts.watchers.append(&mut part.watchers);
        let (sum, add) = (&mut q.parts.watch_summary, part.watch_summary);
        sum.connections += add.connections;
        sum.paths += add.paths;
        sum.total += add.total;
    }

    fn core_part(&mut self, question: u64, part: CorePart) {
        let Some(q) = self.questions.get_mut(&question) else { return };
        q.missing = q.missing.saturating_sub(1);
        q.core = part;
    }

    fn answer_what_is_ready(&mut self) {
        let ready: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, q)| q.missing == 0 || q.asked.elapsed() > PART_TIMEOUT)
            .map(|(&id, _)| id)
            .collect();
        for id in ready {
            let Some(q) = self.questions.remove(&id) else { continue };
            let (word, shard, conn) = (q.word, q.shard, q.conn);
            let text = words::answer(word, &self.view(q));
            if let Some((desk, waker)) = self.shards.get(shard as usize) {
                desk.mailbox.send(ShardLetter::Answer(conn, text));
                waker.wake();
            }
        }
    }

    fn view(&mut self, q: Question) -> ServerView {
        let needs = q.word.needs();
        let reading = self.facts.metrics.read();
        let mut view = ServerView {
            version: words::full_version(),
            serving: true,
            read_only: false,
            mode: self.facts.mode,
            stats: Stats::from_reading(&reading),
            connections: q.parts.connections,
            conf: self.facts.conf.clone(),
            sessions: q.core.sessions,
            watch_summary: q.parts.watch_summary,
            watchers: q.parts.watchers,
            digests: q.core.digests,
            trace_mask: 306,
            ..ServerView::default()
        };
        if needs.monitor {
            let facts = MonitorFacts {
                version: words::full_version(),
                mode: self.facts.mode,
                open_fds: metrics::open_file_descriptors(),
                max_fds: metrics::open_file_descriptors_max(),
                connection_drop_probability: (self.facts.connection_drop_probability)(),
            };
            view.monitor = words::monitor(&facts, &reading);
        }
        if needs.sizes {
            view.data_dir_bytes = bytes_below(&self.facts.data_dir);
            view.log_dir_bytes = bytes_below(&self.facts.data_log_dir);
        }
        if needs.environment {
            view.environment = words::environment();
        }
        if needs.sessions {
            self.committed_sessions(&mut view);
        }
        view
    }

    /// Ephemerals at a published zxid; sessions that are not committed there are left out.
    fn committed_sessions(&mut self, view: &mut ServerView) {
        // A reader of its own for each answer: one that is kept and reads nothing would keep the core from freeing.
        let Ok(mut reader) = self.tree.background_reader() else { return };
        let pin = reader.pin();
        let known: std::collections::HashSet<i64> =
            reader.sessions_at(&pin).map(|(id, _)| id).collect();
        view.sessions.retain(|s| known.contains(&s.id));
        let mut by_session: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        // Not `walk`: on a large tree this takes long, and the reader has to quiesce meanwhile.
        let mut walker = Walker::new(&pin);
        while let Some(node) = walker.next(&mut reader) {
            if node.kind() == EphemeralType::Normal {
                by_session.entry(node.raw_owner()).or_default().push(node.path());
            }
        }
        view.ephemerals = by_session
            .into_iter()
            .map(|(session, paths)| EphemeralsView { session, paths })
            .collect();
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
