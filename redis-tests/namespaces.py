"""Nodes in network namespaces of their own, on a switch in a namespace of its own. A cut drops packets without a word,
as a broken cable does, in one direction at a time; connections notice what they would notice of that.

Needs root, iproute2 and util-linux. The namespaces have no names: each is held by a process that ends when this one
does, however it ends, and takes its interfaces along. Clients are outside, on an address of the same switch, and reach
every node whatever is cut between nodes.
"""

import itertools
import os
import random
import subprocess

GATEWAY = 254  # the clients' end
DROP, PASS = 2, 0xFFFFFFFF  # TC_ACT_SHOT, TC_ACT_UNSPEC
_numbers = itertools.count()


class NetworkFailed(Exception):
    """Something that the network needs is not to be had here; the text says what."""


def run(*command, text=""):
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
    except FileNotFoundError as missing:
        raise NetworkFailed(str(missing)) from None
    if done.returncode != 0:
        raise NetworkFailed("%s: %s" % (" ".join(command), done.stderr.decode().strip()))
    return done.stdout.decode()


class Namespace:
    """A network namespace for as long as it is open or a process is in it."""

    def __init__(self):
        command = ["unshare", "--net", "sh", "-c", "echo ready; exec cat"]  # until its input ends
        try:
            self.holder = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        except FileNotFoundError as missing:
            raise NetworkFailed(str(missing)) from None
        if self.holder.stdout.readline() != b"ready\n":
            self.close()
            raise NetworkFailed("unshare --net is refused")

    @property
    def pid(self):
        return self.holder.pid

    def enter(self):
        """The command line to put before a program's."""
        return ["nsenter", "--net=/proc/%d/ns/net" % self.pid, "--"]

    def run(self, *command, text=""):
        return run(*self.enter(), *command, text=text)

    def ip(self, *lines):
        if lines:
            self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


def free_subnet():
    """The first three numbers of a /24 of 198.18.0.0/15, which is meant for tests of networks (RFC 2544)."""
    taken = run("ip", "-4", "-o", "address") + run("ip", "-4", "route")
    for number in random.SystemRandom().sample(range(512), 512):
        subnet = "198.%d.%d" % (18 + number // 256, number % 256)
        if subnet + "." not in taken:
            return subnet
    raise NetworkFailed("no free subnet")


class Namespaces:
    """A network of named nodes. `cuts` are pairs (from, to): what the one sends does not reach the other."""

    kind = "namespaces"
    PORT = 7000  # of every node, each on its own address

    def __init__(self, names):
        self.names = list(names)
        self.cuts = set()
        self.percent = 0
        self.delay_ms = 0
        self.mbit = 0
        self.link = "cap%d.%d" % (os.getpid(), next(_numbers))
        self.nodes = {}
        self.switch = None
        try:
            self.subnet = free_subnet()
            self.switch = Namespace()
            self.nodes = {name: Namespace() for name in self.names}
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.switch.ip("link set lo up", "link add switch type bridge", "link set switch up")
        # No address is asked for, so that neither loss nor a cut of the other direction stands in an answer's way.
        known = ["neigh replace %s lladdr %s dev eth0 nud permanent" % pair for pair in self._addresses()]
        for number, (name, node) in enumerate(self.nodes.items(), 1):
            port = "port%d" % number
            self.switch.ip(
                "link add %s type veth peer name eth0 netns %d" % (port, node.pid),
                "link set %s master switch up" % port,
            )
            node.ip(
                "link set lo up",
                "link set eth0 address %s" % self.mac(name),
                "address add %s/24 dev eth0" % self.host(name),
                "link set eth0 up",
                *[line for line in known if " %s " % self.host(name) not in line],
            )
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "clients", "netns", str(self.switch.pid))
        self.switch.ip("link set clients master switch up")
        commands = ["link set %s address %s" % (self.link, self._mac(GATEWAY))]
        commands.append("address add %s/24 dev %s" % (self._ip(GATEWAY), self.link))
        commands.append("link set %s up" % self.link)
        commands += [line.replace("dev eth0", "dev " + self.link) for line in known if self._ip(GATEWAY) not in line]
        run("ip", "-batch", "-", text="\n".join(commands) + "\n")

    def _ip(self, number):
        return "%s.%d" % (self.subnet, number)

    @staticmethod
    def _mac(number):
        return "02:00:00:00:00:%02x" % number

    def _addresses(self):
        return [(self._ip(number), self._mac(number)) for number in [*range(1, len(self.names) + 1), GATEWAY]]

    # -- where nodes are -----------------------------------------------------------------------------------------

    def host(self, name):
        return self._ip(self.names.index(name) + 1)

    def mac(self, name):
        return self._mac(self.names.index(name) + 1)

    def port(self, name):
        del name
        return self.PORT

    def peer_port(self, viewer, name):
        """None: the usual one."""
        del viewer, name

    def wrap(self, name):
        return self.nodes[name].enter()

    # -- what is wrong with the network --------------------------------------------------------------------------

    def cut(self, pairs):
        """Exactly these directions are cut from now on."""
        pairs = set(pairs)
        for source in self.names:
            changed = [target for target in self.names if (source, target) in pairs ^ self.cuts]
            # Where nobody has that address, the packets end at the switch.
            self.nodes[source].ip(
                *[
                    "neigh replace %s lladdr %s dev eth0 nud permanent"
                    % (self.host(target), "02:00:00:00:ff:ff" if (source, target) in pairs else self.mac(target))
                    for target in changed
                ]
            )
        self.cuts = pairs

    def can(self, what):
        """Whether "loss", "delay" or "rate" is to be had."""
        if what == "loss":
            return True
        qdisc = ["netem", "delay", "1ms"] if what == "delay" else self._limited_to(100)
        try:
            probe = self.nodes[self.names[0]]
            probe.run("tc", "qdisc", "add", "dev", "lo", "root", *qdisc)
            probe.run("tc", "qdisc", "del", "dev", "lo", "root")
            return True
        except NetworkFailed:
            return False

    def loss(self, percent):
        """So many of the packets between nodes are lost; clients lose none."""
        for node in self.nodes.values():
            if self.percent:
                node.run("tc", "qdisc", "del", "dev", "eth0", "clsact")
            if percent:
                node.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
                program = self._lossy(percent)
                node.run("tc", "filter", "add", "dev", "eth0", "ingress", "bpf", "da", "bytecode", program)
        self.percent = percent

    def _lossy(self, percent):
        """A packet filter (BPF, in tc's notation: code, jump if true, jump if false, operand)."""
        source_address, random_number = 0xFFF00000 + 12, 0xFFFFF000 + 56
        clients = int.from_bytes(bytes(int(part) for part in self._ip(GATEWAY).split(".")), "big")
        program = [
            (0x20, 0, 0, source_address),  # load
            (0x15, 2, 0, clients),  # equal: pass
            (0x20, 0, 0, random_number),
            (0x35, 1, 0, min(0xFFFFFFFF, int((100 - percent) / 100 * 2**32))),  # at least: drop
            (0x06, 0, 0, PASS),
            (0x06, 0, 0, DROP),
        ]
        return ",".join([str(len(program))] + ["%d %d %d %d" % line for line in program])

    def delay(self, milliseconds):
        """All that nodes send takes so much longer, to clients too."""
        for node in self.nodes.values():
            if self.delay_ms:
                node.run("tc", "qdisc", "del", "dev", "eth0", "root")
            if milliseconds:
                node.run(
                    *["tc", "qdisc", "add", "dev", "eth0", "root", "netem"],
                    *["delay", "%dms" % milliseconds, "limit", "1mb"],
                )
        self.delay_ms = milliseconds

    @staticmethod
    def _limited_to(mbit):
        """With a queue as switches have them, which delays by little and then drops."""
        return ["tbf", "rate", "%dmbit" % mbit, "burst", "64kb", "limit", "1mb"]

    def rate(self, mbit):
        """What each node sends, to clients too, takes no more of the network than so many Mbit/s; 0: no limit."""
        for node in self.nodes.values():
            if self.mbit:
                node.run("tc", "qdisc", "del", "dev", "eth0", "root")
            if mbit:
                node.run("tc", "qdisc", "add", "dev", "eth0", "root", *self._limited_to(mbit))
        self.mbit = mbit

    def close(self):
        for namespace in [*self.nodes.values(), self.switch]:
            if namespace:
                namespace.close()
        self.nodes, self.switch = {}, None
        try:
            run("ip", "link", "del", self.link)  # its other end is gone, so it goes anyway, but only some time later
        except NetworkFailed:
            pass
