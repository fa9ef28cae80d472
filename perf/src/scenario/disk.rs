//! The disk's own floor: the time of one synced 512-byte overwrite, O_DIRECT and O_DSYNC through
//! io_uring, in a file that was written with zeros before, in the directory that the servers use.
//! No acknowledged write can be faster than this.

use super::{Context, Figure, Scenario, higher, lower};
use crate::error::{Doing, PerfError, Result};
use crate::stats::Latencies;
use crate::sys;
use crate::target::{Kind, Server};
use io_uring::{IoUring, opcode, types};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const FILE_BYTES: usize = 16 * 1024 * 1024;
const WRITE_BYTES: usize = 512;

/// The scenario.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

/// Memory for O_DIRECT: a page of its own.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

fn prepare(path: &Path) -> Result<File> {
    let mut zeros = File::create(path).doing(|| format!("create {}", path.display()))?;
    let block = vec![0; 1024 * 1024];
    for _ in 0..FILE_BYTES / block.len() {
        zeros.write_all(&block).doing(|| "write zeros".into())?;
    }
    zeros.sync_all().doing(|| "sync zeros".into())?;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC);
    options.open(path).doing(|| format!("open {} with O_DIRECT", path.display()))
}

fn overwrite(ring: &mut IoUring, file: &File, page: &Page, offset: u64) -> Result<u64> {
    let fd = types::Fd(file.as_raw_fd());
    let write = opcode::Write::new(fd, page.0.as_ptr(), WRITE_BYTES as u32).offset(offset).build();
    let start_ns = sys::now_ns();
    // SAFETY: the page and the file outlive the operation: its completion is awaited below.
    unsafe { ring.submission().push(&write) }
        .map_err(|_| PerfError::Setup("the submission queue is full".into()))?;
    ring.submit_and_wait(1).doing(|| "io_uring_enter".into())?;
    let result = ring.completion().next().map_or(-libc::EIO, |completion| completion.result());
    let elapsed_ns = sys::now_ns() - start_ns;
    if result != WRITE_BYTES as i32 {
        let what = format!("write of {WRITE_BYTES} bytes at {offset} gave {result}");
        return Err(PerfError::Setup(what));
    }
    Ok(elapsed_ns)
}

fn measure(path: &Path, writes: usize) -> Result<(Latencies, f64)> {
    let file = prepare(path)?;
    let mut ring = IoUring::new(4).doing(|| "io_uring_setup".into())?;
    let page = Box::new(Page([0x5a; 4096]));
    let mut latencies = Latencies::new();
    let start_ns = sys::now_ns();
    for number in 0..writes {
        let offset = (number * WRITE_BYTES % FILE_BYTES) as u64;
        latencies.record(overwrite(&mut ring, &file, &page, offset)?);
    }
    let per_second = writes as f64 / ((sys::now_ns() - start_ns) as f64 / 1e9);
    Ok((latencies, per_second))
}

impl Scenario for Disk {
    fn title(&self) -> String {
        "disk: synced 512-byte overwrite".into()
    }

    fn group(&self) -> &'static str {
        "disk"
    }

    fn takes(&self, kind: Kind) -> bool {
        kind == Kind::Machine
    }

    fn round(
        &self,
        context: &Context,
        _kind: Kind,
        _held: &mut Option<Server>,
    ) -> Result<Vec<Figure>> {
        let dir = &context.environment.data;
        fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
        let path = dir.join(format!("disk-{}", std::process::id()));
        let measured = measure(&path, context.scale.disk_writes);
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))?;
        let (latencies, per_second) = measured?;
        Ok(vec![
            lower("p50", "µs", latencies.quantile_us(0.5)),
            lower("p99", "µs", latencies.quantile_us(0.99)),
            lower("max", "µs", latencies.max_us()),
            higher("one after the other", "1/s", per_second),
        ])
    }
}
