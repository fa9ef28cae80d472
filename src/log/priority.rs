//! Background threads step back: less of the processor, and the disk last.

/// Lowers the calling thread's share of processor (nice 10) and disk (best effort, lowest). What
/// the system refuses stays as it was: this is courtesy, not correctness.
pub fn lower_priority() {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const BEST_EFFORT_LOWEST: libc::c_int = (2 << 13) | 7;
    // SAFETY: both calls take plain numbers; 0 is the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, BEST_EFFORT_LOWEST);
    }
}
