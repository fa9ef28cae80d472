//! `ringkeeper server`: its flags, each of which sets one key of the configuration, so that a
//! flag and a line of `zoo.cfg` are judged by the same table.

use crate::config::{self, ConfigError, Loaded, Override};
use clap::Args;
use std::path::PathBuf;

/// The flags of `ringkeeper server`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServerArgs {
    /// ZooKeeper configuration file to read (zoo.cfg)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Port for clients (2181); 0 takes a free one
    #[arg(long, value_name = "PORT")]
    pub client_port: Option<String>,
    /// Address the client port listens on (all)
    #[arg(long, value_name = "ADDRESS")]
    pub client_address: Option<String>,
    /// Directory of snapshots, and of the log unless --data-log-dir is given (./data)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Directory of the transaction log
    #[arg(long, value_name = "DIR")]
    pub data_log_dir: Option<String>,
    /// ZooKeeper's unit of time in ms (2000)
    #[arg(long, value_name = "MS")]
    pub tick_time: Option<String>,
    /// Connections one client address may have at a time (60); 0 is unlimited
    #[arg(long, value_name = "N")]
    pub max_client_cnxns: Option<String>,
    /// Four-letter words to answer, such as stat,mntr; * is all (srvr)
    #[arg(long, value_name = "WORDS")]
    pub four_letter_words: Option<String>,
    /// Threads that serve clients; 0 chooses by the CPUs (0)
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// CPUs to run on, such as 0-3,8 (all)
    #[arg(long, value_name = "LIST")]
    pub cores: Option<String>,
    /// The ensemble core: together with the first shard, or apart (auto)
    #[arg(long, value_name = "PLACEMENT")]
    pub placement: Option<String>,
    /// How long a thread with work in flight polls before it sleeps (0)
    #[arg(long, value_name = "US")]
    pub busy_poll_us: Option<String>,
    /// Set any key of the configuration, as docs/configuration.md lists them
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub define: Vec<String>,
    /// What to log: error, warn, info, debug or trace, or a filter by module
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: LogFilter,
    /// Judge the configuration and look whether a server can start with it here (directories and their room, port,
    /// CPUs, limits), changing nothing; print problems and warnings, and leave
    #[arg(long)]
    pub check: bool,
}

/// A filter of `tracing`, `info` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(pub String);

impl Default for LogFilter {
    fn default() -> Self {
        LogFilter("info".to_owned())
    }
}

impl std::str::FromStr for LogFilter {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        // A bare word that is no level would be taken for a module, and all others would fall silent.
        let mut bare = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
        match bare.find(|part| !LEVELS.contains(&part.to_ascii_lowercase().as_str())) {
            None => Ok(LogFilter(text.to_owned())),
            Some(part) => Err(format!(
                "'{part}' is no level; give error, warn, info, debug, trace or off, or MODULE=LEVEL"
            )),
        }
    }
}

impl ServerArgs {
    /// The settings that the flags make, named flags first, then `-D` in their order.
    pub fn overrides(&self) -> Vec<Override> {
        let named = [
            ("--client-port", "clientPort", &self.client_port),
            ("--client-address", "clientPortAddress", &self.client_address),
            ("--data-dir", "dataDir", &self.data_dir),
            ("--data-log-dir", "dataLogDir", &self.data_log_dir),
            ("--tick-time", "tickTime", &self.tick_time),
            ("--max-client-cnxns", "maxClientCnxns", &self.max_client_cnxns),
            ("--four-letter-words", "4lw.commands.whitelist", &self.four_letter_words),
            ("--shards", "ringkeeper.shards", &self.shards),
            ("--cores", "ringkeeper.cores", &self.cores),
            ("--placement", "ringkeeper.placement", &self.placement),
            ("--busy-poll-us", "ringkeeper.busyPollUs", &self.busy_poll_us),
        ];
        let named = named.into_iter().filter_map(|(flag, key, value)| {
            let value = value.as_ref()?.trim().to_owned();
            Some(Override { flag: flag.to_owned(), key: key.to_owned(), value })
        });
        let defined = self.define.iter().map(|text| {
            // `key_and_value` has looked for one.
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
            Override { flag: format!("-D {key}"), key, value }
        });
        named.chain(defined).collect()
    }

    /// Reads the configuration file, if one is named, and lays the flags over it.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        config::load(self.config.as_deref(), &self.overrides())
    }
}

fn key_and_value(text: &str) -> Result<String, &'static str> {
    if text.contains('=') { Ok(text.to_owned()) } else { Err("expected KEY=VALUE") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table;

    #[test]
    fn every_flag_names_a_key_of_the_table_and_reaches_it() {
        let text = |value: &str| Some(value.to_owned());
        let args = ServerArgs {
            client_port: text("1"),
            client_address: text("127.0.0.1"),
            data_dir: text("/d"),
            data_log_dir: text("/l"),
            tick_time: text("9"),
            max_client_cnxns: text("9"),
            four_letter_words: text("stat"),
            shards: text("2"),
            cores: text("0"),
            placement: text("apart"),
            busy_poll_us: text("9"),
            define: vec!["zookeeper.snapCount=77".into(), "skipACL = no".into()],
            ..ServerArgs::default()
        };
        let overrides = args.overrides();
        assert_eq!(overrides.len(), 13);
        for one in &overrides {
            assert!(table::find(&one.key).is_some(), "{}", one.flag);
        }
        let config = args.load().unwrap().config;
        assert_eq!(config.client_address().to_string(), "127.0.0.1:1");
        assert_eq!((config.shards, config.busy_poll_us, config.snap_count), (2, 9, 77));
        assert_eq!(config.cores, [0]);
    }

    #[test]
    fn errors_name_the_flag() {
        let bad = |args: ServerArgs| args.load().unwrap_err().to_string();
        let args = ServerArgs { shards: Some("many".into()), ..ServerArgs::default() };
        assert_eq!(
            bad(args),
            "command line, --shards: ringkeeper.shards=many: expected a whole number of threads \
             from 0 to 63"
        );
        let args = ServerArgs { define: vec!["tickTime".into()], ..ServerArgs::default() };
        assert!(bad(args).starts_with("command line, -D tickTime: tickTime=: expected "));
    }
}
