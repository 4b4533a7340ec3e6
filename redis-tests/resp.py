"""RESP2 and RESP3 as a test sees them: every type kept apart, and the bytes of each reply beside its value."""

import socket
import time
from dataclasses import dataclass, field

CRLF = b"\r\n"


class Closed(Exception):
    """The server closed the connection before a whole reply arrived."""


class Malformed(Exception):
    """The server sent something that is not RESP."""


@dataclass
class Reply:
    """One reply. `kind` is the RESP type byte; a map's value is a flat list of keys and values."""

    kind: str
    value: object
    raw: bytes = field(default=b"", compare=False)

    @property
    def is_error(self):
        return self.kind in "-!"

    @property
    def is_null(self):
        return self.value is None

    def plain(self):
        """The value without its RESP types: bytes, int, None, bool, list (maps as flat lists)."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value

    def __str__(self):
        return show(self)


def show(reply, limit=300):
    """A reply for a human: type byte, value."""
    if isinstance(reply.value, list):
        text = reply.kind + "[" + ", ".join(show(item, limit) for item in reply.value) + "]"
    elif isinstance(reply.value, bytes):
        text = reply.kind + repr(reply.value)[1:]
    else:
        text = reply.kind + str(reply.value)
    return text if len(text) <= limit else text[:limit] + "… (%d characters)" % len(text)


def encode(*args):
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = to_bytes(arg)
        parts.append(b"$%d\r\n" % len(data))
        parts.append(data)
        parts.append(CRLF)
    return b"".join(parts)


def to_bytes(arg):
    if isinstance(arg, (bytes, bytearray)):
        return bytes(arg)
    return str(arg).encode("utf-8", "surrogateescape")


class Connection:
    """A blocking client socket. Every wait has a deadline; a missed one raises TimeoutError."""

    def __init__(self, port, host="127.0.0.1", protocol=2, timeout=30.0, path=None):
        """`path`: of the Unix socket to connect to, instead."""
        self.timeout = timeout
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(path)
            self.address = self.peer = path
        else:
            self.socket = socket.create_connection((host, port), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.address = "%s:%d" % self.socket.getsockname()[:2]
            self.peer = "%s:%d" % self.socket.getpeername()[:2]
        self.buffer = bytearray()
        self.position = 0
        if protocol == 3:
            reply = self.call("HELLO", "3")
            if reply.is_error:
                raise AssertionError("HELLO 3 answered " + show(reply))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def call(self, *args):
        """Sends one command and reads its reply."""
        self.send(*args)
        return self.read()

    def send(self, *args):
        self.send_raw(encode(*args))

    def send_raw(self, data):
        self.socket.settimeout(self.timeout)
        self.socket.sendall(data)

    def pipeline(self, commands):
        """Sends all commands at once; returns their replies. Only for what fits the sockets' buffers."""
        self.send_raw(b"".join(encode(*command) for command in commands))
        return [self.read() for _ in commands]

    def read(self, timeout=None):
        """The next reply, with its bytes."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.position = 0
        reply = self._parse(deadline)
        reply.raw = bytes(self.buffer[: self.position])
        del self.buffer[: self.position]
        return reply

    def is_closed(self, timeout=10.0):
        """Waits until the server closes the connection; False when it has not at the deadline."""
        deadline = time.monotonic() + timeout
        try:
            while True:
                self._fill(deadline)
        except (Closed, ConnectionError):
            return True
        except TimeoutError:
            return False

    def _fill(self, deadline):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no reply in time; received so far: %r" % bytes(self.buffer[:200]))
        self.socket.settimeout(remaining)
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed("connection closed; received so far: %r" % bytes(self.buffer[:200]))
        self.buffer += data

    def _line(self, deadline):
        start = self.position
        while True:
            end = self.buffer.find(CRLF, start)
            if end >= 0:
                line = bytes(self.buffer[self.position : end])
                self.position = end + 2
                return line
            start = max(self.position, len(self.buffer) - 1)
            self._fill(deadline)

    def _exactly(self, count, deadline):
        while len(self.buffer) < self.position + count + 2:
            self._fill(deadline)
        data = bytes(self.buffer[self.position : self.position + count])
        if self.buffer[self.position + count : self.position + count + 2] != CRLF:
            raise Malformed("a bulk of %d bytes does not end in CRLF" % count)
        self.position += count + 2
        return data

    def _parse(self, deadline):
        line = self._line(deadline)
        if not line:
            raise Malformed("an empty line instead of a reply")
        kind, rest = chr(line[0]), line[1:]
        if kind in "+-,(":
            return Reply(kind, rest)
        if kind == ":":
            return Reply(kind, int(rest))
        if kind in "$=!":
            length = int(rest)
            return Reply(kind, None if length < 0 else self._exactly(length, deadline))
        if kind == "_":
            return Reply(kind, None)
        if kind == "#":
            if rest not in (b"t", b"f"):
                raise Malformed("boolean %r" % rest)
            return Reply(kind, rest == b"t")
        if kind in "*~>%|":
            count = int(rest)
            if count < 0:
                return Reply(kind, None)
            if kind in "%|":
                count *= 2
            return Reply(kind, [self._parse(deadline) for _ in range(count)])
        raise Malformed("unknown reply type in %r" % line)
