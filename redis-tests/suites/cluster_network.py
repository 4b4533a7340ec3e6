"""The networks that clusters are tested on cut, slow down and lose what they say, and nothing else; both kinds."""

import os
import subprocess
import sys
import threading
import time

from cluster import Cluster, Node, make_network
from harness import Server, Skip, wait_for
from namespaces import Namespaces, NetworkFailed
from proxies import Proxies

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = ["a", "b", "c"]
PEER_PORT = 17000  # where the network does not say another one
ROUND_TRIPS = 20  # over ways that are open, by which what is not cut would have come


class Peer:
    """A messenger on a node's place in the network."""

    def __init__(self, network, name):
        self.network, self.name = network, name
        command = [sys.executable, os.path.join(HERE, "messenger.py"), network.host(name), str(self.port_of(name))]
        self.process = subprocess.Popen(
            network.wrap(name) + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.lines = []
        threading.Thread(target=self.listen, daemon=True).start()
        self.wait("ready")

    def listen(self):
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())

    def wait(self, line, timeout=30.0):
        wait_for(lambda: line in self.lines, "%s prints %r" % (self.name, line), timeout)

    def got(self, text):
        return "got " + text in self.lines

    def port_of(self, name):
        return self.network.peer_port(self.name, name) or PEER_PORT

    def do(self, *words):
        self.process.stdin.write((" ".join(str(word) for word in words) + "\n").encode())

    def dial(self, other, connection):
        self.do("dial", connection, self.network.host(other.name), self.port_of(other.name))

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Meeting:
    """Three messengers, each connected to both others in both ways: a connection has its dialer's name."""

    def __init__(self, kind):
        try:
            self.network = make_network(NAMES, kind=kind)
        except NetworkFailed as reason:
            raise Skip(str(reason)) from None
        self.texts = 0
        self.peers = {}
        try:
            for name in NAMES:
                self.peers[name] = Peer(self.network, name)
            for source, target in self.pairs():
                source.dial(target, target.name)
            self.expect_open(*self.pairs())
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for peer in self.peers.values():
            peer.close()
        self.network.close()

    def pairs(self):
        return [(a, b) for a in self.peers.values() for b in self.peers.values() if a is not b]

    def send(self, source, target):
        self.texts += 1
        text = "%s-%s-%d" % (source.name, target.name, self.texts)
        source.do("send", target.name, text)
        return text

    def expect_open(self, *pairs):
        """A line goes this way."""
        for source, target in pairs:
            target.wait("got " + self.send(source, target))

    def expect_cut(self, *pairs):
        """A line does not come this way while others come the ways that are open; returns what was sent."""
        sent = [(target, self.send(source, target)) for source, target in pairs]
        one_way = [pair for pair in self.pairs() if pair not in pairs and pair[::-1] in pairs]
        self.expect_open(*one_way)  # once: what is not acknowledged fills the sender's window
        both_ways = [pair for pair in self.pairs() if pair not in pairs and pair not in one_way]
        for _ in range(ROUND_TRIPS):
            self.expect_open(*both_ways)
        for target, text in sent:
            assert not target.got(text), "%s came although it is cut" % text
        return sent

    def cut(self, *pairs):
        self.network.cut((source.name, target.name) for source, target in pairs)


def on_both(body):
    """Two tests: on namespaces, on proxies."""

    def on(kind):
        def run(context):
            with Meeting(kind) as meeting:
                body(context, meeting, *meeting.peers.values())

        return run

    return on(Namespaces.kind), on(Proxies.kind)


def tests(context):
    del context
    for name, body in list(globals().items()):
        if name.startswith("check_"):
            for kind, test in zip((Namespaces.kind, Proxies.kind), on_both(body)):
                yield "%s_%s" % (name[len("check_") :], kind), test


def check_one_way_cut(context, meeting, a, b, c):
    """What is sent into the cut comes when it is healed, on connections that live on."""
    del context, c
    meeting.cut((a, b))
    sent = meeting.expect_cut((a, b))
    # The way back on the same connection; TCP itself goes on as long as its window is open.
    b.do("answer", "back")
    a.wait("got back")
    meeting.cut()
    for target, text in sent:
        target.wait("got " + text)
    meeting.expect_open(*meeting.pairs())


def check_isolated_node(context, meeting, a, b, c):
    del context
    meeting.cut((a, b), (b, a), (a, c), (c, a))
    sent = meeting.expect_cut((a, b), (b, a), (a, c), (c, a))
    meeting.cut()
    for target, text in sent:
        target.wait("got " + text)


def check_bridge(context, meeting, a, b, c):
    del context
    meeting.cut((a, b), (b, a))
    meeting.expect_cut((a, b), (b, a))
    meeting.cut((a, c), (c, a))  # another cut takes the place of the first
    meeting.expect_open((a, b), (b, a))
    meeting.expect_cut((a, c), (c, a))


def check_no_connection_is_made_over_a_cut(context, meeting, a, b, c):
    """Neither direction may be missing."""
    for turn, cut in enumerate(((a, b), (b, a))):
        early, late = "early-%d" % turn, "late-%d" % turn
        meeting.cut(cut)
        a.dial(b, early)
        a.do("send", early, early)
        meeting.expect_cut(cut)
        assert not b.got(early)
        meeting.cut()  # what was dialled early may come now, at any time
        a.dial(b, late)
        a.do("send", late, late)
        b.wait("got " + late)
        meeting.expect_open(*meeting.pairs())  # on the old connections too
    del context, c


def check_a_process_that_ends(context, meeting, a, b, c):
    """Another one can take its place."""
    del context, c
    b.close()
    meeting.peers["b"] = b = Peer(meeting.network, "b")
    a.dial(b, "again")
    a.do("send", "again", "hello-again")
    b.wait("got hello-again")


def check_loss(context, meeting, a, b, c):
    """Connections lose nothing; datagrams do."""
    # TCP doubles its patience with each loss: of twice as many, one run in fifty took longer than anybody waits.
    meeting.network.loss(10)
    for _ in range(3):
        meeting.expect_open(*meeting.pairs())
    if meeting.network.kind == Namespaces.kind:
        counted = datagrams(meeting, a, b)
        assert 850 < counted < 950, "%d of 1000 came" % counted
        meeting.network.loss(0)
        assert datagrams(meeting, a, b) == 1000
    del context, c


def datagrams(meeting, a, b):
    """How many of 1,000 come."""
    before = count(b)
    for _ in range(20):  # few at once, for the receiver's buffer
        a.do("datagrams", meeting.network.host("b"), PEER_PORT, 50)
        meeting.expect_open((a, b))
    return count(b) - before


def count(peer):
    peer.lines.clear()
    peer.do("count")
    wait_for(lambda: any(line.startswith("counted ") for line in peer.lines), "a count")
    return int(next(line for line in peer.lines if line.startswith("counted ")).split()[1])


def check_delay(context, meeting, a, b, c):
    """Two ways take at least twice as long."""
    if not meeting.network.can("delay"):
        raise Skip("no delays here")
    meeting.network.delay(50)
    started = time.monotonic()
    meeting.expect_open((a, b), (b, a))
    assert time.monotonic() - started >= 0.1
    meeting.network.delay(0)
    meeting.expect_open(*meeting.pairs())
    del context, c


class Alone(Node):
    """A server that knows of no cluster, in a node's place."""

    command_line = Server.command_line


def alone(context, kind):
    try:
        network = make_network(["n1"], kind=kind)
    except NetworkFailed as reason:
        raise Skip(str(reason)) from None
    return network, Alone(context.program, "n1", network, {})


def test_processes(context):
    """Nodes are killed, stopped and go on, wherever they are."""
    for kind in (Namespaces.kind, Proxies.kind):
        network, node = alone(context, kind)
        try:
            node.start()
            assert node.call("SET", "k", "v").value == b"OK"
            node.pause()
            assert node.ask("GET", "k", timeout=0.2) is None and not node.is_up()
            node.resume()
            assert node.ask("GET", "k").value == b"v" and node.is_up()
            node.pause()
            node.kill()
            assert node.ask("GET", "k") is None
            node.start()
            assert node.call("PING").value == b"PONG" and node.terminate() == 0
        finally:
            node.close()
            network.close()


def interfaces():
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=False).stdout


def test_nothing_is_left_behind(context):
    """Not even when the start fails half way."""
    del context
    network = make_network(NAMES)
    if network.kind == Namespaces.kind:
        assert network.link in interfaces()
        holders = [namespace.pid for namespace in [*network.nodes.values(), network.switch]]
        network.close()
        assert network.link not in interfaces()
        assert not any(os.path.exists("/proc/%d" % pid) for pid in holders)
    else:
        network.close()
    before, threads = interfaces(), threading.active_count()
    try:
        Cluster("false")
        raise AssertionError("it started")
    except AssertionError as failure:
        assert "ended with 1 at start" in str(failure), failure
    assert interfaces() == before and threading.active_count() == threads
