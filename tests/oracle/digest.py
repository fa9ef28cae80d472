"""The digest of a state, digest version 2, computed from what a client can read: the sum over all nodes of a CRC-32 of
path, data and what a node keeps of its Stat. Containers and nodes with a time to live keep what their Stat does not
show, so there must be none.
"""

import struct
import zlib


def of_tree(call):
    """The digest of all nodes; `call` sends a request and returns (zxid, error, body)."""
    total, paths = 0, ["/"]
    while paths:
        path = paths.pop()
        _, error, body = call({"name": "getData", "path": path, "watch": False})
        if error != 0:
            raise RuntimeError(f"{path} cannot be read: {error}")
        total += _of_node(path, body["data"], body["stat"])
        _, _, body = call({"name": "getChildren", "path": path, "watch": False})
        paths += [path.rstrip("/") + "/" + child for child in body["children"]]
    return (total + 2**63) % 2**64 - 2**63


def _of_node(path, data, stat):
    if path.startswith("/zookeeper/"):
        return 0
    # A Stat shows twice the children ever made less those there are; the node keeps how many were made.
    made = (stat["cversion"] + stat["numChildren"]) // 2
    longs = [stat[name] for name in ("czxid", "mzxid", "pzxid", "ctime", "mtime")]
    kept = struct.pack(">5q3iq", *longs, stat["version"], made, stat["aversion"], stat["ephemeralOwner"])
    return zlib.crc32(("" if path == "/" else path).encode() + _bytes(data) + kept)


def _bytes(data):
    return b"" if data is None else data if isinstance(data, bytes) else data.encode()
