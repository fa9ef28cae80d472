//! The command line: every scenario is a subcommand, `compare` is all of them with a report file.

use crate::error::{Doing, PerfError, Result};
use crate::load::closed::Window;
use crate::report;
use crate::runner::{self, Results};
use crate::scenario::throughput::{NODES, Operation, Throughput};
use crate::scenario::{Context, Scale, Scenario};
use crate::scenario::{disk, fanout, idle, sessions, snapshot, znodes};
use crate::stub::{self, Answers};
use crate::sys;
use crate::target::{ConfigKey, Environment, Kind};
use clap::{Args, Parser, Subcommand};
use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// getData of 128 bytes: 64 × 16, 64 × 1, 1 × 1 (sessions × outstanding).
    Read(Options),
    /// setData of 128 bytes, synced: 64 × 16, 64 × 1, 1 × 1.
    Write(Options),
    /// One change told to many watchers, until the last one is told.
    Fanout(Options),
    /// Sessions opened a second.
    Sessions(Options),
    /// A million znodes: creation, memory, restart after kill -9.
    Znodes(Options),
    /// Write latency while a snapshot is taken, and while none is.
    Snapshot(Options),
    /// Memory and CPU of an idle server, and memory of idle sessions.
    Idle(Options),
    /// The disk's own synced 512-byte overwrite.
    Disk(Options),
    /// All of these (or some: --only), targets interleaved round by round, with a report file.
    Compare(CompareOptions),
    /// Serves constant answers on a plain epoll loop (the target `epoll-stub`).
    EpollStub(StubOptions),
}

#[derive(Args)]
struct CompareOptions {
    #[command(flatten)]
    options: Options,
    /// Only these scenarios, by the names of their subcommands.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Directory of the report (`compare-TIME.md` and `.tsv`).
    #[arg(long, default_value = "perf/results")]
    results: PathBuf,
    /// Name of the report instead of the time.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Args)]
struct StubOptions {
    /// Port on 127.0.0.1.
    #[arg(long)]
    client_port: u16,
    /// Bytes of every reply behind its header.
    #[arg(long)]
    reply_bytes: usize,
    /// Tell all other connections of a setData.
    #[arg(long)]
    fanout: bool,
}

#[derive(Args, Clone)]
struct Options {
    /// What is measured.
    #[arg(long, value_delimiter = ',', default_value = "zookeeper,ringkeeper,stub")]
    targets: Vec<Kind>,
    /// The target that the others are set against.
    #[arg(long, default_value = "zookeeper")]
    base: Kind,
    /// Rounds of each scenario.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Directory with ZooKeeper's jars.
    #[arg(long)]
    zookeeper_jars: Option<PathBuf>,
    /// The java to run.
    #[arg(long, default_value = "java")]
    java: PathBuf,
    /// Arguments of the virtual machine.
    #[arg(long, default_value = "-Xmx4g -XX:+UseSerialGC", allow_hyphen_values = true)]
    java_options: String,
    /// ringkeeper's binary.
    #[arg(long, default_value = "target/release/ringkeeper")]
    ringkeeper: PathBuf,
    /// Servers keep their data under this directory; it should be on the disk to be measured.
    #[arg(long, default_value = "data/perf")]
    data: PathBuf,
    /// Leave data directories and server logs behind.
    #[arg(long)]
    keep: bool,
    /// CPUs of the servers.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    server_cpus: Vec<usize>,
    /// CPU of the load thread.
    #[arg(long, default_value_t = 1)]
    load_cpu: usize,
    /// A further line of ZooKeeper's zoo.cfg, key=value; may be repeated.
    #[arg(long, value_parser = config_key)]
    zookeeper_config: Vec<ConfigKey>,
    /// A further line of ringkeeper's zoo.cfg, key=value; may be repeated.
    #[arg(long, value_parser = config_key)]
    ringkeeper_config: Vec<ConfigKey>,
    #[command(flatten)]
    amounts: Amounts,
}

#[derive(Args, Clone)]
struct Amounts {
    /// Uncounted load before each throughput window, in seconds.
    #[arg(long, default_value_t = 2.0)]
    warm_up_seconds: f64,
    /// Length of each throughput window.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Load on a freshly started server before its first round (all targets alike).
    #[arg(long, default_value_t = 10.0)]
    prime_seconds: f64,
    /// Shapes of the throughput load, sessions x outstanding requests of each.
    #[arg(long, value_delimiter = ',', value_parser = shape, default_value = "64x16,64x1,1x1")]
    shapes: Vec<(usize, u32)>,
    /// Watchers of the fan-out.
    #[arg(long, default_value_t = 2000)]
    watchers: usize,
    /// Changes told in a round of the fan-out.
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Watchers ask again the moment they are told, not when all have been told.
    #[arg(long)]
    rearm_at_once: bool,
    /// Sessions opened in a round.
    #[arg(long, default_value_t = 5000)]
    sessions: usize,
    /// Sessions in the making at a time.
    #[arg(long, default_value_t = 32)]
    connecting: usize,
    /// Znodes created.
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    /// Parents they hang under.
    #[arg(long, default_value_t = 250)]
    parents: usize,
    /// Creates in one multi; 1 for plain creates.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Idle sessions.
    #[arg(long, default_value_t = 10_000)]
    idle_sessions: usize,
    /// How long an idle server's CPU is watched; sessions stay silent meanwhile, so keep it below 25.
    #[arg(long, default_value_t = 10.0)]
    idle_seconds: f64,
    /// Length of each open-loop window of the snapshot scenario.
    #[arg(long, default_value_t = 20.0)]
    open_seconds: f64,
    /// Offered write rate of the snapshot scenario [default: half of the highest measured].
    #[arg(long)]
    write_rate: Option<f64>,
    /// Line of zoo.cfg that keeps a server from taking snapshots; may be repeated.
    #[arg(long, value_parser = config_key,
          default_values = ["snapCount=1000000000", "snapSizeLimitInKb=1000000000"])]
    no_snapshot_config: Vec<ConfigKey>,
    /// Line of zoo.cfg that makes ZooKeeper take snapshots under load; may be repeated.
    #[arg(long, value_parser = config_key, default_value = "snapCount=100000")]
    zookeeper_snapshot_config: Vec<ConfigKey>,
    /// Line of zoo.cfg that makes ringkeeper take snapshots under load; may be repeated.
    #[arg(long, value_parser = config_key, default_value = "snapSizeLimitInKb=65536")]
    ringkeeper_snapshot_config: Vec<ConfigKey>,
    /// Shell command run a second into ZooKeeper's snapshot window; it finds SERVER_PID,
    /// SERVER_PORT and SERVER_DATA in its environment.
    #[arg(long)]
    zookeeper_snapshot_command: Option<String>,
    /// The same for ringkeeper.
    #[arg(long)]
    ringkeeper_snapshot_command: Option<String>,
    /// Synced overwrites of the disk probe in a round.
    #[arg(long, default_value_t = 5000)]
    disk_writes: usize,
}

fn config_key(text: &str) -> std::result::Result<ConfigKey, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_string(), value.to_string())),
        _ => Err(format!("`{text}` is not key=value")),
    }
}

/// `64x16`: 64 sessions with 16 requests outstanding each.
fn shape(text: &str) -> std::result::Result<(usize, u32), String> {
    let wrong =
        || format!("`{text}`: give sessions (1 to {NODES}) x outstanding requests, like 64x16");
    let (sessions, outstanding) = text.split_once('x').ok_or_else(wrong)?;
    match (sessions.parse(), outstanding.parse()) {
        (Ok(sessions @ 1..=NODES), Ok(outstanding @ 1..)) => Ok((sessions, outstanding)),
        _ => Err(wrong()),
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

impl Options {
    fn context(&self) -> Context {
        let amounts = self.amounts.clone();
        Context {
            environment: Environment {
                java: self.java.clone(),
                java_options: self.java_options.split_whitespace().map(String::from).collect(),
                zookeeper_jars: self.zookeeper_jars.clone(),
                ringkeeper: absolute(&self.ringkeeper),
                data: self.data.clone(),
                server_cpus: self.server_cpus.clone(),
                load_cpu: self.load_cpu,
                zookeeper_keys: self.zookeeper_config.clone(),
                ringkeeper_keys: self.ringkeeper_config.clone(),
                keep: self.keep,
            },
            scale: Scale {
                window: Window {
                    warm_up_ns: nanoseconds(amounts.warm_up_seconds),
                    measure_ns: nanoseconds(amounts.seconds),
                },
                prime_ns: nanoseconds(amounts.prime_seconds),
                watchers: amounts.watchers,
                changes: amounts.changes,
                rearm_at_once: amounts.rearm_at_once,
                sessions: amounts.sessions,
                connecting: amounts.connecting.max(1),
                znodes: amounts.znodes.max(1),
                parents: amounts.parents,
                batch: amounts.batch,
                idle_sessions: amounts.idle_sessions,
                idle_ns: nanoseconds(amounts.idle_seconds),
                open_ns: nanoseconds(amounts.open_seconds),
                write_rate: amounts.write_rate,
                no_snapshot_keys: amounts.no_snapshot_config,
                zookeeper_snapshot_keys: amounts.zookeeper_snapshot_config,
                ringkeeper_snapshot_keys: amounts.ringkeeper_snapshot_config,
                zookeeper_snapshot_command: amounts.zookeeper_snapshot_command,
                ringkeeper_snapshot_command: amounts.ringkeeper_snapshot_command,
                disk_writes: amounts.disk_writes,
            },
            versions: RefCell::default(),
        }
    }

    fn scenarios(&self, name: &str) -> Option<Vec<Box<dyn Scenario>>> {
        let amounts = &self.amounts;
        Some(match name {
            "disk" => vec![Box::new(disk::Disk)],
            "read" => Throughput::shapes(Operation::Get, &amounts.shapes),
            "write" => Throughput::shapes(Operation::Set, &amounts.shapes),
            "fanout" => vec![Box::new(fanout::Fanout { watchers: amounts.watchers })],
            "sessions" => vec![Box::new(sessions::Sessions { sessions: amounts.sessions })],
            "idle" => vec![Box::new(idle::Idle { sessions: amounts.idle_sessions })],
            "znodes" => {
                vec![Box::new(znodes::Znodes { count: amounts.znodes, parents: amounts.parents })]
            }
            "snapshot" => vec![Box::new(snapshot::Snapshot { count: amounts.znodes })],
            _ => return None,
        })
    }
}

const ALL: [&str; 8] =
    ["disk", "read", "write", "fanout", "sessions", "idle", "znodes", "snapshot"];

/// A server is started in a directory of its own, where a relative path would lead nowhere.
fn absolute(path: &std::path::Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Runs the command line; false when a measurement failed.
pub fn run() -> Result<bool> {
    let (name, options) = match Cli::parse().command {
        Command::Read(options) => ("read", options),
        Command::Write(options) => ("write", options),
        Command::Fanout(options) => ("fanout", options),
        Command::Sessions(options) => ("sessions", options),
        Command::Znodes(options) => ("znodes", options),
        Command::Snapshot(options) => ("snapshot", options),
        Command::Idle(options) => ("idle", options),
        Command::Disk(options) => ("disk", options),
        Command::Compare(options) => return compare(&options),
        Command::EpollStub(options) => return serve_stub(&options),
    };
    let (results, header) = measure(&options, &[name])?;
    println!("{header}{}", report::markdown(&results, options.base));
    Ok(!results.failed())
}

fn serve_stub(options: &StubOptions) -> Result<bool> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.client_port))
        .doing(|| format!("listen on port {}", options.client_port))?;
    stub::serve(&listener, Answers { reply_bytes: options.reply_bytes, fanout: options.fanout })?;
    Ok(true)
}

fn measure(options: &Options, names: &[&str]) -> Result<(Results, String)> {
    let context = options.context();
    sys::raise_descriptor_limit().doing(|| "raise the descriptor limit".into())?;
    sys::pin_thread(&[options.load_cpu]).doing(|| format!("pin to CPU {}", options.load_cpu))?;
    sys::sharpen_timers().doing(|| "set the timer slack".into())?;
    let mut scenarios = Vec::new();
    for name in names {
        let some = options.scenarios(name);
        scenarios.extend(some.ok_or_else(|| {
            PerfError::Setup(format!("no scenario is called {name}; there are {}", ALL.join(", ")))
        })?);
    }
    let load_before = load_average();
    let results = runner::run(&context, &scenarios, &options.targets, options.rounds.max(1));
    let header = header(options, &results, &load_before);
    Ok((results, header))
}

fn compare(options: &CompareOptions) -> Result<bool> {
    let names: Vec<&str> = match options.only.is_empty() {
        true => ALL.to_vec(),
        false => options.only.iter().map(String::as_str).collect(),
    };
    let (results, header) = measure(&options.options, &names)?;
    let text = format!("{header}{}", report::markdown(&results, options.options.base));
    println!("{text}");
    let dir = &options.results;
    std::fs::create_dir_all(dir).doing(|| format!("create {}", dir.display()))?;
    let name = options.name.clone().unwrap_or_else(|| format!("compare-{}", seconds_now()));
    for (ending, content) in [("md", text), ("tsv", report::tab_separated(&results))] {
        let path = dir.join(format!("{name}.{ending}"));
        std::fs::write(&path, content).doing(|| format!("write {}", path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(!results.failed())
}

fn seconds_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs())
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn first_line(path: &str, prefix: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(prefix)).unwrap_or("unknown");
    line.rsplit(": ").next().unwrap_or(line).trim().to_string()
}

/// What a reader needs to know to believe the figures or not.
fn header(options: &Options, results: &Results, load_before: &str) -> String {
    let amounts = &options.amounts;
    let mut out = String::from("# Measurements side by side\n\n");
    let _ = writeln!(
        out,
        "- machine: {} × {}, Linux {}",
        std::thread::available_parallelism().map_or(0, |n| n.get()).max(cpus_online()),
        first_line("/proc/cpuinfo", "model name"),
        first_line("/proc/sys/kernel/osrelease", "")
    );
    let _ = writeln!(
        out,
        "- servers on CPU {:?}, load on CPU {}; load average {load_before} before, {} after",
        options.server_cpus,
        options.load_cpu,
        load_average()
    );
    let _ = writeln!(
        out,
        "- {} rounds; windows of {} s after {} s of warm-up; {} s of load after a start",
        options.rounds, amounts.seconds, amounts.warm_up_seconds, amounts.prime_seconds
    );
    let _ = writeln!(
        out,
        "- TCP congestion control {}; clock source {}",
        first_line("/proc/sys/net/ipv4/tcp_congestion_control", ""),
        first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", "")
    );
    let _ = writeln!(out, "- ZooKeeper runs with `java {}`", options.java_options);
    for (kind, version) in &results.versions {
        let _ = writeln!(out, "- {}: {version}", kind.name());
    }
    out.push_str(
        "\nA cell shows the median of the rounds (lowest–highest); a ratio is taken within each \
         round first.\nLines in italics are about the measurement itself.\n",
    );
    out
}

fn cpus_online() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}
