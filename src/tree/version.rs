//! Versions: what a znode was from one zxid until the next.
//!
//! The data half and the children half of a znode change apart, so that a child's creation never
//! copies its parent's data. Each half is a chain, newest first, that readers walk to the first link
//! at or below their zxid. A link is immutable but for `prev`, which skips what was unlinked.

use crate::protocol::Zxid;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// `data_len` of a znode whose data is null.
const NULL_DATA: u32 = u32::MAX;
/// The longest data a version can hold, in bytes.
pub(super) const DATA_BYTES_MAX: usize = i32::MAX as usize - 64;
/// Data at least this long carries the checksum of path and data behind it, so that a change that
/// leaves the data alone need not read all of it for the digest.
const CRC_DATA_BYTES_MIN: usize = 512;

/// What a version says besides its data.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct VersionHead {
    /// The zxid from which on this version holds.
    pub zxid: Zxid,
    /// As in the Stat: the zxid of the last change of data.
    pub mzxid: Zxid,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    /// The owner as persisted: a session, or the code of a container or of a time to live.
    pub owner: i64,
    pub version: i32,
    pub aversion: i32,
    pub acl: u32,
    /// Set by [`Version::allocate`] alone; here because it fills the 64 bytes.
    pub data_len: u32,
}

/// One version of a znode's data half; the data follows it in the same allocation. 64 bytes, so that
/// with 128 bytes of data it fills an allocator's class of 192.
#[repr(C)]
pub(super) struct Version {
    pub prev: AtomicPtr<Version>,
    pub head: VersionHead,
}

const _: () = assert!(size_of::<Version>() == 64);

/// One version of a znode's children half.
#[repr(C)]
pub(super) struct ChildrenVersion {
    pub prev: AtomicPtr<ChildrenVersion>,
    /// The zxid from which on this version holds.
    pub zxid: Zxid,
    pub pzxid: Zxid,
    /// As persisted: counts creations of children alone.
    pub cversion: i32,
    /// The number of children; changes in place only while a snapshot is being loaded.
    pub count: AtomicU32,
}

/// Asks for no alignment: allocators align blocks of this size to 16 anyway, and the `mimalloc` crate,
/// asked for 8, takes the next larger class for sizes that are no power of two (224 for 192).
fn layout(data_len: Option<usize>) -> Layout {
    let len = data_len.unwrap_or(0);
    let crc = if len >= CRC_DATA_BYTES_MIN { size_of::<u32>() } else { 0 };
    let bytes = size_of::<Version>() + len + crc;
    // Never fails: the length is at most `DATA_BYTES_MAX`.
    Layout::from_size_align(bytes, 1).unwrap_or_else(|_| unreachable!("{bytes} bytes of a version"))
}

impl Version {
    /// Allocates a version. `crc` is asked for the checksum of path and data where it is kept.
    /// The caller has checked that `data` is at most [`DATA_BYTES_MAX`] long.
    pub(super) fn allocate(
        head: VersionHead,
        prev: *mut Version,
        data: Option<&[u8]>,
        crc: impl FnOnce() -> u32,
    ) -> NonNull<Version> {
        assert!(data.is_none_or(|d| d.len() <= DATA_BYTES_MAX));
        let layout = layout(data.map(<[u8]>::len));
        // SAFETY: the layout is at least the 64 bytes of the header.
        let raw = unsafe { alloc(layout) };
        let Some(version) = NonNull::new(raw.cast::<Version>()) else { handle_alloc_error(layout) };
        assert!(version.is_aligned(), "the allocator aligns blocks of 64 bytes and more to 8");
        let data_len = data.map_or(NULL_DATA, |d| d.len() as u32);
        let head = VersionHead { data_len, ..head };
        // SAFETY: the allocation has room for header, data and, from `CRC_DATA_BYTES_MIN` on, the
        // checksum; nobody else knows it yet.
        unsafe {
            version.write(Version { prev: AtomicPtr::new(prev), head });
            if let Some(data) = data {
                let to = raw.add(size_of::<Version>());
                std::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len());
                if data.len() >= CRC_DATA_BYTES_MIN {
                    to.add(data.len()).cast::<u32>().write_unaligned(crc());
                }
            }
        }
        version
    }

    fn len(&self) -> Option<usize> {
        (self.head.data_len != NULL_DATA).then_some(self.head.data_len as usize)
    }

    /// What it takes of memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        layout(self.len()).size()
    }

    /// The length of the data, 0 if it is null.
    pub(super) fn data_len(&self) -> usize {
        self.len().unwrap_or(0)
    }

    /// The data; `None` is null.
    ///
    /// # Safety
    /// `this` points to a live version made by [`Version::allocate`], and it stays live for `'a`.
    pub(super) unsafe fn data<'a>(this: NonNull<Version>) -> Option<&'a [u8]> {
        // SAFETY: the caller's. The pointer is that of the whole allocation, and `data_len` bytes
        // were written behind the header.
        unsafe {
            let len = this.as_ref().len()?;
            let from = this.as_ptr().cast::<u8>().add(size_of::<Version>());
            Some(std::slice::from_raw_parts(from, len))
        }
    }

    /// The checksum of path and data, where it is kept.
    ///
    /// # Safety
    /// As [`Version::data`].
    pub(super) unsafe fn crc(this: NonNull<Version>) -> Option<u32> {
        // SAFETY: the caller's; the checksum was written behind data of that length.
        unsafe {
            let len = this.as_ref().data_len();
            if len < CRC_DATA_BYTES_MIN {
                return None;
            }
            let at = this.as_ptr().cast::<u8>().add(size_of::<Version>() + len);
            Some(at.cast::<u32>().read_unaligned())
        }
    }

    /// Frees a version.
    ///
    /// # Safety
    /// `this` was made by [`Version::allocate`], and nobody holds or can reach it any more.
    pub(super) unsafe fn free(this: NonNull<Version>) {
        // SAFETY: the caller's; the layout is a function of the length, which never changes.
        unsafe {
            let layout = layout(this.as_ref().len());
            dealloc(this.as_ptr().cast(), layout);
        }
    }
}

impl ChildrenVersion {
    pub(super) fn allocate(version: ChildrenVersion) -> NonNull<ChildrenVersion> {
        NonNull::from(Box::leak(Box::new(version)))
    }

    /// Frees a version.
    ///
    /// # Safety
    /// `this` was made by [`ChildrenVersion::allocate`], and nobody holds or can reach it any more.
    pub(super) unsafe fn free(this: NonNull<ChildrenVersion>) {
        // SAFETY: the caller's.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }
}

/// A link of a chain of versions.
pub(super) trait Link: Sized {
    fn zxid(&self) -> Zxid;
    fn prev(&self) -> &AtomicPtr<Self>;
}

impl Link for Version {
    fn zxid(&self) -> Zxid {
        self.head.zxid
    }
    fn prev(&self) -> &AtomicPtr<Self> {
        &self.prev
    }
}

impl Link for ChildrenVersion {
    fn zxid(&self) -> Zxid {
        self.zxid
    }
    fn prev(&self) -> &AtomicPtr<Self> {
        &self.prev
    }
}

/// The newest link at or below `at`.
///
/// # Safety
/// The chain's links are live, and stay so for `'a` (the caller is the writer, or an online reader
/// that does not quiesce before `'a` ends).
pub(super) unsafe fn newest_at<'a, L: Link + 'a>(
    newest: &AtomicPtr<L>,
    at: Zxid,
) -> Option<NonNull<L>> {
    let mut link = NonNull::new(newest.load(Ordering::Acquire))?;
    loop {
        // SAFETY: the caller's.
        let found = unsafe { link.as_ref() };
        if found.zxid() <= at {
            return Some(link);
        }
        link = NonNull::new(found.prev().load(Ordering::Acquire))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(zxid: Zxid) -> VersionHead {
        VersionHead { zxid, mzxid: zxid, ..VersionHead::default() }
    }

    #[test]
    fn data_null_empty_short_and_long() {
        for data in [None, Some(&b""[..]), Some(b"x"), Some(&[7; 511]), Some(&[7; 512])] {
            let v = Version::allocate(head(1), std::ptr::null_mut(), data, || 0xdead_beef);
            // SAFETY: just allocated, freed at the end.
            unsafe {
                assert_eq!(Version::data(v), data);
                assert_eq!(v.as_ref().data_len(), data.map_or(0, <[u8]>::len));
                let long = data.is_some_and(|d| d.len() >= CRC_DATA_BYTES_MIN);
                assert_eq!(Version::crc(v), long.then_some(0xdead_beef));
                Version::free(v);
            }
        }
    }

    #[test]
    fn a_chain_is_searched_by_zxid() {
        let one = Version::allocate(head(1), std::ptr::null_mut(), None, || 0);
        let two = Version::allocate(head(5), one.as_ptr(), None, || 0);
        let newest = AtomicPtr::new(two.as_ptr());
        // SAFETY: both live until the end.
        unsafe {
            assert_eq!(newest_at(&newest, 0), None);
            assert_eq!(newest_at(&newest, 1), Some(one));
            assert_eq!(newest_at(&newest, 4), Some(one));
            assert_eq!(newest_at(&newest, 5), Some(two));
            assert_eq!(newest_at(&newest, i64::MAX), Some(two));
            Version::free(one);
            Version::free(two);
        }
    }
}
