"""The tap: a SOCKS proxy through which every server of an ensemble dials its peers, and the transcript it writes.

Java's sockets dial through a SOCKS proxy when they are told to (`socksProxyHost`), so the servers keep the one
configuration they share, and nothing in it, in a hello or in a vote names anything but the servers themselves.
Each server has a proxy port of its own; that tells who dials.

The transcript is in one order, that of the tap's lock: bytes are written down before they are passed on, so what a
server sent because of something it got stands behind that.
"""

import contextlib
import socket
import threading
import time

CHUNK_BYTES = 1 << 16


class Transcript:
    """Lines of `<milliseconds since the first> <verb> <arguments>`; README.md lists the verbs."""

    def __init__(self):
        self._lock = threading.RLock()
        self._lines = []
        self._first_s = None

    def line(self, verb, *arguments):
        """Appends a line."""
        with self._lock:
            now_s = time.monotonic()
            if self._first_s is None:
                self._first_s = now_s
            since_ms = int((now_s - self._first_s) * 1000)
            self._lines.append(" ".join([str(since_ms), verb, *map(str, arguments)]))

    def lines(self):
        """What has been written so far."""
        with self._lock:
            return list(self._lines)

    def locked(self):
        """Holds back every other line while the context lasts."""
        return self._lock


class _Connection:
    """One dialled connection: two sockets, two threads that pass bytes on."""

    def __init__(self, tap, number, dialler, acceptor, inner, outer):
        self.tap, self.number = tap, number
        self.dialler, self.acceptor = dialler, acceptor
        self.inner, self.outer = inner, outer  # the dialler's socket, the acceptor's
        for source, sink, sender, receiver in (
            (inner, outer, dialler, acceptor),
            (outer, inner, acceptor, dialler),
        ):
            threading.Thread(target=self._pass, args=(source, sink, sender, receiver), daemon=True).start()

    def _pass(self, source, sink, sender, receiver):
        transcript = self.tap.transcript
        while True:
            try:
                data = source.recv(CHUNK_BYTES)
            except OSError:
                data = b""
            with transcript.locked():
                if not data:
                    if not self.tap.over:
                        transcript.line("end", self.number, sender)
                    break
                lost = (sender, receiver) in self.tap.swallowing
                if not self.tap.over:
                    transcript.line("lost" if lost else "send", self.number, sender, data.hex())
            if not lost:
                with contextlib.suppress(OSError):
                    sink.sendall(data)
        # Java closes both directions at once, and so does the tap: half-closed connections are not ZooKeeper's.
        self.close()

    def close(self):
        """Ends both halves."""
        for sock in (self.inner, self.outer):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Tap:
    """Listens for the servers' dials. `ports` says which server and which of its ports a port number belongs to."""

    def __init__(self, transcript, ports):
        self.transcript = transcript
        self.ports = ports  # {port: (sid, "quorum" or "election")}
        self.open = False  # closed: every dial is refused, so that all servers may come up first
        self.over = False  # over: nothing is written down any more
        self.swallowing = set()  # {(from, to)}: what is sent that way is written down and lost
        self.severed = set()  # {(a, b)}: dials either way are refused
        self._connections = []
        self._listeners = []
        self._next = 1

    def listen(self, sid):
        """Opens the proxy port of a server and returns it."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listeners.append(listener)
        threading.Thread(target=self._accept, args=(sid, listener), daemon=True).start()
        return listener.getsockname()[1]

    def swallow(self, sender, receiver):
        """From now on what `sender` sends to `receiver` is lost, though the connections stay up."""
        with self.transcript.locked():
            self.transcript.line("swallow", sender, receiver)
            self.swallowing.add((sender, receiver))

    def sever(self, a, b):
        """Ends all connections between two servers and refuses new ones until `mend`."""
        with self.transcript.locked():
            self.transcript.line("sever", a, b)
            self.severed |= {(a, b), (b, a)}
            ended = [c for c in self._connections if {c.dialler, c.acceptor} == {a, b}]
        for connection in ended:
            connection.close()

    def mend(self):
        """Undoes `swallow` and `sever`. Connections that lost bytes must have ended by then."""
        with self.transcript.locked():
            self.transcript.line("mend")
            self.swallowing.clear()
            self.severed.clear()

    def close(self):
        """Stops listening and writing."""
        with self.transcript.locked():
            self.over = True
        for listener in self._listeners:
            listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self, sid, listener):
        while True:
            try:
                inner, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._dial, args=(sid, inner), daemon=True).start()

    def _dial(self, sid, inner):
        try:
            port = _socks_request(inner)
            acceptor, kind = self.ports[port]
            refused = not self.open or (sid, acceptor) in self.severed
            outer = None
            if not refused:
                with contextlib.suppress(OSError):
                    outer = socket.create_connection(("127.0.0.1", port), timeout=5)
            if outer is None:
                inner.sendall(b"\x05\x05\x00\x01" + bytes(6))  # connection refused
                inner.close()
                return
            for sock in (inner, outer):
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.transcript.locked():
                number, self._next = self._next, self._next + 1
                if not self.over:
                    self.transcript.line("dial", number, sid, acceptor, kind)
                # Within the lock, so that the dialler's first bytes stand behind this line.
                inner.sendall(b"\x05\x00\x00\x01" + bytes(6))
                self._connections.append(_Connection(self, number, sid, acceptor, inner, outer))
        except OSError:
            inner.close()


def _socks_request(sock):
    """Speaks SOCKS 5 up to the CONNECT request and returns the port that is asked for."""
    sock.settimeout(10)
    version, methods = _exactly(sock, 2)
    _exactly(sock, methods)
    if version != 5:
        raise OSError(f"SOCKS version {version}")
    sock.sendall(b"\x05\x00")
    _, command, _, kind = _exactly(sock, 4)
    if command != 1:
        raise OSError(f"SOCKS command {command}")
    length = {1: 4, 4: 16}.get(kind) or _exactly(sock, 1)[0]
    _exactly(sock, length)
    return int.from_bytes(_exactly(sock, 2), "big")


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise OSError("ended within the SOCKS greeting")
        data += more
    return data
