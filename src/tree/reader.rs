//! A reading thread's hold on the tree: its own zxid, its pins, its quiescent points.

use super::acl::AclId;
use super::slab::ROOT;
use super::slots::NONE;
use super::view::Node;
use super::{TooManyReaders, Tree};
use crate::protocol::{Acl, Zxid};
use std::cell::Cell;
use std::sync::Arc;

/// A znode's number, by which the writer names one to a reader. Good at the zxids at which the znode lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeNumber(pub(super) u32);

impl NodeNumber {
    /// The number that was made of one.
    pub fn from_number(number: u32) -> NodeNumber {
        NodeNumber(number)
    }

    /// The number itself.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// One reading thread. Reads take no lock and write nothing.
///
/// A shard's reader has a zxid of its own, which keeps everything from it on, and moves it forward with
/// [`Reader::advance`]. Between its turns it calls [`Reader::quiesce`], and [`Reader::park`] before it
/// sleeps: what it has unlinked the writer frees only after that. Both take the reader mutably, so no
/// [`Node`] outlives them. A background reader ([`Tree::background_reader`]) has no zxid and reads at
/// its pins.
pub struct Reader {
    tree: Arc<Tree>,
    slot: usize,
    /// The shard's zxid, kept while it is parked. [`NONE`] in a background reader.
    own: Cell<Zxid>,
    parked: bool,
}

impl Tree {
    /// A reader with a zxid of its own, at first the published one.
    pub fn reader(self: &Arc<Self>) -> Result<Reader, TooManyReaders> {
        let reader = self.background_reader()?;
        let published = self.slots.announce(reader.slot, Zxid::MIN);
        self.slots.advance(reader.slot, published);
        reader.own.set(published);
        Ok(reader)
    }

    /// A reader that holds nothing but its pins.
    pub fn background_reader(self: &Arc<Self>) -> Result<Reader, TooManyReaders> {
        let slot = self.slots.claim().ok_or(TooManyReaders)?;
        self.slots.online(slot);
        Ok(Reader { tree: Arc::clone(self), slot, own: Cell::new(NONE), parked: false })
    }
}

impl Reader {
    /// The newest zxid that may be shown.
    pub fn published(&self) -> Zxid {
        self.tree.slots.published()
    }

    /// This reader's own zxid; `i64::MAX` in a background reader.
    pub fn zxid(&self) -> Zxid {
        self.own.get()
    }

    /// Moves this reader's own zxid forward; what lies before may be reclaimed. A step back, or one
    /// beyond what is published, does nothing.
    pub fn advance(&self, zxid: Zxid) {
        let sound = zxid >= self.own.get() && zxid <= self.published();
        debug_assert!(sound, "advance to {zxid:#x} from {:#x}", self.own.get());
        if sound && self.own.get() != NONE {
            self.own.set(zxid);
            if !self.parked {
                self.tree.slots.advance(self.slot, zxid);
            }
        }
    }

    /// Says that this thread holds nothing it has read from the tree.
    pub fn quiesce(&mut self) {
        if !self.parked {
            self.tree.slots.quiesce(self.slot);
        }
    }

    /// Lets go of everything but pins, until [`Reader::unpark`]. Reading while parked is a mistake, and
    /// ends the process.
    pub fn park(&mut self) {
        self.tree.slots.park(self.slot);
        self.parked = true;
    }

    /// Comes back: announces the zxid it had, then returns what is published. What lies between may have
    /// been reclaimed, so the shard works through the commit ring up to the returned zxid and advances
    /// to it before it reads the tree.
    pub fn unpark(&mut self) -> Zxid {
        self.parked = false;
        match self.own.get() {
            NONE => {
                self.tree.slots.online(self.slot);
                self.published()
            }
            own => self.tree.slots.announce(self.slot, own),
        }
    }

    /// Does something that may take long, parked: a disk, a compression, another thread.
    pub fn while_parked<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.park();
        let done = work();
        self.unpark();
        done
    }

    fn check_online(&self) {
        assert!(!self.parked, "a parked reader read the tree; it must unpark first");
    }

    /// The znode at `path` as it was at `at`: a zxid from this reader's own up to the published one, or a
    /// pinned one.
    pub fn get(&self, path: &str, at: Zxid) -> Option<Node<'_>> {
        self.check_online();
        // SAFETY: this reader is online, and quiescing needs it mutably, which the result prevents.
        unsafe { self.tree.find(path, at) }
    }

    /// Whether the tree is larger than a processor's cache, so that [`Reader::warm`] gains anything.
    pub fn is_worth_warming(&self) -> bool {
        self.tree.is_worth_warming()
    }

    /// Has the processor fetch what reads of these paths will look at: where several requests wait, the
    /// lines come at the price of about one. Looks at [`super::WARM_PATHS_MAX`] paths and no more;
    /// changes nothing but time.
    pub fn warm<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        self.check_online();
        // SAFETY: as in `get`.
        unsafe { self.tree.warm(paths.into_iter()) };
    }

    /// The ACL of that number.
    pub fn acl_list(&self, id: AclId) -> &[Acl] {
        self.check_online();
        // SAFETY: as in `get`.
        unsafe { self.tree.acls.list(id) }
    }

    /// Appends the path of a znode that the writer has named by its number; false if it does not live at the
    /// pin. The number is good at the zxids at which the znode lives.
    pub fn push_path_of(&self, pin: &Pin, number: NodeNumber, out: &mut String) -> bool {
        self.check_pin(pin);
        // SAFETY: the writer has found the node alive at the pinned zxid, and the pin stands.
        let node = unsafe { self.tree.node_at(number.0, pin.zxid) };
        node.inspect(|node| node.push_path(out)).is_some()
    }

    /// Pins what is published.
    pub fn pin(&self) -> Pin {
        let slots = &self.tree.slots;
        let announced = self.own.get() != NONE && !self.parked;
        let zxid = match announced {
            true => slots.published(),
            false => slots.announce(self.slot, Zxid::MIN),
        };
        let cell = slots.pin(self.slot, zxid);
        if !announced {
            slots.withdraw(self.slot);
        }
        if self.parked {
            slots.park(self.slot);
        }
        Pin { tree: Arc::clone(&self.tree), slot: self.slot, cell, zxid }
    }

    /// Pins a zxid between this reader's own and the published one; `None` if it lies outside.
    pub fn pin_at(&self, zxid: Zxid) -> Option<Pin> {
        let sound = !self.parked && (self.own.get()..=self.published()).contains(&zxid);
        sound.then(|| {
            let cell = self.tree.slots.pin(self.slot, zxid);
            Pin { tree: Arc::clone(&self.tree), slot: self.slot, cell, zxid }
        })
    }

    /// All znodes at a pin, depth first, parents before their children. Holds this reader from quiescing:
    /// for a long walk use a [`Walker`].
    pub fn walk<'r>(&'r self, pin: &Pin) -> impl Iterator<Item = Node<'r>> + use<'r> {
        self.check_pin(pin);
        // SAFETY: this reader is online and does not quiesce during 'r.
        let root = unsafe { self.tree.node_at(ROOT, pin.zxid) };
        root.into_iter().flat_map(|root| root.subtree())
    }

    /// The sessions that lived at a pin with their time-outs in milliseconds, in no order.
    pub fn sessions_at(&self, pin: &Pin) -> impl Iterator<Item = (i64, i32)> {
        self.check_pin(pin);
        self.tree.sessions.at(pin.zxid)
    }

    fn check_pin(&self, pin: &Pin) {
        self.check_online();
        assert!(Arc::ptr_eq(&self.tree, &pin.tree), "a pin was used with another tree's reader");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tree.slots.release(self.slot);
    }
}

/// Keeps the state of one zxid. Any thread may drop it.
pub struct Pin {
    tree: Arc<Tree>,
    slot: usize,
    cell: usize,
    zxid: Zxid,
}

impl Pin {
    /// The zxid it keeps.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.tree.slots.unpin(self.slot, self.cell);
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pin({:#x})", self.zxid)
    }
}

/// A pin that is borrowed or shared.
///
/// # Safety
/// It is always the same pin, and that stands for as long as the value.
pub unsafe trait PinRef {
    /// The pin.
    fn pin(&self) -> &Pin;
}

// SAFETY: the borrow keeps the pin.
unsafe impl PinRef for &Pin {
    fn pin(&self) -> &Pin {
        self
    }
}

// SAFETY: the share keeps the pin.
unsafe impl PinRef for Arc<Pin> {
    fn pin(&self) -> &Pin {
        self
    }
}

/// Where a walk over the state of a pin stands. Holds no reference into the tree, so the reader may
/// quiesce, park and do other things between two steps.
///
/// Why that is sound: it remembers a node that lives at the pinned zxid, and while the pin stands such
/// a node is neither unlinked nor freed.
#[derive(Debug)]
pub struct Walker<P: PinRef> {
    pin: P,
    top: u32,
    next: Next,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    /// This very node.
    This(u32),
    /// What comes behind this node.
    Behind(u32),
    Nothing,
}

impl<P: PinRef> Walker<P> {
    /// A walk over everything.
    pub fn new(pin: P) -> Self {
        Self { pin, top: ROOT, next: Next::This(ROOT) }
    }

    /// A walk over the znode at `path` and what lies under it; `None` if it did not exist.
    pub fn under(reader: &Reader, pin: P, path: &str) -> Option<Self> {
        reader.check_pin(pin.pin());
        let top = reader.get(path, pin.pin().zxid)?.index();
        Some(Self { pin, top, next: Next::This(top) })
    }

    /// The next znode, parents before their children. The reader quiesces on the way.
    pub fn next<'r>(&mut self, reader: &'r mut Reader) -> Option<Node<'r>> {
        reader.quiesce();
        reader.check_pin(self.pin.pin());
        let at = self.pin.pin().zxid;
        // SAFETY: the remembered node lives at the pin, which stands; the reader is online and does
        // not quiesce during 'r.
        unsafe {
            let index = match self.next {
                Next::This(index) => Some(index),
                Next::Behind(index) => reader.tree.next_in_walk(self.top, index, at),
                Next::Nothing => None,
            };
            self.next = index.map_or(Next::Nothing, Next::Behind);
            reader.tree.node_at(index?, at)
        }
    }

    /// The znode that [`Walker::next`] returned last, for a reader that has quiesced or parked since.
    pub fn again<'r>(&self, reader: &'r Reader) -> Option<Node<'r>> {
        reader.check_pin(self.pin.pin());
        let Next::Behind(index) = self.next else { return None };
        // SAFETY: as in `next`.
        unsafe { reader.tree.node_at(index, self.pin.pin().zxid) }
    }
}

/// Where the listing of a znode's children stands, at a pin. As a [`Walker`], it holds no reference between
/// two steps.
#[derive(Debug)]
pub struct Listing {
    pin: Arc<Pin>,
    parent: u32,
    next: Next,
}

impl Listing {
    /// The children of the znode at `path` at the pin; `None` if there was none.
    pub fn new(reader: &Reader, pin: Arc<Pin>, path: &str) -> Option<Self> {
        reader.check_pin(&pin);
        let parent = reader.get(path, pin.zxid)?.index();
        Some(Self { pin, parent, next: Next::This(parent) })
    }

    /// The zxid it is a listing of.
    pub fn zxid(&self) -> Zxid {
        self.pin.zxid
    }

    /// The znode whose children are listed.
    pub fn parent<'r>(&self, reader: &'r Reader) -> Option<Node<'r>> {
        reader.check_pin(&self.pin);
        // SAFETY: the remembered node lives at the pin, which stands; the reader is online.
        unsafe { reader.tree.node_at(self.parent, self.pin.zxid) }
    }

    /// The name of the next child.
    pub fn next<'r>(&mut self, reader: &'r Reader) -> Option<&'r str> {
        reader.check_pin(&self.pin);
        let at = self.pin.zxid;
        // SAFETY: as in `parent`.
        unsafe {
            let index = match self.next {
                Next::This(parent) => reader.tree.first_child_at(parent, at),
                Next::Behind(child) => reader.tree.next_sibling_at(child, at),
                Next::Nothing => None,
            };
            self.next = index.map_or(Next::Nothing, Next::Behind);
            Some(reader.tree.nodes.get(index?).name())
        }
    }
}
