"""Three or four Apache ZooKeeper servers behind a tap, and what lies in their data directories."""

import shutil
import struct
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parent / "oracle")]

import jute  # noqa: E402
import servers  # noqa: E402
import side  # noqa: E402
import tap as tapping  # noqa: E402

TICK_MS = 1000
PATIENCE_S = 60
QUIET_S = TICK_MS / 1000 / 5
LOG_HEADER_BYTES = 16
NONE = b"\0" * 16


class Member(servers.Apache):
    """One server of an ensemble. Starting it does not wait: alone it would never answer."""

    def _wait_until_it_answers(self):
        pass


class Ensemble:
    """The servers, their tap and the transcript. `observers`: sids that only observe. `left_out`: sids that are not
    in the configuration of the others."""

    def __init__(self, sids, observers=(), left_out=(), config=None, properties=None, dynamic=False, log=False):
        self.transcript = tapping.Transcript()
        self.base = Path(tempfile.mkdtemp(prefix="ringkeeper-transcripts-"))
        self.observers, self.dynamic = set(observers), dynamic
        self.ports = {sid: [servers.free_port() for _ in range(3)] for sid in sids}
        self.config = {
            "tickTime": str(TICK_MS),
            "initLimit": "20",
            "syncLimit": "10",
            "maxSessionTimeout": "120000",
            "preAllocSize": "64",
            **(config or {}),
        }
        self.properties, self.log = properties or {}, log
        self.left_out = set(left_out)
        owners = {}
        for sid, (quorum, election, _) in self.ports.items():
            owners[quorum], owners[election] = (sid, "quorum"), (sid, "election")
        self.tap = tapping.Tap(self.transcript, owners)
        self.first_addresses = {sid: self.address(sid) for sid in sids}
        self.members = {sid: self._member(sid) for sid in sids}

    def address(self, sid):
        """What stands behind server.N= in a configuration."""
        quorum, election, client = self.ports[sid]
        role = "observer" if sid in self.observers else "participant"
        return f"127.0.0.1:{quorum}:{election}:{role};127.0.0.1:{client}"

    def _member(self, sid):
        config = dict(self.config)
        known = [other for other in self.ports if other == sid or other not in self.left_out]
        lines = {f"server.{other}": self.address(other) for other in known}
        directory = self.base / str(sid)
        (directory / "data").mkdir(parents=True)
        (directory / "data" / "myid").write_text(f"{sid}\n")
        if self.dynamic:
            dynamic = directory / "zoo.cfg.dynamic"
            dynamic.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
            config["dynamicConfigFile"] = str(dynamic)
            config["reconfigEnabled"] = "true"
            config["standaloneEnabled"] = "false"
        else:
            config.update(lines)
        if sid in self.observers:
            config["peerType"] = "observer"
        properties = {
            "socksProxyHost": "127.0.0.1",
            "socksProxyPort": str(self.tap.listen(sid)),
            "socksNonProxyHosts": "",  # its default keeps the loopback addresses out
            **self.properties,
        }
        member = Member(config, directory, 96, properties, log=self.log)
        member.port = self.ports[sid][2]
        if self.dynamic:
            member.config["clientPort"] = member.config["clientPortAddress"] = None
        return member

    # --- what is done to the servers, each told in the transcript ----------------------------------------------

    def start(self, *sids):
        """Starts servers on the data they have."""
        for sid in sids:
            accepted, current, logged, snapshot = self.on_disk(sid)
            self.transcript.line(
                "start", sid, f"accepted={accepted}", f"current={current}", f"logged={logged:x}", f"snapshot={snapshot:x}"
            )
            self.members[sid].start()

    def start_together(self, *sids):
        """Starts servers and lets none reach another before all listen, so that their first votes meet."""
        self.tap.open = False
        self.start(*sids)
        for sid in sids:
            self._until(lambda sid=sid: _listens(self.ports[sid][1]), f"server {sid} listens")
        self.tap.open = True

    def kill(self, sid):
        """Ends a server without warning."""
        self.transcript.line("kill", sid)
        self.members[sid].kill()

    def note(self, *words):
        """A remark for readers of the transcript."""
        self.transcript.line("note", *words)

    def mode(self, sid):
        """leader, follower, observer, or None while it serves nobody."""
        try:
            answer = servers.four_letter_word("127.0.0.1", self.ports[sid][2], "srvr", 2.0)
        except OSError:
            return None
        return next((line[6:] for line in answer.splitlines() if line.startswith("Mode: ")), None)

    def until_serving(self, *sids):
        """Waits until these serve; returns the leader's sid, or None if it is not one of them."""
        leader = None
        for sid in sids:
            self._until(lambda sid=sid: self.mode(sid) is not None, f"server {sid} serves")
            if self.mode(sid) == "leader":
                leader = sid
        self.note("serving:", *(f"{sid}={self.mode(sid)}" for sid in sids))
        return leader

    def until_level(self, *sids):
        """Waits until these have logged the same, and have said what they have to say about it."""
        self._until(lambda: len({self.on_disk(sid)[2] for sid in sids}) == 1, f"{sids} are level")
        self.until_quiet()

    def until_quiet(self):
        """Waits until nobody has sent anything for a while that is shorter than from ping to ping."""
        before, since_s = None, time.monotonic()
        while time.monotonic() - since_s < QUIET_S:
            now = len(self.transcript.lines())
            if now != before:
                before, since_s = now, time.monotonic()
            time.sleep(0.02)

    def until_logged(self, sid, zxid):
        """Waits until a server's log reaches a zxid."""
        self._until(lambda: self.on_disk(sid)[2] >= zxid, f"server {sid} has logged {zxid:x}")

    def until_not_serving(self, sid):
        """Waits until a server serves nobody."""
        self._until(lambda: self.mode(sid) is None, f"server {sid} stops serving")

    def until_gone(self, client, path):
        """Waits until a node is not there any more."""
        self._until(lambda: not client.exists(path), f"{path} is gone")

    def until_led_by_one_of(self, *sids):
        """Waits until one of these leads; returns it."""
        self._until(lambda: "leader" in [self.mode(sid) for sid in sids], f"one of {sids} leads")
        return self.until_serving(*sids)

    def until_epoch(self, sid, epoch):
        """Waits until a server's currentEpoch is this one or later."""
        self._until(lambda: self.on_disk(sid)[1] >= epoch, f"server {sid} is in epoch {epoch}")

    def _until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            for sid, member in self.members.items():
                if member.process is not None and member.process.poll() is not None:
                    raise RuntimeError(f"server {sid} ended while waiting until {what}:\n{member.log_tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {PATIENCE_S} s in vain until {what}")
            time.sleep(0.03)

    def close(self):
        """Writes down what each server has on disk and ends everything."""
        self.tap.close()
        for sid, member in self.members.items():
            if member.process is not None:
                member.kill()
                accepted, current, logged, _ = self.on_disk(sid)
                self.transcript.line("disk", sid, f"accepted={accepted}", f"current={current}", f"logged={logged:x}")
        shutil.rmtree(self.base, ignore_errors=True)

    # --- what is on disk ---------------------------------------------------------------------------------------

    def on_disk(self, sid):
        """(acceptedEpoch, currentEpoch, last logged zxid, zxid of the newest snapshot); zero where there is none."""
        directory = self.base / str(sid) / "data" / "version-2"
        epochs = []
        for name in ("acceptedEpoch", "currentEpoch"):
            file = directory / name
            epochs.append(int(file.read_text() or 0) if file.exists() else 0)
        snapshot = max((int(p.suffix[1:], 16) for p in directory.glob("snapshot.*")), default=0)
        logs = sorted(directory.glob("log.*"), key=lambda p: int(p.suffix[1:], 16))
        logged = snapshot
        for path in logs:
            logged = max([logged, *logged_zxids(path.read_bytes())])
        return (*epochs, logged, snapshot)


def logged_zxids(data):
    """The zxids in a transaction log of ZooKeeper."""
    at = LOG_HEADER_BYTES
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">i", data, at + 8)
        if length <= 0 or at + 12 + length >= len(data):
            return
        yield struct.unpack_from(">q", data, at + 12 + 12)[0]
        at += 12 + length + 1


def _listens(port):
    """Whether somebody listens, without dialling (the server would take it for a peer)."""
    wanted = f"{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[1].rpartition(":")[2] == wanted:
                return True
    return False


class Client:
    """A session, raw: requests by name as in tests/oracle/jute.py."""

    def __init__(self, ensemble, sid, session=0, password=NONE, timeout_ms=60_000):
        self.ensemble, self.sid = ensemble, sid
        self.connection = side.Connection(("127.0.0.1", ensemble.ports[sid][2]))
        ensemble.note("client", "attaches at" if session else "opens a session at", sid)
        self.connection.send(jute.encode_connect(0, timeout_ms, session, password, False))
        answer = jute.decode_connect(self.connection.next() or b"")
        if not answer.get("session"):
            raise RuntimeError(f"server {sid} gave no session: {answer}")
        self.session, self.password = answer["session"], answer["password"]

    def send(self, name, **fields):
        """Sends a request and does not wait."""
        connection = self.connection
        connection.xid += 1
        self.ensemble.note("client", "at", self.sid, name, fields.get("path", ""))
        request = {"name": name, **fields}
        connection.send(jute.encode_request(request, jute.FIXED_XIDS.get(name, connection.xid)))

    def call(self, name, wanted=0, **fields):
        """Sends a request and waits for its reply; an error other than `wanted` is raised."""
        self.send(name, **fields)
        payload = self.connection.next()
        if payload is None:
            raise RuntimeError(f"server {self.sid} did not answer {name} {fields}")
        reader = jute.Reader(payload)
        _, _, error = reader.int(), reader.long(), reader.int()
        if error != wanted:
            raise RuntimeError(f"server {self.sid} answered {name} {fields} with {error}")

    def exists(self, path):
        """Whether a node is there; not told in the transcript, for no peer hears of it."""
        self.connection.xid += 1
        request = {"name": "exists", "path": path, "watch": False}
        self.connection.send(jute.encode_request(request, self.connection.xid))
        reader = jute.Reader(self.connection.next() or b"")
        return (reader.int(), reader.long(), reader.int())[2] == 0

    def create(self, path, data="", flags=0, wanted=0):
        """Creates a node."""
        self.call("create", wanted, path=path, data=data, acl=side.WORLD, flags=flags)

    def drop(self):
        """Ends the connection; the session lives on."""
        self.connection.close()

    def close(self):
        """Closes the session."""
        self.call("closeSession")
        self.connection.close()
