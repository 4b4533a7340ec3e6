"""Nodes that talk to each other over TLS: a cluster like others, but nobody gets or looks in without a certificate.

Every test has a cluster of its own.
"""

import contextlib
import os
import ssl
import time

from cluster import APPLIED, local, outcome, strong
from cluster_load import Book
from harness import wait_for
from resp import Connection, encode, show

SECRET = {"cluster": "secret a-long-random-word"}
MEGABYTE = 1 << 20
IS_IT_THE_SAME = "is tls-cluster the same on both nodes?"
HALF_A_HELLO = bytes.fromhex("1603010200010001fc0303")  # of TLS

shared = {}


def setup(context):
    if not context.is_redis:
        shared["authority"] = context.authority("ours")


def tls_cluster(context, directives=(), start=True, **more):
    """Its nodes have certificates of the shared authority."""
    cluster = context.cluster(start=False, directives={**SECRET, **dict(directives)}, **more)
    for node in cluster.nodes:
        node.directives.update(shared["authority"].directives(node.name))
    return cluster.start() if start else cluster


def with_directives(node, directives):
    """The node, started again with other directives of TLS."""
    node.terminate()
    node.directives = {name: value for name, value in node.directives.items() if not name.startswith("tls-")}
    node.directives.update(directives)
    return node.start()


def port_of_peers(cluster, node):
    viewer = cluster.others(node)[0]
    return cluster.network.peer_port(viewer.name, node.name) or node.port + 10000


def expect_in_log(node, text, since=0):
    wait_for(lambda: text in node.log()[since:], "%s logs %r" % (node, text), 30.0, 0.05)


def answer_of(cluster, node, data):
    """What a node says to bytes at its cluster port, until it closes the connection."""
    with Connection(port_of_peers(cluster, node), node.host) as stranger:
        with contextlib.suppress(OSError):
            stranger.send_raw(data)
        assert stranger.is_closed(), "%s keeps the connection after %r" % (node, data)
        return bytes(stranger.buffer)


# -- it works --------------------------------------------------------------------------------------------------------


def test_every_node_takes_commands(context):
    """Small ones, many at once, and values of many records."""
    # However busy the machine: none of them is to be answered with an error.
    cluster = tls_cluster(context, {"election-timeout": "2000", "strong-timeout": "60000"})
    count = 0
    for number, node in enumerate(cluster.nodes):
        large = bytes([65 + number]) * (20 * MEGABYTE + number)
        with node.connect() as client:
            assert client.call("SET", "large:%d" % number, large).raw == b"+OK\r\n"
            replies = client.pipeline([["INCR", "count"]] * 2000)
            assert [reply.value for reply in replies] == list(range(count + 1, count + 2001))
            count += 2000
        for each in cluster.nodes:
            assert each.call(*strong(60_000, "GET", "large:%d" % number)).value == large, "%s has another value" % each
    cluster.wait_converged()


def test_kill_the_leader(context):
    """No acknowledged write is lost, no refused one is there; who was killed comes back."""
    cluster = tls_cluster(context)
    with Book(cluster.nodes) as book:
        for _ in range(10 if context.deep else 2):
            leader = cluster.wait_for_leader()
            book.wait_for_more(300)
            leader.kill()
            assert cluster.wait_for_leader() is not leader
            book.wait_for_more(300)
            leader.start()
            cluster.wait_until_serves(leader)
    book.check(cluster)
    cluster.wait_converged()


def test_a_follower_catches_up(context):
    cluster = tls_cluster(context)
    follower, other = cluster.others(cluster.wait_for_leader())
    follower.kill()
    with other.connect() as client:
        for first in range(0, 20_000, 500):
            replies = client.pipeline([["SET", "k%d" % (n % 5000), "%d " % n * 50] for n in range(first, first + 500)])
            assert all(outcome(reply) == APPLIED for reply in replies)
    follower.start()
    cluster.wait_converged()


# -- nobody looks in -------------------------------------------------------------------------------------------------


def said_on_the_wire(cluster, marker):
    """All that the nodes say to each other while a value is written through each of them and spreads."""
    pieces = []
    cluster.network.tap = pieces.append
    cluster.start()
    for node in cluster.nodes:
        cluster.insist(node, "SET", "key:%s" % node, marker)
    cluster.wait_converged()
    return b"".join(pieces)


def test_what_is_said_cannot_be_read(context):
    marker = b"a value that is easily found"
    plain = said_on_the_wire(context.cluster(start=False, network="proxies"), marker)
    words = [marker, b"key:n1", b"hello", b"raft", b"n1", b"n3"]
    assert all(word in plain for word in words), "this test would not find what is plain"
    encrypted = said_on_the_wire(tls_cluster(context, start=False, network="proxies"), marker)
    assert len(encrypted) > 1000
    found = [word for word in words if len(word) > 3 and word in encrypted]
    assert not found, "%s is there to be read" % found


# -- nobody gets in --------------------------------------------------------------------------------------------------


def expect_kept_out(cluster, stranger, directives, at_others, at_stranger):
    """With these directives it sees nobody, and the others go on. The logs say why."""
    logged = {node: len(node.log()) for node in cluster.nodes}
    with_directives(stranger, directives)
    others = cluster.others(stranger)
    cluster.wait_for_leader(others)
    for node in others:
        expect_in_log(node, at_others, logged[node])
    expect_in_log(stranger, at_stranger, logged[stranger])
    for node in others:
        reply = node.call(*strong(10_000, "SET", "without", stranger.name))
        assert outcome(reply) == APPLIED, show(reply)
    assert stranger.call(*local("GET", "without")).value != stranger.name.encode(), "%s has heard of it" % stranger
    reply = stranger.call(*strong(300, "GET", "without"))
    assert outcome(reply) != APPLIED, "%s answers %s" % (stranger, show(reply))


def expect_back(cluster, node):
    with_directives(node, shared["authority"].directives(node.name))
    cluster.wait_until_serves()
    cluster.wait_converged()


def test_a_plain_node_is_kept_out(context):
    """Whether it connects to the others or they connect to it."""
    cluster = tls_cluster(context)
    for name in ("n1", "n3"):
        node = cluster[name]
        expect_kept_out(cluster, node, {}, IS_IT_THE_SAME, IS_IT_THE_SAME)
        expect_back(cluster, node)


def test_a_node_of_another_authority_is_kept_out(context):
    cluster = tls_cluster(context)
    foreign = context.authority("foreign")
    for name, at_others, at_node in (
        ("n1", "it refuses to speak TLS with this node: ", "its certificate is refused: "),
        ("n3", "its certificate is refused: ", "it refuses to speak TLS with this node: "),
    ):
        node = cluster[name]
        expect_kept_out(cluster, node, foreign.directives(node.name), at_others, at_node)
        expect_back(cluster, node)


def test_a_node_that_does_not_know_the_secret_is_kept_out(context):
    cluster = tls_cluster(context)
    node = cluster["n1"]
    tls = shared["authority"].directives(node.name)
    node.directives["cluster"] = "secret guessed"
    expect_kept_out(cluster, node, tls, "does not know the cluster's secret", "is the secret the same on both nodes")
    node.directives.update(SECRET)
    expect_back(cluster, node)


def test_who_shows_no_certificate_is_kept_out(context):
    cluster = tls_cluster(context)
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    for node in cluster.nodes:
        with Connection(port_of_peers(cluster, node), node.host) as stranger:
            heard = b""
            with contextlib.suppress(OSError):
                with anybody.wrap_socket(stranger.socket) as encrypted:
                    encrypted.sendall(encode("hello", "1", "capstan", "n0", "0123456789abcdef", "process!"))
                    heard = encrypted.recv(1000)
            assert heard == b"", "%s answers %r" % (node, heard)
        expect_in_log(node, "it shows no certificate")
    cluster.wait_until_serves()


STRANGERS_WORDS = [
    encode("hello", "1", "capstan", "n0", "0123456789abcdef", "process!"),
    encode("PING"),
    b"GET / HTTP/1.1\r\n\r\n",
    b"\r\n",
    HALF_A_HELLO + b"x" * 4000,
    b"\x16\x03\x01\xff\xff" + b"x" * 1000,
    b"\x15\x03\x03\x00\x02\x02\x28",
    bytes(range(256)) * 100,
]


def test_plain_words_are_not_answered(context):
    """But by an alert of TLS, that a plain node may know what it has met."""
    cluster = tls_cluster(context)
    with Book(cluster.nodes) as book:
        for node in cluster.nodes:
            for words in STRANGERS_WORDS:
                answer = answer_of(cluster, node, words)
                assert answer == b"" or (answer[0] == 0x15 and len(answer) < 20), "%r is answered %r" % (words, answer)
            expect_in_log(node, "it does not speak TLS; " + IS_IT_THE_SAME)
        book.wait_for_more(100)
    book.check(cluster)


def cpu_seconds(node):
    with open("/proc/%d/stat" % node.pid, encoding="ascii") as file:
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def test_half_handshakes_end_and_cost_nothing(context):
    cluster = tls_cluster(context)
    node = cluster.nodes[0]
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(Connection(port_of_peers(cluster, node), node.host)) for _ in range(20)]
        for length, stranger in enumerate(strangers):
            stranger.send_raw(HALF_A_HELLO[:length])
        started, used = time.monotonic(), cpu_seconds(node)
        for stranger in strangers:
            assert stranger.is_closed(30.0), "%s waits for ever" % node
        share = (cpu_seconds(node) - used) / (time.monotonic() - started)
    assert share < 0.5, "waiting takes %d %% of a processor" % (share * 100)
    expect_in_log(node, "it did not finish the TLS handshake")
    cluster.wait_until_serves()


# -- what it is started with -----------------------------------------------------------------------------------------


def test_wrong_files_stop_the_start(context):
    ours, foreign = shared["authority"], context.authority("foreign")
    right = ours.directives("n1")
    wrong = {
        "tls-cluster yes needs tls-cert-file": {"tls-cert-file": ""},
        "tls-cluster yes needs tls-key-file": {"tls-key-file": ""},
        "tls-cluster yes needs tls-ca-cert-file": {"tls-ca-cert-file": ""},
        "tls-cert-file /nowhere: no certificate can be read": {"tls-cert-file": "/nowhere"},
        "tls-key-file /nowhere: no key can be read": {"tls-key-file": "/nowhere"},
        "tls-ca-cert-file /nowhere: no certificate can be read": {"tls-ca-cert-file": "/nowhere"},
        "it is not the key of tls-cert-file": {"tls-key-file": ours.issue("n2")[1]},
        "no other node will take it": {"tls-ca-cert-file": foreign.certificate},
    }
    node = context.cluster(nodes=1, start=False).nodes[0]
    for text, directives in wrong.items():
        node.directives.update({**right, **directives})
        node.spawn()
        assert node.wait_exit() != 0, text
        assert text in node.log(), "no %r in the log:\n%s" % (text, node.log())
    node.directives.update(right)
    node.start()
    for name in ("tls-key-file-pass", *right):
        reply = node.call("CONFIG", "SET", name, "no")
        assert reply.value == (
            "ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable config" % name
        ).encode(), show(reply)


def test_an_encrypted_key(context):
    ours = shared["authority"]
    cluster = tls_cluster(context, start=False)
    for node in cluster.nodes:
        _, key = ours.issue(node.name)
        ours.openssl("pkey", "-in", key, "-aes256", "-passout", "pass:of " + node.name, "-out", node.name + ".secret")
        node.directives["tls-key-file"] = ours.path(node.name + ".secret")
    first = cluster.nodes[0]
    first.spawn()
    assert first.wait_exit() != 0
    assert "is tls-key-file-pass right?" in first.log(), first.log()
    for node in cluster.nodes:
        node.directives["tls-key-file-pass"] = "of " + node.name
    cluster.start()
    cluster.wait_until_serves()
