"""Clusters under test: real processes on a network that can be cut, slowed down and made lossy.

    with Cluster(program) as cluster:
        old = cluster.wait_for_leader()
        cluster.isolate(old)
        cluster.wait_for_leader(among=cluster.others(old)).call("SET", "k", "v")
        cluster.heal()
        cluster.wait_converged()

Whatever waits here waits for a condition, with a deadline.
"""

import os
import signal

from harness import Server, wait_for
from namespaces import Namespaces, NetworkFailed
from proxies import Proxies
from resp import Closed, Connection, show

DEADLINE_S = 30.0  # for what takes an election or a recovery, many times what it should
POLL_TIMEOUT_S = 2.0  # of a question to a node that may be in no state to answer
KEYS_PER_READ = 500

# What an error says about the command: docs/compatibility.md, errors of ours.
NOT_APPLIED = ("TRYAGAIN", "CLUSTERDOWN", "OVERLOADED")
MAYBE_APPLIED = ("UNCERTAIN",)
APPLIED, REFUSED, UNKNOWN = "applied", "refused", "unknown"


class NotNow(AssertionError):
    """A node answers that it cannot say at the moment."""


def error_word(reply):
    return reply.value.split(b" ")[0].decode() if reply.is_error else ""


def outcome(reply):
    """APPLIED, REFUSED or UNKNOWN; any other error is a failure of the test."""
    word = error_word(reply)
    if word in NOT_APPLIED:
        return REFUSED
    if word in MAYBE_APPLIED:
        return UNKNOWN
    assert not word, "neither applied nor retryable: " + show(reply)
    return APPLIED


def wait_until_right(complaints, what, timeout=DEADLINE_S):
    """Until complaints() has none; fails with the last ones."""
    last = []

    def right():
        try:
            last[:] = complaints()
        except (NotNow, OSError, Closed) as reason:
            last[:] = [str(reason)]
        return not last

    try:
        wait_for(right, what, timeout, 0.05)
    except AssertionError as failure:
        raise AssertionError("%s\n%s" % (failure, "\n".join(last[:20]))) from None


def make_network(names, needs=(), kind=None):
    """Namespaces where they can be made and have what is needed, else proxies. The environment's REDIS_TESTS_NETWORK
    says which to take where the caller does not.
    """
    kind = kind or os.environ.get("REDIS_TESTS_NETWORK")
    if kind != Proxies.kind:
        try:
            network = Namespaces(names)
            if kind == Namespaces.kind or all(network.can(what) for what in needs):
                return network
            network.close()
        except NetworkFailed:
            if kind == Namespaces.kind:
                raise
    return Proxies(names)


class Node(Server):
    """One process of a cluster."""

    def __init__(self, program, name, network, directives, replicas=1):
        directives = {"protected-mode": "no", **dict(directives)}  # clients come from another address
        super().__init__(program, directives, wrap=network.wrap(name), start=False)
        self.name = name
        self.network = network
        self.replicas = replicas
        self.host = network.host(name)
        self.port = network.port(name)
        self.is_paused = False

    def __repr__(self):
        return self.name

    def command_line(self):
        line = super().command_line() + ["--cluster", "me " + self.name, "--cluster", "replicas %d" % self.replicas]
        for name in self.network.names:
            words = ["node", name, "%s:%d" % (self.network.host(name), self.network.port(name))]
            if peer_port := self.network.peer_port(self.name, name):
                words += ["cluster-port", str(peer_port)]
            line += ["--cluster", " ".join(words)]
        return line

    def is_up(self):
        return self.is_running() and not self.is_paused

    def kill(self):
        if self.process is not None:
            super().kill()
        self.is_paused = False

    def pause(self):
        """SIGSTOP: its connections stay, it does nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self.is_paused = True
        wait_for(self._is_stopped, "%s is stopped" % self)

    def _is_stopped(self):
        with open("/proc/%d/stat" % self.pid, encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "T"

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)
        self.is_paused = False

    def ask(self, *command, timeout=POLL_TIMEOUT_S):
        """A reply, or None where none comes."""
        try:
            with self.connect(timeout=timeout) as client:
                return client.call(*command)
        except (OSError, Closed):
            return None

    def role(self):
        """The first word of ROLE, or "" """
        reply = self.ask("ROLE")
        return reply.value[0].value.decode() if reply and not reply.is_error else ""

    def serves(self, timeout_ms=1000):
        """Whether a STRONG write through this node is acknowledged."""
        reply = self.ask(*strong(timeout_ms, "SET", "harness:probe", self.name), timeout=timeout_ms / 1000 + 5)
        return reply is not None and not reply.is_error


def strong(timeout_ms, *command):
    return ("CONSISTENCY", "STRONG", "TIMEOUT", str(timeout_ms), *command)


def local(*command):
    return ("CONSISTENCY", "LOCAL", *command)


class Cluster:
    """Nodes n1, n2, …, with one network. `needs`: of the network, "loss", "delay" or "rate". `replicas`: of each shard; None: on
    every node one."""

    def __init__(self, program, nodes=3, directives=(), needs=(), network=None, start=True, replicas=None):
        names = ["n%d" % number for number in range(1, nodes + 1)]
        self.network = make_network(names, needs, network)
        self.cuts = set()
        self.nodes = []
        try:
            self.nodes = [Node(program, name, self.network, directives, replicas or nodes) for name in names]
            if start:
                self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __getitem__(self, name):
        return next(node for node in self.nodes if node.name == name)

    def close(self):
        for node in self.nodes:
            node.close()
        self.network.close()

    def end_of_log(self):
        return "\n".join("-- %s --\n%s" % (node, node.log()[-1500:]) for node in self.nodes)

    # -- processes -----------------------------------------------------------------------------------------------

    def start(self):
        """Starts all nodes that do not run, and waits until they have a leader."""
        down = [node for node in self.nodes if not node.is_running()]
        for node in down:
            node.spawn()
        for node in down:
            node.wait_ready()
        self.wait_for_leader()
        return self

    def kill_all(self):
        """kill −9 of all, as nearly at once as can be."""
        for node in self.nodes:
            if node.is_running():
                os.kill(node.pid, signal.SIGKILL)
        for node in self.nodes:
            node.kill()

    def up(self):
        return [node for node in self.nodes if node.is_up()]

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    # -- the network ---------------------------------------------------------------------------------------------

    def _cut(self, pairs):
        self.cuts = set(pairs)
        self.network.cut({(source.name, target.name) for source, target in self.cuts})

    def partition(self, *groups):
        """Only who shares a group sees each other; who is in two groups is a bridge, who is in none is alone."""
        together = {(a, b) for group in groups for a in group for b in group}
        self._cut((a, b) for a in self.nodes for b in self.nodes if a != b and (a, b) not in together)

    def isolate(self, *nodes):
        """Each of these sees nobody, from now on."""
        self._cut(self.cuts | {pair for a in nodes for b in self.others(a) for pair in ((a, b), (b, a))})

    def one_way(self, source, target):
        """What the one sends does not reach the other, from now on; the other direction stays as it is."""
        self._cut(self.cuts | {(source, target)})

    def bridge(self, middle):
        """The other nodes fall into two halves, which both see the one in the middle."""
        others = self.others(middle)
        half = len(others) // 2
        self.partition([middle, *others[:half]], [middle, *others[half:]])

    def loss(self, percent):
        self.network.loss(percent)

    def delay(self, milliseconds):
        self.network.delay(milliseconds)

    def rate(self, mbit):
        """Where the network can: it has no more room than that for what a node sends; 0: all there is."""
        self.network.rate(mbit)

    def heal(self):
        self._cut(())
        self.loss(0)
        self.delay(0)

    def mend(self):
        """Heals the network, and all nodes run again."""
        self.heal()
        for node in self.nodes:
            if node.is_paused:
                node.resume()
        self.start()

    # -- who leads -----------------------------------------------------------------------------------------------

    def leader_now(self, among=None):
        """A node that says it leads, before and after it takes a write; None: nobody now."""
        for node in among or self.up():
            if node.role() == "master" and node.serves() and node.role() == "master":
                return node
        return None

    def wait_for_leader(self, among=None, timeout=DEADLINE_S):
        what = "one of %s leads and takes writes" % (among or self.up())
        return wait_for(lambda: self.leader_now(among), what, timeout, 0.02)

    def leader_of(self, key):
        """Who leads the key's shard, as the first node that is up has it."""
        node = self.up()[0]
        slot = node.call("CLUSTER", "KEYSLOT", key).value
        for first, last, (host, port, *_), *_ in node.call("CLUSTER", "SLOTS").plain():
            if first <= slot <= last:
                return next(each for each in self.nodes if (each.host.encode(), each.port) == (host, port))
        raise AssertionError("no shard has slot %d" % slot)

    def wait_until_serves(self, *nodes, timeout=DEADLINE_S):
        """Each of these takes STRONG writes, or forwards them (all that are up, if none is named)."""
        for node in nodes or self.up():
            wait_for(node.serves, "%s takes a STRONG write" % node, timeout, 0.02)

    # -- what they hold ------------------------------------------------------------------------------------------

    def insist(self, node, *command, timeout=DEADLINE_S):
        """Sends a command that may be repeated until it is answered without a retryable error."""

        def attempt():
            reply = node.ask(*command, timeout=DEADLINE_S)
            return reply if reply is not None and outcome(reply) == APPLIED else None

        return wait_for(attempt, "%s answers %s" % (node, command), timeout, 0.02)

    def contents(self, node, level):
        """Key → value of all that is there (strings), as read from a node."""
        found = {}
        with Connection(node.port, node.host, timeout=DEADLINE_S) as client:

            def ask(*command):
                reply = client.call(*level(*command))
                if outcome(reply) != APPLIED:
                    raise NotNow("%s answers %s to %s" % (node, show(reply), command[0]))
                return reply.plain()

            keys = ask("KEYS", "*")
            for first in range(0, len(keys), KEYS_PER_READ):
                part = keys[first : first + KEYS_PER_READ]
                found.update(zip(part, ask("MGET", *part)))
        return found

    def differences(self):
        """What the nodes that are up hold in their own replicas and the leader does not, or the other way round."""
        right = self.contents(self.wait_for_leader(), lambda *command: strong(5000, *command))
        lines = []
        for node in self.up():
            found = self.contents(node, local)
            wrong = sorted(key for key in right.keys() | found.keys() if right.get(key) != found.get(key))
            lines += ["%s: %r, not %r, in %r" % (node, found.get(k), right.get(k), k) for k in wrong[:3]]
            if len(wrong) > 3:
                lines.append("%s: … %d keys in all" % (node, len(wrong)))
        return lines

    def wait_converged(self, timeout=DEADLINE_S):
        """Until every node's own replica holds what a STRONG read sees."""
        wait_until_right(self.differences, "all nodes hold the same", timeout)
