"""How recent a LOCAL read is (AFTER a token, within MAXAGE, SESSION) at replicas that lag, and how many have a write (WAIT)."""

from cluster import local, strong
from harness import wait_for
from resp import show

shared = {}


def setup(context):
    if not context.is_redis:
        shared["cluster"] = context.cluster()


def roles(context):
    """The leader, and a follower."""
    context.require_capstan()
    cluster = shared["cluster"]
    leader = cluster.wait_for_leader()
    return cluster, leader, cluster.others(leader)[0]


def expect_stale(reply):
    assert reply.is_error and reply.value.startswith(b"STALE "), show(reply)


def test_after_a_token(context):
    """What was acknowledged before the token was taken, anywhere, is there."""
    cluster, _, _ = roles(context)
    for number in range(60):
        writer, reader = cluster.nodes[number % 3], cluster.nodes[number // 3 % 3]
        with writer.connect() as client:
            assert client.call("SET", "after", number).value == b"OK"
            token = client.call("CONSISTENCY", "TOKEN").value
        with reader.connect() as client:
            reply = client.call("CONSISTENCY", "LOCAL", "AFTER", token, "GET", "after")
            assert reply.value == b"%d" % number, "%s through %s, written through %s" % (show(reply), reader, writer)
            assert client.call("CONSISTENCY", "STRONG", "AFTER", token, "GET", "after").value == b"%d" % number


def test_a_session_reads_its_own_writes(context):
    cluster, _, _ = roles(context)
    for node in cluster.nodes:
        with node.connect() as client:
            for number in range(100):
                # The read is there before the write is answered.
                replies = client.pipeline([
                    ["SET", "session", number],
                    ["CONSISTENCY", "LOCAL", "SESSION", "GET", "session"],
                ])
                assert [r.value for r in replies] == [b"OK", b"%d" % number], " ".join(map(show, replies))
                client.call("INCR", "session")
                reply = client.call("CONSISTENCY", "LOCAL", "SESSION", "GET", "session")
                assert reply.value == b"%d" % (number + 1), show(reply)


def test_within_an_age(context):
    cluster, leader, follower = roles(context)
    cluster.insist(leader, "SET", "age", "1")
    for node in cluster.nodes:
        reply = node.call("CONSISTENCY", "LOCAL", "MAXAGE", "1000", "GET", "age")
        assert reply.value in (b"1", None), show(reply)
    cluster.wait_converged()
    for node in cluster.nodes:
        assert node.call("CONSISTENCY", "LOCAL", "MAXAGE", "1000", "GET", "age").value == b"1"


def test_replicas_that_are_cut_off(context):
    context.require_capstan()
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    follower, other = cluster.others(leader)
    cluster.insist(leader, "SET", "k", "old")
    cluster.wait_converged()
    cluster.isolate(follower)
    cluster.insist(other, "SET", "k", "new")
    token = other.call("CONSISTENCY", "TOKEN").value
    with follower.connect() as client:
        assert client.call(*local("GET", "k")).value == b"old"
        expect_stale(client.call("CONSISTENCY", "LOCAL", "TIMEOUT", "200", "AFTER", token, "GET", "k"))
        wait_for(
            lambda: client.call("CONSISTENCY", "LOCAL", "TIMEOUT", "0", "MAXAGE", "100", "GET", "k").is_error,
            "the replica knows how old it is",
        )
        expect_stale(client.call("CONSISTENCY", "LOCAL", "TIMEOUT", "100", "MAXAGE", "100", "GET", "k"))
        assert client.call("CONSISTENCY", "LOCAL", "MAXAGE", "600000", "GET", "k").value == b"old"
        # What waits is answered as soon as it can be.
        client.send("CONSISTENCY", "LOCAL", "TIMEOUT", "60000", "AFTER", token, "GET", "k")
        cluster.heal()
        assert client.read().value == b"new"
        assert client.call("CONSISTENCY", "LOCAL", "TIMEOUT", "60000", "MAXAGE", "500", "GET", "k").value == b"new"


def test_a_leader_that_is_cut_off(context):
    """It knows soon that it may not be the latest."""
    context.require_capstan()
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    cluster.insist(leader, "SET", "k", "old")
    cluster.isolate(leader)
    cluster.insist(cluster.others(leader)[0], "SET", "k", "new", timeout=60.0)
    with leader.connect() as client:
        wait_for(
            lambda: client.call("CONSISTENCY", "LOCAL", "TIMEOUT", "0", "MAXAGE", "100", "GET", "k").is_error,
            "the old leader knows how old it is",
        )
        reply = client.call(*strong(100, "GET", "k"))
        assert reply.is_error, show(reply)


def test_the_token_of_another_cluster(context):
    """It never comes true."""
    _, leader, follower = roles(context)
    single = context.server()
    single.call("SET", "k", "v")
    token = single.call("CONSISTENCY", "TOKEN").value
    for node in (leader, follower):
        for level in ("LOCAL", "STRONG"):
            expect_stale(node.call("CONSISTENCY", level, "TIMEOUT", "100", "AFTER", token, "GET", "k"))


def test_waiting_for_all_replicas(context):
    context.require_capstan()
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    follower, other = cluster.others(leader)
    for node in cluster.nodes:
        with node.connect() as client:
            client.call("SET", "k", node.name)
            assert client.call("WAIT", "1", "0").value >= 1
            assert client.call("WAIT", "2", "0").value == 2
            assert client.call("WAITAOF", "1", "2", "0").plain() == [1, 2]
    follower.pause()
    with other.connect() as client:
        client.call("SET", "k", "without it")
        assert client.call("WAIT", "2", "200").value == 1
        assert client.call("WAITAOF", "0", "2", "200").plain()[1] == 1
        client.send("WAIT", "2", "60000")
        follower.resume()
        assert client.read().value == 2, "as soon as it has it"
