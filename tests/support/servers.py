"""Starts and stops servers for the external proofs: Apache ZooKeeper, ringkeeper, or one that already runs.

Both kinds are given the same zoo.cfg, a free port and a fresh data directory. A server is named by a word:

    apache                Apache ZooKeeper, from the cache (see cache.py)
    ringkeeper            the binary named by RINGKEEPER_BIN, or the newest of target/{release,fast,debug}/ringkeeper
    <path>                a ringkeeper binary
    <host>:<port>         a server somebody else started; it is never stopped

    python3 tests/support/servers.py apache [--heap-mb 4096] [key=value ...]   # runs one until interrupted
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cache  # noqa: E402

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
# super:test, for tests that need the super user (SHA-1 of "super:test").
SUPER_PASSWORD = "super:test"
SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="

# Settings that Apache takes from Java system properties alone; in zoo.cfg it passes over them.
PROPERTY_KEYS = ("znode.container.", "jute.maxbuffer")

DEFAULT_CONFIG = {
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
    "maxClientCnxns": "0",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
    "DigestAuthenticationProvider.superDigest": SUPER_DIGEST,
}


def free_port():
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def four_letter_word(host, port, word, timeout_s=5.0):
    """The answer to a four-letter word, as text; raises OSError if there is none."""
    with socket.create_connection((host, port), timeout=timeout_s) as sock:
        sock.sendall(word.encode())
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    return answer.decode(errors="replace")


def ringkeeper_binary():
    """The ringkeeper binary to test, or `cache.Unavailable`."""
    named = os.environ.get("RINGKEEPER_BIN")
    if named:
        return named
    target = Path(os.environ.get("CARGO_TARGET_DIR", cache.REPOSITORY / "target"))
    built = [p for p in (target / name / "ringkeeper" for name in ("release", "fast", "debug")) if p.exists()]
    if not built:
        raise cache.Unavailable("no ringkeeper binary: build one (cargo build --profile fast) or set RINGKEEPER_BIN")
    return str(max(built, key=lambda p: p.stat().st_mtime))


class Server:
    """One server process with its own port and data directory. A context manager: starts on entry, stops and
    removes its directory on exit."""

    def __init__(self, config=None, directory=None):
        """`config`: keys that replace or add to DEFAULT_CONFIG; a None value removes the key."""
        self.host = "127.0.0.1"
        self.port = free_port()
        self.directory = Path(directory or tempfile.mkdtemp(prefix="ringkeeper-test-"))
        self._keep = directory is not None
        self.config = {**DEFAULT_CONFIG, **(config or {})}
        self.process = None

    @property
    def address(self):
        """host:port, as clients write it."""
        return f"{self.host}:{self.port}"

    @property
    def log_path(self):
        """Where standard output and error of all its starts go."""
        return self.directory / "output.log"

    def command(self, config_path):
        """The argument vector of the process."""
        raise NotImplementedError

    def start(self):
        """Starts the process on the data it has and waits until it answers."""
        if self.process is not None:
            raise RuntimeError(f"{self.address}: started twice")
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        keys = {"dataDir": data, "clientPort": self.port, "clientPortAddress": self.host, **self.config}
        config_path = self.directory / "zoo.cfg"
        config_path.write_text("".join(f"{k}={v}\n" for k, v in keys.items() if v is not None))
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(config_path), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
            )
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                status, self.process = self.process.returncode, None
                raise RuntimeError(f"{self.address}: ended with {status} while starting:\n{self.log_tail()}")
            try:
                if "Mode:" in four_letter_word(self.host, self.port, "srvr", 2.0):
                    return
            except OSError:
                pass
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"{self.address}: no answer to srvr within {START_TIMEOUT_S} s:\n{self.log_tail()}")

    def log_tail(self, lines=30):
        """The last lines it wrote."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def running(self):
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Asks the process to end (SIGTERM), then makes it."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self):
        """Ends the process without warning (SIGKILL); its data stays."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def destroy(self):
        """Stops it and removes its data."""
        self.stop()
        if not self._keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.destroy()
            raise

    def __exit__(self, *_):
        self.destroy()


class Apache(Server):
    """Apache ZooKeeper, standalone unless the config names servers."""

    kind = "apache"

    def __init__(self, config=None, directory=None, heap_mb=256, properties=None, sync=False, log=False):
        """`heap_mb`: maximum heap (perf: 4096). `properties`: Java system properties, without -D.
        `sync`: whether writes reach the medium. `log`: whether ZooKeeper's own log goes to the output file."""
        super().__init__(config, directory)
        self.heap_mb = heap_mb
        self.properties = properties or {}
        self.sync = sync
        self.log = log
        self.java = cache.java()
        self.classpath = cache.zookeeper_classpath()

    def command(self, config_path):
        properties = {
            "zookeeper.jmx.log4j.disable": "true",
            "zookeeper.forceSync": "yes" if self.sync else "no",
            "log4j2.level": "INFO" if self.log else "OFF",
            **{key: value for key, value in self.config.items() if key.startswith(PROPERTY_KEYS)},
            **self.properties,
        }
        command = [self.java, f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        if self.heap_mb <= 512:
            command += ["-Xss512k", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        command += [f"-D{key}={value}" for key, value in properties.items()]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return command + ["-cp", self.classpath, main, str(config_path)]


class Ringkeeper(Server):
    """ringkeeper, given Apache ZooKeeper's own configuration file."""

    kind = "ringkeeper"

    def __init__(self, binary=None, config=None, directory=None):
        super().__init__(config, directory)
        self.binary = binary or ringkeeper_binary()

    def command(self, config_path):
        return [self.binary, "server", "--config", str(config_path)]


class Running:
    """A server somebody else started."""

    kind = "running"

    def __init__(self, host, port):
        self.host, self.port = host, port

    @property
    def address(self):
        """host:port, as clients write it."""
        return f"{self.host}:{self.port}"

    def start(self):
        """Only looks whether it answers."""
        four_letter_word(self.host, self.port, "srvr")
        return self

    def running(self):
        """Not ours to know."""
        return True

    def log_tail(self, lines=30):
        """There is none."""
        return ""

    def stop(self):
        """Not ours to stop."""

    destroy = stop

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        pass


def make(word, config=None, properties=None, **apache_options):
    """The server a word names (see the top of this file), not started yet. `properties` and `apache_options`
    matter to Apache only: ringkeeper takes the same settings from `config`."""
    if word == "apache":
        return Apache(config, properties=properties, **apache_options)
    if word == "ringkeeper":
        return Ringkeeper(config=config)
    host, colon, port = word.rpartition(":")
    if colon and port.isdigit():
        return Running(host, int(port))
    return Ringkeeper(binary=os.path.abspath(word), config=config)


def main(arguments):
    word = arguments[0] if arguments else "apache"
    options, config = {}, {}
    rest = iter(arguments[1:])
    for argument in rest:
        if argument == "--heap-mb":
            options["heap_mb"] = int(next(rest))
        elif argument == "--sync":
            options["sync"] = True
        elif argument == "--log":
            options["log"] = True
        else:
            key, _, value = argument.partition("=")
            config[key] = value
    try:
        with make(word, config, **options) as server:
            print(server.address, flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except cache.Unavailable as reason:
        print(f"SKIPPED: {reason}", file=sys.stderr)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
