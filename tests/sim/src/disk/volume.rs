//! The log's directory: the seam that the real log's framing, writer and recovery run over.

use std::io;

use ringkeeper::log::{LogDir, SegmentFile};
use ringkeeper::reactor::AlignedBuf;

use super::{Disk, File, NameChange, OnTheWay};

/// The directory of segments on a [`Disk`].
#[derive(Clone)]
pub struct Volume {
    disk: Disk,
    /// Before every name of this directory.
    prefix: String,
}

/// An open segment.
#[derive(Clone)]
pub struct Segment {
    disk: Disk,
    id: u64,
}

impl Volume {
    pub(super) fn new(disk: Disk, number: u64) -> Volume {
        Volume { disk, prefix: format!("{number}/") }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Removes the directory with all that is in it, durably.
    pub fn remove_all(&self) -> io::Result<()> {
        for name in self.list()? {
            self.remove(&name)?;
        }
        self.sync()
    }
}

impl Segment {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl LogDir for Volume {
    type File = Segment;

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.disk.lock();
        let names = state.log.now.range(self.prefix.clone()..);
        Ok(names
            .map_while(|(name, _)| name.strip_prefix(&self.prefix))
            .map(str::to_owned)
            .collect())
    }

    fn open(&self, name: &str) -> io::Result<Segment> {
        let id = self.disk.lock().log.id(&self.full(name))?;
        Ok(Segment { disk: self.disk.clone(), id })
    }

    fn create_zeroed(&self, name: &str, bytes: u64) -> io::Result<Segment> {
        let mut state = self.disk.lock();
        state.change()?;
        if state.full {
            return Err(io::Error::from_raw_os_error(28));
        }
        let id = state.add(File::Segment(vec![0; bytes as usize]));
        state.log.change(NameChange::Make(self.full(name), id));
        Ok(Segment { disk: self.disk.clone(), id })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.log.id(&self.full(from))?;
        state.log.change(NameChange::Rename(self.full(from), self.full(to)));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.log.id(&self.full(name))?;
        state.log.change(NameChange::Remove(self.full(name)));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.change()?;
        state.log.sync();
        Ok(())
    }
}

impl SegmentFile for Segment {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files.get(&self.id).map_or(0, |file| file.bytes().len() as u64))
    }

    fn read_at(&self, offset: u64, buf: &mut AlignedBuf) -> io::Result<usize> {
        let state = self.disk.lock();
        let file = state.files.get(&self.id).ok_or(io::ErrorKind::NotFound)?;
        let rest = file.bytes().get(offset as usize..).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, offset: u64, buf: &AlignedBuf) -> io::Result<()> {
        let mut state = self.disk.lock();
        let was_dead = state.dead;
        if let Err(err) = state.change() {
            if !was_dead && let Some(mut random) = state.torn.take() {
                let mut copy = AlignedBuf::with_capacity(buf.len());
                copy.extend_from_slice(buf);
                let torn = OnTheWay { id: 0, file: self.id, offset, buf: copy };
                state.arrive_in_part(&torn, &mut random);
            }
            return Err(err);
        }
        state.put(self.id, offset, buf)
    }
}
