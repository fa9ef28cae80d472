"""One side of the comparison: a server, the connections a sequence of steps opens to it, and what they saw.

A step is a dict (see steps.py). `begin` sends what a step asks for, `finish` collects everything the step caused on
every connection and returns it normalised (see `Normaliser`), ready to be compared with the other side's.
"""

import select
import socket
import time

import digest
import jute
import servers
import words

REPLY_TIMEOUT_S = 20.0
BARRIER_XID = 0x7F000000
SESSION_TIMEOUT_MS = 40_000
# Nodes that are there before a sequence begins and whose Stats carry what earlier sequences did to them.
LASTING_NODES = ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")
UNAUTHENTICATED = -124
WORLD = [[31, "world", "anyone"]]


class Connection:
    """A raw connection: frames in, frames out, nothing interpreted."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=REPLY_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.input = bytearray()
        self.ended = False
        self.xid = 0
        self.pending = []  # [xid, request] in the order sent, not answered yet
        self.session = 0
        self.password = b""

    def send(self, data):
        """Sends all of it; a connection the peer closed just ends."""
        view = memoryview(data)
        deadline = time.monotonic() + REPLY_TIMEOUT_S
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                # The peer may be waiting for us to read before it reads on.
                select.select([self.socket], [self.socket], [], 1.0)
                self._receive()
                if time.monotonic() > deadline:
                    return
            except OSError:
                return

    def _receive(self):
        try:
            while not self.ended:
                chunk = self.socket.recv(1 << 20)
                if not chunk:
                    self.ended = True
                self.input += chunk
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def take(self):
        """A whole frame from what has been received, or None."""
        if len(self.input) < 4:
            return None
        length = int.from_bytes(self.input[:4], "big", signed=True)
        if length < 0 or len(self.input) < 4 + length:
            return None
        payload = bytes(self.input[4 : 4 + length])
        del self.input[: 4 + length]
        return payload

    def next(self, timeout_s=REPLY_TIMEOUT_S):
        """The next frame; None when the connection has ended or nothing came in time (see `ended`)."""
        deadline = time.monotonic() + timeout_s
        while True:
            payload = self.take()
            if payload is not None:
                return payload
            if self.ended:
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            select.select([self.socket], [], [], left)
            self._receive()

    def close(self):
        """Ends the connection without a word."""
        self.ended = True
        self.socket.close()


class Side:
    """The state of one run of a sequence against one server."""

    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.defaults = None  # what the lasting nodes hold on a fresh server
        self.connections = {}

    # --- a run ----------------------------------------------------------------------------------------------

    def reset(self):
        """Brings the server back to an empty tree and forgets the previous run."""
        for connection in self.connections.values():
            connection.close()
        self.connections = {}
        self.watchman = None  # id and password of the session that looks for the end of nodes
        self.sessions = {}  # id -> label
        self.passwords = {}  # label -> (id, password)
        self.clean()
        self.watchman = self._open_watchman()
        self.normaliser = Normaliser(self)
        self.last_zxid = self.normaliser.base

    def finish_run(self):
        """Closes every session of the run, so that none expires into a later one."""
        for connection in self.connections.values():
            connection.close()
        self.connections = {}
        for session, password in [*self.passwords.values(), self.watchman]:
            closer = Connection(self.address)
            closer.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, session, password, False))
            response = closer.next()
            if response is not None and jute.decode_connect(response).get("session") == session:
                self.call(closer, {"name": "closeSession"})
            closer.close()

    def _open_watchman(self):
        opener = Connection(self.address)
        opener.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, 0, b"\0" * 16, False))
        response = jute.decode_connect(opener.next() or b"")
        opener.close()
        if "session" not in response:
            raise RuntimeError(f"{self.name}: no ConnectResponse")
        return response["session"], response["password"]

    def admin(self):
        """A connection of its own, authenticated as the super user."""
        connection = Connection(self.address)
        connection.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, 0, b"\0" * 16, False))
        response = connection.next()
        if response is None:
            raise RuntimeError(f"{self.name}: no ConnectResponse")
        self.call(connection, {"name": "auth", "scheme": "digest", "auth": "super:test"})
        return connection

    def call(self, connection, request):
        """Sends one request and waits for its reply: (zxid, error, decoded body)."""
        connection.xid += 1
        xid = jute.FIXED_XIDS.get(request["name"], connection.xid)
        connection.send(jute.encode_request(request, xid))
        while True:
            payload = connection.next()
            if payload is None:
                raise RuntimeError(f"{self.name}: no reply to {request['name']} {request.get('path')}")
            reader = jute.Reader(payload)
            got, zxid, error = reader.int(), reader.long(), reader.int()
            if got == xid:
                return zxid, error, jute.decode_reply(request["name"], reader.rest())

    def clean(self):
        """Deletes all that sequences made and gives the lasting nodes their first data and ACLs again."""
        admin = self.admin()
        found = {}
        for path in LASTING_NODES:
            _, error, data = self.call(admin, {"name": "getData", "path": path, "watch": False})
            _, _, acl = self.call(admin, {"name": "getACL", "path": path})
            found[path] = (data.get("data"), acl.get("acl")) if error == 0 else None
        if self.defaults is None:
            self.defaults = found
        for path, default in self.defaults.items():
            if default is not None and found[path] != default:
                if found[path][0] != default[0]:
                    self.call(admin, {"name": "setData", "path": path, "data": default[0], "version": -1})
                if found[path][1] != default[1]:
                    self.call(admin, {"name": "setACL", "path": path, "acl": default[1], "version": -1})
        for path in ("/", "/zookeeper", "/zookeeper/quota"):
            self._delete_below(admin, path)
        self.call(admin, {"name": "closeSession"})
        admin.close()

    def _delete_below(self, admin, path):
        _, error, body = self.call(admin, {"name": "getChildren", "path": path, "watch": False})
        if error != 0:
            return
        for child in body["children"]:
            below = path.rstrip("/") + "/" + child
            if below not in LASTING_NODES:
                self._delete_below(admin, below)
                self.call(admin, {"name": "delete", "path": below, "version": -1})

    # --- steps ----------------------------------------------------------------------------------------------

    def begin(self, step):
        """Sends what the step asks for."""
        self.told = []  # what `begin` already has to say, before `finish` collects
        kind = step["do"]
        slot = step.get("conn", 0)
        if kind == "open":
            self._open(slot, step)
        elif kind == "drop":
            if slot in self.connections:
                self.connections[slot].close()
        elif kind == "send":
            requests = step["requests"]
            self._send(slot, requests[:1] if step.get("serial") else requests)
        elif kind == "raw":
            connection = self._connection(slot)
            connection.send(bytes.fromhex(step["hex"]))
            if step.get("eof"):
                connection.socket.shutdown(socket.SHUT_WR)
        elif kind == "first":  # the first bytes on a new connection, which need not be a ConnectRequest
            connection = Connection(self.address)
            self._replace(slot, connection)
            connection.send(bytes.fromhex(step["hex"]))
            if step.get("eof"):
                connection.socket.shutdown(socket.SHUT_WR)
        elif kind not in ("restart", "gone", "word", "digests"):
            raise ValueError(f"step of kind {kind!r}")

    def finish(self, step):
        """Collects what the step caused on every connection and returns it normalised."""
        kind = step["do"]
        slot = step.get("conn", 0)
        outcome = list(self.told)
        mine = self.connections.get(slot)
        frames = {number: [] for number in self.connections}
        if kind == "first":
            answer = b""
            while (payload := mine.next(5.0)) is not None:
                answer += payload
            outcome.append({"answer": bytes(answer + mine.input).hex(), "ended": mine.ended})
            mine.close()
        elif mine is not None and not mine.ended:
            self._drain(mine, frames[slot])
            for request in step.get("requests", ())[1:] if step.get("serial") else ():
                if not mine.ended and not mine.pending:
                    self._send(slot, [request])
                    self._drain(mine, frames[slot])
            if step.get("closes"):
                while (payload := mine.next(5.0)) is not None:
                    frames[slot].append(self._frame(mine, payload))
        if kind == "word":
            answer = servers.four_letter_word(*self.address, step["word"])
            outcome.append({"word": words.comparable(step["word"], answer, self)})
        if kind == "digests":
            outcome.append({"digests": self._digests()})
        if kind == "gone":
            outcome.append({"gone": self._wait_until_gone(step["path"])})
        patience_s = 0.3 if "password" in step else 5.0  # with a wrong password only Apache closes it
        for number in step.get("ends", ()):  # other connections that the step makes the server close
            other = self.connections.get(number)
            while other is not None and (payload := other.next(patience_s)) is not None:
                frames[number].append(self._frame(other, payload))
        self._barrier(frames)
        for number, connection in sorted(self.connections.items()):
            if mine is not None and connection is mine and mine.pending and not mine.ended:
                frames[number].append({"no reply to": [r["name"] for _, r in mine.pending]})
                mine.close()
            normal = self.normaliser.frames(frames[number], step)
            outcome.append({"conn": number, "frames": normal, "ended": connection.ended})
        for number in [n for n, c in self.connections.items() if c.ended]:
            self.connections.pop(number).close()
        return outcome

    def _wait_until_gone(self, path):
        """Polls, on a connection of its own without a session's zxid, until a node is not there any more."""
        asker = Connection(self.address)
        try:
            asker.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, *self.watchman, False))
            if not jute.decode_connect(asker.next() or b"").get("session"):
                return "the session that looks is gone"
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if self.call(asker, {"name": "exists", "path": path, "watch": False})[1] == -101:
                    return True
                time.sleep(0.02)
            return False
        finally:
            asker.close()

    def _digests(self):
        """Whether `hash` shows the digest of the state at every 128th zxid: the last is computed anew from all nodes.

        Spends 128 zxids, wherever the next such zxid lies."""
        ahead = -self.last_zxid % 128
        self.spend(ahead)
        lines = servers.four_letter_word(*self.address, "hash").splitlines()
        shown = [(int(zxid, 16), int(digest)) for zxid, digest in (line.split(": ") for line in lines)]
        asker = Connection(self.address)
        asker.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, *self.watchman, False))
        if not jute.decode_connect(asker.next() or b"").get("session"):
            return "the session that looks is gone"
        self.call(asker, {"name": "auth", "scheme": "digest", "auth": "super:test"})
        computed = digest.of_tree(lambda request: self.call(asker, request))
        asker.close()
        newest = self.last_zxid
        self.spend(128 - ahead)
        zxids = [zxid for zxid, _ in shown]
        return {
            "every 128th": zxids == [128 * at for at in range(newest // 128 - len(zxids) + 1, newest // 128 + 1)],
            "last": "as computed" if shown and shown[-1] == (newest, computed) else [shown[-1:], newest, computed],
        }

    def spend(self, zxids):
        """Spends zxids without changing anything: empty transactions."""
        spender = Connection(self.address)
        spender.send(jute.encode_connect(0, SESSION_TIMEOUT_MS, *self.watchman, False))
        if jute.decode_connect(spender.next() or b"").get("session"):
            for _ in range(zxids):
                self.last_zxid = self.call(spender, {"name": "multi", "ops": []})[0]
        spender.close()

    def lose_connections(self):
        """Forgets all connections: the server is about to be restarted."""
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    def _drain(self, connection, frames):
        """Reads until every pending request has its reply, the connection ends, or nothing more comes."""
        while connection.pending and (payload := connection.next()) is not None:
            frames.append(self._frame(connection, payload))

    def _barrier(self, frames):
        """Waits until every connection has been told all that it is owed: a read answered on it is behind that."""
        waiting = {}
        for number, connection in self.connections.items():
            if not connection.ended and not connection.pending:
                request = {"name": "exists", "path": "/", "watch": False}
                connection.send(jute.encode_request(request, BARRIER_XID))
                connection.pending.append([BARRIER_XID, request])
                waiting[number] = connection
        for number, connection in waiting.items():
            while connection.pending:
                payload = connection.next()
                if payload is None:
                    if not connection.ended:
                        frames[number].append({"no reply to": "the barrier"})
                        connection.close()
                    connection.pending.clear()
                    break
                frames[number].append(self._frame(connection, payload))
            if frames[number] and frames[number][-1].get("err") == UNAUTHENTICATED:
                connection.next(5.0)  # closed behind this answer

    def _frame(self, connection, payload):
        reader = jute.Reader(payload)
        try:
            xid, zxid, error = reader.int(), reader.long(), reader.int()
        except jute.Malformed:
            return {"short frame": payload.hex()}
        body = reader.rest()
        for at, (wanted, request) in enumerate(connection.pending):
            if wanted == xid:
                del connection.pending[at]
                self.last_zxid = max(self.last_zxid, zxid)
                return {"reply": request, "xid": xid, "zxid": zxid, "err": error, "body": body}
        if xid == jute.XID_EVENT:
            return {"event": body, "zxid": zxid, "err": error}
        return {"unasked": xid, "zxid": zxid, "err": error, "body": body.hex()}

    def _connection(self, slot):
        """The slot's connection; a new session is opened if it has none."""
        if slot not in self.connections:
            self._open(slot, {"how": "new"})
        return self.connections[slot]

    def _replace(self, slot, connection):
        old = self.connections.pop(slot, None)
        if old is not None:
            old.close()
        self.connections[slot] = connection

    def _send(self, slot, requests):
        connection = self._connection(slot)
        data = b""
        for request in requests:
            request = self._resolved(request)
            connection.xid += 1
            xid = request.get("xid", jute.FIXED_XIDS.get(request["name"], connection.xid))
            data += jute.encode_request(request, xid)
            if request.get("reply", True):
                connection.pending.append([xid, request])
        connection.send(data)

    def _resolved(self, request):
        """The request with what depends on this server filled in."""
        relative = request.get("relative")
        if isinstance(relative, dict):
            request = {**request, "relative": self.last_zxid - relative["ago"]}
        return request

    def _open(self, slot, step):
        """Opens a connection with a ConnectRequest and tells what came back."""
        how = step["how"]
        session, password = 0, b"\0" * 16
        if how == "attach":
            known = self.passwords.get(step["label"])
            if known is None:
                self.told.append({"open": "no such session yet"})
                return
            session, password = known
        elif how == "unknown":
            session = step["session"]
        if "password" in step:
            password = None if step["password"] is None else bytes.fromhex(step["password"])
        connection = Connection(self.address)
        if step.get("over", True):
            self._replace(slot, connection)
        else:  # an attempt on the side that must not disturb the slot
            pass
        zxid = max(0, self.last_zxid - step["ago"]) if "ago" in step else 0
        timeout_ms = step.get("timeout_ms", SESSION_TIMEOUT_MS)
        read_only = step.get("readOnly", False)
        connection.send(
            jute.encode_connect(zxid, timeout_ms, session, password, read_only, step.get("protocol", 0))
        )
        payload = connection.next()
        if payload is None:
            self.told.append({"open": "closed" if connection.ended else "no answer"})
            self._forget(slot, connection)
            return
        response = jute.decode_connect(payload)
        if "malformed" in response:
            self.told.append({"open": response})
            self._forget(slot, connection)
            return
        session, password = response["session"], response["password"]
        if session != 0 and session not in self.sessions:
            label = f"S{len(self.sessions)}"
            self.sessions[session] = label
            self.passwords[label] = (session, password)
        told = {**response, "session": self.sessions.get(session, session)}
        if session != 0:
            told["password"] = (
                "as before" if self.passwords[told["session"]][1] == password and len(password) == 16 else password.hex()
            )
            connection.session, connection.password = session, password
            self.told.append({"open": told})
        else:
            told["password"] = password.hex() if password is not None else None
            ended = connection.next(5.0) is None and connection.ended
            self.told.append({"open": told, "ended": ended})
            self._forget(slot, connection)

    def _forget(self, slot, connection):
        connection.close()
        if self.connections.get(slot) is connection:
            del self.connections[slot]


class Normaliser:
    """Takes out of what a side saw exactly what two right servers may answer differently:

    - zxids: shown relative to the newest one before the run ("old" if before that; 0 and -1 stay);
    - times: a Stat's ctime and mtime must be those of its czxid and mzxid, the same wherever they show; then dropped;
    - session ids: shown as S0, S1, … in the order of their creation;
    - versions of the four lasting nodes: relative to what they were when the run began;
    - order where ZooKeeper's is a hash order: children, ephemerals, whoAmI, ACL entries with equal permissions that
      the scheme "auth" expanded into, and among the events of a session's end;
    - ping and auth replies, which may overtake others: compared in their own order, apart from the others, and of a
      ping within a pipeline not the zxid.
    """

    def __init__(self, side):
        self.side = side
        self.times = {}
        self.lasting = {}
        admin = side.admin()
        for path in LASTING_NODES:
            _, error, body = side.call(admin, {"name": "exists", "path": path, "watch": False})
            if error == 0:
                self.lasting[path] = body["stat"]
        self.base, _, _ = side.call(admin, {"name": "closeSession"})
        admin.close()

    def zxid(self, zxid):
        """A zxid relative to the beginning of the run."""
        if zxid <= 0:
            return zxid
        return "old" if zxid < self.base else zxid - self.base

    def _time(self, zxid, time_ms):
        if zxid <= 0 or zxid < self.base:
            return "0" if time_ms == 0 else "old"
        if abs(time_ms / 1000 - time.time()) > 600:
            return f"{time_ms} ms is not now"
        known = self.times.setdefault(zxid, time_ms)
        return "its zxid's" if known == time_ms else f"not its zxid's ({time_ms}, seen before {known})"

    def stat(self, stat, path):
        """A Stat of the node at `path`."""
        before = self.lasting.get(path or "/", {})  # ZooKeeper reads "" as the root
        shown = dict(stat)
        for name in ("version", "cversion", "aversion"):
            shown[name] = stat[name] - before.get(name, 0)
        shown["ctime"] = self._time(stat["czxid"], stat["ctime"])
        shown["mtime"] = self._time(stat["mzxid"], stat["mtime"])
        for name in ("czxid", "mzxid", "pzxid"):
            shown[name] = self.zxid(stat[name])
        owner = stat["ephemeralOwner"]
        shown["ephemeralOwner"] = self.side.sessions.get(owner, owner)
        return shown

    def frames(self, frames, step):
        """What a connection saw during a step."""
        ordered, overtaking = [], []
        for frame in frames:
            if "reply" in frame:
                shown = self._reply(frame)
                if frame["reply"]["name"] == "ping" and len(step.get("requests", ())) > 1:
                    del shown["zxid"]  # of when it was answered, which may be before what was sent ahead of it
                (overtaking if frame["reply"]["name"] in ("ping", "auth") else ordered).append(shown)
            elif "event" in frame:
                ordered.append(self._event(frame))
            elif "unasked" in frame:
                ordered.append({**frame, "zxid": self.zxid(frame["zxid"])})
            else:
                ordered.append(frame)
        if step["do"] == "gone" or any(r["name"] == "closeSession" for r in step.get("requests", ())):
            ordered = _events_sorted(ordered)
        return ordered + overtaking

    def _event(self, frame):
        reader = jute.Reader(frame["event"])
        try:
            shown = {"event": reader.int(), "state": reader.int(), "path": reader.string()}
        except jute.Malformed:
            return {"event": frame["event"].hex()}
        rest = reader.rest()
        if rest:
            shown["rest"] = rest.hex()
        return {**shown, "zxid": self.zxid(frame["zxid"]), "err": frame["err"]}

    def _reply(self, frame):
        request = frame["reply"]
        body = jute.decode_reply(request["name"], frame["body"])
        path = request.get("path")
        if "stat" in body:
            body["stat"] = self.stat(body["stat"], path if isinstance(path, str) else "?")
        if body.get("children") is not None:
            body["children"] = sorted(body["children"], key=str)
        if body.get("clients") is not None:
            body["clients"] = sorted(body["clients"], key=str)
        if body.get("acl") is not None:
            body["acl"] = _equal_permissions_sorted(body["acl"])
        for at, result in enumerate(body.get("results", ())):
            if "stat" in result:
                sub = request["ops"][at].get("path") if at < len(request.get("ops", ())) else None
                result["stat"] = self.stat(result["stat"], sub if isinstance(sub, str) else "?")
            if result.get("children") is not None:
                result["children"] = sorted(result["children"], key=str)
        name = "barrier" if frame["xid"] == BARRIER_XID else request["name"]
        shown = {"reply": name, "err": jute.error_name(frame["err"]), "zxid": self.zxid(frame["zxid"]), **body}
        if frame["xid"] != BARRIER_XID and "xid" in request:
            shown["xid"] = frame["xid"]
        return shown


def _equal_permissions_sorted(acl):
    """The entries in their order, but neighbours with equal permissions and a scheme that can stem from "auth" sorted."""
    result = []
    for entry in acl:
        at = len(result)
        while at > 0 and result[at - 1][0] == entry[0] and entry[1] != "world" and result[at - 1][1] != "world":
            if str(result[at - 1]) <= str(entry):
                break
            at -= 1
        result.insert(at, entry)
    return result


def _events_sorted(frames):
    """Runs of events sorted, each run staying where it was between replies."""
    result, run = [], []
    for frame in frames:
        if "event" in frame:
            run.append(frame)
        else:
            result += sorted(run, key=str) + [frame]
            run = []
    return result + sorted(run, key=str)
