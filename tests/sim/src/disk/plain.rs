//! Plain files: written, then synced, then renamed, then the directory synced. Until then any of it may
//! be gone after a crash.

use std::io;
use std::sync::Arc;

use super::{Disk, File, NameChange, Place};

impl Disk {
    /// Makes a file, or replaces its bytes; nothing of it is durable.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        if state.full {
            return Err(io::Error::from_raw_os_error(28));
        }
        let file = File::Plain { bytes: Arc::from(bytes), synced: false };
        match state.data.now.get(name).copied() {
            Some(id) => {
                state.files.insert(id, file);
            }
            None => {
                let id = state.add(file);
                state.data.change(NameChange::Make(name.to_owned(), id));
            }
        }
        Ok(())
    }

    /// Makes the bytes of a file durable.
    pub fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        let id = state.data.id(name)?;
        if let Some(File::Plain { synced, .. }) = state.files.get_mut(&id) {
            *synced = true;
        }
        Ok(())
    }

    /// Renames; durable after [`Disk::sync_names`].
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.data.id(from)?;
        state.data.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    /// Removes; durable after [`Disk::sync_names`].
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.data.id(name)?;
        state.data.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    /// Makes the names of the data directory durable.
    pub fn sync_names(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.change()?;
        state.names(Place::Data).sync();
        Ok(())
    }

    /// The bytes of a file.
    pub fn read(&self, name: &str) -> Option<Arc<[u8]>> {
        let state = self.lock();
        match state.files.get(state.data.now.get(name)?)? {
            File::Plain { bytes, .. } => Some(bytes.clone()),
            File::Segment(_) => None,
        }
    }

    /// The names in the data directory, in order.
    pub fn names(&self) -> Vec<String> {
        self.lock().data.now.keys().cloned().collect()
    }
}
