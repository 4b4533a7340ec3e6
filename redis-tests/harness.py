"""Server processes under test: started in a directory of their own, killed, stopped, restarted, watched."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Closed, Connection

START_DEADLINE_S = 30.0


class ServerFailed(AssertionError):
    """The process did not start, or ended by itself."""


class Skip(Exception):
    """A test does not apply here; the text says why."""


def wait_for(condition, what, timeout=10.0, interval=0.01):
    """Polls until condition() is true and returns its value; fails at the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %g s: %s" % (timeout, what))
        time.sleep(interval)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def durable(program, appendfsync):
    """The directives under which a write is journaled: redis-server's are off unless asked for."""
    return {"appendfsync": appendfsync, **({"appendonly": "yes"} if is_redis(program) else {})}


def is_redis(program):
    return os.path.basename(program).startswith(("redis-", "valkey-"))


class Server:
    """One server process. `directives` are pairs or a dict, given as --name value (value may be a list of words).

    `wrap` is a command line that ends in exec'ing its arguments; `environment` is added to the process'.
    """

    host = "127.0.0.1"  # where its clients reach it

    def __init__(
        self, program, directives=(), directory=None, config_file=None, wrap=(), environment=None, start=True
    ):
        self.program = program
        self.is_redis = is_redis(program)
        self.directives = dict(directives)
        self.owns_directory = directory is None
        self.root = tempfile.mkdtemp(prefix="redis-tests.") if self.owns_directory else os.path.dirname(directory)
        self.directory = directory or os.path.join(self.root, "data")
        self.config_file = config_file
        self.wrap = list(wrap)
        self.environment = environment or {}
        self.port = free_port()
        self.process = None
        self.log_path = os.path.join(self.root, "log")
        os.makedirs(self.directory, exist_ok=True)
        if start:
            self.start()

    # -- life ----------------------------------------------------------------------------------------------------

    def command_line(self):
        line = self.wrap + [self.program] + ([self.config_file] if self.config_file else [])
        directives = {"port": self.port, "dir": self.directory}
        if self.is_redis:
            directives.update({"save": "", "appendonly": "no"})
        directives.update(self.directives)
        for name, value in directives.items():
            line.append("--" + name)
            line.extend(str(word) for word in (value if isinstance(value, (list, tuple)) else [value]))
        return line

    def spawn(self):
        """Starts the process without waiting for it to serve."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command_line(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env={**os.environ, **self.environment},
            )

    def start(self, timeout=START_DEADLINE_S):
        self.spawn()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=START_DEADLINE_S):
        wait_for(lambda: self._answers(), "%s answers PING\n%s" % (self.program, self.log()[-2000:]), timeout)

    def _answers(self):
        if self.process.poll() is not None:
            code = self.process.returncode
            raise ServerFailed("%s ended with %d at start:\n%s" % (self.program, code, self.log()[-3000:]))
        try:
            with Connection(self.port, self.host, timeout=5.0) as client:
                reply = client.call("PING")
                return reply.value == b"PONG" or reply.value.startswith(b"NOAUTH")  # not LOADING, BUSY …
        except (OSError, Closed):
            return False

    @property
    def pid(self):
        """The server's process id; a wrapper's as well, since wrappers exec."""
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill −9: nothing that the process still had in its own memory survives."""
        if self.is_running():
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self, timeout=60.0):
        """SIGTERM, the way an init system stops a server; returns the exit code."""
        if self.is_running():
            os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(timeout)

    def restart(self, timeout=START_DEADLINE_S):
        """Stops cleanly and starts again on the same directory."""
        self.terminate()
        return self.start(timeout)

    def crash(self, timeout=START_DEADLINE_S):
        """kill −9 and start again on the same directory."""
        self.kill()
        return self.start(timeout)

    def close(self):
        if self.is_running():
            self.kill()
        if self.owns_directory:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- use -----------------------------------------------------------------------------------------------------

    def connect(self, protocol=2, timeout=30.0):
        return Connection(self.port, self.host, protocol=protocol, timeout=timeout)

    def call(self, *args):
        with self.connect() as client:
            return client.call(*args)

    def log(self):
        try:
            with open(self.log_path, "rb") as log:
                return log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def end_of_log(self):
        return self.log()[-1500:]

    def wait_exit(self, timeout=20.0):
        """Waits until the process ends by itself; returns its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("the server still runs; its log:\n" + self.log()[-2000:]) from None

    def rss_bytes(self, field="VmRSS:"):
        with open("/proc/%d/status" % self.pid, encoding="ascii") as status:
            for line in status:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no " + field)

    def peak_rss_bytes(self):
        return self.rss_bytes("VmHWM:")


def info(client, section="everything"):
    """INFO as a dict."""
    fields = {}
    for line in client.call("INFO", section).value.decode().split("\r\n"):
        if ":" in line and not line.startswith("#"):
            name, value = line.split(":", 1)
            fields[name] = value
    return fields


def command_names(client):
    """The lower-case names of the commands in the server's table."""
    reply = client.call("COMMAND", "LIST")
    if reply.is_error:
        raise AssertionError("COMMAND LIST answers " + str(reply))
    return {name.lower().decode() for name in reply.plain()}
