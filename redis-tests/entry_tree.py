"""`./capstan up` and its like under test: a copy of the script in a tree of its own, with ports of its own."""

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import tempfile

from harness import free_port
from resp import Closed, Connection

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODES = ("n1", "n2", "n3")


class Tree:
    """What the script needs and no more: itself, conf/, a built server, and a cmake that finds nothing to do."""

    def __init__(self, program):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="redis-tests."))
        self.server = self.path("build/release/bin/capstan-server")
        os.makedirs(os.path.dirname(self.server))
        shutil.copy(program, self.server)
        shutil.copy(os.path.join(ROOT, "capstan"), self.root)
        shutil.copytree(os.path.join(ROOT, "conf"), self.path("conf"))
        self.ports = {name: free_port() for name in NODES}
        self.peer_ports = {name: free_port() for name in NODES}
        for name in NODES:
            self.edit("conf/three-nodes/%s.conf" % name, self.moved)
        self.program("cmake", "exit 0")
        self.program("dpkg-query", "echo installed")

    def close(self):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, name)

    def edit(self, name, change):
        with open(self.path(name), encoding="utf-8") as file:
            text = change(file.read())
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def moved(self, text):
        """A node's configuration, with this tree's ports."""
        for number, name in enumerate(NODES, 1):
            port = self.ports[name]
            text = text.replace("port 700%d\n" % number, "port %d\n" % port)
            text = text.replace(
                "127.0.0.1:700%d\n" % number, "127.0.0.1:%d cluster-port %d\n" % (port, self.peer_ports[name])
            )
        return text

    def program(self, name, line):
        os.makedirs(self.path("stubs"), exist_ok=True)
        with open(self.path("stubs/" + name), "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n%s\n" % line)
        os.chmod(self.path("stubs/" + name), 0o755)

    def end_of_log(self):
        logs = []
        for path in sorted(glob.glob(self.path("data/**/capstan.log"), recursive=True)):
            with open(path, encoding="utf-8", errors="replace") as file:
                logs.append("-- %s --\n%s" % (os.path.relpath(path, self.root), file.read()[-1500:]))
        return "\n".join(logs)

    def pids(self):
        """Of the servers that the script started and that run."""
        found = []
        for path in glob.glob("/proc/[0-9]*/exe"):
            with contextlib.suppress(OSError):
                if os.readlink(path) == self.server:
                    found.append(int(path.split("/")[2]))
        return found

    def run(self, *words):
        """The command's exit status and what it says, to both streams."""
        environment = {**os.environ, "PATH": self.path("stubs") + ":" + os.environ["PATH"]}
        # A file and no pipe: nothing waits for servers that might keep it open.
        with open(self.path("said"), "w+", encoding="utf-8") as said:
            command = [self.path("capstan"), *words]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=150, env=environment, check=False
            )
            said.seek(0)
            return done.returncode, said.read()

    def succeeds(self, *words):
        status, said = self.run(*words)
        assert status == 0, "capstan %s: exit status %d\n%s" % (" ".join(words), status, said)
        return said

    def refuses(self, *words):
        status, said = self.run(*words)
        assert status != 0, "capstan %s succeeds\n%s" % (" ".join(words), said)
        return said

    def nodes(self):
        """What `status` shows: name → (address, process, state, role)."""
        rows = [line.split(None, 4) for line in self.succeeds("status").splitlines()[1:]]
        return {row[0]: tuple(row[1:]) for row in rows}

    def state(self, name):
        return self.nodes()[name][2]

    def leader(self):
        """The node that leads and that every other one follows; None: they do not agree yet."""
        running = {name: role for name, (_, _, state, role) in self.nodes().items() if state == "running"}
        leaders = [name for name, role in running.items() if role == "leader"]
        if len(leaders) != 1:
            return None
        follows = "follower of 127.0.0.1:%d" % self.ports[leaders[0]]
        return leaders[0] if all(role in ("leader", follows) for role in running.values()) else None

    def call(self, name, *words):
        with Connection(self.ports[name], timeout=10.0) as client:
            return client.call(*words)

    def accepts(self, name, *words):
        """Whether a write succeeds; while no leader is known it may not."""
        try:
            return self.call(name, *words).raw == b"+OK\r\n"
        except (OSError, Closed):
            return False
