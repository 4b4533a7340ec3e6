"""Several shards on several workers: commands are routed, scattered, gathered and recovered as with one."""

from harness import durable, wait_for
from load import Load
from resp import show

from suites import concurrency

SHARDED = {"shards": "4", "io-threads": "2"}


def setup(context):
    if not context.is_redis:
        concurrency.shared["server"] = context.server(SHARDED)


def on_shards(test):
    def run(context):
        context.require_capstan()
        test(context)

    return run


# What concurrency.py shows of single keys holds here, too.
test_increments_are_counted_once_each = on_shards(concurrency.test_increments_are_counted_once_each)
test_increments_of_one_connection_grow = on_shards(concurrency.test_increments_of_one_connection_grow)
test_watched_keys_make_optimistic_locks = on_shards(concurrency.test_watched_keys_make_optimistic_locks)
test_one_winner_of_a_lock = on_shards(concurrency.test_one_winner_of_a_lock)
test_what_is_acknowledged_is_seen_by_all = on_shards(concurrency.test_what_is_acknowledged_is_seen_by_all)
test_scan_while_others_write = on_shards(concurrency.test_scan_while_others_write)


def test_keys_of_several_shards(context):
    """What Redis answers without shards, where a command's parts join; CROSSSLOT where it must be atomic."""
    context.require_capstan()
    server = context.server(SHARDED)
    keys = ["key:%d" % number for number in range(100)]
    with server.connect() as client:
        assert client.call("MSET", *[word for key in keys for word in (key, key)]).raw == b"+OK\r\n"
        assert client.call("MGET", *keys, "none").plain() == [key.encode() for key in keys] + [None]
        assert client.call("EXISTS", *keys, "none").value == client.call("TOUCH", *keys).value == 100
        assert client.call("DBSIZE").value == 100
        assert sorted(client.call("KEYS", "*").plain()) == sorted(key.encode() for key in keys)
        assert client.call("RANDOMKEY").value.startswith(b"key:")
        assert client.call("DEL", *keys[:30]).value == client.call("UNLINK", *keys[30:60]).value == 30
        assert client.call("DBSIZE").value == 40
        for command in (
            ["RENAME", "key:60", "key:61"],
            ["COPY", "key:60", "key:61"],
            ["MSETNX", "a", "1", "b", "2", "c", "3"],
            ["BITOP", "OR", "a", "b", "c"],
            ["LCS", "key:60", "key:61"],
            ["WATCH", "a", "b", "c"],
        ):
            reply = client.call(*command)
            assert reply.is_error and reply.value.startswith(b"CROSSSLOT "), show(reply)
        client.call("MULTI")
        for key in ("a", "b", "c"):
            assert client.call("SET", key, "1").raw == b"+QUEUED\r\n"
        assert client.call("EXEC").value.startswith(b"CROSSSLOT "), "a transaction is of one shard"
        assert client.call("EXISTS", "a", "b", "c").value == 0
        assert client.call("RENAME", "key:60", "{key:60}2").raw == b"+OK\r\n", "a hash tag keeps keys together"
        assert client.call("FLUSHALL").raw == b"+OK\r\n" and client.call("DBSIZE").value == 0


def test_replies_keep_their_order(context):
    """Replies of other workers' shards come later than one's own, and leave in the order of the requests."""
    context.require_capstan()
    server = context.server(SHARDED)
    with server.connect() as client:
        for _ in range(5):
            commands = []
            for number in range(400):
                commands += [["SET", "k%d" % number, number], ["GET", "k%d" % number], ["ECHO", number]]
            replies = client.pipeline(commands)
            for number in range(400):
                value = b"%d" % number
                assert [r.value for r in replies[3 * number : 3 * number + 3]] == [b"OK", value, value]
        replies = client.pipeline([["SET", "k%d" % n, "v"] for n in range(300)] + [["WAITAOF", "1", "0", "10000"]])
        assert replies[-1].plain() == [1, 0], show(replies[-1])


def test_kill_under_load(context):
    context.require_capstan()
    server = context.server({**durable(context.program, "everysec"), **SHARDED})
    for threads in ("2", "1", "3"):  # a journal's shards belong to other workers in the next start
        load = Load(server)
        load.start()
        goal = load.acknowledged() + context.random.randrange(500, 4000)
        wait_for(lambda: load.acknowledged() >= goal or load.failed(), "%d writes are acknowledged" % goal, 60.0, 0.001)
        server.kill()
        load.join()
        server.directives["io-threads"] = threads
        server.start()
        assert load.check() >= goal
        server.call("FLUSHALL")
