"""kill −9 under load: no acknowledged write is lost, none is half there."""

import signal

from harness import Skip, durable, wait_for
from load import Load


def crash_under_load(context, server, rounds, stop=None):
    """Loads the server and kills it, round by round; returns how many writes there are in the end."""
    load = Load(server)
    total = 0
    for _ in range(rounds):
        load.start()
        goal = load.acknowledged() + context.random.randrange(500, 6000)
        wait_for(lambda: load.acknowledged() >= goal or load.failed(), "%d writes are acknowledged" % goal, 60.0, 0.001)
        (stop or server.kill)()
        load.join()
        server.start()
        total = load.check()
    return total


def test_kill_under_load_appendfsync_always(context):
    server = context.server(durable(context.program, "always"))
    total = crash_under_load(context, server, rounds=100 if context.deep else 10)
    context.note("durability: %d writes survived kill -9 (appendfsync always)" % total)


def test_kill_under_load_appendfsync_everysec(context):
    """What was written to the file survives the process; only the system's crash may take it."""
    if context.is_redis:
        raise Skip("redis-server may hold an acknowledged write back while an fsync runs")
    server = context.server(durable(context.program, "everysec"))
    crash_under_load(context, server, rounds=50 if context.deep else 5)


def test_kill_under_load_appendfsync_no(context):
    server = context.server(durable(context.program, "no"))
    crash_under_load(context, server, rounds=20 if context.deep else 3)


def test_terminate_under_load(context):
    server = context.server(durable(context.program, "everysec"))

    def stop():
        server.process.send_signal(signal.SIGTERM)
        assert server.wait_exit(60.0) == 0, server.log()[-2000:]

    crash_under_load(context, server, rounds=3, stop=stop)


def test_kill_again_during_recovery(context):
    """A start that is killed, at any moment, harms nothing."""
    server = context.server(durable(context.program, "always"))
    load = Load(server)
    load.start()
    wait_for(lambda: load.acknowledged() >= 10000 or load.failed(), "10,000 writes", 60.0, 0.001)
    server.kill()
    load.join()
    for attempt in range(6):
        server.spawn()
        try:
            server.process.wait(0.002 * 3**attempt)  # killed later each time, while it recovers or serves
        except Exception:
            pass
        assert server.is_running(), "ended by itself:\n" + server.log()[-2000:]
        server.kill()
    server.start()
    load.check()


def test_many_restarts_without_writes(context):
    server = context.server(durable(context.program, "always"))
    with server.connect() as client:
        for number in range(1000):
            client.call("SET", "k%d" % number, number, *(["EX", 100000] if number % 2 else []))
        client.call("DEL", *["k%d" % number for number in range(0, 1000, 10)])
        client.call("SELECT", "5")
        client.call("SET", "other", "database")
    for number in range(8):
        (server.crash if number % 2 else server.restart)()
        with server.connect() as client:
            assert client.call("DBSIZE").value == 900
            reply = client.call("MGET", *["k%d" % number for number in range(1000)]).plain()
            assert reply == [None if number % 10 == 0 else b"%d" % number for number in range(1000)]
            assert 99000 < client.call("TTL", "k1").value <= 100000 and client.call("TTL", "k2").value == -1
            client.call("SELECT", "5")
            assert client.call("GET", "other").value == b"database"


def test_effects_survive_not_commands(context):
    """What is random or depends on the time is computed once; a restart changes nothing."""
    server = context.server(durable(context.program, "always"))
    commands = [
        ["SET", "float", "0.1"],
        ["INCRBYFLOAT", "float", "0.2"],
        ["INCRBYFLOAT", "float", "1e10"],
        ["SET", "short", "v", "PX", "60"],
        ["SET", "bits", ""],
        ["SETBIT", "bits", "12345", "1"],
        ["SETRANGE", "range", "70000", "end"],
        ["APPEND", "range", "and more"],
        ["BITFIELD", "field", "INCRBY", "u8", "100", "200", "OVERFLOW", "SAT", "INCRBY", "u8", "100", "200"],
        ["SET", "renamed", "v", "EX", "100000"],
        ["RENAME", "renamed", "to"],
        ["COPY", "to", "copied", "DB", "1"],
        ["MSET", "a", "1", "b", "2"],
        ["BITOP", "OR", "or", "a", "b", "range"],
        ["GETDEL", "a"],
        ["GETEX", "b", "EX", "100000"],
        ["LCS", "b", "or"],
    ]
    with server.connect() as client:
        for command in commands:
            reply = client.call(*command)
            assert not reply.is_error, "%s answered %s" % (command, reply)
        wait_for(lambda: client.call("EXISTS", "short").value == 0, "the short one expires")

    def state():
        with server.connect() as client:
            found = []
            for database in "01":
                client.call("SELECT", database)
                for key in sorted(client.call("KEYS", "*").plain()):
                    found.append((database, key, client.call("GET", key).value, client.call("PEXPIRETIME", key).value))
            return found

    before = state()
    assert len(before) == 8, [entry[:2] for entry in before]
    for again in (server.crash, server.restart, server.crash):
        again()
        differing = [(old[:2], new[:2]) for old, new in zip(before, state()) if old != new]
        assert len(state()) == len(before) and not differing, differing
