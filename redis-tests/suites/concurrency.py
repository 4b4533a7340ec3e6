"""Many connections at once: every command is atomic, and whoever begins after an acknowledgement sees its effect."""

import threading
import time

from harness import durable, info, wait_for

shared = {}
CONNECTIONS = 16


def setup(context):
    # Several workers where the server has them: connections are spread over them, the data belongs to one.
    shared["server"] = context.server({"io-threads": "3"})


def empty_server():
    shared["server"].call("FLUSHALL")
    return shared["server"]


def in_parallel(*bodies):
    """Runs the functions as threads; the first failure of any is the test's."""
    failures = []

    def guarded(body):
        try:
            body()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_increments_are_counted_once_each(context):
    server, seen = empty_server(), []

    def count():
        with server.connect() as client:
            for _ in range(20):
                seen.extend(reply.value for reply in client.pipeline([["INCR", "n"]] * 50))

    in_parallel(*[count] * CONNECTIONS)
    assert sorted(seen) == list(range(1, CONNECTIONS * 1000 + 1)), "an increment is missing or counted twice"


def test_increments_of_one_connection_grow(context):
    server = empty_server()

    def count():
        with server.connect() as client:
            values = [reply.value for reply in client.pipeline([["INCR", "n"]] * 1000)]
            assert values == sorted(values), "the replies of a pipeline are out of order"

    in_parallel(*[count] * CONNECTIONS)


def test_mset_is_never_seen_half_done(context):
    server, done = empty_server(), threading.Event()
    keys = ["a", "b", "c", "{other}slot", "x" * 700]
    server.call("MSET", *[word for key in keys for word in (key, "0")])

    def write():
        try:
            with server.connect() as client:
                for number in range(1, 3000):
                    client.call("MSET", *[word for key in keys for word in (key, number)])
        finally:
            done.set()

    def read():
        with server.connect() as client:
            while not done.is_set():
                values = set(client.call("MGET", *keys).plain())
                assert len(values) == 1, "half an MSET was seen: %s" % values

    in_parallel(write, *[read] * 4)


def test_transactions_are_isolated(context):
    """Money moves between accounts; no reader, in a transaction or by MGET, ever sees another sum."""
    server, done = empty_server(), threading.Event()
    accounts = ["account:%d" % number for number in range(10)]
    server.call("MSET", *[word for account in accounts for word in (account, "100")])

    def move(seed):
        def body():
            with server.connect() as client:
                for step in range(150):
                    source, target = accounts[(seed * 7 + step) % 10], accounts[(seed + step * 3 + 1) % 10]
                    replies = client.pipeline([["MULTI"], ["DECRBY", source, "5"], ["INCRBY", target, "5"], ["EXEC"]])
                    assert not replies[-1].is_error and len(replies[-1].value) == 2, replies[-1]

        return body

    def read():
        with server.connect() as client:
            while not done.is_set():
                total = sum(int(value) for value in client.call("MGET", *accounts).plain())
                assert total == 1000, "the sum is %d" % total
                *_, last = client.pipeline([["MULTI"], *[["GET", account] for account in accounts], ["EXEC"]])
                total = sum(int(value) for value in last.plain())
                assert total == 1000, "the sum in a transaction is %d" % total

    def all_moves():
        try:
            in_parallel(*[move(seed) for seed in range(8)])
        finally:
            done.set()

    in_parallel(all_moves, read, read)


def test_watched_keys_make_optimistic_locks(context):
    server = empty_server()
    server.call("SET", "n", "0")

    def increment():
        with server.connect() as client:
            successes = 0
            while successes < 25:
                client.call("WATCH", "n")
                value = int(client.call("GET", "n").value)
                *_, last = client.pipeline([["MULTI"], ["SET", "n", value + 1], ["EXEC"]])
                successes += not last.is_null

    in_parallel(*[increment] * 4)
    assert server.call("GET", "n").value == b"100", "an update was lost: %s" % server.call("GET", "n")


def test_one_winner_of_a_lock(context):
    server = empty_server()
    clients = [server.connect() for _ in range(CONNECTIONS)]
    for number in range(200):
        for index, client in enumerate(clients):
            client.send("SET", "lock:%d" % number, index, "NX", "PX", "100000")
        replies = [client.read() for client in clients]
        winners = [index for index, reply in enumerate(replies) if reply.raw == b"+OK\r\n"]
        assert len(winners) == 1 and sum(reply.is_null for reply in replies) == CONNECTIONS - 1, replies
        assert server.call("GET", "lock:%d" % number).value == b"%d" % winners[0]


def test_what_is_acknowledged_is_seen_by_all(context):
    """One writer counts upwards; a read that begins after an acknowledgement, or after another read, is not older."""
    server, done = empty_server(), threading.Event()
    server.call("SET", "n", "0")
    newest = [0]  # acknowledged to the writer or returned to any reader
    lock = threading.Lock()

    def learn(value):
        with lock:
            newest[0] = max(newest[0], value)

    def write():
        try:
            with server.connect() as client:
                for number in range(1, 300):
                    client.call("SET", "n", number)
                    learn(number)
        finally:
            done.set()

    def read():
        with server.connect() as client:
            while not done.is_set():
                known = newest[0]
                value = int(client.call("GET", "n").value)
                assert value >= known, "a read returned %d when %d was known" % (value, known)
                learn(value)

    in_parallel(write, *[read] * 5)


def test_writes_of_other_connections_are_seen_at_once(context):
    """Connection after connection, in turn: SET on one, GET on the next."""
    server = empty_server()
    clients = [server.connect() for _ in range(CONNECTIONS)]
    for number in range(2000):
        writer, reader = clients[number % CONNECTIONS], clients[(number * 5 + 1) % CONNECTIONS]
        assert writer.call("SET", "k%d" % (number % 7), number).raw == b"+OK\r\n"
        assert reader.call("GET", "k%d" % (number % 7)).value == b"%d" % number


def test_flushes_among_writes(context):
    server = empty_server()

    def write(seed):
        def body():
            with server.connect() as client:
                for number in range(100):
                    client.pipeline([["SET", "k%d:%d" % (seed, number * 20 + each), "v"] for each in range(20)])

        return body

    def flush():
        with server.connect() as client:
            for number in range(30):
                assert client.call("FLUSHALL", *(["ASYNC"] if number % 2 else [])).raw == b"+OK\r\n"

    in_parallel(flush, *[write(seed) for seed in range(6)])
    with server.connect() as client:
        keys = client.call("KEYS", "*").plain()
        assert len(keys) == len(set(keys)) == client.call("DBSIZE").value
        assert client.call("EXISTS", "none", *keys).value == len(keys)
        client.call("FLUSHALL")
        assert client.call("DBSIZE").value == 0 and client.call("KEYS", "*").plain() == []


def test_scan_while_others_write(context):
    """What is there from the beginning to the end of a SCAN is found, whatever comes and goes meanwhile."""
    server, done = empty_server(), threading.Event()
    lasting = {b"lasting:%d" % number for number in range(3000)}
    with server.connect() as client:
        client.pipeline([["SET", key, "v"] for key in sorted(lasting)])

    def disturb():
        with server.connect() as client:
            number = 0
            while not done.is_set():
                number += 1
                client.pipeline([["SET", "passing:%d" % (number + each), "v"] for each in range(20)])
                client.call("DEL", *["passing:%d" % (number + each) for each in range(20)])
                client.call("SET", "lasting:%d" % (number % 3000), "rewritten")

    def scan():
        try:
            with server.connect() as client:
                for count in ("3", "10", "100", "1000"):
                    cursor, found = b"0", set()
                    while True:
                        reply = client.call("SCAN", cursor, "COUNT", count)
                        cursor = reply.value[0].value
                        found.update(item.value for item in reply.value[1].value)
                        if cursor == b"0":
                            break
                    assert lasting <= found, "SCAN missed %d keys" % len(lasting - found)
        finally:
            done.set()

    in_parallel(scan, disturb, disturb)


# -- expiry ----------------------------------------------------------------------------------------------------------


def test_expired_keys_are_removed_by_themselves(context):
    server = empty_server()
    with server.connect() as client:
        expired = int(info(client, "stats")["expired_keys"])
        client.pipeline([["SET", "k%d" % number, "v" * 100, "PX", "100"] for number in range(2000)])
        client.call("SET", "lasting", "v")
        wait_for(lambda: client.call("DBSIZE").value == 1, "nobody looks, and the expired keys go", 30.0)
        assert int(info(client, "stats")["expired_keys"]) - expired == 2000
        assert client.call("KEYS", "*").plain() == [b"lasting"]


def test_no_read_after_the_expiry(context):
    """Kept to the millisecond: nobody reads a value after the server's clock has passed its expiry."""
    server = empty_server()

    def now_ms(client):
        seconds, microseconds = client.call("TIME").plain()
        return int(seconds) * 1000 + int(microseconds) // 1000

    with server.connect() as client:
        for _ in range(20):
            expiry = now_ms(client) + 20
            client.call("SET", "k", "v", "PXAT", expiry)
            while True:
                before = now_ms(client)
                value = client.call("GET", "k").value
                after = now_ms(client)
                assert value is not None or after >= expiry, "gone %d ms too early" % (expiry - after)
                assert value is None or before <= expiry, "read %d ms too late" % (before - expiry)
                if value is None:
                    break


def test_expiry_while_the_server_is_down(context):
    server = context.server(durable(context.program, "always"))
    with server.connect() as client:
        client.call("SET", "short", "v", "PX", "300")
        client.call("SET", "long", "v", "EX", "100000")
        server.kill()
    deadline = time.time() + 0.4
    wait_for(lambda: time.time() > deadline, "the expiry has passed")
    server.start()
    with server.connect() as client:
        assert client.call("MGET", "short", "long").plain() == [None, b"v"]
        assert client.call("TTL", "short").value == -2 and client.call("SET", "short", "new", "XX").is_null
        wait_for(lambda: client.call("DBSIZE").value == 1, "the expired key is removed")
