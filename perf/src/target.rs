//! The servers under measurement: how each is configured, started, asked whether it is ready,
//! killed and started again. Every server has a fresh data directory and dies with its owner.

use crate::error::{Doing, PerfError, Result};
use crate::load::client::{Client, four_letters};
use crate::{process, sys, wire};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    /// Apache ZooKeeper, standalone.
    Zookeeper,
    /// ringkeeper, standalone.
    Ringkeeper,
    /// Constant answers on ringkeeper's own network driver: the floor of what it could do.
    Stub,
    /// Constant answers on a plain epoll loop, part of this program.
    EpollStub,
    /// No server: the machine itself.
    #[value(skip)]
    Machine,
}

impl Kind {
    /// As on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zookeeper => "zookeeper",
            Self::Ringkeeper => "ringkeeper",
            Self::Stub => "stub",
            Self::EpollStub => "epoll-stub",
            Self::Machine => "machine",
        }
    }

    /// Whether it only pretends: no nodes, no log.
    pub fn is_stub(self) -> bool {
        matches!(self, Self::Stub | Self::EpollStub)
    }
}

/// A line of zoo.cfg.
pub type ConfigKey = (String, String);

/// Where the servers are found and where they run.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The `java` to run.
    pub java: PathBuf,
    /// Arguments of the virtual machine.
    pub java_options: Vec<String>,
    /// Directory with ZooKeeper's jars.
    pub zookeeper_jars: Option<PathBuf>,
    /// ringkeeper's binary.
    pub ringkeeper: PathBuf,
    /// Under this directory every server gets one of its own.
    pub data: PathBuf,
    /// CPUs of the servers.
    pub server_cpus: Vec<usize>,
    /// CPU of the load thread.
    pub load_cpu: usize,
    /// More lines of zoo.cfg for ZooKeeper.
    pub zookeeper_keys: Vec<ConfigKey>,
    /// More lines of zoo.cfg for ringkeeper.
    pub ringkeeper_keys: Vec<ConfigKey>,
    /// Leave data directories and logs behind.
    pub keep: bool,
}

/// What a scenario wants of a server.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Bytes behind the header of a stub's every answer.
    pub reply_bytes: usize,
    /// A stub tells all other connections of a setData.
    pub fanout: bool,
    /// More lines of zoo.cfg.
    pub keys: Vec<ConfigKey>,
}

/// A running server.
pub struct Server {
    environment: Environment,
    kind: Kind,
    wishes: Wishes,
    dir: PathBuf,
    addr: SocketAddr,
    child: Child,
}

static DIRECTORY_NUMBER: AtomicU32 = AtomicU32::new(0);
const READY_LIMIT: Duration = Duration::from_secs(120);

impl Server {
    /// Starts a server on a fresh data directory and waits until it serves.
    pub fn start(environment: &Environment, kind: Kind, wishes: Wishes) -> Result<Self> {
        let number = DIRECTORY_NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", kind.name(), std::process::id());
        let dir = environment.data.join(name);
        fs::create_dir_all(dir.join("data")).doing(|| format!("create {}", dir.display()))?;
        let dir = dir.canonicalize().doing(|| format!("find {}", dir.display()))?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let child = spawn(environment, kind, &wishes, &dir, addr)?;
        let environment = environment.clone();
        let mut server = Self { environment, kind, wishes, dir, addr, child };
        server.await_ready()?;
        Ok(server)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it serves clients.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its files are.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// CPU time so far, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64> {
        process::cpu_ns(self.child.id())
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> Result<u64> {
        process::rss_bytes(self.child.id())
    }

    /// Resident memory in bytes, once it has come to rest.
    pub fn settled_rss_bytes(&self) -> Result<u64> {
        process::settled_rss_bytes(self.child.id())
    }

    /// Bytes of the body (header included) of a getData reply with this much data.
    pub fn get_data_body_bytes(&self, data_bytes: usize) -> usize {
        self.body_bytes(wire::get_data_reply_bytes(data_bytes))
    }

    /// Bytes of the body (header included) of a setData reply.
    pub fn set_data_body_bytes(&self) -> usize {
        self.body_bytes(wire::SET_DATA_REPLY_BYTES)
    }

    /// A stub's answers are all alike.
    fn body_bytes(&self, real_bytes: usize) -> usize {
        let reply_bytes = if self.kind.is_stub() { self.wishes.reply_bytes } else { real_bytes };
        wire::REPLY_HEADER_BYTES + reply_bytes
    }

    /// Starts a shell command that is told of this server by its environment.
    pub fn start_command(&self, command: &str) -> Result<Child> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command);
        shell.env("SERVER_PID", self.child.id().to_string());
        shell.env("SERVER_PORT", self.addr.port().to_string());
        shell.env("SERVER_DATA", self.data_dir());
        shell.stdin(Stdio::null()).spawn().doing(|| format!("start `{command}`"))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().doing(|| "kill the server".into())?;
        self.child.wait().doing(|| "wait for the killed server".into())?;
        Ok(())
    }

    /// Asks it to end (SIGTERM), waits until it has, kills it after a minute.
    pub fn stop(&mut self) -> Result<()> {
        sys::signal(self.child.id(), libc::SIGTERM).doing(|| "stop the server".into())?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if self.child.try_wait().doing(|| "wait for the server".into())?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill()
    }

    /// Starts it again on the same data, with other lines of zoo.cfg, and waits until it serves.
    pub fn restart(&mut self, keys: Vec<ConfigKey>) -> Result<()> {
        self.wishes.keys = keys;
        self.child = spawn(&self.environment, self.kind, &self.wishes, &self.dir, self.addr)?;
        self.await_ready()
    }

    /// Starts it again on the same data; how long it took from exec until `path` was read.
    pub fn restart_until_read(&mut self, path: &str) -> Result<Duration> {
        let start = Instant::now();
        self.child = spawn(&self.environment, self.kind, &self.wishes, &self.dir, self.addr)?;
        loop {
            let read = Client::connect(self.addr, Duration::from_secs(2))
                .and_then(|mut client| client.get_data(path));
            match read {
                Ok(_) => return Ok(start.elapsed()),
                Err(wrong @ PerfError::Wrong { .. }) => return Err(wrong),
                Err(_) => self.still_starting(start)?,
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn still_starting(&mut self, since: Instant) -> Result<()> {
        if let Some(status) = self.child.try_wait().doing(|| "wait for the server".into())? {
            return Err(self.failure(format!("{} ended at once: {status}", self.kind.name())));
        }
        if since.elapsed() > READY_LIMIT {
            return Err(self.failure(format!("{} did not get ready", self.kind.name())));
        }
        Ok(())
    }

    fn await_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while !self.is_ready() {
            self.still_starting(start)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let patience = Duration::from_secs(2);
        if self.kind.is_stub() {
            return Client::connect(self.addr, patience).is_ok();
        }
        let says = |word, expected| {
            four_letters(self.addr, word, patience).is_ok_and(|answer| answer.contains(expected))
        };
        says("ruok", "imok") && says("srvr", "Mode: ")
    }

    /// An error that shows the end of the server's log.
    pub fn failure(&self, what: String) -> PerfError {
        let log = self.dir.join("server.log");
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(15)..].join("\n");
        PerfError::Server { what, log, tail }
    }

    /// What the server says it is (first line of `srvr`), for the report.
    pub fn version(&self) -> String {
        if self.kind.is_stub() {
            return self.kind.name().into();
        }
        let answer = four_letters(self.addr, "srvr", Duration::from_secs(2)).unwrap_or_default();
        answer.lines().next().unwrap_or("says nothing").to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.environment.keep && fs::remove_dir_all(&self.dir).is_err() {
            eprintln!("could not remove {}", self.dir.display());
        }
    }
}

/// A port outside the range that outgoing connections take theirs from.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..2000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (std::process::id().wrapping_mul(31) + step * 7) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port as u16)).is_ok() {
            return Ok(port as u16);
        }
    }
    Err(PerfError::Setup("no free port between 20000 and 32000".into()))
}

fn spawn(
    environment: &Environment,
    kind: Kind,
    wishes: &Wishes,
    dir: &Path,
    addr: SocketAddr,
) -> Result<Child> {
    let config = dir.join("zoo.cfg");
    let mut command = match kind {
        Kind::Zookeeper => {
            write_config(&config, dir, addr, &[&environment.zookeeper_keys, &wishes.keys])?;
            zookeeper_command(environment, dir, &config)?
        }
        Kind::Ringkeeper => {
            write_config(&config, dir, addr, &[&environment.ringkeeper_keys, &wishes.keys])?;
            let mut command = Command::new(&environment.ringkeeper);
            command.arg("server").arg("--config").arg(&config);
            command
        }
        Kind::Stub => {
            let mut command = Command::new(&environment.ringkeeper);
            command.arg("stub");
            command
        }
        Kind::EpollStub => {
            let own = std::env::current_exe().doing(|| "find this program".into())?;
            let mut command = Command::new(own);
            command.arg("epoll-stub");
            command
        }
        Kind::Machine => return Err(PerfError::Setup("the machine is no server".into())),
    };
    if kind.is_stub() {
        command.arg("--client-port").arg(addr.port().to_string());
        command.arg("--reply-bytes").arg(wishes.reply_bytes.to_string());
        if wishes.fanout {
            command.arg("--fanout");
        }
    }
    let log = dir.join("server.log");
    let opened = fs::OpenOptions::new().create(true).append(true).open(&log);
    let output = opened.doing(|| format!("open {}", log.display()))?;
    let errors = output.try_clone().doing(|| "copy a descriptor".into())?;
    command.current_dir(dir).stdin(Stdio::null()).stdout(output).stderr(errors);
    sys::die_with_parent(&mut command);
    // A child inherits the pinning of the thread that starts it.
    sys::pin_thread(&environment.server_cpus).doing(|| "pin to the server's CPUs".into())?;
    let child = command.spawn().doing(|| format!("start {:?}", command.get_program()));
    sys::pin_thread(&[environment.load_cpu]).doing(|| "pin to the load's CPU".into())?;
    child
}

fn write_config(
    config: &Path,
    dir: &Path,
    addr: SocketAddr,
    more: &[&Vec<ConfigKey>],
) -> Result<()> {
    let mut text = format!(
        "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress={}\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=*\n",
        dir.join("data").display(),
        addr.port(),
        addr.ip()
    );
    for (key, value) in more.iter().flat_map(|keys| keys.iter()) {
        text.push_str(&format!("{key}={value}\n"));
    }
    fs::write(config, text).doing(|| format!("write {}", config.display()))
}

/// ZooKeeper's own start script sets a log configuration; without one logback would print every
/// debug line, which would be measured. WARN costs ZooKeeper less than its shipped INFO.
const LOGBACK: &str = r#"<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %-5p %c{1}: %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"#;

fn zookeeper_command(environment: &Environment, dir: &Path, config: &Path) -> Result<Command> {
    let Some(jars) = &environment.zookeeper_jars else {
        let what = "ZooKeeper is to be measured: say where its jars are (--zookeeper-jars DIR)";
        return Err(PerfError::Setup(what.into()));
    };
    let jars = jars.canonicalize().doing(|| format!("find {}", jars.display()))?;
    let logback = dir.join("logback.xml");
    fs::write(&logback, LOGBACK).doing(|| format!("write {}", logback.display()))?;
    let mut command = Command::new(&environment.java);
    command
        .args(&environment.java_options)
        .arg(format!("-Dlogback.configurationFile={}", logback.display()))
        .arg("-Dlog4j2.level=WARN")
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config);
    Ok(command)
}
