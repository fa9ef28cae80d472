"""Fixed sequences for what random ones seldom reach, one function a subject.

Requests are written with the short makers below; steps as in steps.py.
"""

import steps as generator

WORLD = generator.WORLD
HOUR_MS = 3_600_000
QUOTA = "/zookeeper/quota"
ANN, BOB = generator.digest_id("ann:one"), generator.digest_id("bob:two")


def send(conn, *requests, **more):
    return {"do": "send", "conn": conn, "requests": list(requests), **more}


def one_by_one(conn, *requests):
    """A step for each request."""
    return [send(conn, request) for request in requests]


def opened(conn, how="new", **more):
    return {"do": "open", "conn": conn, "how": how, **more}


def create(path, data="", acl=None, flags=0, name="create", **more):
    return {"name": name, "path": path, "data": data, "acl": WORLD if acl is None else acl, "flags": flags, **more}


def create_ttl(path, ttl=HOUR_MS, flags=5):
    return create(path, name="createTTL", flags=flags, ttl=ttl)


def container(path, flags=4):
    return create(path, name="createContainer", flags=flags)


def delete(path, version=-1):
    return {"name": "delete", "path": path, "version": version}


def set_data(path, data="d", version=-1):
    return {"name": "setData", "path": path, "data": data, "version": version}


def set_acl(path, acl, version=-1):
    return {"name": "setACL", "path": path, "acl": acl, "version": version}


def get(path, watch=False):
    return {"name": "getData", "path": path, "watch": watch}


def exists(path, watch=False):
    return {"name": "exists", "path": path, "watch": watch}


def children(path, watch=False, name="getChildren"):
    return {"name": name, "path": path, "watch": watch}


def on_path(name, path):
    return {"name": name, "path": path}


def check(path, version):
    return {"name": "check", "path": path, "version": version}


def multi(*ops, name="multi"):
    return {"name": name, "ops": list(ops)}


def auth(text, scheme="digest"):
    return {"name": "auth", "scheme": scheme, "auth": text}


def add_watch(path, mode):
    return {"name": "addWatch", "path": path, "mode": mode}


def remove_watches(path, watcher):
    return {"name": "removeWatches", "path": path, "watcher": watcher}


def check_watches(path, watcher):
    return {"name": "checkWatches", "path": path, "watcher": watcher}


def set_watches(ago, data=(), exist=(), child=(), persistent=None, recursive=()):
    request = {"relative": {"ago": ago}, "data": list(data), "exist": list(exist), "child": list(child)}
    if persistent is None:
        return {"name": "setWatches", **request}
    return {"name": "setWatches2", **request, "persistent": list(persistent), "recursive": list(recursive)}


WHO = {"name": "whoAmI"}
CLOSE = {"name": "closeSession"}


def handshakes():
    """What a ConnectRequest may hold."""
    steps = [opened(0)]
    for variant in (
        {"timeout_ms": -5},
        {"timeout_ms": 1},
        {"timeout_ms": 3999},
        {"timeout_ms": 4001},
        {"timeout_ms": 10**9},
        {"readOnly": None},
        {"readOnly": True},
        {"protocol": 9},
        {"protocol": -1},
        {"password": None},
        {"password": ""},
        {"password": "ab" * 40},
        {"ago": 0},
    ):
        steps += [opened(1, **variant), send(1, CLOSE, closes=True)]
    steps += [opened(1, ago=-1), opened(1, ago=-(2**40))]
    steps += [opened(1, how="unknown", session=s) for s in (1, 123, -1, 2**63 - 1, -(2**63))]
    return steps


def attaching():
    """One session over several connections."""
    return [
        opened(0),
        send(0, create("/e", flags=1), auth("ann:one"), WHO, get("/e", True)),
        {"do": "drop", "conn": 0},
        opened(0, how="attach", label="S0", ago=0),
        send(0, WHO, {"name": "getEphemerals", "path": "/"}),
        send(0, set_data("/e")),
        opened(1, how="attach", label="S0", ends=[0]),
        send(1, exists("/e", True)),
        opened(0, how="attach", label="S0", timeout_ms=5000, ends=[1]),
        opened(0, how="attach", label="S0", timeout_ms=40_000),
        opened(1, how="attach", label="S0", password="00" * 16, ends=[0]),
        opened(0, how="attach", label="S0"),
        opened(1, how="attach", label="S0", password=None, ends=[0]),
        opened(0, how="attach", label="S0"),
        opened(1, how="attach", label="S0", password="00", ends=[0]),
        opened(0, how="attach", label="S0"),
        send(0, exists("/e")),
        send(0, CLOSE, closes=True),
        opened(0, how="attach", label="S0"),
        opened(1),
        send(1, exists("/e")),
    ]


def bad_bytes():
    """Frames that end the connection, and first bytes that are no handshake."""
    steps = []
    for wrong in ("ffffffff", "80000000", "7fffffff", "00100000", "00000000", "0000000400000001", "00000007" + "00" * 7):
        steps += [opened(0), {"do": "raw", "conn": 0, "hex": wrong, "closes": True}]
    for first in ("72756f6b", "00000000", "0000000400000000", "ffffffff", "78787878", "00100000", "00000008" + "ff" * 8):
        steps.append({"do": "first", "conn": 1, "hex": first})
    return steps


def odd_opcodes():
    """Types that no client sends."""
    steps = []
    for number in (0, -1, 10, 13, 23, 99, 103 + 5, 1000, -12, 2**31 - 1, -(2**31)):
        steps.append(send(0, {"name": "other", "type": number, "body": ""}, closes=True))
    steps.append(send(0, {"name": "sasl", "token": "x"}, WHO))
    steps.append(send(0, {"name": "reconfig", "joining": None, "leaving": "1", "members": None, "config": -1}))
    steps.append(send(0, {"name": "reconfig", "joining": None, "leaving": None, "members": None, "config": 5}))
    return steps


def undecodable():
    """Bodies too short, and null paths: who takes a zxid."""
    requests = [
        create("/b"),
        create("/b", name="create2"),
        container("/b"),
        create_ttl("/b"),
        delete("/a"),
        set_data("/a"),
        set_acl("/a", WORLD),
        get("/a"),
        exists("/a"),
        children("/a"),
        children("/a", name="getChildren2"),
        on_path("getACL", "/a"),
        on_path("sync", "/a"),
        on_path("getEphemerals", "/"),
        on_path("getAllChildrenNumber", "/a"),
        on_path("deleteContainer", "/a"),
        add_watch("/a", 0),
        check_watches("/a", 3),
        remove_watches("/a", 3),
        set_watches(0, ["/a"]),
        set_watches(0, ["/a"], persistent=["/a"]),
        multi(create("/b")),
        multi(get("/a"), name="multiRead"),
        {"name": "reconfig", "joining": None, "leaving": None, "members": None, "config": -1},
    ]
    steps = [send(0, create("/a"))]
    for request in requests:
        steps += one_by_one(0, {**request, "cut": 1}, {**request, "body": ""}, {**request, "tail": "0000"})
        if "path" in request:
            steps.append(send(0, {**request, "path": None}))
    steps += one_by_one(0, multi(create(None)), multi(check(None, 0)), multi(delete(None)), multi(set_data(None)))
    return steps


def creating():
    """Create modes and the order in which a create is checked."""
    steps = [send(0, create("/p")), send(0, create("/e", flags=1))]
    for flags in (-1, 0, 1, 2, 3, 4, 5, 6, 7):
        steps += one_by_one(0, create(f"/p/f{flags}-", flags=flags), create(f"/p/g{flags}-", flags=flags, name="create2"))
        steps += one_by_one(0, container(f"/p/c{flags}-", flags), create_ttl(f"/p/t{flags}-", HOUR_MS, flags))
        steps += one_by_one(0, multi(create(f"/p/m{flags}-", flags=flags)), multi(container(f"/p/n{flags}-", flags)))
        steps += one_by_one(0, multi(create_ttl(f"/p/o{flags}-", HOUR_MS, flags)))
        steps += one_by_one(0, multi(create(f"/p/q{flags}-", flags=flags, name="create2")))
    for ttl in (0, -1, -5, 1, 2**40 - 1, 2**40, 2**63 - 1):
        steps += one_by_one(0, create_ttl(f"/p/ttl{ttl}", ttl), multi(create_ttl(f"/p/mttl{ttl}", ttl)))
    steps += one_by_one(
        0,
        create("/e/x"),
        create("/e/x/y"),
        create("/e", flags=1),
        create("/p/", flags=2),
        create("/p/", flags=0),
        create("/p", flags=2),
        create("/nope/./x"),
        create("/p/./x"),
        create("/p/x", acl=[]),
        create("/nope/x", acl=[]),
        create("noslash", acl=[]),
        create("/p", acl=[]),
        create("", flags=9),
        create("/"),
        create("/zookeeper"),
        create("/zookeeper/x"),
        create("/zookeeper/config/x"),
        create("/p/null", data=None),
        get("/p/null"),
        set_data("/p", None),
        get("/p"),
        children("/p", name="getChildren2"),
        exists("/p"),
        on_path("getAllChildrenNumber", "/p"),
        on_path("getAllChildrenNumber", "/zookeeper"),
        on_path("getEphemerals", "/"),
        on_path("getEphemerals", "/p/f"),
        on_path("deleteContainer", "/e"),
        on_path("deleteContainer", "/p"),
        on_path("deleteContainer", "/zookeeper"),
        on_path("deleteContainer", "/p/null"),
        on_path("deleteContainer", "/p/c4-"),
    )
    return steps


def sequences():
    """Sequence numbers after deletes, failures and failed multis."""
    return [send(0, create("/s"))] + one_by_one(
        0,
        create("/s/n-", flags=2),
        create("/s/n-", flags=3),
        delete("/s/n-0000000000"),
        create("/s/n-", flags=2, name="create2"),
        create("/s/n-", flags=2, acl=[]),
        multi(create("/s/m-", flags=2), create("/s/m-", flags=2), check("/s", 9)),
        create("/s/n-", flags=2),
        multi(create("/s/m-", flags=2), create("/s/m-", flags=3), delete("/s/m-0000000004")),
        create("/s/n-", flags=2),
        exists("/s"),
        children("/s"),
    ) + [send(0, *[create("/s/p-", flags=2) for _ in range(20)]), send(0, children("/s", name="getChildren2"))]


def paths():
    """Which requests look at the form of a path, and which do not."""
    steps = [send(0, create("/p"))]
    odd = list(generator.INVALID_PATHS) + list(generator.NUL_PATHS) + list(generator.ODD_VALID_PATHS)
    odd += ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/p/", "/p//"]
    for path in odd:
        steps += one_by_one(0, delete(path), set_data(path), set_acl(path, WORLD), get(path), exists(path, True))
        steps += one_by_one(0, children(path), on_path("getACL", path), on_path("sync", path), multi(check(path, -1)))
        if path not in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"):
            steps += one_by_one(0, create(path), create(path, flags=2), on_path("getAllChildrenNumber", path))
    return steps


def versions():
    """Expected versions, also at their ends."""
    steps = [send(0, create("/v"))]
    for version in (-2, -1, 0, 1, 2, 2**31 - 1, -(2**31)):
        steps += one_by_one(0, set_data("/v", "x", version), set_acl("/v", WORLD, version), multi(check("/v", version)))
        steps += one_by_one(0, delete("/v", version), create("/v"), set_data("/v"), set_data("/v"))
    return steps + one_by_one(0, create("/v/c"), delete("/v", 9), delete("/v", 1), delete("/nope", 3))


def access_lists():
    """ACLs: validity, expansion, who may do what, what getACL shows to whom."""
    lists = [
        [[31, "world", "anyone"]],
        [[31, "world", "x"]],
        [[31, "world", None]],
        [[31, None, "x"]],
        [[31, None, None]],
        [[31, "auth", ""]],
        [[31, "auth", None]],
        [[5, "auth", "x"], [1, "world", "anyone"]],
        [[31, "digest", ANN]],
        [[31, "digest", "a:"]],
        [[31, "digest", ":b"]],
        [[31, "digest", "a:b:"]],
        [[31, "digest", "a:b:c"]],
        [[31, "digest", ""]],
        [[31, "digest", None]],
        [[31, "super", ""]],
        [[31, "sasl", "x"]],
        [[31, "x509", "x"]],
        [[31, "", ""]],
        [[0, "world", "anyone"]],
        [[-1, "world", "anyone"]],
        [[64, "world", "anyone"]],
        [[31, "world", "anyone"], [31, "world", "anyone"], [1, "world", "anyone"]],
        [[1, "digest", ANN], [2, "digest", BOB], [1, "digest", ANN]],
        [[31, "world", "anyone"], [1, "bad", "x"]],
    ]
    lists += [
        [[31, "ip", text]]
        for text in (
            *("127.0.0.1", "127.0.0.1/0", "127.0.0.1/8", "10.0.0.1/0", "127.0.0.1/32", "127.0.0.1/33", "127.0.0.1/-1"),
            *("127.0.0.1/", "127.0.0.1/x", "127.0.0.1/8/8", "127.0.0", "127.0.0.1.", "256.0.0.1", "a.b.c.d", "::1"),
            *("::1/128", "::1/129", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "::1::", "::g", "::ffff:127.0.0.1", "localhost"),
            *("", None, "+127.0.0.1", "127.0.0.01"),
        )
    ]
    steps = [opened(0), opened(1), send(1, auth("ann:one")), opened(2), send(2, auth("bob:two"))]
    for number, acl in enumerate(lists):
        path = f"/acl{number}"
        steps += one_by_one(0, create(path, acl=acl))
        steps += one_by_one(1, create(path, acl=acl), on_path("getACL", path), get(path), set_data(path))
        steps += one_by_one(2, on_path("getACL", path), exists(path), create(path + "/c"), delete(path + "/c"))
        steps += one_by_one(0, on_path("getACL", path), children(path), set_acl(path, WORLD), delete(path))
    return steps


def one_permission_each():
    """Every request against a node that grants only one permission."""
    steps = [opened(0), opened(1), send(1, auth("super:test")), send(1, create("/o"))]
    for perms in (0, 1, 2, 4, 8, 16, 17, 3, 12, 30):
        path = f"/o/p{perms}"
        steps += one_by_one(1, create(path), create(path + "/c"), set_acl(path, [[perms, "world", "anyone"]]))
        steps += one_by_one(
            0,
            exists(path, True),
            get(path, True),
            children(path, True),
            children(path, name="getChildren2"),
            on_path("getACL", path),
            on_path("getAllChildrenNumber", path),
            on_path("sync", path),
            set_data(path),
            create(path + "/d"),
            delete(path + "/c"),
            multi(check(path, -1)),
            multi(set_data(path), create(path + "/e")),
            multi(get(path), children(path), name="multiRead"),
            add_watch(path, 0),
        )
        steps += one_by_one(1, set_data(path), create(path + "/f"), set_acl(path, WORLD), set_data(path))
        steps.append(send(0, set_acl(path, WORLD)))
    return steps


def authentication():
    """Schemes, what whoAmI tells, what is refused and closed."""
    return [
        opened(0),
        send(0, WHO),
        *one_by_one(0, auth("ann:one"), auth("ann:one"), auth("nocolon"), auth(":"), auth(""), auth("a:b:c"), WHO),
        *one_by_one(0, auth({"hex": "fffe3a80"}), auth("super:wrong"), WHO, auth("super:test"), auth("x", "ip"), WHO),
        send(0, create("/all", acl=[[31, "auth", ""]]), on_path("getACL", "/all")),
        *[
            send(1, auth("x", scheme), closes=True)
            for scheme in ("nosuch", "world", "auth", "super", "x509", "sasl", "", "DIGEST", None)
        ],
        send(1, auth(None), closes=True),
        send(1, WHO),
    ]


def one_shot_watches():
    """Data, exists and child watches, used up once."""
    return [
        opened(0),
        opened(1),
        send(1, create("/w")),
        send(0, get("/w", True), children("/w", True), exists("/w", True)),
        *one_by_one(1, create("/w/c"), delete("/w/c"), set_data("/w"), set_data("/w")),
        send(0, get("/w", True), children("/w", True), exists("/w", True)),
        send(1, delete("/w")),
        send(0, exists("/w", True), children("/w", True), get("/w", True)),
        *one_by_one(1, create("/w"), set_data("/w"), create("/w/x")),
        send(0, get("/w", True), set_data("/w"), get("/w", True), set_data("/w", version=99), set_data("/w")),
        send(0, children("/w", True), create("/w/y"), children("/", True), create("/w2")),
        send(0, exists("/w", True)),
        *one_by_one(1, set_acl("/w", WORLD), multi(set_data("/w"), check("/w", 99)), multi(set_data("/w"), delete("/w/y"))),
        send(0, exists("/w/x", True), children("/w/x", True), children("/w", True)),
        send(1, multi(delete("/w/x"), delete("/w"))),
    ]


def persistent_watches():
    """Both modes, on one node, on ancestors, beside one-shot ones; looking for them and taking them away."""
    steps = [opened(0), opened(1), send(1, create("/w"), create("/w/a"))]
    steps.append(send(0, add_watch("/w", 0), add_watch("/w", 1), get("/w", True), children("/w", True)))
    touch = one_by_one(
        1, create("/w/c"), set_data("/w/c"), create("/w/c/d"), delete("/w/c/d"), delete("/w/c"), set_data("/w")
    )
    steps += touch + [send(0, add_watch("/", 1))] + touch
    for watcher in (1, 2, 3, 4, 5, 0, 6):
        steps.append(send(0, check_watches("/w", watcher), check_watches("/", watcher), check_watches("/nope", watcher)))
    for watcher in (1, 2, 4, 5):
        steps += [send(0, remove_watches("/w", watcher)), send(0, check_watches("/w", 3)), *touch]
    steps += one_by_one(0, remove_watches("/", 3), remove_watches("/", 3), get("/w", True), children("/w", True))
    steps += one_by_one(0, remove_watches("/w", 1), check_watches("/w", 1), check_watches("/w", 2), remove_watches("/w", 3))
    steps += touch
    steps += [send(0, add_watch("/w/a", 0)), send(0, add_watch("/w", 1)), send(0, add_watch("/w/a", 1))]
    steps += one_by_one(1, delete("/w/a"), create("/w/a"), set_acl("/w/a", WORLD), multi(set_data("/w/a"), create("/w/z")))
    steps += one_by_one(0, add_watch("/w", 2), add_watch("/w", -1), add_watch("x", 0), add_watch("", 1))
    steps += touch
    steps += [{"do": "drop", "conn": 0}, *touch, opened(0, how="attach", label="S0"), *touch]
    return steps


def setting_watches_again():
    """setWatches and setWatches2 with every state a node can be in."""
    lists = (["/w", "/nope"], ["/w", "/nope"], ["/w", "/nope"])
    touch = one_by_one(1, set_data("/w"), create("/w/c"), delete("/w/c"), create("/nope"), delete("/nope"))
    steps = [opened(0), opened(1), send(1, create("/w"))]
    for ago in (0, 1, 2, 3, 5, 50):
        steps += [send(0, set_watches(ago, *lists)), *touch]
        steps += [send(0, set_watches(ago, *lists, persistent=["/w"], recursive=["/nope"])), *touch]
        steps += one_by_one(0, remove_watches("/w", 3), remove_watches("/nope", 3))
    steps.append(send(0, set_watches(0, ["/w", "/w"], ["/nope", "/nope"], ["/w", "/w"])))
    steps += touch
    for name in ("data", "exist", "child"):
        steps += [send(0, {**set_watches(0, *lists), name: None}), *touch]
    for name in ("persistent", "recursive"):
        steps += [send(0, {**set_watches(0, *lists, persistent=["/w"]), name: None}), *touch]
    secret = [[31, "digest", ANN], [30, "world", "anyone"]]
    steps += [send(1, create("/secret", acl=secret)), send(0, set_watches(50, ["/secret"], ["/secret"], ["/secret"]))]
    return steps


def hidden_events():
    """Events of nodes that the watcher may not read, and what becomes of its watches."""
    secret = [[31, "digest", ANN], [30, "world", "anyone"]]
    return [
        opened(0),
        opened(1),
        *one_by_one(0, exists("/s", True)),
        send(1, create("/s", acl=secret)),
        *one_by_one(0, exists("/s", True), get("/s", True), children("/s", True), add_watch("/s", 0)),
        *one_by_one(1, set_data("/s"), create("/s/open"), create("/s/shut", acl=secret), set_acl("/s", WORLD)),
        *one_by_one(1, set_data("/s"), create("/s/x")),
        send(0, get("/s", True), children("/s", True), exists("/s/shut", True), exists("/s/open", True)),
        *one_by_one(1, set_acl("/s", secret), set_data("/s"), create("/s/y"), delete("/s/open")),
        send(1, set_acl("/s", WORLD)),
        *one_by_one(1, set_data("/s"), create("/s/z"), delete("/s/shut")),
        send(0, auth("ann:one")),
        *one_by_one(1, set_acl("/s", secret), set_data("/s"), create("/s/u"), delete("/s/u")),
        send(0, add_watch("/", 1)),
        *one_by_one(1, create("/s/v", acl=secret), set_data("/s/v"), delete("/s/v")),
    ]


def ending_sessions():
    """What the end of a session with ephemerals tells, counts and fires."""
    return [
        opened(0),
        opened(1),
        send(0, create("/m"), add_watch("/m", 1), children("/m", True), children("/", True)),
        send(1, *[create(f"/m/e{n}", flags=1) for n in range(5)], create("/top", flags=1)),
        send(0, children("/m", True), exists("/m/e3", True), get("/top", True), children("/", True)),
        send(1, CLOSE, closes=True),
        send(0, exists("/m"), children("/m"), children("/"), on_path("getEphemerals", "/")),
        send(1, create("/m/a", flags=1), create("/m/b", flags=1), delete("/m/a"), on_path("getEphemerals", "/m")),
        send(1, multi(create("/m/c", flags=1), create("/m/d", flags=3), delete("/m/b")), on_path("getEphemerals", None)),
        send(1, CLOSE, closes=True),
        send(0, exists("/m"), children("/m")),
        send(0, create("/m/own", flags=1), get("/m/own", True), CLOSE, closes=True),
    ]


def transactions():
    """multi and multiRead."""
    return [send(0, create("/t"), create("/t/a", "A"), create("/shut", acl=[[30, "world", "anyone"]]))] + one_by_one(
        0,
        multi(),
        multi(name="multiRead"),
        multi(check("/t", 0), check("/t/a", 0)),
        multi(check("/nope", 0)),
        multi(check("/shut", 0)),
        multi(create("/t/b", name="create2"), check("/t/b", 0), set_data("/t/b", "q", 0), delete("/t/b", 1)),
        multi(create("/t/b"), check("/t", 7), delete("/t/a")),
        multi(delete("/t/a"), create("/t/a", "again"), set_data("/t/a", "more", 0), set_data("/t/a", "most", 1)),
        multi(create("/t/x"), create("/t/x/y"), create("/t/x/y/z", flags=1), delete("/t/x/y/z"), delete("/t/x/y")),
        multi(create("/t/x/e", flags=1), create("/t/x/e/under")),
        multi(delete("/t/x"), create("/t/x/late")),
        multi(set_data("/t", "1"), set_data("/t", "2"), set_data("/t", "3", 0)),
        multi(container("/t/k"), create_ttl("/t/l"), create_ttl("/t/m", flags=0), create("/t/n", flags=4)),
        multi(create("/t/j", flags=9)),
        multi(create("/t/j", flags=5)),
        multi(create("/t/j", acl=[])),
        multi(create("/t/./j")),
        multi(delete("/zookeeper")),
        multi(get("/t")),
        multi(create("/t/j"), get("/t")),
        multi(get("/t"), create("/t/j")),
        multi(exists("/t")),
        multi(set_acl("/t", WORLD)),
        multi(on_path("deleteContainer", "/t/k")),
        multi(on_path("sync", "/t")),
        multi(get("/t", True), children("/t", True), get("/nope", True), get("/shut"), children("/nope"), name="multiRead"),
        multi(create("/t/j"), name="multiRead"),
        multi(get("/t"), create("/t/j"), name="multiRead"),
        multi(exists("/t"), name="multiRead"),
        multi(children("/", name="getChildren2"), name="multiRead"),
        set_data("/t"),
        multi({**create("/t/o"), "type": -1}),
        {**multi(create("/t/o")), "cut": 9},
        {**multi(create("/t/o")), "tail": "00"},
        children("/t", name="getChildren2"),
        multi(*[create(f"/t/many{n}") for n in range(100)]),
        multi(*[delete(f"/t/many{n}") for n in range(99)], delete("/t/none")),
        exists("/t"),
    )


def quotas():
    """Quota nodes, their counters, and what is refused where quotas are enforced."""

    def stats(path="/q"):
        return get(QUOTA + path + "/zookeeper_stats")

    limits = QUOTA + "/q/zookeeper_limits"
    return one_by_one(
        0,
        create("/q"),
        create("/q/1", "abc"),
        create(QUOTA + "/q"),
        create(limits, "count=3,bytes=100=;byteHardLimit=10;countHardLimit=4"),
        stats(),
        create("/q/early"),
        create(QUOTA + "/q/zookeeper_stats", "count=0,bytes=0"),
        stats(),
        exists(QUOTA + "/q/zookeeper_stats", True),
        get(QUOTA + "/q/zookeeper_stats", True),
        create("/q/2", "abc"),
        stats(),
        set_data("/q/2", "abcdefghijk"),
        set_data("/q/2", "abcdef"),
        set_data("/q/2", "fedcba"),
        set_data("/q", "x", 99),
        create("/q/3"),
        create("/q/4", acl=[]),
        create("/q/3"),
        multi(delete("/q/1"), create("/q/5"), create("/q/6")),
        multi(delete("/q/2"), create("/q/5")),
        delete("/q/2"),
        stats(),
        multi(create("/q/5"), create("/q/6")),
        stats(),
        set_data("/q/1", None),
        stats(),
        create("/q/1/deep"),
        create("/q/e", flags=1),
        stats(),
        set_data(limits, "count=1"),
        create("/q/8"),
        set_data(limits, "count=-1,bytes=-1=;byteHardLimit=1;countHardLimit=-1"),
        create("/q/9", "xx"),
        create("/q/10"),
        set_data("/q/9", "x"),
        set_data(limits, ""),
        create("/q/11", "xx"),
        set_data(limits, "garbage"),
        create("/q/12"),
        set_data(limits, "count="),
        create("/q/13"),
        set_data(limits, "count=x"),
        create("/q/14"),
        delete(limits),
        create("/q/15"),
        stats(),
        create(limits, "count=100,bytes=-1"),
        create("/q/16"),
        stats(),
        delete(QUOTA + "/q/zookeeper_stats"),
        create("/q/17"),
        create(QUOTA + "/q/zookeeper_stats", "garbage"),
        stats(),
        create("/qq"),
        create(QUOTA + "/qq"),
        create(QUOTA + "/qq/zookeeper_limits", "count=0,bytes=0"),
        create(QUOTA + "/qq/zookeeper_stats", ""),
        stats("/qq"),
        delete("/qq"),
        stats("/qq"),
        create(QUOTA + "/none"),
        create(QUOTA + "/none/zookeeper_limits", "count=5"),
        create(QUOTA + "/none/zookeeper_stats"),
        stats("/none"),
        create("/none"),
        stats("/none"),
    ) + [send(0, CLOSE, closes=True), send(0, stats())]


def sizes():
    """Frames at the limit, and answers beyond it."""
    overhead = 8 + 4 + 4 + 4 + 4  # header, the path "/big" with its length, the data's length, the version
    limit = 0xFFFFF - overhead
    steps = [send(0, create("/big"))]
    for size in (limit - 1, limit):
        steps += one_by_one(0, set_data("/big", {"fill": size}), get("/big"), exists("/big"))
    steps.append(send(0, set_data("/big", {"fill": limit + 1}), closes=True))
    steps += one_by_one(0, exists("/big"), create("/big/two", {"fill": 500_000}), create("/big/three", {"fill": 500_000}))
    steps.append(send(0, multi(get("/big/two"), get("/big/three"), get("/big"), name="multiRead")))
    for batch in range(10):
        steps.append(send(0, *[create(f"/big/two/{batch}-{n}-" + "n" * 200) for n in range(60)]))
    return steps + one_by_one(0, children("/big/two", name="getChildren2"), on_path("getAllChildrenNumber", "/big"))


def pipelines():
    """Many requests in one write, reads behind writes, pings and authentication among them."""
    writes = [create("/p/n-", flags=2), get("/p", True), set_data("/p"), exists("/p"), {"name": "ping"}]
    steps = [send(0, create("/p"))]
    for _ in range(5):
        steps.append(send(0, *writes, children("/p", True), create("/p/x"), delete("/p/x"), get("/p/x"), *writes))
    steps.append(send(0, *[get("/p") if n % 3 else set_data("/p", str(n)) for n in range(300)]))
    steps.append(send(0, *[exists("/p", n % 2 == 0) for n in range(500)]))
    steps.append(send(0, create("/p/a", acl=[[31, "auth", ""]]), {**auth("ann:one")}, create("/p/b", acl=[[31, "auth", ""]])))
    return steps


def xids():
    """xids are echoed, whatever they are."""
    return [
        send(0, {**exists("/"), "xid": xid})
        for xid in (0, 1, 1, -3, -5, 2**31 - 1, -(2**31), 7, 3)
    ] + [send(0, {"name": "ping", "xid": 77, "reply": False}), send(0, {**set_watches(0), "xid": 5}), send(0, {**WHO, "xid": -4})]


def gone(path):
    return {"do": "gone", "path": path}


def reaping():
    """Containers and TTL nodes that go by themselves, and those that stay."""
    return [
        opened(0),
        opened(1),
        *one_by_one(0, container("/unused"), container("/used"), create("/used/c"), add_watch("/used", 0)),
        *one_by_one(0, create_ttl("/parent", 2000), create("/parent/c"), create_ttl("/short", 300), exists("/short", True)),
        *one_by_one(0, children("/", True), create("/flag4", flags=4), create("/flag4/c"), delete("/flag4/c")),
        gone("/short"),
        send(0, exists("/short")),
        send(1, delete("/used/c")),
        gone("/used"),
        *one_by_one(0, exists("/used"), exists("/unused"), exists("/flag4"), exists("/parent"), exists("/")),
        send(1, delete("/parent/c")),
        gone("/parent"),
        *one_by_one(0, children("/"), exists("/"), container("/used"), exists("/used")),
    ]


def expiring():
    """A session that is not heard from any more."""
    return [
        opened(0),
        opened(1, timeout_ms=600),
        send(1, create("/e1", flags=1), create("/e2", flags=1)),
        send(0, exists("/e1", True), get("/e2", True), children("/", True), add_watch("/", 1)),
        {"do": "drop", "conn": 1},
        gone("/e1"),
        send(0, exists("/e1"), exists("/e2"), children("/"), exists("/")),
        opened(1, how="attach", label="S1"),
        send(1, exists("/e1")),
    ]


def restarting():
    """What a server keeps over its end: the tree to the last Stat, sessions, ephemerals, counters, quotas."""
    tree = one_by_one(
        0,
        auth("ann:one"),
        create("/r", "data", acl=[[31, "auth", ""], [1, "world", "anyone"]]),
        create("/r/s-", flags=2),
        create("/r/s-", flags=2),
        delete("/r/s-0000000000"),
        create("/r/null", data=None),
        container("/r/container"),
        create_ttl("/r/ttl"),
        set_data("/r/null", "now"),
        set_data("/r/null", None),
        set_acl("/r/null", [[31, "world", "anyone"], [1, "ip", "10.0.0.0/8"]]),
        multi(create("/r/m", "1"), set_data("/r/m", "2"), create("/r/m/e", flags=1)),
        multi(create("/r/no"), check("/r", 99)),
        create("/r/e", flags=1),
        create(QUOTA + "/r"),
        create(QUOTA + "/r/zookeeper_limits", "count=3,bytes=100"),
        create(QUOTA + "/r/zookeeper_stats", "count=0,bytes=0"),
        create("/r/s-", flags=3),
    )
    look = one_by_one(
        1,
        *[exists(path) for path in ("/", "/r", "/r/null", "/r/m", "/r/m/e", "/r/e", "/r/container", "/r/ttl", "/zookeeper")],
        *[on_path("getACL", path) for path in ("/r", "/r/null", "/", "/zookeeper/config")],
        get("/r/null"),
        get(QUOTA + "/r/zookeeper_stats"),
        children("/r", name="getChildren2"),
        on_path("getAllChildrenNumber", "/"),
    )
    again = one_by_one(
        0, on_path("getEphemerals", "/"), auth("ann:one"), create("/r/s-", flags=2), create("/r/new"), on_path("deleteContainer", "/r/container")
    )
    steps = [opened(0), opened(1), *tree, *look]
    for how in ("stop", "kill", "stop"):
        steps += [{"do": "restart", "how": how}, opened(0, how="attach", label="S0"), opened(1, how="attach", label="S1")]
        steps += [*look, *again, *look]
    steps += [{"do": "restart", "how": "kill"}, opened(2), send(2, children("/r")), opened(0, how="attach", label="S0")]
    steps += [send(0, CLOSE, closes=True), send(2, children("/r"), exists("/r/m"))]
    steps += [{"do": "restart"}, opened(2), send(2, children("/r")), opened(0, how="attach", label="S0")]
    return steps


def enforcing():
    """Connections that have not authenticated as they must. The barrier behind a step closes them as well."""
    steps = []
    for number, request in enumerate(
        (exists("/"), create("/no"), {"name": "ping"}, WHO, CLOSE, set_watches(0), {"name": "other", "type": 99, "body": ""})
    ):
        steps.append(send(number, request, closes=True))
    return steps + [
        opened(8),
        opened(8, how="attach", label="S0"),
        send(9, {"name": "sasl", "token": "x"}, auth("x", "ip"), exists("/"), closes=True),
        send(9, auth("ann:one"), create("/yes", flags=1), exists("/yes"), WHO),
        *one_by_one(9, children("/"), {"name": "ping"}, delete("/yes")),
        send(9, CLOSE),
    ]


def words():
    """Four-letter words about known sessions, watches and nodes."""
    asked = ("ruok", "isro", "srvr", "stat", "mntr", "wchs", "wchc", "wchp", "dump", "dirs", "conf", "cons", "gtmk", "hash")
    ask = [{"do": "word", "word": word} for word in (*asked, "crst", "srst", "nope")]
    return [
        opened(0),
        opened(1),
        *ask,
        send(0, create("/e", flags=1), create("/f", "data"), create("/f/e", flags=1), exists("/x", True), children("/", True)),
        send(1, add_watch("/p", 1), add_watch("/p", 0), exists("/x", True), get("/f", True), create("/g", flags=1)),
        *ask,
        send(1, create("/x"), remove_watches("/p", 3)),
        send(0, delete("/e"), set_data("/f", "longer data")),
        *ask,
    ]


def digests():
    """The digests that the word hash shows, across a restart."""
    made = [create(f"/d{i}", "x" * i) for i in range(40)]
    return [
        opened(0),
        send(0, *made, create("/d1/e", flags=1), create("/d2/s", flags=2), create("/null", None)),
        {"do": "digests"},
        send(0, *[set_data(f"/d{i}", "longer data") for i in range(20)], *[delete(f"/d{i}") for i in range(20, 40)]),
        send(0, set_data("/", "root"), set_acl("/d3", generator.WORLD), multi(set_data("/d4"), check("/d4", 9)), delete("/d2")),
        {"do": "digests"},
        {"do": "restart", "how": "kill"},
        opened(0, how="attach", label="S0"),
        send(0, create("/after"), delete("/d1/e")),
        {"do": "digests"},
        send(0, CLOSE),
        {"do": "digests"},
    ]


PROFILES = {digests: ("restarts",), enforcing: ("enforced",), reaping: ("timed",), expiring: ("timed",), restarting: ("restarts",)}
SUBJECTS = (
    enforcing,
    words,
    digests,
    reaping,
    expiring,
    restarting,
    handshakes,
    attaching,
    bad_bytes,
    odd_opcodes,
    undecodable,
    creating,
    sequences,
    paths,
    versions,
    access_lists,
    one_permission_each,
    authentication,
    one_shot_watches,
    persistent_watches,
    setting_watches_again,
    hidden_events,
    ending_sessions,
    transactions,
    quotas,
    sizes,
    pipelines,
    xids,
)
# Those whose answers depend on the configuration run under both of these; the others under the default one.
PROFILES.update({subject: ("default", "extended") for subject in (creating, transactions, quotas)})


def all_scenarios():
    """(name, profile, steps) of each."""
    result = []
    for subject in SUBJECTS:
        for profile in PROFILES.get(subject, ("default",)):
            result.append((subject.__name__.replace("_", " ") + f" ({profile})", profile, subject()))
    return result
