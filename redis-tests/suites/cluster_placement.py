"""More nodes than replicas: each shard is on three of five nodes, and every node serves every key all the same."""

import collections

from cluster import local, strong
from cluster_load import Book
from harness import wait_for
from resp import show
from suites.cluster_rebuild import lose_disk, votes

NODES = 5
REPLICAS = 3
SHARDS = 16
KEYS = 200  # enough for every shard to have some

shared = {}


def make(context):
    return context.cluster(NODES, {"shards": SHARDS, "io-threads": "2"}, replicas=REPLICAS)


def setup(context):
    if not context.is_redis:
        shared["cluster"] = make(context)
        for node in shared["cluster"].nodes:
            wait_until_placed(node)


def whole(context):
    context.require_capstan()
    return shared["cluster"]


def shards_as_seen(node):
    """Shard → (leader, set of the nodes that hold it)."""
    seen = {}
    for fields in node.call("CAPSTAN", "SHARDS").plain():
        shard = dict(zip(fields[::2], fields[1::2]))
        seen[shard[b"id"]] = (shard[b"leader"], frozenset(shard[b"replicas"]))
    return seen


def wait_until_placed(node):
    """It knows who leads each of the shards."""
    wait_for(lambda: all(leader for leader, _ in shards_as_seen(node).values()), "%s knows all leaders" % node)


def test_every_shard_is_on_three_nodes(context):
    cluster = whole(context)
    seen = shards_as_seen(cluster.nodes[0])
    assert sorted(seen) == list(range(SHARDS)), seen
    held = collections.Counter()
    for leader, nodes in seen.values():
        assert len(nodes) == REPLICAS and leader in nodes, (leader, nodes)
        held.update(nodes)
    assert len(held) == NODES and sum(held.values()) == SHARDS * REPLICAS, held
    for node in cluster.nodes:
        wait_for(lambda node=node: shards_as_seen(node) == seen, "%s agrees" % node)


def test_leaders_are_spread_evenly(context):
    cluster = whole(context)

    def most_and_least():
        counts = collections.Counter(leader for leader, _ in shards_as_seen(cluster.nodes[0]).values())
        return max(counts.values()), min(counts[node.name.encode()] for node in cluster.nodes)

    wait_for(lambda: most_and_least()[0] - most_and_least()[1] <= 2, "no node leads much more than another", 60.0)


def test_clients_of_clusters_are_told_of_all_shards(context):
    cluster = whole(context)
    for node in cluster.nodes:
        ranges = node.call("CLUSTER", "SLOTS").plain()
        assert sum(last - first + 1 for first, last, *_ in ranges) == 16384
        for _, _, *holders in ranges:
            assert len({tuple(holder[:2]) for holder in holders}) == REPLICAS, holders
        assert b"cluster_state:ok" in node.call("CLUSTER", "INFO").value


def test_every_node_serves_every_key(context):
    cluster = whole(context)
    for node in cluster.nodes:
        assert node.call("FLUSHALL").value == b"OK"
        with node.connect() as client:
            for number in range(KEYS):
                reply = client.call("SET", "k%d" % number, node.name)
                assert reply.value == b"OK", show(reply)
        for other in cluster.nodes:
            keys = ["k%d" % number for number in range(KEYS)]
            assert set(other.call("MGET", *keys).plain()) == {node.name.encode()}
            assert other.call("DBSIZE").value == KEYS
            assert len(other.call("KEYS", "*").value) == KEYS
            cursor, found = b"0", []
            while cursor != b"0" or not found:
                cursor, some = other.call("SCAN", cursor, "COUNT", 50).plain()
                found += some
            assert sorted(found) == sorted(key.encode() for key in keys)


def test_transactions_through_every_node(context):
    cluster = whole(context)
    for number, node in enumerate(cluster.nodes):
        for key in ("t:{%d}" % n for n in range(20)):
            with node.connect() as client, cluster.nodes[number - 1].connect() as other:
                client.call("WATCH", key)
                replies = client.pipeline([("MULTI",), ("INCR", key), ("GET", key), ("EXEC",)])
                first, second = replies[-1].plain()
                assert b"%d" % first == second, show(replies[-1])
                client.call("WATCH", key)
                other.call("INCR", key)
                assert client.pipeline([("MULTI",), ("INCR", key), ("EXEC",)])[-1].value is None


def test_the_order_of_a_clients_commands(context):
    """Pipelined through a node that holds some of the shards."""
    cluster = whole(context)
    for node in cluster.nodes:
        with node.connect() as client:
            commands = []
            for number in range(40):
                commands += [("SET", "o%d" % number, "0"), ("INCR", "o%d" % number), ("GET", "o%d" % number)]
            replies = client.pipeline(commands)
            assert [reply.value for reply in replies] == [b"OK", 1, b"1"] * 40, " ".join(map(show, replies))


def test_local_reads_where_there_is_no_replica(context):
    cluster = whole(context)
    for number in range(40):
        writer, reader = cluster.nodes[number % NODES], cluster.nodes[(number + 1) % NODES]
        key = "l%d" % number
        with writer.connect() as client:
            assert client.call("SET", key, number).value == b"OK"
            token = client.call("CONSISTENCY", "TOKEN").value
            replies = client.pipeline([("INCR", key), ("CONSISTENCY", "LOCAL", "SESSION", "GET", key)])
            assert replies[1].value == b"%d" % (number + 1), show(replies[1])
        with reader.connect() as client:
            reply = client.call("CONSISTENCY", "LOCAL", "AFTER", token, "GET", key)
            assert int(reply.value) >= number, show(reply)
            reply = client.call("CONSISTENCY", "LOCAL", "MAXAGE", "5000", "GET", key)
            assert reply.value is None or int(reply.value) >= number, show(reply)
        wait_for(lambda: reader.call(*local("GET", key)).value == b"%d" % (number + 1), "the write is everywhere")


def test_a_request_is_executed_once(context):
    cluster = whole(context)
    for number in range(20):
        for node in cluster.nodes:
            request = ("CONSISTENCY", "STRONG", "ID", "placement", number, "INCR", "once:{%d}" % number)
            assert node.call(*request).value == 1


def test_wait_counts_the_replicas_of_a_shard(context):
    cluster = whole(context)
    for node in cluster.nodes:
        with node.connect() as client:
            client.call("SET", "w", node.name)
            assert client.call("WAIT", "1", "0").value >= 1
            assert client.call("WAIT", "2", "0").value == 2


def test_any_node_may_be_lost(context):
    """Two of three replicas are left, wherever it was."""
    context.require_capstan()
    cluster = make(context)
    with Book(cluster.nodes) as book:
        for node in cluster.nodes:
            book.wait_for_more(100)
            node.kill()
            book.wait_for_more(100)
            node.start()
            cluster.wait_until_serves()
            for each in cluster.nodes:
                wait_until_placed(each)
        book.wait_for_more(100)
    book.check(cluster)
    context.note("cluster_placement: " + book.summary())


def test_a_lost_disk_gets_back_what_it_held_and_nothing_else(context):
    context.require_capstan()
    cluster = make(context)
    node = cluster.nodes[1]
    before = shards_as_seen(cluster.nodes[0])
    with Book(cluster.nodes) as book:
        book.wait_for_more(300)
        lose_disk(node)
        node.start()
        wait_for(lambda: votes(node), "it votes again", 60.0)
        book.wait_for_more(100)
    assert {shard: nodes for shard, (_, nodes) in shards_as_seen(cluster.nodes[0]).items()} == {
        shard: nodes for shard, (_, nodes) in before.items()
    }
    # With it and one other node a majority of every shard that it holds is there.
    other = cluster.nodes[2]
    other.kill()
    for number in range(KEYS):
        cluster.insist(cluster.nodes[0], *strong(5000, "SET", "again%d" % number, "1"))
    book.check(cluster)
    other.start()
    cluster.wait_until_serves()


def test_the_founding_decides_not_a_nodes_configuration(context):
    """Whoever is configured otherwise later changes nothing."""
    context.require_capstan()
    cluster = make(context)
    seen = shards_as_seen(cluster.wait_for_leader())
    cluster.insist(cluster.nodes[0], "SET", "k", "v")
    for node in cluster.nodes:
        node.replicas = 5
        node.restart()
    for node in cluster.nodes:
        wait_until_placed(node)
        assert {s: nodes for s, (_, nodes) in shards_as_seen(node).items()} == {s: nodes for s, (_, nodes) in seen.items()}
        assert cluster.insist(node, "GET", "k").value == b"v"
