"""Servers under measurement: started on free ports of 127.0.0.1 with a directory of their own on the disk, watched
through /proc, stopped by their process id, and gone when the script ends, however it ends."""
import atexit
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "redis-tests"))
from memory_limit import MemoryLimit  # noqa: E402

BIN = pathlib.Path(os.environ.get("CAPSTAN_BIN", ROOT / "build/release/bin"))
CAPSTAN = BIN / "capstan-server"
CAPSTAN_BENCH = BIN / "capstan-bench"
SCRATCH = ROOT / f"build/bench-{os.getpid()}"
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20

# The same durability on both sides; but with "none" Redis keeps no file at all.
REDIS_DURABILITY = {
    "everysec": ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""],
    "always": ["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
    "no": ["--appendonly", "yes", "--appendfsync", "no", "--save", ""],
    "none": ["--appendonly", "no", "--save", ""],
}
CAPSTAN_DURABILITY = {"everysec": "everysec", "always": "always", "no": "no", "none": "no"}

_running = []
_limits = []


def _end_everything():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    for server in list(_running):
        server.kill()
    for limit in _limits:
        limit.close()
    shutil.rmtree(SCRATCH, ignore_errors=True)


atexit.register(_end_everything)
for _signal in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signal, lambda number, _frame: sys.exit(128 + number))


_libc = ctypes.CDLL(None)


def _prepare_child():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with this script, even if that is killed


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
    return value


def limited_to(limit_bytes):
    """A limit for the memory of the servers that are started with it."""
    _limits.append(MemoryLimit(limit_bytes))
    return _limits[-1]


class ReplyError(Exception):
    """An error reply."""


def command(port, *words, timeout=600):
    """Sends one command on a connection of its own and returns the reply (RESP2)."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        encoded = [str(word).encode() for word in words]
        connection.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
        with connection.makefile("rb") as stream:
            return _reply(stream)


def _reply(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    kind, text = line[:1], line[1:-2]
    if kind == b"-":
        raise ReplyError(text.decode(errors="replace"))
    if kind == b":":
        return int(text)
    if kind == b"$":
        return None if int(text) < 0 else stream.read(int(text) + 2)[:-2]
    if kind == b"*":
        return None if int(text) < 0 else [_reply(stream) for _ in range(int(text))]
    return text


class Process:
    """A running program with a directory of its own. `line` is the whole command line; `limit` is a MemoryLimit."""

    def __init__(self, label, line, *, directory=None, limit=None):
        self.label, self.line, self.limit = label, [str(word) for word in line], limit
        self.directory = pathlib.Path(directory or SCRATCH / f"{label.replace(' ', '-')}-{free_port()}")
        self.launch()

    def launch(self, *arguments):
        self.directory.mkdir(parents=True, exist_ok=True)
        wrap = self.limit.wrap if self.limit else []
        with open(self.directory / "server.log", "ab") as log:
            self.process = subprocess.Popen([*wrap, *self.line, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=_prepare_child, cwd=self.directory)
        _running.append(self)

    def check_alive(self):
        if self.process.poll() is not None:
            log = (self.directory / "server.log").read_text(errors="replace")
            raise RuntimeError(f"{self.label} ended with status {self.process.returncode}:\n{log[-2000:]}")

    @property
    def pid(self):
        return self.process.pid

    def cpu_s(self):
        """CPU seconds used so far, children that it has waited for (Redis' AOF rewrites) included."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS

    def memory(self):
        """RSS and RssAnon in bytes."""
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines())
        return tuple(int(status[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))

    def written_bytes(self):
        """Bytes handed to the disk so far (children that ended are counted by the kernel, running ones are not)."""
        fields = dict(line.split(": ") for line in pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines())
        return int(fields["write_bytes"])

    def disk_bytes(self):
        """Blocks its directory occupies."""
        return sum(f.stat().st_blocks * 512 for f in self.directory.rglob("*") if f.is_file())

    def stop(self):
        """A clean shutdown; keeps the directory."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def _end(self, how):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=600)
        if self in _running:
            _running.remove(self)

    def discard(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Server(Process):
    """A running server that speaks RESP. `label` names it in results; `binary` and `arguments` start it, with --port and
    --dir added; without `port` it has another free one at each start."""

    def __init__(self, label, binary, arguments, *, port=None, **options):
        self.arguments, self.fixed_port = [str(a) for a in arguments], port
        super().__init__(label, [binary], **options)

    def launch(self, *_):
        self.start()

    def start(self, timeout_s=600):
        """Starts it, on the directory it had before if it ran before; returns the seconds until it answered PING."""
        self.port = self.fixed_port or free_port()
        began = time.monotonic()
        super().launch("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory), *self.arguments)
        wait_until(self._answers, timeout_s, f"{self.label} answers PING")
        return time.monotonic() - began

    def _answers(self):
        self.check_alive()
        try:
            return self.command("PING") == b"PONG"
        except (OSError, ReplyError):  # not listening yet, or loading its data
            return False

    def command(self, *words):
        return command(self.port, *words)

    def knows(self, *words):
        """Whether the command exists here."""
        try:
            self.command(*words)
        except ReplyError as error:
            return "unknown command" not in str(error)
        return True

    def info(self, field):
        for line in self.command("INFO").decode().splitlines():
            if line.startswith(field + ":"):
                return line.partition(":")[2]
        return "?"


def redis(durability, *arguments, **options):
    return Server("redis", "redis-server", REDIS_DURABILITY[durability] + list(arguments), **options)


def capstan(durability, *arguments, label="capstan", **options):
    return Server(label, CAPSTAN, ["--appendfsync", CAPSTAN_DURABILITY[durability], *arguments], **options)


class Group:
    """Several servers that clients see as one; `front` is whom they talk to."""

    def __init__(self, label, members):
        self.label, self.members, self.front = label, members, members[0]

    def cpu_s(self):
        return sum(member.cpu_s() for member in self.members)

    def discard(self):
        for member in self.members:
            member.discard()


def redis_replicated(durability, replicas, label="redis"):
    """A master, at the front, with so many replicas that are in step."""
    master = redis(durability)
    group = Group(label, [master])
    for _ in range(replicas):
        group.members.append(redis(durability, "--replicaof", "127.0.0.1", str(master.port)))
    wait_until(lambda: all(r.info("master_link_status") == "up" for r in group.members[1:]), 60, "the replicas are in step")
    return group


def capstan_cluster(nodes=3, *arguments, label="capstan"):
    """A cluster, its leader (of all shards, or of the first) at the front; commits are on the disks of a majority. Leaders
    have moved to where they belong, which they do some five seconds after the nodes have met."""
    ports = [(free_port(), free_port()) for _ in range(nodes)]
    topology = []
    for number, (port, peers) in enumerate(ports, 1):
        topology += ["--cluster", f"node n{number} 127.0.0.1:{port} cluster-port {peers}"]
    group = Group(label, [Server(f"{label} n{number}", CAPSTAN, ["--cluster", f"me n{number}", *topology, *arguments], port=port)
                          for number, (port, _) in enumerate(ports, 1)])
    wait_until(lambda: all(serves(member) for member in group.members), 60, "every node takes STRONG writes")
    leaders, since = None, time.monotonic()
    while time.monotonic() - since < 8:
        if (now := leaders_of(group)) != leaders:
            leaders, since = now, time.monotonic()
        time.sleep(0.1)
    group.front = next(member for member in group.members if member.port == leaders[0])
    return group


def serves(server):
    try:
        return server.command("CONSISTENCY", "STRONG", "TIMEOUT", 1000, "SET", "probe", "1") == b"OK"
    except (OSError, ReplyError):
        return False


def leaders_of(group):
    """The ports of the shards' leaders, in the order of their slots."""
    return [first_of_range[2][1] for first_of_range in sorted(group.members[0].command("CLUSTER", "SLOTS"))]


def load(server, keys, value_bytes, *, clients=50, pipeline=16):
    """SETs key:000000000000 … once each."""
    generate(server, "--load", "--keys", keys, "--value-size", value_bytes, "--clients", clients, "--pipeline", pipeline)


def generate(server, *arguments):
    """A run of capstan-bench: what it found, as a dict."""
    return json.loads(run([CAPSTAN_BENCH, "--port", server.port, "--json", *arguments]))


def run(line):
    done = subprocess.run([str(word) for word in line], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, line))} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def machine():
    """One line about where this ran, for the head of a result."""
    model = next((line.partition(": ")[2] for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    return f"{os.cpu_count()} cores ({model.strip()}), {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB"
