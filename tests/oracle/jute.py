"""The part of ZooKeeper's client protocol the oracle speaks: jute primitives, request bodies by name, reply bodies.

A request is a dict, so that a failing sequence can be written down as JSON and replayed:
    {"name": "create", "path": "/a", "data": "x", "acl": [[31, "world", "anyone"]], "flags": 0}
Values of kind string or buffer are: a str (UTF-8; lone surrogates pass), None (length -1), {"hex": "00ff"} (these
bytes), {"fill": n} (n bytes of 'x'). "xid" and "type" override what would be sent; "body" (hex) replaces the encoded
body; "cut": n drops the last n bytes of the body; "tail": hex is appended to it. A zxid is {"ago": n}: n before the
newest the client has seen of its server.
"""

import struct

OPCODES = {
    "create": 1,
    "delete": 2,
    "exists": 3,
    "getData": 4,
    "setData": 5,
    "getACL": 6,
    "setACL": 7,
    "getChildren": 8,
    "sync": 9,
    "ping": 11,
    "getChildren2": 12,
    "check": 13,
    "multi": 14,
    "create2": 15,
    "reconfig": 16,
    "checkWatches": 17,
    "removeWatches": 18,
    "createContainer": 19,
    "deleteContainer": 20,
    "createTTL": 21,
    "multiRead": 22,
    "auth": 100,
    "setWatches": 101,
    "sasl": 102,
    "getEphemerals": 103,
    "getAllChildrenNumber": 104,
    "setWatches2": 105,
    "addWatch": 106,
    "whoAmI": 107,
    "closeSession": -11,
}

ERRORS = {
    0: "ok",
    -1: "SystemError",
    -2: "RuntimeInconsistency",
    -5: "MarshallingError",
    -6: "Unimplemented",
    -7: "OperationTimeout",
    -8: "BadArguments",
    -13: "NewConfigNoQuorum",
    -14: "ReconfigInProgress",
    -100: "ApiError",
    -101: "NoNode",
    -102: "NoAuth",
    -103: "BadVersion",
    -108: "NoChildrenForEphemerals",
    -110: "NodeExists",
    -111: "NotEmpty",
    -112: "SessionExpired",
    -113: "InvalidCallback",
    -114: "InvalidACL",
    -115: "AuthFailed",
    -118: "SessionMoved",
    -119: "NotReadOnly",
    -120: "EphemeralOnLocalSession",
    -121: "NoWatcher",
    -122: "RequestTimeout",
    -123: "ReconfigDisabled",
    -125: "QuotaExceeded",
    -127: "ThrottledOp",
}
ERROR_NUMBERS = {name: number for number, name in ERRORS.items()}

XID_EVENT, XID_PING, XID_AUTH, XID_SET_WATCHES = -1, -2, -4, -8
NO_OWNER = 0


def error_name(number):
    """The name of an error code, or its number as text."""
    return ERRORS.get(number, str(number))


# --- writing ------------------------------------------------------------------------------------------------


def octets(value):
    """The bytes a string or buffer value stands for; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return b"x" * value["fill"]


def write_int(value):
    return struct.pack(">i", value)


def write_long(value):
    return struct.pack(">q", value)


def write_bool(value):
    return b"\x01" if value else b"\x00"


def write_buffer(value):
    data = octets(value)
    return write_int(-1) if data is None else write_int(len(data)) + data


def write_vector(values, write):
    return write_int(-1) if values is None else write_int(len(values)) + b"".join(write(v) for v in values)


def write_acl(entry):
    perms, scheme, identity = entry
    return write_int(perms) + write_buffer(scheme) + write_buffer(identity)


def _create(r):
    body = write_buffer(r["path"]) + write_buffer(r["data"]) + write_vector(r["acl"], write_acl) + write_int(r["flags"])
    return body + write_long(r["ttl"]) if r["name"] == "createTTL" else body


def _path(r):
    return write_buffer(r["path"])


def _path_watch(r):
    return write_buffer(r["path"]) + write_bool(r["watch"])


def _path_version(r):
    return write_buffer(r["path"]) + write_int(r["version"])


def _multi(r):
    body = b""
    for sub in r["ops"]:
        number = sub.get("type", OPCODES[sub["name"]])
        body += write_int(number) + write_bool(False) + write_int(-1) + encode_body(sub)
    return body + write_int(-1) + write_bool(True) + write_int(-1)


def _set_watches(r):
    lists = ["data", "exist", "child"] + (["persistent", "recursive"] if r["name"] == "setWatches2" else [])
    return write_long(r["relative"]) + b"".join(write_vector(r[name], write_buffer) for name in lists)


_BODIES = {
    "create": _create,
    "create2": _create,
    "createContainer": _create,
    "createTTL": _create,
    "delete": _path_version,
    "exists": _path_watch,
    "getData": _path_watch,
    "setData": lambda r: write_buffer(r["path"]) + write_buffer(r["data"]) + write_int(r["version"]),
    "getACL": _path,
    "setACL": lambda r: write_buffer(r["path"]) + write_vector(r["acl"], write_acl) + write_int(r["version"]),
    "getChildren": _path_watch,
    "getChildren2": _path_watch,
    "sync": _path,
    "ping": lambda r: b"",
    "check": _path_version,
    "multi": _multi,
    "multiRead": _multi,
    "reconfig": lambda r: write_buffer(r["joining"])
    + write_buffer(r["leaving"])
    + write_buffer(r["members"])
    + write_long(r["config"]),
    "checkWatches": lambda r: write_buffer(r["path"]) + write_int(r["watcher"]),
    "removeWatches": lambda r: write_buffer(r["path"]) + write_int(r["watcher"]),
    "deleteContainer": _path,
    "auth": lambda r: write_int(0) + write_buffer(r["scheme"]) + write_buffer(r["auth"]),
    "setWatches": _set_watches,
    "setWatches2": _set_watches,
    "getEphemerals": _path,
    "getAllChildrenNumber": _path,
    "addWatch": lambda r: write_buffer(r["path"]) + write_int(r["mode"]),
    "whoAmI": lambda r: b"",
    "closeSession": lambda r: b"",
    "sasl": lambda r: write_buffer(r["token"]),
    "other": lambda r: b"",
}

FIXED_XIDS = {"ping": XID_PING, "auth": XID_AUTH, "setWatches": XID_SET_WATCHES, "setWatches2": XID_SET_WATCHES}


def encode_body(request):
    """The body of a request (what follows its header)."""
    body = bytes.fromhex(request["body"]) if "body" in request else _BODIES[request["name"]](request)
    if "cut" in request:
        body = body[: max(0, len(body) - request["cut"])]
    return body + bytes.fromhex(request.get("tail", ""))


def encode_request(request, xid):
    """The frame of a request, its length included."""
    number = request["type"] if "type" in request else OPCODES[request["name"]]
    return frame(write_int(xid) + write_int(number) + encode_body(request))


def frame(payload):
    """A payload with its length before it."""
    return write_int(len(payload)) + payload


def encode_connect(last_zxid, timeout_ms, session, password, read_only, protocol=0):
    """The frame of a ConnectRequest. `password` is bytes or None; `read_only` None leaves the field out."""
    body = write_int(protocol) + write_long(last_zxid) + write_int(timeout_ms) + write_long(session)
    body += write_int(-1) if password is None else write_int(len(password)) + password
    return frame(body if read_only is None else body + write_bool(read_only))


# --- reading ------------------------------------------------------------------------------------------------


class Malformed(Exception):
    """A reply that does not decode."""


class Reader:
    """Reads jute primitives from bytes; raises Malformed beyond their end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Malformed(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def int(self):
        return struct.unpack(">i", self.take(4))[0]

    def long(self):
        return struct.unpack(">q", self.take(8))[0]

    def bool(self):
        return self.take(1) != b"\x00"

    def buffer(self):
        length = self.int()
        return None if length == -1 else self.take(length)

    def string(self):
        data = self.buffer()
        return None if data is None else data.decode("utf-8", "backslashreplace")

    def vector(self, read):
        count = self.int()
        return None if count == -1 else [read() for _ in range(count)]

    def rest(self):
        return self.take(len(self.data) - self.at)


STAT_FIELDS = (
    ("czxid", "long"),
    ("mzxid", "long"),
    ("ctime", "long"),
    ("mtime", "long"),
    ("version", "int"),
    ("cversion", "int"),
    ("aversion", "int"),
    ("ephemeralOwner", "long"),
    ("dataLength", "int"),
    ("numChildren", "int"),
    ("pzxid", "long"),
)


def read_stat(reader):
    """A Stat as a dict."""
    return {name: getattr(reader, kind)() for name, kind in STAT_FIELDS}


def read_acl(reader):
    return [reader.int(), reader.string(), reader.string()]


def shown(data):
    """A buffer as it is printed: text where it is text, shortened where it is long."""
    if data is None:
        return None
    if len(data) > 200:
        import hashlib

        return f"<{len(data)} bytes, sha1 {hashlib.sha1(data).hexdigest()}>"
    return data.decode("utf-8", "backslashreplace")


def _reply_path(r):
    return {"path": r.string()}


def _reply_path_stat(r):
    return {"path": r.string(), "stat": read_stat(r)}


def _reply_stat(r):
    return {"stat": read_stat(r)}


def _reply_data_stat(r):
    return {"data": shown(r.buffer()), "stat": read_stat(r)}


def _reply_none(r):
    return {}


def _reply_multi(r):
    results = []
    while True:
        number, done, error = r.int(), r.bool(), r.int()
        if done:
            return {"results": results, "end": [number, error]}
        result = {"type": number, "err": error}
        if number == OPCODES["create"]:
            result.update(_reply_path(r))
        elif number == OPCODES["create2"]:
            result.update(_reply_path_stat(r))
        elif number == OPCODES["setData"]:
            result.update(_reply_stat(r))
        elif number == OPCODES["getChildren"]:
            result["children"] = r.vector(r.string)
        elif number == OPCODES["getData"]:
            result.update(_reply_data_stat(r))
        elif number == -1:
            result["error"] = error_name(r.int())
        elif number not in (OPCODES["delete"], OPCODES["check"]):
            raise Malformed(f"result of type {number}")
        results.append(result)


_REPLIES = {
    "create": _reply_path,
    "create2": _reply_path_stat,
    "createContainer": _reply_path_stat,
    "createTTL": _reply_path_stat,
    "exists": _reply_stat,
    "getData": _reply_data_stat,
    "setData": _reply_stat,
    "getACL": lambda r: {"acl": r.vector(lambda: read_acl(r)), "stat": read_stat(r)},
    "setACL": _reply_stat,
    "getChildren": lambda r: {"children": r.vector(r.string)},
    "getChildren2": lambda r: {"children": r.vector(r.string), "stat": read_stat(r)},
    "sync": _reply_path,
    "multi": _reply_multi,
    "multiRead": _reply_multi,
    "reconfig": _reply_data_stat,
    "getEphemerals": lambda r: {"children": r.vector(r.string)},
    "getAllChildrenNumber": lambda r: {"total": r.int()},
    "addWatch": lambda r: {"error": r.int()},
    "whoAmI": lambda r: {"clients": r.vector(lambda: [r.string(), r.string()])},
}


def decode_reply(name, body):
    """The body of a reply to the named request as a dict; what does not decode or is left over shows as hex."""
    if not body:
        return {}
    reader = Reader(body)
    try:
        decoded = _REPLIES.get(name, _reply_none)(reader)
    except Malformed as reason:
        return {"malformed": body.hex(), "reason": str(reason)}
    rest = reader.rest()
    if rest:
        decoded["rest"] = rest.hex()
    return decoded


def decode_connect(body):
    """A ConnectResponse as a dict; readOnly is None when the field is absent."""
    reader = Reader(body)
    try:
        response = {
            "protocol": reader.int(),
            "timeout_ms": reader.int(),
            "session": reader.long(),
            "password": reader.buffer(),
        }
        rest = reader.rest()
        response["readOnly"] = None if rest == b"" else rest.hex()
        return response
    except Malformed as reason:
        return {"malformed": body.hex(), "reason": str(reason)}
