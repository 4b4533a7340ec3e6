"""Three or five real processes: any of them takes any command, and STRONG stays STRONG whatever happens to some.

Every test of a fault has a cluster of its own. What tests wait for are conditions, however long the nodes may take.
"""

import socket

from cluster import APPLIED, REFUSED, error_word, local, outcome, strong, wait_until_right
from cluster_load import Book, Readers
from compare.cases import all_cases, read_differences
from compare.engine import Comparison
from harness import command_names, wait_for
from resp import show

from suites.compare import DIRECTIVES

# What is about keys, not about one process.
KEYSPACE_CASES = ("bitfield", "bits", "expire", "keys", "scan", "set", "strings", "transactions")

shared = {}


def setup(context):
    if not context.is_redis:
        shared["cluster"] = context.cluster()
        context.note("cluster: nodes are on %s" % shared["cluster"].network.kind)


def empty_cluster(context):
    """For tests that harm no node."""
    context.require_capstan()
    cluster = shared["cluster"]
    cluster.insist(cluster.nodes[0], "FLUSHALL")
    return cluster


def expect(client, raw, *command):
    reply = client.call(*command)
    assert reply.raw == raw, "%s answered %s" % (str(command)[:100], show(reply))


def expect_unavailable(node):
    """Without a majority: no write is taken, and no read is answered any more once a lease has run out."""

    def refused():
        fates = []
        for command in (("SET", "refused", "x"), ("GET", "refused")):
            reply = node.ask(*strong(300, *command), timeout=20.0)
            assert reply is not None, "%s does not answer %s within its TIMEOUT" % (node, command)
            fates.append(outcome(reply))
        assert fates[0] != APPLIED, "%s has taken a write" % node
        return fates[1] != APPLIED

    wait_for(refused, "%s refuses to read" % node, 30.0)
    for _ in range(3):
        assert refused(), "%s reads again" % node


# -- a cluster forms, and knows itself -------------------------------------------------------------------------------


def test_forms_when_all_are_there(context):
    cluster = context.cluster(start=False)
    for node in cluster.nodes[:-1]:
        node.start()  # answers PING
        reply = node.call(*strong(300, "SET", "early", "x"))
        assert error_word(reply) == "CLUSTERDOWN", show(reply)
        for command in (["INFO"], ["ROLE"], ["CLUSTER", "INFO"], ["CONFIG", "GET", "port"], ["COMMAND", "COUNT"]):
            reply = node.call(*command)
            assert not reply.is_error, "without a quorum %s answers %s" % (command, show(reply))
    cluster.nodes[-1].start()
    cluster.wait_for_leader()
    cluster.wait_until_serves()
    assert cluster.insist(cluster.nodes[0], "GET", "early").value is None, "a refused write is there"
    wait_for(lambda: sum(node.role() == "master" for node in cluster.nodes) == 1, "one node is the master")


def view(cluster, node):
    """What is missing in a node's replies about the cluster."""
    leader = cluster.wait_for_leader()
    identities = {each: each.call("CLUSTER", "MYID").value.decode() for each in cluster.nodes}
    assert len(set(identities.values())) == len(cluster.nodes) and all(len(i) == 40 for i in identities.values())
    for wrong in view_of_nodes(cluster, node, leader, identities):
        yield "CLUSTER NODES " + wrong
    places = {each: [each.host.encode(), each.port, identities[each].encode()] for each in cluster.nodes}
    slots = node.call("CLUSTER", "SLOTS").plain()
    if len(slots) != 1 or slots[0][:2] != [0, 16383] or slots[0][2][:3] != places[leader]:
        yield "CLUSTER SLOTS %s" % slots
    elif sorted(entry[:3] for entry in slots[0][2:]) != sorted(places.values()):
        yield "CLUSTER SLOTS names other nodes: %s" % slots
    yield from view_of_shards(cluster, node, leader, identities)
    told = dict(line.split(":") for line in node.call("CLUSTER", "INFO").value.decode().split())
    wanted = {"cluster_state": "ok", "cluster_slots_assigned": "16384", "cluster_slots_ok": "16384"}
    for name, value in {**wanted, "cluster_known_nodes": str(len(cluster.nodes)), "cluster_size": "1"}.items():
        if told.get(name) != value:
            yield "CLUSTER INFO %s:%s, not %s" % (name, told.get(name), value)


def view_of_nodes(cluster, node, leader, identities):
    lines = [line.split() for line in node.call("CLUSTER", "NODES").value.decode().splitlines()]
    found = {words[0]: words[1:] for words in lines}
    if set(found) != set(identities.values()) or len(lines) != len(cluster.nodes):
        yield "names %s" % sorted(found)
        return
    for each, identity in identities.items():
        address, flags, master, *_ = found[identity]
        flags = set(flags.split(","))
        if not address.split(",")[0].startswith("%s:%d@" % (each.host, each.port)):
            yield "%s has the address %s" % (each, address)
        if ("myself" in flags) != (each is node) or ("master" in flags) != (each is leader):
            yield "%s has the flags %s" % (each, flags)
        if each is leader and found[identity][7:] != ["0-16383"]:
            yield "the leader has the slots %s" % found[identity][7:]
        if each is not leader and ("slave" not in flags or master != identities[leader] or found[identity][7:]):
            yield "a follower is %s" % found[identity]


def view_of_shards(cluster, node, leader, identities):
    shards = node.call("CLUSTER", "SHARDS").plain()
    if len(shards) != 1 or shards[0][:2] != [b"slots", [0, 16383]]:
        yield "CLUSTER SHARDS %s" % shards
        return
    roles = {}
    for entry in shards[0][3]:
        entry = dict(zip(entry[::2], entry[1::2]))
        roles[entry[b"id"].decode()] = (entry[b"role"], entry[b"port"])
    for each in cluster.nodes:
        wanted = (b"master" if each is leader else b"replica", each.port)
        if roles.get(identities[each]) != wanted:
            yield "CLUSTER SHARDS has %s as %s" % (each, roles.get(identities[each]))


def test_every_node_knows_the_cluster(context):
    cluster = empty_cluster(context)
    for node in cluster.nodes:
        assert [node.call("CLUSTER", "KEYSLOT", key).value for key in ("foo", "{foo}bar")] == [12182, 12182]
        assert b"cluster_enabled:1" in node.call("INFO", "cluster").value
        wait_until_right(lambda node=node: list(view(cluster, node)), "%s knows the cluster" % node)
        for words in ("NODES", "SHARDS", "SHARD 0"):
            reply = node.call("CAPSTAN", *words.split())
            assert not reply.is_error and reply.value, show(reply)


def test_role(context):
    cluster = empty_cluster(context)
    leader = cluster.wait_for_leader()
    place = [leader.host.encode(), leader.port]

    def followers_know():
        roles = [node.call("ROLE").plain() for node in cluster.others(leader)]
        return all(role[:4] == [b"slave", *place, b"connected"] and role[4] > 0 for role in roles)

    wait_for(followers_know, "followers are slaves of the leader, and connected")
    word, offset, replicas = leader.call("ROLE").plain()
    assert word == b"master" and offset > 0
    wanted = sorted((node.host.encode(), str(node.port).encode()) for node in cluster.others(leader))
    assert sorted((host, port) for host, port, _ in replicas) == wanted, replicas


# -- any node takes any command --------------------------------------------------------------------------------------


def test_any_node_serves(context):
    cluster = empty_cluster(context)
    for number, node in enumerate(cluster.nodes, 1):
        with node.connect() as client, cluster.others(node)[0].connect() as other:
            expect(client, b"+OK\r\n", "SET", "k", "by %s" % node)
            assert other.call("GET", "k").value == b"by %s" % node.name.encode(), "an acknowledged write is not seen"
            assert client.call("INCR", "n").value == number == int(other.call("GET", "n").value)
            assert client.call("APPEND", "log", node.name).value == 2 * number
            expect(other, b"+OK\r\n", "MSET", "a", number, "b", number)
            assert client.call("MGET", "a", "missing", "b").plain() == [b"%d" % number, None, b"%d" % number]
            assert client.call("SET", "k", "no", "IFEQ", "other").value is None
            expect(client, b"+OK\r\n", "SET", "k", "new", "IFEQ", "by %s" % node)
            assert client.call("VERSION", "k").value == other.call("VERSION", "k").value
            assert client.call("INCR", "k").value == b"ERR value is not an integer or out of range"
            assert client.call("DEL", "a", "b", "missing").value == 2 and other.call("EXISTS", "a").value == 0
            expect(client, b"+OK\r\n", "SELECT", "3")
            assert client.call("SETNX", "k", "three").value == (number == 1) and client.call("DBSIZE").value == 1
    for node in cluster.nodes:
        assert set(node.call("KEYS", "[kln]*").plain()) == {b"k", b"n", b"log"}
    expect_flushed(cluster)


def expect_flushed(cluster):
    for node in cluster.nodes:
        node.call("SET", "k", "v")
        assert cluster.others(node)[0].call("FLUSHALL").value == b"OK" and node.call("DBSIZE").value == 0


def test_large_values_and_many_words_are_forwarded(context):
    cluster = empty_cluster(context)
    leader = cluster.wait_for_leader()
    first, second = cluster.others(leader)
    value = bytes(range(256)) * 4096 * 8  # 8 MiB
    with first.connect() as client, second.connect() as other:
        expect(client, b"+OK\r\n", "SET", "large", value)
        assert other.call("GET", "large").value == value
        words = [word for number in range(20_000) for word in ("many:%d" % number, number)]
        expect(other, b"+OK\r\n", "MSET", *words)
        assert client.call("MGET", *words[::2]).plain() == [b"%d" % number for number in words[1::2]]
        assert client.call("DEL", "large", *words[::2]).value == 20_001


def test_transactions(context):
    cluster = empty_cluster(context)
    for node in cluster.nodes:
        other = cluster.others(node)[-1]
        with node.connect() as client, node.connect() as second:
            client.call("SET", "n", "1")
            *queued, done = client.pipeline([["MULTI"], ["INCR", "n"], ["SET", "m", "x"], ["GET", "m"], ["EXEC"]])
            assert all(reply.kind == "+" for reply in queued) and done.plain() == [2, b"OK", b"x"], show(done)
            done = client.pipeline([["MULTI"], ["INCR", "m"], ["INCR", "n"], ["EXEC"]])[-1]
            assert done.value[0].is_error and done.value[1].value == 3, "an error does not undo the rest"
            done = client.pipeline([["MULTI"], ["INCR"], ["INCR", "n"], ["EXEC"]])[-1]
            assert error_word(done) == "EXECABORT" and other.call("GET", "n").value == b"3"
            for change in (False, True):  # of a watched key, through another node
                client.call("WATCH", "n")
                seen = int(client.call("GET", "n").value)
                if change:
                    assert other.call("SET", "n", "100").value == b"OK"
                done = client.pipeline([["MULTI"], ["SET", "n", seen + 1], ["EXEC"]])[-1]
                assert done.value is None if change else done.plain() == [b"OK"], show(done)
            second.pipeline([["MULTI"], ["SET", "n", "never"], ["DISCARD"]])
            assert client.call("GET", "n").value == b"100"


def test_pipelines_keep_their_order(context):
    """Through a follower too, and among what it answers by itself."""
    cluster = empty_cluster(context)
    for node in cluster.nodes:
        with node.connect() as client:
            for _ in range(3):
                start = int(client.call("GET", "n").value or 0)
                commands = []
                for number in range(300):
                    commands += [["INCR", "n"], ["ECHO", number], ["GET", "n"]]
                replies = [reply.value for reply in client.pipeline(commands)]
                for number in range(300):
                    count = start + number + 1
                    assert replies[3 * number : 3 * number + 3] == [count, b"%d" % number, b"%d" % count]


def test_expiry(context):
    cluster = empty_cluster(context)
    for node in cluster.nodes:
        assert node.call("SET", "short", "v", "PX", "50").value == b"OK"
        assert node.call("SET", "long", "v", "EX", "1000").value == b"OK"
        for each in cluster.nodes:
            wait_for(lambda each=each: each.call("GET", "short").value is None, "the key expires at %s" % each)
            assert 900 < each.call("TTL", "long").value <= 1000
            assert each.call("SETNX", "long", "x").value == 0


def test_a_follower_answers_as_redis_does(context):
    """The cases of the suite `compare` that are about keys, through a follower."""
    context.require_capstan()
    cluster = context.cluster(directives=DIRECTIVES)
    reference = context.reference_server(DIRECTIVES)
    follower = cluster.others(cluster.wait_for_leader())[0]
    comparison = Comparison(follower, reference, read_differences())
    with follower.connect() as client:
        commands = command_names(client)
    mismatches = []
    for case in all_cases():
        waits = any(step.words[0].upper() == b"WAIT" for step in case.steps)  # for replicas, which redis-server has not
        says_mode = any(step.words[0].upper() == b"HELLO" for step in case.steps)  # standalone or cluster
        if case.file in KEYSPACE_CASES and commands.issuperset(case.needs) and not waits and not says_mode:
            for protocol in case.protocols if context.deep else case.protocols[:1]:
                mismatches += comparison.run(case, protocol)
    assert comparison.compared > 500, comparison.compared
    assert not mismatches, "%d replies differ\n" % len(mismatches) + "\n".join(mismatches[:20])


def test_local_reads_come_to_see_all(context):
    cluster = empty_cluster(context)
    cluster.insist(cluster.nodes[0], "SET", "k", "v")
    for node in cluster.nodes:
        with node.connect() as client, node.connect() as reader:
            wait_for(lambda client=client: client.call(*local("GET", "k")).value == b"v", "%s has it" % node)
            assert client.call("GET", "k", "CONSISTENCY", "LOCAL").value == b"v"
            expect(reader, b"+OK\r\n", "READONLY")
            assert reader.call("GET", "k").value == b"v"
            expect(reader, b"+OK\r\n", "READWRITE")
            assert reader.call("GET", "k").value == b"v"
    cluster.wait_converged()


# -- processes end, stop and come back -------------------------------------------------------------------------------


def test_kill_the_leader(context):
    """No acknowledged write is lost, no refused one is there, and nobody reads what is old."""
    cluster = context.cluster()
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        for _ in range(10 if context.deep else 2):
            leader = cluster.wait_for_leader()
            book.wait_for_more(300)
            leader.kill()
            new = cluster.wait_for_leader()
            assert new is not leader
            readers.write(new)
            book.wait_for_more(300)
            leader.start()
            cluster.wait_until_serves(leader)
            readers.wait_until_read(leader)
    book.check(cluster)
    cluster.wait_converged()
    context.note("cluster: leader killed: " + book.summary())


def test_kill_all(context):
    """All at once, at any moment: what was acknowledged is there when they are back."""
    cluster = context.cluster()
    for _ in range(10 if context.deep else 2):
        with Book(cluster.nodes) as book:
            book.wait_for_more(300)
            cluster.kill_all()
        cluster.start()
        book.check(cluster)
    cluster.wait_converged()


def test_a_majority_is_enough(context):
    """Two of five are down for good; a third one as well is too many."""
    cluster = context.cluster(nodes=5)
    with Book(cluster.nodes, writers=5) as book:
        book.wait_for_more(200)
        first, second = cluster.others(cluster.wait_for_leader())[:2]
        first.kill()
        cluster.wait_for_leader().kill()
        book.wait_for_more(200)
        second.kill()
        for node in cluster.up():
            expect_unavailable(node)
        second.start()
        cluster.wait_for_leader()
        book.wait_for_more(200)
    cluster.mend()
    book.check(cluster)
    cluster.wait_converged()


def test_stopped_leader(context):
    """SIGSTOP: the others go on. What came to the old leader meanwhile gets no stale answer when it wakes."""
    cluster = context.cluster()
    for number in range(20 if context.deep else 3):
        leader = cluster.wait_for_leader()
        with leader.connect() as client, leader.connect() as writer:
            expect(client, b"+OK\r\n", "SET", "k", "old %d" % number)
            leader.pause()
            writer.send("SET", "late:%d" % number, "x")
            new = cluster.wait_for_leader(among=cluster.others(leader))
            cluster.insist(new, "SET", "k", "new %d" % number)
            client.send_raw(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" * 20)
            leader.resume()
            for _ in range(20):
                reply = client.read()
                assert outcome(reply) != APPLIED or reply.value == b"new %d" % number, "stale: " + show(reply)
            fate, there = outcome(writer.read()), cluster.insist(new, "GET", "late:%d" % number).value is not None
            assert fate not in (APPLIED, REFUSED) or there == (fate == APPLIED), "a write was %s" % fate
        assert cluster.insist(leader, "GET", "k").value == b"new %d" % number
    cluster.wait_converged()


def test_stopped_follower(context):
    cluster = context.cluster()
    follower = cluster.others(cluster.wait_for_leader())[0]
    with Readers(cluster) as readers, Book(cluster.others(follower)) as book:
        follower.pause()
        book.wait_for_more(1000)
        readers.write(cluster.wait_for_leader())
        follower.resume()
        cluster.wait_until_serves(follower)
        readers.wait_until_read(follower)
    book.check(cluster)
    cluster.wait_converged()


def test_a_follower_catches_up(context):
    """What was written while it was down reaches it, however much there is; also over a second kill half way."""
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    follower, other = cluster.others(leader)
    follower.kill()
    count = 200_000 if context.deep else 20_000
    with other.connect() as client:
        for first in range(0, count, 500):
            replies = client.pipeline([["SET", "k%d" % (n % 5000), "%d " % n * 50] for n in range(first, first + 500)])
            assert all(outcome(reply) == APPLIED for reply in replies)
    follower.start()

    def something_has_come():
        reply = follower.ask(*local("EXISTS", "k1"))
        return reply and reply.value == 1

    wait_for(something_has_come, "something has come")
    follower.crash()
    cluster.wait_converged(120.0)
    leader.kill()  # and it holds what a leader needs
    cluster.wait_for_leader()
    value = cluster.insist(follower, "GET", "k%d" % ((count - 1) % 5000)).value
    assert value == b"%d " % (count - 1) * 50


def test_rolling_restart(context):
    """SIGTERM, one after the other: clients get nothing but retryable errors, and lose only their connections."""
    cluster = context.cluster()
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        for node in cluster.nodes:
            book.wait_for_more(300)
            assert node.terminate() == 0, node.log()[-2000:]
            book.wait_for_more(300)
            node.start()
            cluster.wait_until_serves(node)
            readers.wait_until_read(node)
    book.check(cluster)
    cluster.wait_converged()
    context.note("cluster: rolling restart: " + book.summary())


def test_watch_over_a_change_of_leader(context):
    """A transaction does not go through when a watched key was changed, whoever leads by then."""
    cluster = context.cluster()
    for changed in (False, True):
        leader = cluster.wait_for_leader()
        follower, other = cluster.others(leader)
        with follower.connect() as client:
            cluster.insist(follower, "SET", "k", "before")
            assert client.call("WATCH", "k").value == b"OK"
            if changed:
                cluster.insist(other, "SET", "k", "changed")
            leader.kill()
            cluster.wait_for_leader()
            cluster.wait_until_serves(follower)
            reply = client.pipeline([["MULTI"], ["SET", "k", "mine"], ["EXEC"]])[-1]
        if changed:
            assert reply.is_error or reply.value is None, show(reply)
            assert not reply.is_error or outcome(reply) != APPLIED
            assert cluster.insist(other, "GET", "k").value == b"changed"
        cluster.mend()


def test_what_is_not_there_yet_says_so(context):
    cluster = empty_cluster(context)
    with cluster.nodes[0].connect() as client:
        for command in (
            ("CONSISTENCY", "EVENTUAL", "SET", "k", "v"),
            ("CONSISTENCY", "LOCAL", "SET", "k", "v"),
            ("CONSISTENCY", "EVENTUAL", "GET", "k"),
        ):
            reply = client.call(*command)
            assert reply.is_error and b"not supported yet" in reply.value, "%s answered %s" % (command, show(reply))
        assert cluster.insist(cluster.nodes[1], "EXISTS", "k").value == 0


def test_publications_reach_all_nodes(context):
    cluster = empty_cluster(context)
    wait_until_right(lambda: [node for node in cluster.nodes if not connected_to_all(node)], "all are connected")
    for subscriber in cluster.nodes:
        with subscriber.connect() as client:
            client.call("SUBSCRIBE", "news")
            for publisher in cluster.nodes:
                with publisher.connect() as other:
                    here = 1 if publisher is subscriber else 0
                    for n in range(3):
                        expect(other, b":%d\r\n" % here, "PUBLISH", "news", "%s %d" % (publisher, n))
                for n in range(3):
                    message = client.read().plain()
                    assert message == [b"message", b"news", b"%s %d" % (publisher.name.encode(), n)], message


def connected_to_all(node):
    return node.call("CLUSTER", "NODES").value.count(b" connected") == len(node.network.names)


def test_leadership_is_transferred(context):
    """CAPSTAN TRANSFER, under load: to every node in turn, and nothing is lost."""
    cluster = context.cluster()
    with Readers(cluster), Book(cluster.nodes) as book:
        for node in [*cluster.nodes, *cluster.nodes]:
            book.wait_for_more(100)

            def transferred(node=node):
                reply = cluster.nodes[0].call("CAPSTAN", "TRANSFER", "0", node.name)
                assert not reply.is_error or outcome(reply) == REFUSED, show(reply)
                return node.role() == "master"

            wait_for(transferred, "%s leads" % node, 30.0, 0.1)
    book.check(cluster)
    cluster.wait_converged()
    context.note("cluster: leadership transferred: " + book.summary())


def test_several_shards(context):
    """Keys of all shards through every node, also when one node is down."""
    cluster = context.cluster(directives={"shards": "4", "io-threads": "2"})
    keys = ["key:%d" % number for number in range(100)]
    for node in cluster.nodes:
        cluster.insist(node, "MSET", *[word for key in keys for word in (key, node.name)])
        for each in cluster.nodes:
            assert cluster.insist(each, "MGET", *keys).plain() == [node.name.encode()] * 100
        assert cluster.insist(node, "DBSIZE").value >= 100
    with Book(cluster.nodes) as book:
        book.wait_for_more(300)
        killed = cluster.leader_of("key:1")
        killed.kill()
        for node in cluster.up():
            for key in keys:
                cluster.insist(node, "SET", key, "after")
        book.wait_for_more(300)
        killed.start()
    book.check(cluster)
    assert cluster.insist(killed, "MGET", *keys).plain() == [b"after"] * 100
    cluster.wait_converged()


def test_strangers_at_the_peer_port(context):
    """Who sends nonsense there is thrown out; nobody else notices."""
    cluster = context.cluster()
    with Readers(cluster) as readers, Book(cluster.nodes) as book:
        for node in cluster.nodes:
            for data in (b"\0" * 100_000, b"*1\r\n$-5\r\n", b"*2\r\n$1000000000\r\n", b"PING\r\n", b"GET / HTTP/1\n\n"):
                port = cluster.network.peer_port(node.name, node.name) or node.port + 10_000
                with socket.create_connection((node.host, port), timeout=30.0) as stranger:
                    try:
                        stranger.sendall(data)
                        stranger.shutdown(socket.SHUT_WR)
                        while stranger.recv(1000):
                            pass
                    except ConnectionError:
                        pass
        book.wait_for_more(300)
        readers.wait_until_read(*cluster.nodes)
    book.check(cluster)
