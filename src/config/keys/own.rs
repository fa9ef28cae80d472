//! ringkeeper's own keys: threads and buffers.

use super::INT_MAX;
use crate::config::settings::{Pinning, Placement};
use crate::config::table::{Key, Kind, NotAccepted};

/// The highest CPU number accepted, Linux's `CPU_SETSIZE`.
const CPU_MAX: usize = 1023;

/// Threads and buffers.
pub const OWN: &[Key] = &[
    Key::honoured(
        "ringkeeper.shards",
        "0",
        Kind::Int { min: 0, max: 63, unit: "threads", set: |c, v| c.shards = v as u32 },
        "Threads that serve clients; 0 is one a CPU, less one for the ensemble core where there \
         are several CPUs.",
    ),
    Key::honoured(
        "ringkeeper.cores",
        "",
        Kind::Text {
            form: "a list of CPU numbers and ranges from 0 to 1023, such as 0-3,8",
            set: |c, v| {
                c.cores = cpu_list(v)?;
                Ok(())
            },
        },
        "The CPUs to run on; without it, all that the process may use.",
    ),
    Key::honoured(
        "ringkeeper.pin",
        "auto",
        Kind::Text {
            form: "auto, yes or no",
            set: |c, v| {
                c.pinning = match v {
                    "auto" => Pinning::Auto,
                    "yes" => Pinning::Yes,
                    "no" => Pinning::No,
                    _ => return Err(NotAccepted),
                };
                Ok(())
            },
        },
        "Binds threads to CPUs; `auto` does so where `ringkeeper.cores` names them.",
    ),
    Key::honoured(
        "ringkeeper.placement",
        "auto",
        Kind::Text {
            form: "auto, together or apart",
            set: |c, v| {
                c.placement = match v {
                    "auto" => Placement::Auto,
                    "together" => Placement::Together,
                    "apart" => Placement::Apart,
                    _ => return Err(NotAccepted),
                };
                Ok(())
            },
        },
        "Whether the ensemble core shares the thread of the first shard or has its own.",
    ),
    Key::honoured(
        "ringkeeper.busyPollUs",
        "0",
        Kind::Int { min: 0, max: 1_000_000, unit: "µs", set: |c, v| c.busy_poll_us = v as u32 },
        "How long a thread polls before it sleeps, whatever it waits for; 0 sleeps at once.",
    ),
    Key::honoured(
        "ringkeeper.logWritePollUs",
        "300",
        Kind::Int {
            min: 0,
            max: 1_000_000,
            unit: "µs",
            set: |c, v| c.log_write_poll_us = v as u32,
        },
        "How long the core's thread stays awake for a log write of at most four transactions, while the disk is usually \
         quicker than that: a client that writes alone has its answer sooner. 0 sleeps at once.",
    ),
    Key::honoured(
        "ringkeeper.outputPauseBytes",
        "1048576",
        Kind::Int {
            min: 4096,
            max: INT_MAX,
            unit: "bytes",
            set: |c, v| c.output_pause_bytes = v as u64,
        },
        "Unsent bytes of a connection at which the server stops reading its requests.",
    ),
    Key::honoured(
        "ringkeeper.outputLimitBytes",
        "67108864",
        Kind::Int {
            min: 65536,
            max: 64 * INT_MAX,
            unit: "bytes",
            set: |c, v| c.output_limit_bytes = v as u64,
        },
        "Unsent bytes of a connection, watch events included, at which it is closed as a slow \
         reader.",
    ),
    Key::honoured(
        "ringkeeper.retainedBytesMax",
        "134217728",
        Kind::Int {
            min: 1 << 20,
            max: 64 * INT_MAX,
            unit: "bytes",
            set: |c, v| c.retained_bytes_max = v as u64,
        },
        "Bytes of replaced and deleted znodes, kept until no reader can need them, at which no \
         more writes are taken until it is less; reads go on. What a snapshot or a long answer \
         keeps comes on top: at most one old version of each znode for each of them (one \
         snapshot, one answer a shard).",
    ),
    Key::honoured(
        "ringkeeper.outputTotalBytes",
        "536870912",
        Kind::Int {
            min: 1 << 20,
            max: 64 * INT_MAX,
            unit: "bytes",
            set: |c, v| c.output_total_bytes = v as u64,
        },
        "Memory that the unsent output of all connections may hold. From half of it on, those that \
         hold most are not read; at seven eighths nobody is, and those are closed that hold most and \
         take nothing, until half is free; at the bound the greatest holders. Their sessions live on. Counts as no less \
         than `ringkeeper.outputLimitBytes`.",
    ),
    Key::honoured(
        "ringkeeper.inputTotalBytes",
        "268435456",
        Kind::Int {
            min: 1 << 20,
            max: 64 * INT_MAX,
            unit: "bytes",
            set: |c, v| c.input_total_bytes = v as u64,
        },
        "Memory that the requests of all connections may hold that are not whole or not answered \
         yet. From half of it on, large requests (over 64 KiB) are received a few at a time, and \
         while others wait, those are closed that have sent nothing of theirs for a second; at the \
         bound the greatest holders. Their sessions live on. Counts as no less than four times `jute.maxbuffer`.",
    ),
    Key::honoured(
        "ringkeeper.watchesPerConnectionMax",
        "0",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "watches",
            set: |c, v| c.watches_per_connection_max = v as u64,
        },
        "Watches one connection may hold; 0 is unlimited.",
    ),
];

/// Reads `0-3,8` into ascending CPU numbers without repeats.
fn cpu_list(text: &str) -> Result<Vec<usize>, NotAccepted> {
    let number = |part: &str| {
        let digits = part.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let value = digits.parse().ok().filter(|&cpu: &usize| plain && cpu <= CPU_MAX);
        value.ok_or(NotAccepted)
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last {
            return Err(NotAccepted);
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        assert_eq!(cpu_list("0"), Ok(vec![0]));
        assert_eq!(cpu_list("8, 0-3,2"), Ok(vec![0, 1, 2, 3, 8]));
        for text in ["", "a", "3-1", "1-", "0,,1", "-1", "+1", "1024", "0-99999999999999999999"] {
            assert_eq!(cpu_list(text), Err(NotAccepted), "{text}");
        }
    }
}
