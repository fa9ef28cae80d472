//! Small files that are replaced whole: written beside, synced, renamed, the directory synced.

use std::io;

use crate::disk::Disk;

/// What the protocol keeps besides the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// The epoch that this server has promised not to go below.
    pub accepted: i64,
    /// The epoch whose leader's history it has.
    pub current: i64,
    /// Whether it still has what it acknowledged.
    pub intact: bool,
}

impl Default for Epochs {
    /// Those of a new server.
    fn default() -> Self {
        Epochs { accepted: 0, current: 0, intact: true }
    }
}

const NAME: &str = "epochs";

/// Replaces a file durably.
pub fn replace(disk: &Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!("{name}.tmp");
    disk.write(&beside, bytes)?;
    disk.sync(&beside)?;
    disk.rename(&beside, name)?;
    disk.sync_names()
}

impl Epochs {
    fn text(self) -> String {
        let Epochs { accepted, current, intact } = self;
        format!("{accepted} {current} {intact};")
    }

    /// Stores them durably, as one.
    pub fn store(self, disk: &Disk) -> io::Result<()> {
        replace(disk, NAME, self.text().as_bytes())
    }

    /// The mistake of writing over what is there, field by field.
    pub fn store_in_place(self, disk: &Disk) -> io::Result<()> {
        disk.write(NAME, self.text().as_bytes())?;
        disk.sync(NAME)?;
        disk.sync_names()
    }

    /// What was stored; `None` if nothing was, or if it cannot be read.
    pub fn read(disk: &Disk) -> Option<Epochs> {
        let bytes = disk.read(NAME)?;
        let text = std::str::from_utf8(&bytes).ok()?.strip_suffix(';')?;
        let mut words = text.split(' ');
        Some(Epochs {
            accepted: words.next()?.parse().ok()?,
            current: words.next()?.parse().ok()?,
            intact: words.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new() {
        let (old, new) = (
            Epochs { accepted: 7, ..Epochs::default() },
            Epochs { accepted: 12_345, current: 7, intact: false },
        );
        for changes in 0..5 {
            for try_number in 0..20 {
                let disk = Disk::new();
                let mut random = Random::new(try_number, "epochs", changes);
                old.store(&disk).unwrap();
                disk.die_after(changes, random.clone());
                let stored = new.store(&disk).is_ok();
                disk.crash(false, &mut random);
                let found = Epochs::read(&disk).unwrap();
                assert!(found == new || !stored && found == old, "{found:?}");
            }
        }
    }
}
