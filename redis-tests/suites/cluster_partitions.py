"""Networks that are cut: the side with a majority serves, the other one says that it cannot, nobody reads what is old,
and when the network is whole again all nodes hold the same without anybody's help.
"""

import os
import threading
import time

from cluster import APPLIED, local, outcome, strong
from cluster_load import Book, Readers
from harness import Skip, wait_for
from resp import Connection, show

from suites.cluster import expect_unavailable


def through(context, cut, nodes=3, rounds=None):
    """Loads a cluster, cuts its network as `cut` says, heals it, and checks it all.

    cut(cluster, leader) → (nodes of which one has to lead, nodes that have to serve, nodes that have to refuse)
    """
    cluster = context.cluster(nodes)
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        for _ in range(rounds or (5 if context.deep else 1)):
            leader = cluster.wait_for_leader()
            book.wait_for_more(200)
            candidates, serving, refusing = cut(cluster, leader)
            new = cluster.wait_for_leader(among=candidates)
            readers.write(new)
            for node in serving:
                cluster.wait_until_serves(node)
            for node in refusing:
                expect_unavailable(node)
            book.wait_for_more(200)
            readers.write(cluster.wait_for_leader(among=candidates))
            cluster.heal()
            cluster.wait_until_serves()
            readers.write(cluster.wait_for_leader())
            readers.wait_until_read(*cluster.nodes)
            book.wait_for_more(200)
    book.check(cluster)
    cluster.wait_converged()
    return cluster


def test_leader_isolated(context):
    def cut(cluster, leader):
        cluster.isolate(leader)
        rest = cluster.others(leader)
        return rest, rest, [leader]

    through(context, cut)


def test_follower_isolated(context):
    context.require_deep()
    def cut(cluster, leader):
        alone = cluster.others(leader)[-1]
        cluster.isolate(alone)
        rest = cluster.others(alone)
        return rest, rest, [alone]

    through(context, cut)


def test_minority_of_five_with_the_leader(context):
    def cut(cluster, leader):
        minority = [leader, cluster.others(leader)[0]]
        majority = cluster.others(*minority)
        cluster.partition(minority, majority)
        return majority, majority, minority

    through(context, cut, nodes=5)


def test_minority_of_five_without_the_leader(context):
    context.require_deep()
    def cut(cluster, leader):
        majority = [leader, *cluster.others(leader)[:2]]
        minority = cluster.others(*majority)
        cluster.partition(minority, majority)
        return majority, majority, minority

    through(context, cut, nodes=5)


def test_nobody_has_a_majority(context):
    """All refuse; local reads go on; when the network is whole, so is the cluster."""
    cluster = context.cluster()
    cluster.insist(cluster.wait_for_leader(), "SET", "k", "v")
    cluster.wait_converged()
    with Book(cluster.nodes) as book:
        book.wait_for_more(100)
        cluster.isolate(*cluster.nodes)
        for node in cluster.nodes:
            expect_unavailable(node)
            reply = node.call(*local("GET", "k"))
            assert reply.value == b"v", "a LOCAL read answers " + show(reply)
            for command in (["PING"], ["INFO"], ["ROLE"], ["CLUSTER", "SLOTS"], ["CONFIG", "GET", "port"]):
                reply = node.call(*command)
                assert not reply.is_error, "without a quorum %s answers %s" % (command, show(reply))
        cluster.heal()
        cluster.wait_until_serves()
        book.wait_for_more(100)
    book.check(cluster)
    cluster.wait_converged()


def test_reads_at_an_isolated_leader(context):
    """It may answer while nobody else can lead, and never later: again and again, at whatever moment."""
    context.require_deep()
    cluster = context.cluster()
    for number in range(30 if context.deep else 5):
        leader = cluster.wait_for_leader()
        with leader.connect() as client:
            cluster.insist(leader, "SET", "k", "old %d" % number)
            cluster.isolate(leader)
            replies = []
            new = wait_for(
                lambda: replies.append(client.call(*strong(100, "GET", "k"))) or leads(cluster.others(leader)),
                "another one leads",
                30.0,
                0,
            )
            for reply in replies:
                assert outcome(reply) != APPLIED or reply.value == b"old %d" % number, show(reply)
            cluster.insist(new, "SET", "k", "new %d" % number)
            for _ in range(20):
                reply = client.call(*strong(20, "GET", "k"))
                assert outcome(reply) != APPLIED, "an isolated node answers " + show(reply)
            cluster.heal()
            reply = cluster.insist(leader, *strong(5000, "GET", "k"))
            assert reply.value == b"new %d" % number, "stale: " + show(reply)


def leads(nodes):
    return next((node for node in nodes if node.role() == "master"), None)


def test_one_way_leader_to_a_follower(context):
    context.require_deep()
    def cut(cluster, leader):
        cluster.one_way(leader, cluster.others(leader)[0])
        return cluster.nodes, [], []

    through(context, cut)


def test_one_way_a_follower_to_the_leader(context):
    context.require_deep()
    def cut(cluster, leader):
        cluster.one_way(cluster.others(leader)[0], leader)
        return cluster.nodes, [], []

    through(context, cut)


def test_one_way_leader_to_all(context):
    """It hears and is not heard."""

    def cut(cluster, leader):
        for node in cluster.others(leader):
            cluster.one_way(leader, node)
        rest = cluster.others(leader)
        return rest, rest, [leader]

    through(context, cut)


def test_one_way_all_to_the_leader(context):
    """It is heard and does not hear: it has to give up what it cannot do."""

    def cut(cluster, leader):
        for node in cluster.others(leader):
            cluster.one_way(node, leader)
        rest = cluster.others(leader)
        return rest, rest, [leader]

    through(context, cut)


def test_one_way_around(context):
    """Each of three hears one and is heard by the other one: no majority hears each other; nobody may take a write."""
    context.require_deep()
    cluster = context.cluster()
    first, second, third = cluster.nodes
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        book.wait_for_more(100)
        for source, target in ((first, second), (second, third), (third, first)):
            cluster.one_way(source, target)
        for node in cluster.nodes:
            expect_unavailable(node)
        cluster.heal()
        cluster.wait_until_serves()
        book.wait_for_more(100)
        readers.wait_until_read(*cluster.nodes)
    book.check(cluster)
    cluster.wait_converged()


def test_bridge_with_the_leader_at_one_end(context):
    """The other end does not see it, and must not keep the rest from working."""
    context.require_deep()

    def cut(cluster, leader):
        middle = cluster.others(leader)[0]
        cluster.bridge(middle)
        return cluster.nodes, [middle], []

    through(context, cut)


def test_bridge_with_the_leader_in_the_middle(context):
    def cut(cluster, leader):
        cluster.bridge(leader)
        return cluster.nodes, [leader], []

    through(context, cut)


def test_bridge_of_five(context):
    """Either half has a majority with the one in the middle, which cannot be of both."""
    context.require_deep()

    def cut(cluster, leader):
        middle = cluster.others(leader)[1]
        cluster.bridge(middle)
        return cluster.nodes, [middle], []

    through(context, cut, nodes=5)


def test_one_partition_after_the_other(context):
    """The majority is another one each time, and none ever misses what the one before has acknowledged."""
    cluster = context.cluster(nodes=5)
    with Readers(cluster) as readers, Book(cluster.nodes, writers=5) as book:
        for _ in range(20 if context.deep else 4):
            majority = context.random.sample(cluster.nodes, 3)
            cluster.partition(majority, cluster.others(*majority))
            readers.write(cluster.wait_for_leader(among=majority))
            book.wait_for_more(100)
        cluster.heal()
        cluster.wait_until_serves()
    book.check(cluster)
    cluster.wait_converged()


def test_lossy_network(context):
    context.require_deep()
    cluster = context.cluster(needs=["loss"])
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        cluster.loss(5)
        book.wait_for_more(300)
        cluster.wait_for_leader().kill()
        book.wait_for_more(100)
        cluster.mend()
        readers.wait_until_read(*cluster.nodes)
    book.check(cluster)
    cluster.wait_converged()


def test_large_values_on_a_slow_network(context):
    """They take a second on their way to the followers. Heartbeats overtake them: nobody is elected, reads go on."""
    cluster = context.cluster(needs=["rate"], start=False)
    if not cluster.network.can("rate"):
        raise Skip("the network cannot be slow here")
    for node in cluster.nodes:
        node.directives["unixsocket"] = os.path.join(node.root, "socket")
    cluster.start()
    cluster.insist(cluster.nodes[0], "SET", "small", "1")
    wait_for(lambda: {shard[b"leader"] for shard in shards_of(cluster.nodes[0])} != {None}, "all shards are led")
    leader = cluster.leader_of("{small}large")
    before = terms(leader)
    cluster.rate(200)
    slowest, replies = 0.0, []

    def write():
        with leader.connect(timeout=60) as client:
            replies.extend(client.call("SET", "{small}large", "x" * 12_000_000) for _ in range(3))

    writer = threading.Thread(target=write)
    writer.start()
    # Not over the network, which is full.
    with Connection(0, path=os.path.join(leader.root, "socket"), timeout=60) as reader:
        while writer.is_alive():
            begin = time.monotonic()
            assert reader.call(*strong(5000, "GET", "small")).value == b"1"
            slowest = max(slowest, time.monotonic() - begin)
    writer.join()
    assert [reply.value for reply in replies] == 3 * [b"OK"], [show(reply) for reply in replies]
    assert terms(leader) == before, "%s, before: %s" % (terms(leader), before)
    assert slowest < 0.5, "a read took %.2f s" % slowest
    cluster.rate(0)
    cluster.wait_converged(60.0)
    context.note("cluster_partitions: beside 12 MB values at 200 Mbit/s the slowest read took %.0f ms" % (slowest * 1000))


def shards_of(node):
    return [dict(zip(fields[::2], fields[1::2])) for fields in node.call("CAPSTAN", "SHARDS").plain()]


def terms(node):
    return [shard[b"term"] for shard in shards_of(node)]


def test_slow_network(context):
    """30 ms each way is a long way for heartbeats, and no reason to lose a leader for good."""
    context.require_deep()
    cluster = context.cluster(needs=["delay"])
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        cluster.delay(30)
        book.wait_for_more(100)
        cluster.wait_for_leader().kill()
        book.wait_for_more(50)
        cluster.mend()
        readers.wait_until_read(*cluster.nodes)
    book.check(cluster)
    cluster.wait_converged()
