//! Small files that are replaced whole: written beside, synced, renamed, the directory synced.

use std::io;

use crate::disk::Disk;

/// The epoch that this server has promised not to go below.
pub const ACCEPTED: &str = "acceptedEpoch";
/// The epoch whose leader's history it has.
pub const CURRENT: &str = "currentEpoch";

/// Replaces a file durably.
pub fn replace(disk: &Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = format!("{name}.tmp");
    disk.write(&beside, bytes)?;
    disk.sync(&beside)?;
    disk.rename(&beside, name)?;
    disk.sync_names()
}

/// Stores an epoch durably.
pub fn store(disk: &Disk, name: &str, epoch: i64) -> io::Result<()> {
    replace(disk, name, epoch.to_string().as_bytes())
}

/// An epoch that was stored; `None` if there is none.
///
/// # Panics
/// If the file is torn, which the order of [`replace`] rules out.
pub fn read(disk: &Disk, name: &str) -> Option<i64> {
    let bytes = disk.read(name)?;
    let text = std::str::from_utf8(&bytes).expect("an epoch's file is text");
    Some(text.parse().unwrap_or_else(|_| panic!("{name} holds {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_crash_at_any_step_leaves_the_old_or_the_new_epoch() {
        for changes in 0..5 {
            for try_number in 0..20 {
                let disk = Disk::new();
                let mut random = Random::new(try_number, "epochs", changes);
                store(&disk, CURRENT, 7).unwrap();
                disk.die_after(changes, random.clone());
                let stored = store(&disk, CURRENT, 12_345).is_ok();
                disk.crash(false, &mut random);
                let found = read(&disk, CURRENT);
                assert!(found == Some(12_345) || !stored && found == Some(7), "{found:?}");
            }
        }
    }
}
