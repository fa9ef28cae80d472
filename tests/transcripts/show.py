"""Prints a transcript message by message, for readers; the tests read the files with ringkeeper's own decoders."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "oracle")]

import jute  # noqa: E402

PACKETS = {
    1: "REQUEST",
    2: "PROPOSAL",
    3: "ACK",
    4: "COMMIT",
    5: "PING",
    6: "REVALIDATE",
    7: "SYNC",
    8: "INFORM",
    9: "COMMITANDACTIVATE",
    10: "NEWLEADER",
    11: "FOLLOWERINFO",
    12: "UPTODATE",
    13: "DIFF",
    14: "TRUNC",
    15: "SNAP",
    16: "OBSERVERINFO",
    17: "LEADERINFO",
    18: "ACKEPOCH",
    19: "INFORMANDACTIVATE",
}
STATES = ("LOOKING", "FOLLOWING", "LEADING", "OBSERVING")
SIGNATURE = "BenWasHere"


def _number(value):
    return f"{value & (1 << 64) - 1:x}"


def _packet(reader):
    kind, zxid, data = reader.int(), reader.long(), reader.buffer()
    ids = reader.vector(lambda: (reader.string(), reader.string()))
    name = PACKETS.get(kind, str(kind))
    text = f"{name} zxid={_number(zxid)}"
    if data is not None:
        text += f" data={data.decode(errors='replace')!r}" if name == "NEWLEADER" else f" data={data.hex()}"
    return name, text + (f" ids={ids}" if ids else "")


def _snapshot(reader):
    sessions = [(reader.long(), reader.int()) for _ in range(reader.int())]
    acls = [(reader.long(), reader.vector(lambda: jute.read_acl(reader))) for _ in range(reader.int())]
    nodes = []
    while (path := reader.string()) != "/":
        reader.buffer()
        reader.take(8 + 4 * 8 + 3 * 4 + 8 + 8)
        nodes.append(path)
    signature = reader.string()
    if signature != SIGNATURE:
        raise ValueError(f"a snapshot ends with {signature!r}")
    return f"  {len(sessions)} sessions, {len(acls)} ACL lists, nodes {nodes}"


def _hello(reader):
    version, sid = reader.long(), reader.long()
    return f"hello version={version} sid={sid} {reader.string()}"


def _notification(reader):
    body = jute.Reader(reader.buffer())
    state, leader, zxid, round_, epoch = body.int(), body.long(), body.long(), body.long(), body.long()
    version, config = body.int(), body.string()
    last = config.strip().splitlines()[-1] if config else ""
    return (
        f"notification {STATES[state]} leader={leader} zxid={_number(zxid)} round={round_} peerEpoch={epoch}"
        f" v{version} …{last}"
    )


class _Stream:
    """One direction of a connection: bytes in, texts of whole messages out."""

    def __init__(self, kind, dialled):
        self.kind, self.first, self.snapshot = kind, dialled, False
        self.buffered = b""

    def feed(self, data):
        """(name, text) of each message that is whole now."""
        self.buffered += data
        while self.buffered:
            reader = jute.Reader(self.buffered)
            try:
                yield self._message(reader)
            except jute.Malformed:
                return
            self.buffered = reader.rest()

    def _message(self, reader):
        if self.snapshot:
            text = _snapshot(reader)
            self.snapshot = False
            return "", text
        if self.kind == "quorum":
            name, text = _packet(reader)
            self.snapshot = name == "SNAP"
            return name, text
        text = _hello(reader) if self.first else _notification(reader)
        self.first = False
        return "", text


def _messages(lines):
    """(line without its bytes, receiver or None, [(name, text)]) of each line."""
    ends, kinds, streams = {}, {}, {}
    for line in lines:
        fields = line.split(" ")
        if fields[1] == "dial":
            number, dialler, acceptor, kind = int(fields[2]), int(fields[3]), int(fields[4]), fields[5]
            ends[number], kinds[number] = (dialler, acceptor), kind
        if fields[1] not in ("send", "lost"):
            yield line, None, []
            continue
        number, sender, data = int(fields[2]), int(fields[3]), bytes.fromhex(fields[4])
        dialler, acceptor = ends[number]
        receiver = acceptor if sender == dialler else dialler
        stream = streams.setdefault((number, sender), _Stream(kinds[number], sender == dialler))
        yield f"{fields[0]} {fields[1]} {number} {sender}>{receiver}", receiver, list(stream.feed(data))


def packets(lines):
    """(receiver, name) of every quorum packet."""
    return [(to, name) for _, to, messages in _messages(lines) for name, _ in messages if name]


def show(path):
    """Prints a file."""
    lines = Path(path).read_text().splitlines()
    head = [line for line in lines if not line[:1].isdigit()]
    print("\n".join(head))
    for text, to, messages in _messages(line for line in lines if line[:1].isdigit()):
        print(text if to is None else f"{text} {'; '.join(text for _, text in messages) or '…'}")
