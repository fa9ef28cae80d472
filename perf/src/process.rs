//! What the kernel says about a server process: CPU time and memory.

use crate::error::{Doing, PerfError, Result};
use crate::sys;
use std::time::Duration;

/// CPU time of a process so far, all threads, in nanoseconds.
pub fn cpu_ns(pid: u32) -> Result<u64> {
    sys::process_cpu_ns(pid).doing(|| format!("CPU clock of process {pid}"))
}

/// Resident memory of a process, in bytes (`Rss` of `/proc/PID/smaps_rollup`).
pub fn rss_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).doing(|| path.clone())?;
    parse_rss(&text).ok_or_else(|| PerfError::Setup(format!("no Rss line in {path}")))
}

fn parse_rss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Resident memory once it moves by less than half a percent in a second, after 15 s at the latest.
pub fn settled_rss_bytes(pid: u32) -> Result<u64> {
    let mut before = rss_bytes(pid)?;
    for _ in 0..15 {
        std::thread::sleep(Duration::from_secs(1));
        let now = rss_bytes(pid)?;
        if now.abs_diff(before) * 200 < before {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollup_is_parsed() {
        let text = "5570-7ffc ---p 0 00:00 0 [rollup]\nRss:     12345 kB\nPss:       1 kB\n";
        assert_eq!(parse_rss(text), Some(12345 * 1024));
        assert_eq!(parse_rss("Pss: 1 kB\n"), None);
        assert_eq!(parse_rss("Rss: many kB\n"), None);
    }

    #[test]
    fn touched_memory_shows() {
        let pid = std::process::id();
        let before = rss_bytes(pid).unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = rss_bytes(pid).unwrap();
        assert!(after > before + (48 << 20), "{before} {after} {}", block.len());
    }
}
