"""Publish/subscribe with several workers: cases beside redis-server, order, counts, limits, client libraries."""

import contextlib
import os
import socket
import subprocess

import redis
from compare.cases import all_cases, read_differences
from compare.engine import Comparison
from harness import info, wait_for
from resp import encode, show

from suites.concurrency import in_parallel

# Connections are spread over the workers by chance: so many that each worker has some.
SUBSCRIBERS = 24
WORKERS = {"io-threads": "2"}
shared = {}


def setup(context):
    shared["server"] = context.server(WORKERS)
    shared["reference"] = context.reference_server()
    shared["comparison"] = Comparison(shared["server"], shared["reference"], read_differences())


def tests(context):
    for case in all_cases():
        if case.file == "pubsub":
            yield "two workers: " + case.title, lambda _, case=case: shared["comparison"].check(case)


def quiet_server():
    """The server, without subscribers of an earlier test."""
    server = shared["server"]
    with server.connect() as client:
        wait_for(lambda: not client.call("CLIENT", "LIST", "TYPE", "pubsub").value, "subscribers are gone")
    return server


@contextlib.contextmanager
def connections(server, count, protocol=2):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect(protocol)) for _ in range(count)]


def expect(client, *items):
    """The next thing that a connection receives: a message, a confirmation or a reply, without its RESP types."""
    reply = client.read()
    wanted = [item if isinstance(item, int) or item is None else str(item).encode() for item in items]
    assert reply.plain() == wanted, "got %s, expected %s" % (show(reply), wanted)


# -- what has no order ------------------------------------------------------------------------------------------------


def unsubscribed_from_all(server, protocol):
    """The replies of UNSUBSCRIBE without names: which names, sorted, and the counts as they came."""
    answers = []
    with server.connect(protocol) as client:
        for subscribe in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"):
            client.send(subscribe, *["t%d" % number for number in range(50)])
            for _ in range(50):
                client.read()
        for unsubscribe in ("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"):
            client.send(unsubscribe)
            replies = [client.read() for _ in range(50)]
            kinds = {(reply.kind, reply.value[0].kind, reply.value[0].value) for reply in replies}
            names = sorted(reply.value[1].value for reply in replies)
            answers.append((kinds, names, [reply.value[2].value for reply in replies]))
        answers.append(client.call("PING").value)
    return answers


def test_unsubscribe_from_everything(context):
    server, reference = quiet_server(), shared["reference"]
    for protocol in (2, 3):
        got, expected = (unsubscribed_from_all(each, protocol) for each in (server, reference))
        assert got == expected, "got %s\nexpected %s" % (got, expected)


def received_by_patterns(server, protocol):
    with server.connect(protocol) as client, server.connect() as publisher:
        patterns = ["*", "n*", "news.*", "news.[ab]rt", "?ews.art", "none*"]
        client.send("PSUBSCRIBE", *patterns)
        for _ in patterns:
            client.read()
        client.call("SUBSCRIBE", "news.art")
        count = publisher.call("PUBLISH", "news.art", "x").value
        messages = [client.read() for _ in range(count)]
        return messages[0].raw, sorted(message.raw for message in messages)


def test_every_matching_pattern_counts(context):
    server, reference = quiet_server(), shared["reference"]
    for protocol in (2, 3):
        assert received_by_patterns(server, protocol) == received_by_patterns(reference, protocol)


# -- several workers --------------------------------------------------------------------------------------------------


def test_everyone_gets_a_message_once(context):
    server = quiet_server()
    with connections(server, SUBSCRIBERS) as subscribers, connections(server, 4) as publishers:
        for number, client in enumerate(subscribers):
            client.send("SUBSCRIBE", "all", "own:%d" % number)
            expect(client, "subscribe", "all", 1)
            expect(client, "subscribe", "own:%d" % number, 2)
        for round_number, publisher in enumerate(publishers):
            assert publisher.call("PUBLISH", "all", "m%d" % round_number).value == SUBSCRIBERS
            assert publisher.call("SPUBLISH", "all", "no").value == publisher.call("PUBLISH", "none", "no").value == 0
            for number in range(SUBSCRIBERS):
                assert publisher.call("PUBLISH", "own:%d" % number, "o%d" % round_number).value == 1
        for number, client in enumerate(subscribers):
            for round_number in range(len(publishers)):
                expect(client, "message", "all", "m%d" % round_number)
                expect(client, "message", "own:%d" % number, "o%d" % round_number)
            assert client.call("PING", "end").plain() == [b"pong", b"end"]


def test_shard_channels_of_all_workers(context):
    server = quiet_server()
    with connections(server, SUBSCRIBERS, 3) as subscribers, server.connect() as publisher:
        for client in subscribers:
            assert client.call("SSUBSCRIBE", "shard").kind == ">"
            client.call("PSUBSCRIBE", "*")
        assert publisher.call("SPUBLISH", "shard", "x").value == SUBSCRIBERS
        assert publisher.call("PUBLISH", "shard", "y").value == SUBSCRIBERS
        for client in subscribers:
            expect(client, "smessage", "shard", "x")
            expect(client, "pmessage", "*", "shard", "y")


def test_pubsub_speaks_of_all_workers(context):
    server = quiet_server()
    with connections(server, SUBSCRIBERS) as subscribers, server.connect() as client:
        for number, subscriber in enumerate(subscribers):
            subscriber.pipeline([["SUBSCRIBE", "all"], ["SUBSCRIBE", "own:%d" % number]])
            subscriber.pipeline([["PSUBSCRIBE", "p*"], ["PSUBSCRIBE", "q%d" % (number % 5)], ["SSUBSCRIBE", "s"]])
        names = sorted(["all"] + ["own:%d" % number for number in range(SUBSCRIBERS)])
        assert sorted(client.call("PUBSUB", "CHANNELS").plain()) == [name.encode() for name in names]
        assert client.call("PUBSUB", "CHANNELS", "a*").plain() == [b"all"]
        assert client.call("PUBSUB", "NUMSUB", "all", "own:3", "x").plain() == [
            *[b"all", SUBSCRIBERS],
            *[b"own:3", 1],
            *[b"x", 0],
        ]
        assert client.call("PUBSUB", "NUMPAT").value == 6
        assert client.call("PUBSUB", "SHARDCHANNELS").plain() == [b"s"]
        assert client.call("PUBSUB", "SHARDNUMSUB", "s", "all").plain() == [b"s", SUBSCRIBERS, b"all", 0]
        stats = info(client, "stats")
        assert stats["pubsub_channels"] == str(1 + SUBSCRIBERS) and stats["pubsub_patterns"] == "6", stats
        assert client.call("CLIENT", "LIST", "TYPE", "pubsub").value.count(b" sub=2 psub=2 ssub=1 ") == SUBSCRIBERS
        assert client.call("CLIENT", "KILL", "TYPE", "pubsub").value == SUBSCRIBERS
        assert all(subscriber.is_closed() for subscriber in subscribers)
        assert client.call("PUBLISH", "all", "x").value == 0 and client.call("PUBSUB", "CHANNELS").value == []
        stats = info(client, "stats")
        assert stats["pubsub_channels"] == stats["pubsub_patterns"] == "0", stats


def test_a_subscription_counts_from_its_answer_on(context):
    """Also the first of a worker, of which the others cannot have known before."""
    server = quiet_server()
    with connections(server, 8) as publishers:
        for number in range(400):
            with server.connect() as subscriber:
                subscriber.call("SUBSCRIBE", "c%d" % number)
                for publisher in publishers:
                    assert publisher.call("PUBLISH", "c%d" % number, "x").value == 1
                    expect(subscriber, "message", "c%d" % number, "x")
                subscriber.call("UNSUBSCRIBE")
            assert publishers[number % 8].call("PUBLISH", "c%d" % number, "x").value == 0


def test_who_is_gone_gets_nothing(context):
    """Closed, reset, closed for sending only, or silent: a subscription ends with its connection."""
    server = quiet_server()
    with server.connect() as publisher:
        for number in range(SUBSCRIBERS):
            with server.connect() as client:
                client.call("SUBSCRIBE", "a")
                client.call("PSUBSCRIBE", "a*")
                client.call("SSUBSCRIBE", "a")
                if number % 3 == 1:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                elif number % 3 == 2:
                    client.socket.shutdown(socket.SHUT_WR)
                    assert client.is_closed()
        for publish in ("PUBLISH", "SPUBLISH"):
            wait_for(lambda publish=publish: publisher.call(publish, "a", "x").value == 0, "nobody listens to a")
        assert publisher.call("PUBSUB", "NUMPAT").value == 0 and publisher.call("PUBSUB", "CHANNELS").value == []


# -- order ------------------------------------------------------------------------------------------------------------


def test_messages_of_a_publisher_stay_in_order(context):
    server = quiet_server()
    publishers, messages = 4, 3000

    def publish(name):
        with server.connect() as client:
            for start in range(0, messages, 100):
                numbers = range(start, start + 100)
                replies = client.pipeline([["PUBLISH", "stream", "%s:%d" % (name, n)] for n in numbers])
                assert [reply.value for reply in replies] == [SUBSCRIBERS] * 100

    def receive(client):
        last = {}
        for _ in range(publishers * messages):
            name, number = client.read().value[2].value.decode().split(":")
            assert int(number) == last.get(name, -1) + 1, "%s:%s after %s" % (name, number, last.get(name))
            last[name] = int(number)
        assert len(last) == publishers

    with connections(server, SUBSCRIBERS) as subscribers:
        for client in subscribers:
            client.call("SUBSCRIBE", "stream")
        receivers = [lambda client=client: receive(client) for client in subscribers]
        in_parallel(*receivers, *[lambda name=name: publish(name) for name in "abcd"[:publishers]])


def test_replies_of_a_publisher_stay_in_order(context):
    server = quiet_server()
    with connections(server, SUBSCRIBERS) as subscribers, connections(server, 6) as publishers:
        for number, client in enumerate(subscribers):
            client.call("SUBSCRIBE", "few" if number < 3 else "many")
        for publisher in publishers:
            commands, expected = [], []
            for number in range(100):
                commands += [["PUBLISH", "many", "x"], ["ECHO", number], ["PUBLISH", "few", "x"], ["SET", "k", number]]
                commands += [["PUBLISH", "none", "x"], ["GET", "k"]]
                expected += [SUBSCRIBERS - 3, b"%d" % number, 3, b"OK", 0, b"%d" % number]
            assert [reply.value for reply in publisher.pipeline(commands)] == expected


def test_a_publisher_hears_itself_before_its_reply(context):
    server = quiet_server()
    with connections(server, SUBSCRIBERS) as others, connections(server, 6, 3) as publishers:
        for client in others:
            client.call("SUBSCRIBE", "a")
        for publisher in publishers:
            commands = [["SUBSCRIBE", "a"], ["PUBLISH", "a", "1"], ["ECHO", "e"], ["PUBLISH", "a", "2"]]
            commands += [["UNSUBSCRIBE", "a"], ["PUBLISH", "a", "3"], ["PING"]]
            publisher.send_raw(b"".join(encode(*command) for command in commands))
            expect(publisher, "subscribe", "a", 1)
            expect(publisher, "message", "a", "1")
            assert publisher.read().value == SUBSCRIBERS + 1
            assert publisher.read().value == b"e"
            expect(publisher, "message", "a", "2")
            assert publisher.read().value == SUBSCRIBERS + 1
            expect(publisher, "unsubscribe", "a", 0)
            assert [publisher.read().value for _ in range(2)] == [SUBSCRIBERS, b"PONG"]


def test_messages_never_tear_a_reply(context):
    """A RESP3 subscriber whose replies come from the shards of several workers while messages come in between."""
    server = context.server(WORKERS if context.is_redis else {**WORKERS, "shards": "4"})
    rounds, commands, done = 10, 1000, []

    def publish():
        with server.connect() as client:
            number = 0
            while not done:
                assert all(reply.value == 4 for reply in client.pipeline([["PUBLISH", "a", "m" * (number % 300)]] * 50))
                number += 1

    def read(client):
        for _ in range(rounds):
            replies = []
            client.send_raw(b"".join(encode("ECHO" if n % 3 else "GET", "k%d" % n) for n in range(commands)))
            while len(replies) < commands:
                reply = client.read()
                if reply.kind != ">":
                    replies.append(reply.value)
            assert replies == [b"k%d" % n if n % 3 else None for n in range(commands)]

    def read_all(clients):
        try:
            in_parallel(*[lambda client=client: read(client) for client in clients])
        finally:
            done.append(True)

    with connections(server, 4, 3) as clients:
        for client in clients:
            client.call("SUBSCRIBE", "a")
        in_parallel(publish, lambda: read_all(clients))


# -- limits -----------------------------------------------------------------------------------------------------------


def limited_server(context, limits):
    return context.server({**WORKERS, "client-output-buffer-limit": limits.split()})


def publish_until_closed(publisher, channel, what):
    """The slow one is closed before this has sent it 200 MB; `publisher` counts one subscriber less then."""
    message = "m" * 100000
    counts = [publisher.call("PUBLISH", channel, message).value]
    while counts[-1] == counts[0]:
        assert len(counts) < 2000, what
        counts.append(publisher.call("PUBLISH", channel, message).value)
    return len(counts) * len(message)


def test_a_subscriber_that_does_not_read_is_closed(context):
    server = limited_server(context, "normal 0 0 0 pubsub 8mb 0 0")
    with server.connect() as slow, server.connect() as publisher, server.connect() as normal:
        slow.call("PSUBSCRIBE", "bulk*")
        sent = publish_until_closed(publisher, "bulk", "the limit of its class holds for a subscriber")
        assert sent > 8 << 20 and slow.is_closed()
        assert info(publisher, "stats")["pubsub_patterns"] == "0"
        # Others have a limit of their own, here none.
        normal.call("SET", "k", "v" * 1000000)
        for reply in normal.pipeline([["GET", "k"]] * 40):
            assert len(reply.value) == 1000000


def test_the_limit_of_normal_clients_is_not_that_of_subscribers(context):
    server = limited_server(context, "normal 1mb 0 0 pubsub 0 0 0")
    with server.connect() as subscriber, server.connect() as publisher:
        subscriber.call("SUBSCRIBE", "a")
        for _ in range(200):
            assert publisher.call("PUBLISH", "a", "m" * 100000).value == 1
        for _ in range(200):
            assert len(subscriber.read().value[2].value) == 100000


def test_a_soft_limit_of_subscribers(context):
    server = limited_server(context, "normal 0 0 0 pubsub 0 100kb 1")
    with server.connect() as slow, server.connect() as publisher:
        slow.call("SUBSCRIBE", "a")
        wait_for(lambda: publisher.call("PUBLISH", "a", "m" * 100000).value == 0, "the slow one is closed", 30.0)


def test_timeout_does_not_end_a_subscriber(context):
    server = context.server({**WORKERS, "timeout": "1"})
    with server.connect() as subscriber, server.connect() as idle:
        subscriber.call("SUBSCRIBE", "a")
        assert idle.is_closed()
        assert server.call("PUBLISH", "a", "x").value == 1
        expect(subscriber, "message", "a", "x")
        assert server.call("CLIENT", "KILL", "TYPE", "pubsub").value == 1
        assert subscriber.is_closed()


def test_many_channels(context):
    server = quiet_server()
    with connections(server, 3) as clients, server.connect() as other:
        for client in clients:
            client.pipeline([["SUBSCRIBE", "channel:%d" % number] for number in range(20000)])
        assert info(other, "stats")["pubsub_channels"] == "20000"
        assert other.call("PUBSUB", "NUMSUB", "channel:19999").plain() == [b"channel:19999", 3]
        clients[0].send("UNSUBSCRIBE")
        counts = [clients[0].read().value[2].value for _ in range(20000)]
        assert counts == list(range(19999, -1, -1))
        assert other.call("PUBLISH", "channel:7", "x").value == 2
        for client in clients:
            client.close()
        wait_for(lambda: info(other, "stats")["pubsub_channels"] == "0", "all channels are gone")


# -- client programs and libraries ------------------------------------------------------------------------------------


def test_redis_cli(context):
    server = quiet_server()
    command = ["redis-cli", "-p", str(server.port), "PSUBSCRIBE", "news.*"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TERM": "dumb"})
    try:
        output = iter(process.stdout.readline, b"")
        seen = []
        while not seen or seen[-1] != b"1\n":
            seen.append(next(output))
        assert seen[-3:] == [b"psubscribe\n", b"news.*\n", b"1\n"], seen
        assert server.call("PUBLISH", "news.art", "hello").value == 1
        assert [next(output) for _ in range(4)] == [b"pmessage\n", b"news.*\n", b"news.art\n", b"hello\n"]
    finally:
        process.kill()
        process.wait()


def test_redis_py(context):
    server = quiet_server()
    client = redis.Redis(port=server.port, socket_timeout=20, decode_responses=True)
    handled = []
    with client.pubsub() as pubsub:
        pubsub.subscribe("a", "b", by_handler=handled.append)
        pubsub.psubscribe("n*")
        confirmed = [pubsub.get_message(timeout=20)["type"] for _ in range(4)]
        assert sorted(confirmed) == ["psubscribe", "subscribe", "subscribe", "subscribe"], confirmed
        assert client.publish("a", "1") == client.publish("news", "2") == client.publish("by_handler", "3") == 1
        assert client.publish("others", "x") == 0
        assert pubsub.get_message(timeout=20) == {"type": "message", "pattern": None, "channel": "a", "data": "1"}
        assert pubsub.get_message(timeout=20) == {"type": "pmessage", "pattern": "n*", "channel": "news", "data": "2"}
        wait_for(lambda: pubsub.get_message(timeout=1) or handled, "the handler is called")
        assert handled[0]["data"] == "3"
        assert sorted(client.pubsub_channels()) == ["a", "b", "by_handler"] and client.pubsub_numpat() == 1
        assert client.pubsub_numsub("a", "none") == [("a", 1), ("none", 0)]
        pubsub.ping()
        assert pubsub.get_message(timeout=20)["type"] == "pong"
        pubsub.unsubscribe("a")
        assert pubsub.get_message(timeout=20)["type"] == "unsubscribe"
        assert client.publish("a", "4") == 0
    wait_for(lambda: client.publish("b", "x") == 0, "closing ended the subscriptions")
    client.close()
