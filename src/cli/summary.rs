//! The one-screen summary that the server prints when it starts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What the summary tells. Plain data; `Display` is the text, ending in a new line.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Version of the server.
    pub version: &'static str,
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where clients are served (the real port, not 0).
    pub client_address: SocketAddr,
    /// Where snapshots are.
    pub data_dir: PathBuf,
    /// Where the log is.
    pub data_log_dir: PathBuf,
    /// The last transaction recovered.
    pub recovered_zxid: i64,
    /// Nodes recovered.
    pub znode_count: usize,
    /// How long recovery took.
    pub recovery: Duration,
    /// Threads that serve clients.
    pub shards: usize,
    /// CPUs that the process may use.
    pub cores: usize,
    /// The ensemble core shares a thread with shard 0.
    pub core_together: bool,
    /// Threads are bound to CPUs.
    pub pinned: bool,
    /// Writes are on their medium before they are acknowledged.
    pub force_sync: bool,
    /// How they get there, for example `O_DIRECT|O_DSYNC through io_uring`.
    pub sync_method: &'static str,
    /// Shortest and longest session time-out granted, in ms.
    pub session_timeout_ms: (i32, i32),
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: fmt::Arguments<'_>| writeln!(f, "  {name:<14}{value}");
        line("ringkeeper", format_args!("{} (standalone)", self.version))?;
        match &self.config_file {
            Some(path) => line("configuration", format_args!("{}", path.display()))?,
            None => line("configuration", format_args!("none, defaults"))?,
        }
        line("client port", format_args!("{}", self.client_address))?;
        line("data", format_args!("{}", self.data_dir.display()))?;
        if self.data_log_dir != self.data_dir {
            line("log", format_args!("{}", self.data_log_dir.display()))?;
        }
        line(
            "recovered",
            format_args!(
                "zxid 0x{:x}, {} znodes, in {:.3} s",
                self.recovered_zxid,
                self.znode_count,
                self.recovery.as_secs_f64()
            ),
        )?;
        let core = if self.core_together { "core on shard 0" } else { "core apart" };
        let pinned = if self.pinned { "pinned" } else { "not pinned" };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        line(
            "threads",
            format_args!(
                "{} shard{} on {} core{}, {core}, {pinned}",
                self.shards,
                plural(self.shards),
                self.cores,
                plural(self.cores)
            ),
        )?;
        match self.force_sync {
            true => line("writes", format_args!("synced before they are acknowledged"))?,
            false => line("writes", format_args!("NOT synced before they are acknowledged"))?,
        }
        line("", format_args!("({})", self.sync_method))?;
        let (min, max) = self.session_timeout_ms;
        line("sessions", format_args!("time-outs from {min} to {max} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text() {
        let summary = Summary {
            version: "1.2.3",
            config_file: None,
            client_address: "[::]:2181".parse().unwrap(),
            data_dir: "/x/data".into(),
            data_log_dir: "/x/data".into(),
            recovered_zxid: 0x1f,
            znode_count: 5,
            recovery: Duration::from_micros(1500),
            shards: 1,
            cores: 2,
            core_together: false,
            pinned: false,
            force_sync: true,
            sync_method: "O_DIRECT|O_DSYNC through io_uring",
            session_timeout_ms: (4000, 40000),
        };
        let text = "\
\x20 ringkeeper    1.2.3 (standalone)
  configuration none, defaults
  client port   [::]:2181
  data          /x/data
  recovered     zxid 0x1f, 5 znodes, in 0.002 s
  threads       1 shard on 2 cores, core apart, not pinned
  writes        synced before they are acknowledged
                (O_DIRECT|O_DSYNC through io_uring)
  sessions      time-outs from 4000 to 40000 ms
";
        assert_eq!(summary.to_string(), text);
        let other = Summary {
            config_file: Some("zoo.cfg".into()),
            data_log_dir: "/y".into(),
            shards: 2,
            cores: 1,
            core_together: true,
            pinned: true,
            force_sync: false,
            ..summary
        };
        let text = other.to_string();
        for part in [
            "configuration zoo.cfg\n",
            "log           /y\n",
            "2 shards on 1 core, core on shard 0, pinned\n",
            "NOT synced",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }
}
