"""What of the answers to four-letter words two right servers must agree in.

Ports, sizes of files, times, counters of packets and latencies are left out; labels, their order where it is fixed,
sessions, watches, ephemerals and the state of the tree are compared.
"""

import re

# The values of mntr that the tree, the sessions and the watches alone determine.
EXACT_OF_MNTR = (
    "zk_server_state",
    "zk_ephemerals_count",
    "zk_znode_count",
    "zk_watch_count",
    "zk_global_sessions",
    "zk_local_sessions",
    "zk_approximate_data_size",
)
EXACT_OF_SRVR = ("Mode", "Node count", "Outstanding")
# Where the server keeps its files is its own affair.
OWN_OF_CONF = ("clientPort", "dataDir", "dataDirSize", "dataLogDir", "dataLogSize")


def comparable(word, answer, side):
    """The answer of a side to a word, reduced to what must be equal."""
    lines = [_with_labels(line, side) for line in answer.splitlines()]
    if word in ("ruok", "isro", "gtmk", "crst", "srst", "nope"):
        return lines
    if word == "hash":
        # Digests cover times and session ids, so every server has its own; the step "digests" recomputes one.
        return [line for line in lines if not re.fullmatch(r"[0-9a-f]+: -?[0-9]+", line)]
    if word == "wchs":
        # Apache goes on counting connections whose one-shot watches have all fired.
        return [re.sub(r"^\d+ connections", "connections", line) for line in lines]
    if word in ("srvr", "stat"):
        return [_label(line) for line in lines if not line.startswith(" ")]
    if word == "mntr":
        pairs = dict(line.split("\t", 1) for line in lines if "\t" in line)
        return {key: pairs.get(key) for key in EXACT_OF_MNTR}
    if word in ("wchc", "wchp"):
        return _groups(lines)
    if word == "dump":
        return _dump(lines)
    if word == "conf":
        pairs = [line.partition("=")[::2] for line in lines]
        return [(key, "its own" if key in OWN_OF_CONF else value) for key, value in pairs]
    if word == "dirs":
        return [line.partition(":")[0] for line in lines]
    if word == "cons":
        return sorted(re.sub(r"(:\d+)(\[)|=(?!S\d)[^,)]*", r"\2", line) for line in lines if "sid=" in line)
    raise ValueError(word)


def _with_labels(line, side):
    """Session ids as the labels of the run."""

    def label(match):
        return side.sessions.get(int(match[0], 16), "another session")

    return re.sub(r"0x[0-9a-f]{6,16}", label, line)


def _label(line):
    label, colon, value = line.partition(":")
    return f"{label}:{value}" if label in EXACT_OF_SRVR else label + colon


def _groups(lines):
    """Unindented heads with the indented lines below each, in any order."""
    groups, head = {}, None
    for line in lines:
        if line.startswith("\t"):
            groups.setdefault(head, []).append(line.strip())
        elif line:
            head = line
            groups.setdefault(head, [])
    # Apache also names connections whose one-shot watches have all fired.
    return {head: sorted(members) for head, members in groups.items() if members}


def _dump(lines):
    """The sessions known and the ephemerals of each; when they expire is left out."""
    sessions, ephemerals, part, owner = [], {}, "", None
    for line in lines:
        text = line.strip()
        if text.endswith("dump:"):
            part = text
        elif part == "SessionTracker dump:" and re.fullmatch(r"S\d+", text):
            sessions.append(text)
        elif part == "ephemeral nodes dump:" and text.startswith("Sessions with"):
            ephemerals["head"] = [text]
        elif part == "ephemeral nodes dump:" and re.fullmatch(r"S\d+:", text):
            owner = text
        elif part == "ephemeral nodes dump:" and text:
            ephemerals.setdefault(owner, []).append(text)
    return {
        "sessions": sorted(sessions),
        "ephemerals": {owner: sorted(paths) for owner, paths in ephemerals.items()},
    }
