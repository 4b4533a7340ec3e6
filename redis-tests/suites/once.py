"""CONSISTENCY STRONG ID: a command takes effect at most once, and answers the same when it comes again."""

import threading

from cluster import APPLIED, outcome
from harness import durable, wait_for
from resp import Closed, show

shared = {}


def setup(context):
    if not context.is_redis:
        shared["server"] = context.server({"shards": 4})


def fresh(context, protocol=2):
    context.require_capstan()
    client = shared["server"].connect(protocol)
    assert client.call("FLUSHALL").value == b"OK"
    return client


def once(client, name, serial, *command):
    return client.call("CONSISTENCY", "STRONG", "ID", name, serial, *command)


def expect(reply, raw):
    assert reply.raw == raw, show(reply)


def expect_error(reply, word):
    assert reply.is_error and word in reply.value, show(reply)


def test_a_repetition_has_no_effect(context):
    client = fresh(context)
    for _ in range(3):
        expect(once(client, "a", 1, "INCR", "n"), b":1\r\n")
    expect(once(client, "a", 2, "INCR", "n"), b":2\r\n")
    expect(once(client, "b", 1, "INCR", "n"), b":3\r\n")  # another client
    expect(once(client, "a", 2, "INCR", "n"), b":2\r\n")
    expect_error(once(client, "a", 1, "INCR", "n"), b"older than 2")
    expect(client.call("GET", "n"), b"$1\r\n3\r\n")
    # Numbers may be left out.
    expect(once(client, "a", 900, "APPEND", "n", "x"), b":2\r\n")
    expect(once(client, "a", 900, "APPEND", "n", "x"), b":2\r\n")


def test_what_has_no_effect_is_remembered_too(context):
    client = fresh(context)
    expect(once(client, "r", 1, "GET", "k"), b"$-1\r\n")
    client.call("SET", "k", "v")
    expect(once(client, "r", 1, "GET", "k"), b"$-1\r\n")
    expect(once(client, "r", 2, "GET", "k"), b"$1\r\nv\r\n")
    expect_error(once(client, "r", 3, "INCR", "k"), b"not an integer")
    client.call("SET", "k", "1")
    expect_error(once(client, "r", 3, "INCR", "k"), b"not an integer")
    expect(client.call("GET", "k"), b"$1\r\n1\r\n")


def test_a_flush_does_not_forget(context):
    client = fresh(context)
    expect(once(client, "f", 1, "INCR", "n"), b":1\r\n")
    client.call("FLUSHALL")
    expect(once(client, "f", 1, "INCR", "n"), b":1\r\n")
    assert client.call("EXISTS", "n").value == 0
    assert client.call("DBSIZE").value == 0 and client.call("KEYS", "*").value == []


def test_commands_over_several_shards(context):
    client = fresh(context)
    names = ["k%d" % n for n in range(20)]
    pairs = [word for name in names for word in (name, "first")]
    expect(once(client, "s", 1, "MSET", *pairs), b"+OK\r\n")
    client.call("DEL", *names[:10])
    expect(once(client, "s", 1, "MSET", *pairs), b"+OK\r\n")
    assert client.call("MGET", *names).plain() == [None] * 10 + [b"first"] * 10
    expect(once(client, "s", 2, "DEL", *names), b":10\r\n")
    expect(once(client, "s", 2, "DEL", *names), b":10\r\n")


def exec_once(client, name, serial, *commands):
    client.call("MULTI")
    for command in commands:
        client.call(*command)
    return once(client, name, serial, "EXEC")


def test_transactions(context):
    client = fresh(context)
    commands = [["INCR", "{t}n"], ["GET", "{t}n"], ["SET", "{t}k", "v"]]
    for _ in range(2):
        assert exec_once(client, "t", 1, *commands).plain() == [1, b"1", b"OK"]
    assert exec_once(client, "t", 2, *commands).plain() == [2, b"2", b"OK"]
    expect_error(exec_once(client, "t", 1, *commands), b"older than 2")
    expect_error(exec_once(client, "t", 2, *commands[:2]), b"another one")
    assert client.call("GET", "{t}n").value == b"2"


def test_an_aborted_transaction_stays_aborted(context):
    client = fresh(context)
    with shared["server"].connect() as other:
        client.call("WATCH", "w")
        other.call("SET", "w", "changed")
    assert exec_once(client, "w", 1, ["SET", "w", "mine"]).is_null
    assert exec_once(client, "w", 1, ["SET", "w", "mine"]).is_null
    client.call("WATCH", "w")
    assert exec_once(client, "w", 2, ["SET", "w", "mine"]).plain() == [b"OK"]
    # The key that is watched changed by the very transaction that comes again.
    client.call("WATCH", "w")
    assert exec_once(client, "w", 2, ["SET", "w", "mine"]).plain() == [b"OK"]


def test_of_long_replies_only_the_fact(context):
    client = fresh(context)
    client.call("SET", "long", "x" * (2 << 20))
    assert len(once(client, "l", 1, "GETDEL", "long").value) == 2 << 20
    expect_error(once(client, "l", 1, "GETDEL", "long"), b"too long to be remembered")
    client.call("SET", "long", "y" * 500_000)
    assert once(client, "l", 2, "GETDEL", "long").value == b"y" * 500_000
    assert once(client, "l", 2, "GETDEL", "long").value == b"y" * 500_000


def test_a_reply_in_another_protocol(context):
    client = fresh(context)
    expect(once(client, "p", 1, "GET", "none"), b"$-1\r\n")
    with shared["server"].connect(3) as third:
        expect_error(once(third, "p", 1, "GET", "none"), b"in RESP2")
        expect(once(third, "p", 2, "GET", "none"), b"_\r\n")
        expect(once(third, "p", 2, "GET", "none"), b"_\r\n")


def test_what_it_is_not_for(context):
    client = fresh(context)
    for command in (("PING",), ("MULTI",), ("WATCH", "k"), ("SELECT", "1"), ("CLIENT", "ID")):
        expect_error(once(client, "x", 1, *command), b"ID is for commands that need a shard")
    expect_error(client.call("CONSISTENCY", "LOCAL", "ID", "x", "1", "GET", "k"), b"ID needs the level STRONG")
    expect_error(client.call("CONSISTENCY", "STRONG", "ID", "x", "1"), b"ID belongs to one command")


def test_it_survives_a_kill(context):
    context.require_capstan()
    server = context.server(durable(context.program, "always"))
    with server.connect() as client:
        for serial in range(1, 100):
            expect(once(client, "k", serial, "INCR", "n"), b":%d\r\n" % serial)
    server.crash()
    with server.connect() as client:
        expect(once(client, "k", 99, "INCR", "n"), b":99\r\n")
        assert client.call("SAVE").value == b"OK"
    server.crash()
    with server.connect() as client:
        expect(once(client, "k", 99, "INCR", "n"), b":99\r\n")
        expect(once(client, "k", 100, "INCR", "n"), b":100\r\n")


class Counter(threading.Thread):
    """Increments a counter of its own, each time until it is answered, at whatever node."""

    def __init__(self, nodes, name, stopping):
        super().__init__(daemon=True)
        self.nodes, self.name, self.stopping = nodes, name, stopping
        self.done = self.repeated = 0
        self.failure = None

    def run(self):
        try:
            attempts = 0
            while not self.stopping.is_set():
                reply = None
                while reply is None:
                    reply = self.attempt(self.nodes[attempts % len(self.nodes)])
                    attempts += 1
                self.done += 1
                assert reply.value == self.done, "%s instead of %d" % (show(reply), self.done)
            self.repeated = attempts - self.done
        except Exception as failure:  # told by the test
            self.failure = failure

    def attempt(self, node):
        try:
            with node.connect(timeout=5.0) as client:
                reply = once(client, self.name, self.done + 1, "INCR", "counter:" + self.name)
                return reply if outcome(reply) == APPLIED else None
        except (OSError, Closed):
            return None


def test_leaders_are_lost(context):
    """Clients that repeat what they do not know the outcome of count right."""
    cluster = context.cluster()
    stopping = threading.Event()
    counters = [Counter(cluster.nodes[n % 3 :] + cluster.nodes[: n % 3], "c%d" % n, stopping) for n in range(6)]
    for counter in counters:
        counter.start()
    for round in range(4):
        goal = [counter.done + 20 for counter in counters]
        wait_for(lambda: all(c.failure or c.done >= g for c, g in zip(counters, goal)), "all go on", 60.0)
        leader = cluster.wait_for_leader()
        leader.kill()
        cluster.wait_for_leader()
        leader.start()
    stopping.set()
    for counter in counters:
        counter.join()
        assert counter.failure is None, counter.failure
        assert cluster.insist(cluster.nodes[0], "GET", "counter:" + counter.name).value == b"%d" % counter.done
    context.note("once: %d increments, %d attempts more" % (
        sum(c.done for c in counters), sum(c.repeated for c in counters)))


def test_an_abort_that_nobody_agreed_on(context):
    """What a leader would have remembered is lost with it: not even that the transaction was aborted can be told."""
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    with leader.connect() as client:
        client.call("WATCH", "w")
        cluster.insist(leader, "SET", "w", "changed")
        client.call("MULTI")
        client.call("SET", "w", "mine")
        cluster.isolate(leader)
        reply = client.call("CONSISTENCY", "STRONG", "TIMEOUT", "1000", "ID", "lost", "1", "EXEC")
        assert reply.is_error and outcome(reply) != APPLIED, show(reply)
