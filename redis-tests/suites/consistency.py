"""Commands and options that are ours: CONSISTENCY in all its forms, READONLY, VERSION, IFEQ, IFVERSION, WAITAOF."""

from harness import Skip, command_names, wait_for
from resp import show

LEVELS = ["STRONG", "EVENTUAL", "LOCAL"]
shared = {}


def setup(context):
    if not context.is_redis:
        shared["server"] = context.server()


def fresh(context, protocol=2):
    """A connection with the defaults, on an empty keyspace."""
    context.require_capstan()
    client = shared["server"].connect(protocol)
    expect(client, "+OK", "FLUSHALL")
    return client


def expect(client, wanted, *command):
    """The reply as text: +OK, :1, $value, null, or the beginning of an error."""
    reply = client.call(*command)
    text = "null" if reply.is_null else reply.kind + (
        reply.value.decode("utf-8", "replace") if isinstance(reply.value, bytes) else str(reply.value)
    )
    matches = text.startswith(wanted) if wanted.startswith("-") else text == wanted
    assert matches, "%s answered %s instead of %s" % (command, show(reply), wanted)
    return reply


def level_of(client):
    reply = client.call("CONSISTENCY", "GET")
    assert not reply.is_error, show(reply)
    words = flat(reply).upper()
    found = [level for level in LEVELS if level in words]
    assert len(found) == 1, "CONSISTENCY GET names no single level: " + show(reply)
    return found[0]


def flat(reply):
    if isinstance(reply.value, list):
        return " ".join(flat(item) for item in reply.value)
    return reply.value.decode() if isinstance(reply.value, bytes) else str(reply.value)


# -- the prefix ------------------------------------------------------------------------------------------------------

OPTIONS = [
    [],
    ["W", "1"],
    ["R", "1"],
    ["W", "1", "R", "1"],
    ["R", "QUORUM", "W", "QUORUM"],
    ["W", "ALL"],
    ["R", "ALL"],
    ["W", "LOCAL_QUORUM"],
    ["R", "EACH_QUORUM"],
    ["w", "quorum"],
    ["TIMEOUT", "1000"],
    ["TIMEOUT", "1000", "W", "1"],
    ["SESSION"],
    ["session", "timeout", "500"],
]


def test_prefix_with_every_option(context):
    client = fresh(context)
    for level in LEVELS + ["strong", "Eventual", "local"]:
        for options in OPTIONS:
            prefix = ["CONSISTENCY", level] + options
            expect(client, "+OK", *prefix, "SET", "k", "v")
            expect(client, "$v", *prefix, "GET", "k")
            expect(client, ":1", *prefix, "DEL", "k")
            expect(client, "null", *prefix, "GET", "k")
    assert level_of(client) == "STRONG", "a prefix holds for its command only"


def test_prefix_on_reads(context):
    client = fresh(context)
    expect(client, "+OK", "SET", "k", "v")
    token = client.call("CONSISTENCY", "TOKEN")
    assert not token.is_error and token.value, "CONSISTENCY TOKEN answers " + show(token)
    for level in LEVELS:
        after = ["AFTER", token.value]
        for options in (["MAXAGE", "1000"], after, after + ["MAXAGE", "60000", "R", "1"]):
            expect(client, "$v", "CONSISTENCY", level, *options, "GET", "k")


def test_prefix_keeps_the_commands_errors(context):
    client = fresh(context)
    expect(client, "-ERR wrong number of arguments for 'get' command", "CONSISTENCY", "LOCAL", "GET")
    expect(client, "-ERR wrong number of arguments for 'set' command", "CONSISTENCY", "STRONG", "SET", "k")
    expect(client, "-ERR syntax error", "CONSISTENCY", "STRONG", "SET", "k", "v", "nothing")
    unknown = "-ERR unknown command 'NOSUCH', with args beginning with: 'x' "
    expect(client, unknown, "CONSISTENCY", "STRONG", "NOSUCH", "x")
    expect(client, "+OK", "SET", "s", "abc")
    for level in LEVELS:
        expect(client, "-ERR value is not an integer or out of range", "CONSISTENCY", level, "INCR", "s")


def test_prefix_errors(context):
    client = fresh(context)
    for words in (
        [],
        ["NOTHING"],
        ["NOTHING", "GET", "k"],
        ["STRONG", "W"],
        ["EVENTUAL", "W", "0", "SET", "k", "v"],
        ["EVENTUAL", "W", "-1", "SET", "k", "v"],
        ["EVENTUAL", "W", "abc", "SET", "k", "v"],
        ["EVENTUAL", "R", "1.5", "GET", "k"],
        ["EVENTUAL", "TIMEOUT", "abc", "GET", "k"],
        ["EVENTUAL", "TIMEOUT", "-1", "GET", "k"],
        ["LOCAL", "MAXAGE", "abc", "GET", "k"],
        ["LOCAL", "AFTER", "not a token", "GET", "k"],
        ["LOCAL", "TIMEOUT"],
        ["STRONG", "ID", "client"],
        ["STRONG", "ID", "client", "notanumber", "SET", "k", "v"],
        ["GET", "x"],
        ["RESET", "x"],
        ["TOKEN", "x"],
    ):
        reply = client.call("CONSISTENCY", *words)
        assert reply.kind == "-" and reply.value.startswith(b"ERR "), "%s answered %s" % (words, show(reply))
        expect(client, "null", "GET", "k")
    assert level_of(client) == "STRONG"


def test_prefix_on_the_prefix(context):
    """Nested prefixes make no sense; whatever is answered, the connection stays in step."""
    client = fresh(context)
    reply = client.call("CONSISTENCY", "LOCAL", "CONSISTENCY", "STRONG", "GET", "k")
    assert reply.is_error or reply.is_null, show(reply)
    expect(client, "+PONG", "PING")


def test_prefix_runs_every_kind_of_command(context):
    client = fresh(context)
    for level in LEVELS:
        expect(client, "+PONG", "CONSISTENCY", level, "PING")
        expect(client, "+OK", "CONSISTENCY", level, "MSET", "a", "1", "b", "2")
        reply = client.call("CONSISTENCY", level, "MGET", "a", "b")
        assert reply.plain() == [b"1", b"2"], show(reply)
        expect(client, ":2", "CONSISTENCY", level, "DBSIZE")
        expect(client, ":2", "CONSISTENCY", level, "INCR", "a")
        expect(client, ":2", "CONSISTENCY", level, "DEL", "a", "b")


def test_more_writers_than_there_are(context):
    """W above the number of replicas: the write is kept and the reply says that too few have it. One node has one."""
    client = fresh(context)
    expect(client, "-NOREPLICAS 1 of 2 ", "CONSISTENCY", "EVENTUAL", "W", "2", "TIMEOUT", "100", "SET", "k", "v")
    expect(client, "$v", "GET", "k")
    expect(client, "-ERR value is not an integer", "CONSISTENCY", "STRONG", "W", "2", "INCR", "k")
    expect(client, "-NOREPLICAS 1 of 2 ", "CONSISTENCY", "STRONG", "R", "2", "GET", "k")


def test_transactions_heed_w_and_r(context):
    client = fresh(context)
    for queue, wanted in (
        ([["SET", "k", "1"], ["INCR", "k"]], "-NOREPLICAS 1 of 2 replicas acknowledged; the write is kept"),
        ([["SET", "k", "2"], ["PING"]], "-NOREPLICAS 1 of 2 replicas acknowledged; the write is kept"),
    ):
        expect(client, "+OK", "MULTI")
        for command in queue:
            expect(client, "+QUEUED", *command)
        expect(client, wanted, "CONSISTENCY", "STRONG", "W", "2", "EXEC")
        expect(client, "$2", "GET", "k")
    expect(client, "+OK", "MULTI")
    expect(client, "+QUEUED", "GET", "k")
    assert client.call("CONSISTENCY", "STRONG", "W", "2", "EXEC").plain() == [b"2"], "it wrote nothing"
    expect(client, "+OK", "MULTI")
    expect(client, "+QUEUED", "GET", "k")
    expect(client, "-EXECABORT Transaction discarded because of: NOREPLICAS 1 of 2", "CONSISTENCY", "STRONG", "R", "2", "EXEC")
    expect(client, "$next", "ECHO", "next")


def test_of_several_keys_the_strictest_pattern_counts(context):
    context.require_capstan()
    server = context.server({"consistency": "eventual"})
    with server.connect() as client:
        expect(client, "+OK", "CONFIG", "SET", "consistency", '"s:*" strong w=2')
        expect(client, "+OK", "MSET", "a", "1", "b", "2")
        for keys in (["s:a", "b"], ["b", "s:a"]):
            expect(client, "-NOREPLICAS 1 of 2 ", "MSET", keys[0], "1", keys[1], "2")


def test_a_renamed_prefix_has_its_new_name_only(context):
    context.require_capstan()
    server = context.server({"rename-command": ["CONSISTENCY", "LEVEL"]})
    with server.connect() as client:
        expect(client, "-ERR unknown command", "CONSISTENCY", "STRONG", "SET", "k", "v")
        expect(client, "+OK", "LEVEL", "STRONG", "SET", "k", "v")
        expect(client, "$v", "LEVEL", "LOCAL", "GET", "k")


# -- trailing words --------------------------------------------------------------------------------------------------


def test_trailing_words_on_commands_of_fixed_arity(context):
    client = fresh(context)
    for level in LEVELS + ["eventual"]:
        for options in ([], ["W", "1"], ["TIMEOUT", "1000"], ["W", "1", "TIMEOUT", "1000"]):
            tail = ["CONSISTENCY", level] + options
            expect(client, "+OK", "SET", "k", "1", *tail)
            expect(client, "$1", "GET", "k", *tail)
            expect(client, ":2", "INCR", "k", *tail)
            expect(client, ":5", "INCRBY", "k", "3", *tail)
            expect(client, ":2", "APPEND", "k", "0", *tail)
            expect(client, ":2", "STRLEN", "k", *tail)
            expect(client, "+string", "TYPE", "k", *tail)
            expect(client, ":-1", "TTL", "k", *tail)
            expect(client, "$50", "GETSET", "k", "x", *tail)
            expect(client, "$x", "GETDEL", "k", *tail)
    expect(client, "+OK", "SET", "k", "v", "EX", "100", "consistency", "local")
    expect(client, ":100", "TTL", "k")


def test_trailing_words_are_not_taken_from_what_redis_accepts(context):
    client = fresh(context)
    expect(client, "+OK", "SET", "k", "CONSISTENCY")
    expect(client, "$CONSISTENCY", "GET", "k")
    expect(client, "+OK", "MSET", "a", "1", "CONSISTENCY", "LOCAL")
    expect(client, "$LOCAL", "GET", "CONSISTENCY")
    reply = client.call("MGET", "a", "CONSISTENCY", "LOCAL")
    assert reply.plain() == [b"1", b"LOCAL", None], show(reply)
    expect(client, ":2", "EXISTS", "a", "CONSISTENCY", "LOCAL")
    expect(client, ":2", "DEL", "a", "CONSISTENCY", "STRONG")
    expect(client, "$CONSISTENCY", "ECHO", "CONSISTENCY")


def test_trailing_words_errors(context):
    client = fresh(context)
    for words in (
        ["GET", "k", "CONSISTENCY"],
        ["GET", "k", "CONSISTENCY", "NOTHING"],
        ["GET", "k", "CONSISTENCY", "STRONG", "W"],
        ["GET", "k", "x", "CONSISTENCY", "STRONG"],
        ["GET", "k", "CONSISTENCY", "STRONG", "x"],
        ["GET", "CONSISTENCY", "STRONG"],
        ["SET", "k", "v", "CONSISTENCY"],
        ["SET", "k", "v", "CONSISTENCY", "NOTHING"],
        ["SET", "k", "v", "CONSISTENCY", "EVENTUAL", "W", "abc"],
        ["SET", "k", "v", "CONSISTENCY", "STRONG", "EX", "10"],
        ["INCR", "k", "CONSISTENCY", "LOCAL", "TIMEOUT", "abc"],
    ):
        reply = client.call(*words)
        assert reply.kind == "-" and reply.value.startswith(b"ERR "), "%s answered %s" % (words, show(reply))
        expect(client, ":0", "EXISTS", "k")


# -- the connection --------------------------------------------------------------------------------------------------


def test_connection_level(context):
    client, other = fresh(context), shared["server"].connect()
    assert level_of(client) == "STRONG"
    for level in ("EVENTUAL", "LOCAL", "strong", "Eventual"):
        expect(client, "+OK", "CONSISTENCY", level)
        assert level_of(client) == level.upper()
        assert level_of(other) == "STRONG", "the level belongs to the connection"
        expect(client, "+OK", "SET", "k", level)
        expect(client, "$" + level, "GET", "k")
    expect(client, "+OK", "CONSISTENCY", "EVENTUAL", "W", "1", "R", "1", "TIMEOUT", "500")
    assert level_of(client) == "EVENTUAL"
    expect(client, "+OK", "CONSISTENCY", "RESET")
    assert level_of(client) == "STRONG"
    expect(client, "+OK", "consistency", "local")
    expect(client, "+RESET", "RESET")
    assert level_of(client) == "STRONG", "RESET gives the connection its defaults"


def test_connection_level_in_a_transaction(context):
    client = fresh(context)
    for level in LEVELS:
        expect(client, "+OK", "CONSISTENCY", level)
        expect(client, "+OK", "MULTI")
        expect(client, "+QUEUED", "SET", "k", level)
        expect(client, "+QUEUED", "GET", "k")
        reply = client.call("EXEC")
        assert reply.plain() == [b"OK", level.encode()], show(reply)
    expect(client, "+OK", "CONSISTENCY", "RESET")
    for level in LEVELS:
        expect(client, "+OK", "MULTI")
        expect(client, "+QUEUED", "SET", "k", "exec " + level)
        reply = client.call("CONSISTENCY", level, "EXEC")
        assert reply.plain() == [b"OK"], "CONSISTENCY %s EXEC answered %s" % (level, show(reply))
        expect(client, "$exec " + level, "GET", "k")


def test_levels_see_each_other_on_one_connection(context):
    client = fresh(context)
    for number in range(200):
        writer, reader = context.random.choice(LEVELS), context.random.choice(LEVELS)
        expect(client, ":%d" % (number + 1), "CONSISTENCY", writer, "INCR", "counter")
        expect(client, "$%d" % (number + 1), "CONSISTENCY", reader, "GET", "counter")


def test_increments_of_all_levels_count(context):
    fresh(context).close()
    clients = [shared["server"].connect() for _ in range(6)]
    for _ in range(50):
        for index, client in enumerate(clients):
            client.send("CONSISTENCY", LEVELS[index % 3], "INCR", "counter")
        for client in clients:
            assert client.read().kind == ":"
    expect(clients[0], "$300", "GET", "counter")


def test_readonly_and_readwrite(context):
    client = fresh(context)
    expect(client, "+OK", "SET", "k", "v")
    expect(client, "+OK", "READONLY")
    expect(client, "$v", "GET", "k")
    expect(client, "+OK", "SET", "k", "w")
    expect(client, "$w", "GET", "k")
    expect(client, "+OK", "READWRITE")
    expect(client, "$w", "GET", "k")


# -- patterns and defaults -------------------------------------------------------------------------------------------


def test_config_set_consistency(context):
    context.require_capstan()
    server = context.server()
    with server.connect() as client:
        expect(client, "+OK", "CONFIG", "SET", "consistency", "eventual")
        with server.connect() as other:
            assert level_of(other) == "EVENTUAL"
        expect(client, "+OK", "CONFIG", "SET", "consistency", "strong")
        expect(client, "+OK", "CONFIG", "SET", "consistency", '"session:*" eventual w=1')
        reply = client.call("CONFIG", "GET", "consistency")
        assert "session:*" in flat(reply), show(reply)
        for level in LEVELS:
            expect(client, "+OK", "CONSISTENCY", level, "SET", "session:1", "v")
            expect(client, "$v", "GET", "session:1")
        for bad in ("nothing", '"x:*" nothing', '"x:*" eventual w=abc', '"x:*" eventual nothing=1', "", '"x:*"'):
            expect(client, "-ERR CONFIG SET failed", "CONFIG", "SET", "consistency", bad)
        expect(client, "$v", "GET", "session:1")


def test_default_from_the_command_line(context):
    context.require_capstan()
    server = context.server({"consistency": "eventual"})
    with server.connect() as client:
        assert level_of(client) == "EVENTUAL"
        expect(client, "+OK", "CONSISTENCY", "STRONG")
        expect(client, "+OK", "CONSISTENCY", "RESET")
        assert level_of(client) == "EVENTUAL", "RESET returns to the server's default"


# -- versions and conditional writes ---------------------------------------------------------------------------------


def version(client, key):
    reply = client.call("VERSION", key)
    assert not reply.is_error, show(reply)
    return reply.value


def test_version(context):
    client = fresh(context)
    expect(client, "-ERR wrong number of arguments for 'version' command", "VERSION")
    expect(client, "+OK", "SET", "k", "v")
    first = version(client, "k")
    assert first and version(client, "k") == first, "a version is stable while nothing is written"
    expect(client, "$v", "GET", "k")
    expect(client, "+OK", "SET", "other", "v")
    assert version(client, "k") == first, "another key's write does not change it"
    seen = {first}
    for command in (["SET", "k", "v"], ["APPEND", "k", "w"], ["SET", "k", "1"], ["INCR", "k"], ["INCR", "k"],
                    ["EXPIRE", "k", "100"], ["PERSIST", "k"], ["SETRANGE", "k", "0", "9"], ["DEL", "k"]):
        reply = client.call(*command)
        assert not reply.is_error, show(reply)
        now = version(client, "k")
        assert now not in seen, "%s did not change the version" % command
        seen.add(now)


def test_version_survives_a_restart(context):
    context.require_capstan()
    server = context.server({"appendfsync": "always"})
    with server.connect() as client:
        for number in range(20):
            client.call("SET", "k%d" % number, "v")
            client.call("INCR", "n%d" % number)
        keys = ["%s%d" % (kind, number) for kind in "kn" for number in range(20)]
        before = [version(client, key) for key in keys]
    for again in (server.crash, server.restart):
        again()
        with server.connect() as client:
            assert [version(client, key) for key in keys] == before


def test_set_ifversion(context):
    client = fresh(context)
    expect(client, "+OK", "SET", "k", "v")
    old = version(client, "k")
    expect(client, "+OK", "SET", "k", "w", "IFVERSION", old)
    expect(client, "null", "SET", "k", "x", "IFVERSION", old)
    expect(client, "$w", "GET", "k")
    expect(client, "+OK", "SET", "k", "y", "ifversion", version(client, "k"), "EX", "100")
    expect(client, ":100", "TTL", "k")
    expect(client, "-ERR syntax error", "SET", "k", "v", "IFVERSION")
    expect(client, "null", "SET", "k", "v", "IFVERSION", "not a version")
    expect(client, "$y", "GET", "k")


def test_set_ifeq(context):
    client = fresh(context)
    expect(client, "null", "SET", "k", "v", "IFEQ", "x")
    expect(client, ":0", "EXISTS", "k")
    expect(client, "+OK", "SET", "k", "v")
    expect(client, "null", "SET", "k", "w", "IFEQ", "x")
    expect(client, "$v", "GET", "k")
    expect(client, "+OK", "SET", "k", "w", "IFEQ", "v")
    expect(client, "$w", "GET", "k")
    expect(client, "+OK", "SET", "k", "10", "ifeq", "w", "EX", "100")
    expect(client, ":100", "TTL", "k")
    expect(client, "+OK", "SET", "k", "11", "IFEQ", "10", "KEEPTTL")
    expect(client, ":100", "TTL", "k")
    expect(client, "+OK", "SET", "k", "12", "IFEQ", "11")
    expect(client, ":-1", "TTL", "k")
    expect(client, ":13", "INCR", "k")
    expect(client, "+OK", "SET", "k", "", "IFEQ", "13")
    expect(client, "+OK", "SET", "k", b"bin\x00\xff", "IFEQ", "")
    expect(client, "+OK", "SET", "k", "end", "IFEQ", b"bin\x00\xff")
    expect(client, "$end", "SET", "k", "next", "IFEQ", "end", "GET")
    expect(client, "$next", "SET", "k", "never", "IFEQ", "end", "GET")
    expect(client, "$next", "GET", "k")


def test_set_ifeq_errors(context):
    client = fresh(context)
    expect(client, "+OK", "SET", "k", "v")
    for words in (["IFEQ"], ["IFEQ", "v", "NX"], ["NX", "IFEQ", "v"], ["IFEQ", "v", "XX"], ["XX", "IFEQ", "v"],
                  ["IFEQ", "v", "IFVERSION", version(client, "k")], ["IFEQ", "v", "nothing"]):
        expect(client, "-ERR syntax error", "SET", "k", "w", *words)
    expect(client, "$v", "GET", "k")


def test_conditional_writes_of_two_clients(context):
    """Compare and set by many clients at once: every success is one step of the counter."""
    fresh(context).call("SET", "k", "0")
    clients = [shared["server"].connect() for _ in range(8)]
    successes = 0
    for _ in range(60):
        values = [client.call("GET", "k").value for client in clients]
        for client, value in zip(clients, values):
            client.send("SET", "k", str(int(value) + 1), "IFEQ", value)
        wins = sum(client.read().raw == b"+OK\r\n" for client in clients)
        assert wins == 1, "%d of 8 won" % wins
        successes += wins
    assert clients[0].call("GET", "k").value == str(successes).encode()


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_waitaof(context):
    context.require_capstan()
    server = context.server({"appendfsync": "everysec"})
    with server.connect() as client:
        if "waitaof" not in command_names(client):
            raise Skip("the server has no WAITAOF")
        expect(client, "+OK", "SET", "k", "v")
        reply = client.call("WAITAOF", "1", "0", "10000")
        assert reply.plain() == [1, 0], "WAITAOF 1 0 answered %s: the write is not on disk" % show(reply)
        reply = client.call("WAITAOF", "0", "0", "0")
        assert reply.plain() == [1, 0], show(reply)
        reply = client.call("WAITAOF", "1", "1", "50")
        assert reply.plain() == [1, 0], show(reply)
        expect(client, "-ERR wrong number of arguments for 'waitaof' command", "WAITAOF", "1", "0")
        expect(client, "-ERR ", "WAITAOF", "abc", "0", "0")
        expect(client, "-ERR ", "WAITAOF", "2", "0", "0")
        expect(client, "-ERR ", "WAITAOF", "1", "-1", "0")
        expect(client, "-ERR timeout is negative", "WAITAOF", "1", "0", "-1")


def test_waitsettled(context):
    client = fresh(context)
    if "waitsettled" not in command_names(client):
        raise Skip("the server has no WAITSETTLED")
    expect(client, "+OK", "CONSISTENCY", "EVENTUAL", "SET", "k", "v")
    expect(client, ":1", "WAITSETTLED", "10000")


def test_names_of_ours_in_command(context):
    client = fresh(context)
    entry = client.call("COMMAND", "INFO", "consistency").value[0].plain()
    assert entry and b"movablekeys" in entry[2], "COMMAND marks CONSISTENCY as movable keys: %s" % entry
    reply = client.call("COMMAND", "GETKEYS", "CONSISTENCY", "EVENTUAL", "W", "1", "MSET", "a", "1", "b", "2")
    assert reply.plain() == [b"a", b"b"], show(reply)
    reply = client.call("COMMAND", "GETKEYS", "GET", "k", "CONSISTENCY", "LOCAL")
    assert reply.plain() == [b"k"], show(reply)


def test_consistency_in_resp3(context):
    client = fresh(context, protocol=3)
    for level in LEVELS:
        expect(client, "+OK", "CONSISTENCY", level, "SET", "k", "v")
        reply = client.call("CONSISTENCY", level, "GET", "missing")
        assert reply.raw == b"_\r\n", show(reply)
    assert level_of(client) == "STRONG"


# -- expired keys ------------------------------------------------------------------------------------------------------

WRITES_THAT_CREATE = [
    ("INCR", "k"),
    ("INCRBYFLOAT", "k", "1.5"),
    ("APPEND", "k", "x"),
    ("SETRANGE", "k", "2", "x"),
    ("SETBIT", "k", "3", "1"),
    ("BITFIELD", "k", "SET", "u8", "0", "7"),
    ("SET", "k", "v", "NX"),
]


def test_a_key_created_where_an_expired_one_lingers_has_no_ttl(context):
    context.require_capstan()
    server = context.server({"enable-debug-command": "yes"})
    with server.connect() as client:
        expect(client, "+OK", "DEBUG", "SET-ACTIVE-EXPIRE", "0")
        for level in LEVELS:
            for write in WRITES_THAT_CREATE:
                expect(client, "+OK", "FLUSHALL")
                expect(client, "+OK", "SET", "k", "5", "PX", "1")
                wait_for(lambda: client.call("EXISTS", "k", "CONSISTENCY", "LOCAL").value == 0, "k expires")
                reply = client.call("CONSISTENCY", level, *write)
                assert not reply.is_error, show(reply)
                expect(client, ":-1", "TTL", "k")
                expect(client, ":0", "PERSIST", "k")
                expect(client, ":1", "EXPIRE", "k", "100", "NX")


def test_a_transaction_keeps_what_its_replies_need(context):
    """Reads of a small part of a large value that the transaction itself has changed keep that part alone."""
    context.require_capstan()
    server = context.server()
    with server.connect() as client:
        expect(client, "+OK", "MULTI")
        client.call("SET", "k", "x" * 1_000_000)
        for i in range(2000):
            client.call("GETBIT", "k", i)
            client.call("SETBIT", "k", i, i % 2)
        assert len(client.call("EXEC").value) == 4001
        peak = server.peak_rss_bytes()
        assert peak < 400 << 20, "%d MiB of memory for a value of 1 MB" % (peak >> 20)


def test_refused_transactions_answer_once(context):
    client = fresh(context)
    elsewhere = context.server()
    elsewhere.call("SET", "k", "v")
    token = elsewhere.call("CONSISTENCY", "TOKEN").value
    for queue in ([], [["PING"]], [["SET", "k", "v"], ["PING"]], [["SET", "k", "v"]]):
        expect(client, "+OK", "WATCH", "k")
        expect(client, "+OK", "MULTI")
        for command in queue:
            expect(client, "+QUEUED", *command)
        expect(client, "-STALE ", "CONSISTENCY", "STRONG", "AFTER", token, "EXEC")
        expect(client, "$next", "ECHO", "next")
    expect(client, ":0", "EXISTS", "k")
