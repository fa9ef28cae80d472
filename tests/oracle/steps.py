"""Makes random sequences of steps from a seed.

A step is a dict:
    {"do": "send", "conn": 0, "requests": [...]}     requests in one write (pipelined if several; with "serial": true
                                                     each after the other's reply); a connection that has no session
                                                     opens a new one first
    {"do": "open", "conn": 0, "how": "new" | "attach" | "unknown", ...}   a new connection with a ConnectRequest
    {"do": "drop", "conn": 0}                        ends the connection without closing its session
    {"do": "raw", "conn": 0, "hex": "..."}           bytes as they are on an established connection
    {"do": "first", "conn": 0, "hex": "..."}         bytes as the first ones of a new connection
    {"do": "restart", "how": "stop" | "kill"}        both servers end and start on their data
    {"do": "gone", "path": "..."}                    waits until a node is gone by itself
    {"do": "word", "word": "mntr"}                   a four-letter word
    {"do": "digests"}                                the word hash, its last digest computed anew; spends 128 zxids
with "closes": true where ZooKeeper closes the connection, and "ends": [slots] for other connections that it closes.

The generator keeps a rough idea of the tree, so that most requests mean something; it need not be right.
"""

import random

import jute

WORLD = [[31, "world", "anyone"]]
BASE = "/o"
NAMES = ("a", "b", "c")
GARDEN = ("/o/a", "/o/b", "/o/a/a", "/o/a/b", "/o/b/a", "/o/a/a/a")
USERS = ("ann:one", "bob:two")


def digest_id(user_password):
    """The id of scheme digest for user:password."""
    import base64
    import hashlib

    user = user_password.split(":", 1)[0]
    return user + ":" + base64.b64encode(hashlib.sha1(user_password.encode()).digest()).decode()


INVALID_PATHS = (
    "",
    "o",
    "/o/",
    "//",
    "//o",
    "/o//a",
    "/o/.",
    "/o/..",
    "/o/./a",
    "/o/../a",
    "/o/.../a",
    "/o/a\x01",
    "/o/a\x1f",
    "/o/a\x7f",
    "/o/a\x9f",
    "/o/a\ue000",
    "/o/a\uf8ff",
    "/o/a\ufff0",
    "/o/a\U0001f600",
    {"hex": "2f6f2fff"},
    {"hex": "2f6f2fc3"},
    {"hex": "2f6f2feda080"},
)
NUL_PATHS = ("/o/a\x00", "/\x00", "/o/\x00/b")
ODD_VALID_PATHS = ("/o/\u00e9", "/o/\u65e5\u672c", "/o/a b", "/o/...", "/o/.a", "/o/a\u00a0", "/o/" + "n" * 300)


class Generator:
    """The random choices of one sequence."""

    def __init__(self, seed, profile):
        self.random = random.Random(seed)
        self.profile = profile
        self.connections = self.random.choice((2, 2, 3, 4))
        self.likely = {BASE: 0}  # path -> a guess at its version
        self.made = {}  # parent -> a guess at the number of children ever created in it
        self.opened = 0  # a guess at the number of sessions created
        self.slots = {}  # slot -> label of its session, as far as known

    def sequence(self, count):
        """The steps."""
        steps = []
        for slot in range(self.connections):
            steps.append(self._open_new(slot))
        steps.append(self._open_new(self.connections))
        steps.append(self._one(self.connections, {"name": "auth", "scheme": "digest", "auth": "super:test"}))
        steps += self._plant()
        kinds = [
            (45, self._plant),
            (620, self._single),
            (110, self._pipeline),
            (50, self._watch_then_touch),
            (30, self._auth),
            (18, self._close_session),
            (14, self._drop_and_attach),
            (8, self._steal),
            (6, self._drop),
            (8, self._wrong_password),
            (8, self._odd_open),
            (10, self._malformed),
            (10, self._closing_bytes),
            (5, self._unknown_opcode),
            (3, self._bad_auth),
            (5, self._large),
            (4, self._new_session_over),
            (3, self._setwatches_storm),
            (20, self._quota),
            (25 if self.profile == "restarts" else 0, self._restart),
        ]
        weights = [weight for weight, _ in kinds]
        while len(steps) < count:
            made = self.random.choices(kinds, weights)[0][1]()
            steps += made if isinstance(made, list) else [made]
        return steps

    def _plant(self):
        """Puts back some of the tree that most requests are about, as the super user on a connection of its own."""
        paths = [BASE] + self.random.sample(GARDEN, self.random.choice((3, 5, len(GARDEN))))
        requests = []
        for path in sorted(paths):
            requests.append({"name": "create", "path": path, "data": "g", "acl": WORLD, "flags": 0})
            requests.append({"name": "setACL", "path": path, "acl": WORLD, "version": -1})
            self.likely[path] = 0
        for path in [p for p in self.likely if p not in paths]:
            if self.random.random() < 0.4:
                del self.likely[path]
        return [self._many(self.connections, requests)]

    # --- kinds of steps -------------------------------------------------------------------------------------

    def _slot(self):
        return self.random.randrange(self.connections)

    def _one(self, slot, request, **more):
        return {"do": "send", "conn": slot, "requests": [request], **more}

    def _use(self, slot):
        """Notes that a step uses the slot, which opens a session if it has none."""
        if slot not in self.slots:
            self.slots[slot] = f"S{self.opened}"
            self.opened += 1
        return slot

    def _open_new(self, slot):
        self.slots[slot] = f"S{self.opened}"
        self.opened += 1
        return {"do": "open", "conn": slot, "how": "new"}

    def _single(self):
        return self._one(self._use(self._slot()), self._request())

    def _pipeline(self):
        count = self.random.choice((2, 2, 3, 4, 6, 10))
        requests = [self._request() for _ in range(count)]
        if self.random.random() < 0.2:
            requests.insert(self.random.randrange(count), {"name": "ping"})
        return self._many(self._use(self._slot()), requests)

    def _many(self, slot, requests):
        """Several requests in one write; one after the other's reply where ZooKeeper's answers to a pipeline are a
        race: it checks hard quotas of a request against what had been applied when the request was prepared."""
        step = {"do": "send", "conn": slot, "requests": requests}
        return {**step, "serial": True} if self.profile == "extended" else step

    def _watch_then_touch(self):
        """Watches of several kinds on one path, then writes around it from elsewhere."""
        path = self._path(valid=True)
        watcher, writer = self._use(self._slot()), self._use(self._slot())
        kinds = [
            {"name": "exists", "path": path, "watch": True},
            {"name": "getData", "path": path, "watch": True},
            {"name": "getChildren2", "path": path, "watch": True},
            {"name": "addWatch", "path": path, "mode": 0},
            {"name": "addWatch", "path": path, "mode": 1},
            {"name": "addWatch", "path": path.rsplit("/", 1)[0] or "/", "mode": 1},
        ]
        watches = self.random.sample(kinds, self.random.choice((1, 2, 3)))
        touches = [
            {"name": "setData", "path": path, "data": "t", "version": -1},
            {"name": "create2", "path": path + "/w", "data": "", "acl": WORLD, "flags": self.random.choice((0, 1))},
            {"name": "delete", "path": path + "/w", "version": -1},
            {"name": "delete", "path": path, "version": -1},
            {"name": "create", "path": path, "data": "again", "acl": WORLD, "flags": 0},
            {"name": "setACL", "path": path, "acl": WORLD, "version": -1},
        ]
        steps = [{"do": "send", "conn": watcher, "requests": watches}]
        for touch in self.random.sample(touches, self.random.choice((2, 3, 4))):
            steps.append(self._one(writer, touch))
        return steps

    def _auth(self):
        who = self.random.choice(USERS + USERS + ("super:test", "nocolon", ":", "a:b:c", ""))
        if self.random.random() < 0.15:
            return self._one(self._use(self._slot()), {"name": "auth", "scheme": "ip", "auth": "whatever"})
        return self._one(self._use(self._slot()), {"name": "auth", "scheme": "digest", "auth": who})

    def _bad_auth(self):
        slot = self._use(self._slot())
        scheme = self.random.choice(("nosuch", "world", "auth", "", "x509", None))
        self.slots.pop(slot)
        return self._one(slot, {"name": "auth", "scheme": scheme, "auth": "x"}, closes=True)

    def _close_session(self):
        slot = self._use(self._slot())
        self.slots.pop(slot)
        return self._one(slot, {"name": "closeSession"}, closes=True)

    def _drop_and_attach(self):
        slot = self._use(self._slot())
        label = self.slots[slot]
        steps = [{"do": "drop", "conn": slot}]
        if self.random.random() < 0.5:
            steps.append(self._one(self._use_other(slot), self._request()))
        steps.append(self._attach(slot, label))
        if self.random.random() < 0.6:
            steps.append(self._one(slot, self._set_watches()))
        return steps

    def _use_other(self, slot):
        return self._use((slot + 1) % self.connections)

    def _attach(self, slot, label):
        step = {"do": "open", "conn": slot, "how": "attach", "label": label}
        if self.random.random() < 0.5:
            step["ago"] = self.random.choice((0, 0, 1, 5))
        if self.random.random() < 0.3:
            step["timeout_ms"] = self.random.choice((30_000, 40_000, 90_000))
        self.slots[slot] = label
        return step

    def _steal(self):
        """A session attached to a second connection while the first lives."""
        slot = self._use(self._slot())
        other = (slot + 1) % self.connections
        label = self.slots.pop(slot)
        return [{**self._attach(other, label), "ends": [slot]}, self._one(other, self._request())]

    def _drop(self):
        slot = self._slot()
        self.slots.pop(slot, None)
        return {"do": "drop", "conn": slot}

    def _wrong_password(self):
        slot = self._slot()
        label = self.random.choice([f"S{n}" for n in range(max(1, self.opened))])
        ends = [s for s, l in self.slots.items() if l == label and s != slot]
        for s in ends:
            self.slots.pop(s)
        self.slots.pop(slot, None)
        password = self.random.choice(("00" * 16, "ff" * 16, "", None, "01" * 17))
        return {"do": "open", "conn": slot, "how": "attach", "label": label, "password": password, "ends": ends}

    def _odd_open(self):
        slot = self._slot()
        self.slots.pop(slot, None)
        kind = self.random.randrange(7)
        if kind == 0:
            session = self.random.choice((1, -1, 0x7FFFFFFFFFFFFFFF, 0x100000000000001))
            return {"do": "open", "conn": slot, "how": "unknown", "session": session}
        self.opened += 1
        if kind == 1:
            timeout_ms = self.random.choice((0, -1, 1, 2**31 - 1, -(2**31), 39_999, 40_001))
            # A short time-out must not run out in the middle of the sequence.
            if timeout_ms < 30_000:
                return [
                    {"do": "open", "conn": slot, "how": "new", "timeout_ms": timeout_ms},
                    self._one(slot, {"name": "closeSession"}, closes=True),
                ]
            return {"do": "open", "conn": slot, "how": "new", "timeout_ms": timeout_ms}
        if kind == 2:
            return {"do": "open", "conn": slot, "how": "new", "readOnly": self.random.choice((True, None))}
        if kind == 3:
            return {"do": "open", "conn": slot, "how": "new", "protocol": self.random.choice((1, -1, 7))}
        if kind == 4:
            return {"do": "open", "conn": slot, "how": "new", "password": self.random.choice(("", None, "11" * 40))}
        if kind == 5:
            self.opened -= 1
            return {"do": "open", "conn": slot, "how": "new", "ago": -self.random.choice((1, 1000, 2**40))}
        return {"do": "open", "conn": slot, "how": "new", "ago": 0}

    def _restart(self):
        """Both servers end and start again; some of the sessions are taken up, the tree is looked at."""
        slots, self.slots = dict(self.slots), {}
        steps = [{"do": "restart", "how": self.random.choice(("stop", "kill"))}]
        for slot, label in slots.items():
            if self.random.random() < 0.7:
                steps.append(self._attach(slot, label))
        looker = self._use(self._slot())
        for path in sorted(self.random.sample(sorted(self.likely), min(6, len(self.likely)))):
            steps.append(self._one(looker, {"name": "getData", "path": path, "watch": False}))
            steps.append(self._one(looker, {"name": "getChildren2", "path": path, "watch": False}))
        return steps

    def _new_session_over(self):
        return self._open_new(self._slot())

    def _malformed(self):
        """A request whose body does not decode, or has more than it needs."""
        request = self._request()
        while request["name"] in ("ping", "whoAmI", "closeSession"):
            request = self._request()
        how = self.random.randrange(4)
        if how == 0:
            request = {**request, "cut": self.random.choice((1, 2, 4, 5, 8, 1000))}
        elif how == 1:
            request = {**request, "tail": "00" * self.random.choice((1, 4, 9))}
        elif how == 2:
            request = {**request, "body": self.random.choice(("", "ffffffff", "7fffffff", "80000000", "00000001"))}
        else:
            request = {**request, "body": "000000022f6f" + self.random.choice(("7fffffff", "fffffffe", "ff"))}
        return self._one(self._use(self._slot()), request)

    def _closing_bytes(self):
        """Bytes that are no frame, or a frame too short or too long: the connection is closed."""
        slot = self._use(self._slot())
        self.slots.pop(slot)
        hexes = ("ffffffff", "80000000", "7fffffff", "00100000", "00000000", "0000000400000001", "00000003000000")
        return {"do": "raw", "conn": slot, "hex": self.random.choice(hexes), "closes": True}

    def _unknown_opcode(self):
        slot = self._use(self._slot())
        self.slots.pop(slot)
        number = self.random.choice((0, 10, 13, 23, 50, 99, 108, 1000, -1, -12, 2**31 - 1, -(2**31)))
        request = {"name": "other", "type": number, "body": "0000000000000000"}
        return self._one(slot, request, closes=True)

    def _large(self):
        """Data near the limit of a frame (jute.maxbuffer, 0xfffff)."""
        slot = self._use(self._slot())
        path = self._path(valid=True)
        overhead = 8 + 4 + len(path.encode()) + 4 + 4
        limit = 0xFFFFF - overhead
        size = self.random.choice((100_000, limit - 1, limit, limit + 1, limit + 5000))
        request = {"name": "setData", "path": path, "data": {"fill": size}, "version": -1}
        if size > limit:
            self.slots.pop(slot)
            return self._one(slot, request, closes=True)
        steps = [self._one(slot, request)]
        if self.random.random() < 0.5:
            steps.append(self._one(self._use(self._slot()), {"name": "getData", "path": path, "watch": False}))
        return steps

    def _setwatches_storm(self):
        slot = self._use(self._slot())
        return [self._one(slot, self._set_watches()) for _ in range(3)]

    def _quota(self):
        """Quotas: limits made, changed and removed, their counters read."""
        path = self.random.choice((BASE, BASE + "/a", BASE + "/a/b", BASE + "/b"))
        limits = "/zookeeper/quota" + path
        slot = self._use(self._slot())
        choice = self.random.randrange(4)
        if choice == 0:
            soft = f"count={self.random.choice((-1, 0, 2, 4))},bytes={self.random.choice((-1, 0, 5, 20))}"
            hard = f"=;byteHardLimit={self.random.choice((-1, 5, 40))};countHardLimit={self.random.choice((-1, 2, 5))}"
            data = self.random.choices((soft, soft + hard, "", "garbage", "count=x"), (6, 12, 1, 1, 1))[0]
            steps = []
            for at in range(1, len(limits)):
                if limits[at] == "/" and len(limits[:at]) > len("/zookeeper/quota"):
                    steps.append(self._one(slot, self._node(limits[:at])))
            steps.append(self._one(slot, self._node(limits)))
            if self.random.random() < 0.8:
                stats = {**self._node(limits + "/zookeeper_stats"), "data": "count=0,bytes=0"}
                limit = {**self._node(limits + "/zookeeper_limits"), "data": data}
                steps += [self._one(slot, r) for r in self.random.sample((limit, stats), 2)]
            else:
                steps.append(self._one(slot, {**self._node(limits + "/zookeeper_limits"), "data": data}))
            steps.append(self._one(slot, self._get(limits + "/zookeeper_stats")))
            return steps
        if choice == 1:
            return self._one(slot, self._get(limits + "/" + self.random.choice(("zookeeper_stats", "zookeeper_limits"))))
        if choice == 2:
            name = self.random.choice(("zookeeper_stats", "zookeeper_limits"))
            return self._one(slot, {"name": "delete", "path": limits + "/" + name, "version": -1})
        data = self.random.choice(("count=1,bytes=-1", "count=-1,bytes=3=;byteHardLimit=6;countHardLimit=-1"))
        return self._one(
            slot, {"name": "setData", "path": limits + "/zookeeper_limits", "data": data, "version": -1}
        )

    def _node(self, path):
        return {"name": "create", "path": path, "data": "", "acl": WORLD, "flags": 0}

    def _get(self, path):
        return {"name": "getData", "path": path, "watch": False}

    # --- requests -------------------------------------------------------------------------------------------

    def _request(self):
        kinds = [
            (16, self._create),
            (8, self._delete),
            (6, self._exists),
            (8, self._get_data),
            (10, self._set_data),
            (3, lambda: {"name": "getACL", "path": self._path()}),
            (4, lambda: {"name": "setACL", "path": self._path(), "acl": self._acl(), "version": self._version()}),
            (4, lambda: {"name": "getChildren", "path": self._path(), "watch": self._flip()}),
            (4, lambda: {"name": "getChildren2", "path": self._path(), "watch": self._flip()}),
            (2, lambda: {"name": "sync", "path": self._path()}),
            (7, self._multi),
            (3, self._multi_read),
            (2, lambda: {"name": "getEphemerals", "path": self._prefix()}),
            (2, lambda: {"name": "getAllChildrenNumber", "path": self._path()}),
            (1, lambda: {"name": "whoAmI"}),
            (4, lambda: {"name": "addWatch", "path": self._path(), "mode": self.random.choice((0, 1, 0, 1, 2, -1))}),
            (2, lambda: {"name": "checkWatches", "path": self._path(), "watcher": self._watcher()}),
            (3, lambda: {"name": "removeWatches", "path": self._path(), "watcher": self._watcher()}),
            (2, self._set_watches),
            (1, self._reconfig),
            (1, lambda: {"name": "ping"}),
            (1, lambda: {"name": "deleteContainer", "path": self._path()}),
        ]
        return self.random.choices([k for _, k in kinds], [w for w, _ in kinds])[0]()

    def _flip(self):
        return self.random.random() < 0.5

    def _watcher(self):
        return self.random.choice((1, 2, 3, 4, 5, 3, 0, 6, -1))

    def _prefix(self):
        return self.random.choice(("/", "", None, BASE, BASE + "/a", "/o/a/", " ", " / ", "o", "/nosuch"))

    def _path(self, valid=False):
        roll = self.random.random()
        if valid or roll < 0.72:
            return self.random.choice(sorted(self.likely))
        if roll < 0.86:
            return self._below(self.random.choice(sorted(self.likely)))
        if roll < 0.91:
            return self.random.choice(("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/nosuch"))
        if roll < 0.93:
            return self.random.choice(ODD_VALID_PATHS)
        if roll < 0.985:
            return self.random.choice(INVALID_PATHS)
        return self.random.choice(NUL_PATHS + (None,))

    def _below(self, parent):
        if parent.count("/") >= 4:
            return parent
        return parent + "/" + self.random.choice(NAMES)

    def _version(self, path=None):
        roll = self.random.random()
        if roll < 0.6:
            return -1
        if roll < 0.85:
            return self.likely.get(path, 0) if isinstance(path, str) else 0
        return self.random.choice((0, 1, 2, 3, 5, -2, -(2**31), 2**31 - 1))

    def _data(self):
        return self.random.choice(("", "x", "hello", None, {"hex": "00ff80"}, "d" * 30, {"fill": 1000}))

    def _acl(self):
        ann, bob = digest_id(USERS[0]), digest_id(USERS[1])
        roll = self.random.random()
        if roll < 0.55:
            return WORLD
        return self.random.choice(
            (
                [[1, "world", "anyone"]],
                [[3, "world", "anyone"]],
                [[15, "world", "anyone"]],
                [[17, "world", "anyone"]],
                [[31, "auth", ""]],
                [[31, "auth", "ignored"]],
                [[31, "auth", ""], [1, "world", "anyone"]],
                [[31, "digest", ann]],
                [[31, "digest", ann], [1, "world", "anyone"]],
                [[1, "digest", ann], [16, "digest", bob]],
                [[16, "digest", ann], [31, "world", "anyone"], [16, "digest", ann]],
                [[31, "ip", "127.0.0.1"]],
                [[31, "ip", "127.0.0.0/8"]],
                [[31, "ip", "10.0.0.0/8"], [1, "world", "anyone"]],
                [[31, "ip", "::1"]],
                [[31, "ip", "127.0.0.1/33"]],
                [[31, "ip", "127.0.0"]],
                [[31, "ip", "localhost"]],
                [[31, "digest", "nocolon"]],
                [[31, "digest", "a:b:c"]],
                [[31, "digest", ""]],
                [[31, "world", "somebody"]],
                [[31, "nosuch", "x"]],
                [[31, "sasl", "x"]],
                [[31, "x509", "CN=x"]],
                [[31, "super", ""]],
                [[31, "", ""]],
                [[31, None, "x"]],
                [[31, "world", None]],
                [[31, "digest", None]],
                [[31, "ip", None]],
                [[0, "world", "anyone"]],
                [[32, "world", "anyone"]],
                [[63, "world", "anyone"]],
                [[-1, "world", "anyone"]],
                [[31, "world", "anyone"], [31, "world", "anyone"]],
                [[31, "world", "anyone"], [31, "nosuch", "x"]],
                [],
                None,
            )
        )

    def _create(self, sub=False):
        name = self.random.choices(("create", "create2", "createContainer", "createTTL"), (10, 8, 3, 4))[0]
        path = self._path() if self.random.random() < 0.25 else self._below(self._path(valid=True))
        flags = self.random.choices((0, 1, 2, 3, 4, 5, 6, 7, -1, 100), (40, 14, 12, 8, 2, 2, 2, 1, 1, 1))[0]
        request = {"name": name, "path": path, "data": self._data(), "acl": self._acl(), "flags": flags}
        if name == "createContainer":
            request["flags"] = self.random.choices((4, flags), (8, 2))[0]
        if name == "createTTL":
            request["flags"] = self.random.choices((5, 6, flags), (7, 3, 2))[0]
            request["ttl"] = self.random.choices(
                (3_600_000, 2**40 - 1, 2**40, 0, -1, -5, 2**63 - 1), (12, 2, 1, 1, 1, 1, 1)
            )[0]
            if request["flags"] not in (5, 6) and request["ttl"] < 0:
                # Accepted by ZooKeeper's checks, but applying it throws in its last processor: see README.md.
                request["ttl"] = 3_600_000
        if isinstance(path, str) and path.count("/") > 1 and path not in NUL_PATHS and path not in INVALID_PATHS:
            parent = path.rsplit("/", 1)[0]
            if flags in (2, 3):
                request["path"] = path if self._flip() else parent + "/"
                path = f"{request['path']}{self.made.get(parent, 0):010d}"
            self.made[parent] = self.made.get(parent, 0) + 1
            if len(self.likely) < 40:
                self.likely[path] = 0
        return request

    def _delete(self):
        path = self._path()
        if isinstance(path, str) and self.random.random() < 0.7:
            path = max((p for p in self.likely if p.startswith(path)), default=path, key=len)
        request = {"name": "delete", "path": path, "version": self._version(path)}
        if isinstance(path, str) and path != BASE and self._flip():
            self.likely.pop(path, None)
        return request

    def _exists(self):
        return {"name": "exists", "path": self._path(), "watch": self._flip()}

    def _get_data(self):
        return {"name": "getData", "path": self._path(), "watch": self._flip()}

    def _set_data(self):
        path = self._path()
        version = self._version(path)
        if path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
            version = -1
        if isinstance(path, str) and path in self.likely:
            self.likely[path] += 1
        return {"name": "setData", "path": path, "data": self._data(), "version": version}

    def _sub(self):
        roll = self.random.random()
        if roll < 0.45:
            return self._create(sub=True)
        if roll < 0.6:
            return self._delete()
        if roll < 0.8:
            return self._set_data()
        path = self._path()
        return {"name": "check", "path": path, "version": self._version(path)}

    def _multi(self):
        ops = [self._sub() for _ in range(self.random.choice((0, 1, 2, 2, 3, 4, 6)))]
        roll = self.random.random()
        if roll < 0.03:
            ops.append(self._get_data())
        elif roll < 0.05:
            ops.append({"name": "getChildren", "path": BASE, "watch": False})
        elif roll < 0.07:
            ops.append({"name": "exists", "path": BASE, "watch": False})
        elif roll < 0.09 and ops:
            ops[0] = {**ops[0], "type": self.random.choice((20, 7, -1, 0, 99))}
        elif roll < 0.4:
            ops = [self._tame(op) for op in ops]
        return {"name": "multi", "ops": ops}

    def _tame(self, op):
        """The operation made likely to succeed, so that whole multis succeed often enough."""
        op = dict(op)
        if "version" in op:
            op["version"] = -1
        if "acl" in op:
            op["acl"] = WORLD
        if "flags" in op and op["name"] != "createTTL":
            op["flags"] = self.random.choice((0, 2)) if op["name"] != "createContainer" else 4
        if not isinstance(op.get("path"), str) or op["path"] in INVALID_PATHS + NUL_PATHS:
            op["path"] = BASE + "/m"
        return op

    def _multi_read(self):
        ops = []
        for _ in range(self.random.choice((0, 1, 2, 3, 5))):
            ops.append(self.random.choice((self._get_data(), {"name": "getChildren", "path": self._path(), "watch": False})))
        if self.random.random() < 0.08:
            ops.append(self._sub())
        return {"name": "multiRead", "ops": ops}

    def _set_watches(self):
        def some():
            return [self._path() for _ in range(self.random.choice((0, 0, 1, 2, 3)))]

        request = {"name": self.random.choice(("setWatches", "setWatches2")), "relative": {"ago": self.random.choice((0, 0, 1, 3, 10, 50))}}
        for name in ("data", "exist", "child", "persistent", "recursive"):
            request[name] = [p for p in some() if p is not None] if self.random.random() < 0.97 else None
        return request

    def _reconfig(self):
        return {
            "name": "reconfig",
            "joining": self.random.choice((None, "server.9=127.0.0.1:1:2;3")),
            "leaving": self.random.choice((None, "1", "x")),
            "members": self.random.choice((None, "", "server.1=127.0.0.1:1:2;3")),
            "config": self.random.choice((-1, 0, 7)),
        }


def sequence(seed, count, profile="default"):
    """The steps of a seed."""
    return Generator(f"{seed}/{profile}", profile).sequence(count)


__all__ = ["sequence", "jute"]
