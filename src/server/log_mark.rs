//! Which log is this server's: the file `log.id` in the data directory names it.
//!
//! A log that is missing looks like that of a new server, and another's like the continuation of this one's snapshots; an
//! unmounted disk or a restored directory makes either. A start that knows the log's number refuses both.
//!
//! The file is written when the log is open, so when its first frame is on the medium. A server that has none yet takes the log
//! that it finds.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::ServerError;
use super::dirs::{log_dir, own_dir};
use crate::config::Config;
use crate::log;

const NAME: &str = "log.id";
const UNFINISHED: &str = "log.id-unfinished";
/// 16 digits and the end of the line.
const BYTES: u64 = 17;

/// Is the log there, and is it the one that is named?
pub(super) fn look(config: &Config) -> Result<(), ServerError> {
    let (mark, dir) = (path(config), log_dir(config));
    let Some(log_id) = read(&mark)? else { return Ok(()) };
    match log::id_in(&dir)? {
        Some(found) if found == log_id => Ok(()),
        Some(found) => Err(ServerError::OtherLog { dir, mark, found, log_id }),
        None => unless_accepted(config, ServerError::NoLog { dir, mark, log_id }),
    }
}

/// Refuses, unless the operator has said that a log may be lost.
pub(super) fn unless_accepted(config: &Config, lost: ServerError) -> Result<(), ServerError> {
    if !config.accept_lost_log {
        return Err(lost);
    }
    tracing::warn!("accepted, by ringkeeper.acceptLostLog: {lost}");
    Ok(())
}

/// Names the log that is open now.
pub(super) fn store(config: &Config, log_id: u64) -> Result<(), ServerError> {
    let mark = path(config);
    if read(&mark)? == Some(log_id) {
        return Ok(());
    }
    match write(&own_dir(&config.data_dir), log_id) {
        Ok(()) => Ok(()),
        // Reads are served on a full disk too; the next start will name it.
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            tracing::warn!("{} could not be written: {error}", mark.display());
            Ok(())
        }
        Err(error) => {
            let reason = format!("cannot be written: {error}; it names this server's log");
            Err(ServerError::LogMark { mark, reason })
        }
    }
}

fn path(config: &Config) -> PathBuf {
    own_dir(&config.data_dir).join(NAME)
}

fn read(mark: &Path) -> Result<Option<u64>, ServerError> {
    let refused = |reason: String| ServerError::LogMark { mark: mark.into(), reason };
    let file = match File::open(mark) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(format!("cannot be read: {error}"))),
    };
    let mut text = Vec::new();
    let read = file.take(BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| refused(format!("cannot be read: {error}")))?;
    parse(&text).map(Some).ok_or_else(|| {
        refused(
            "it names no log (16 hexadecimal digits and the end of the line); if the log is this server's, remove that file, \
             and the next start writes it anew"
                .into(),
        )
    })
}

fn parse(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// Whole or not at all: beside, then under its name.
fn write(dir: &Path, log_id: u64) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(format!("{log_id:016x}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join(NAME);
        assert_eq!(read(&mark).unwrap(), None);
        for log_id in [0, 0x0123_4567_89ab_cdef, u64::MAX] {
            write(dir.path(), log_id).unwrap();
            assert_eq!(read(&mark).unwrap(), Some(log_id));
        }
        let wrong: [&[u8]; 6] = [
            b"",
            b"0123456789abcdef",
            b"+123456789abcdef\n",
            b"0123456789abcdef\n\n",
            b"xyz\n",
            b"\xff\xfe",
        ];
        for text in wrong {
            std::fs::write(&mark, text).unwrap();
            let said = read(&mark).unwrap_err().to_string();
            assert!(said.contains("names no log"), "{said}");
        }
    }
}
