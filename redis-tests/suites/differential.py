"""Random command sequences, sent alike to the server under test and to redis-server, with restarts in between."""

import struct

from compare.normalise import equal
from harness import durable
from resp import encode, show

KEYS = ["a", "b", "c", "num", "bits", "long:" + "x" * 600, "", "bin\x00\udcff"]
# Replies that tell a time that depends on when the command ran; `near` as in compare/normalise.py.
MEASURED = {"TTL": "near3", "PTTL": "near3000", "EXPIRETIME": "near3", "PEXPIRETIME": "near3000", "KEYS": "unordered"}
EXPIRE_CONDITIONS = [[], [], ["NX"], ["XX"], ["GT"], ["LT"], ["XX", "GT"], ["NX", "GT"], ["lt", "xx"]]
LIMITS = {"proto-max-bulk-len": "64mb", "auto-aof-rewrite-percentage": "0"}
JUNK = ["", "abc", "-1", "1.5", "9223372036854775807", "9223372036854775808", "0", "*", " 1", "NX"]


class Generator:
    """Valid and slightly invalid command lines over a few keys."""

    def __init__(self, random):
        self.random = random
        self.makers = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def key(self):
        return self.random.choice(KEYS)

    def value(self):
        kind = self.random.randrange(8)
        if kind < 3:
            return str(self.random.randint(-1000, 1000))
        if kind == 3:
            return str(self.random.choice([2**63 - 1, -(2**63), 2**63 - 5, 1.5, 3.25, 1e17, "0.1", "007"]))
        if kind == 4:
            return bytes(self.random.randrange(256) for _ in range(self.random.randrange(60)))
        if kind == 5:
            return self.random.choice("xyz") * self.random.choice([0, 1, 40, 44, 45, 100, 5000, 70000])
        return "".join(self.random.choice("abcd") for _ in range(self.random.randrange(20)))

    def integer(self):
        return str(self.random.choice([0, 1, -1, 2, 5, 10, -7, 100, 2**31, 2**63 - 1, -(2**63)]))

    def offset(self):
        return str(self.random.choice([0, 1, 2, 3, 7, 8, 9, 15, 31, 63, 64, 100, 1000, -1, -2, -9, 70000]))

    def seconds(self):
        return self.random.randint(1000, 1000000)

    def expiry(self):
        kind = self.random.choice(["EX", "PX", "EXAT", "PXAT"])
        return [kind, self.time(kind)]

    def time(self, kind):
        amount = self.seconds() * (1000 if kind.startswith("P") else 1)
        base = 4000000000 * (1000 if kind.startswith("P") else 1)
        return str(amount + base if kind.endswith("AT") else amount)

    def options(self, *groups):
        words = []
        for group in self.random.sample(groups, self.random.randint(0, len(groups))):
            choice = self.random.choice(group)
            words += choice() if callable(choice) else [choice]
        return words

    def make_set(self):
        return ["SET", self.key(), self.value()] + self.options(["NX", "XX"], ["GET"], [self.expiry, "KEEPTTL"])

    def make_plain_set(self):
        return ["SET", self.key(), self.value()]

    def make_get(self):
        return [self.random.choice(["GET", "STRLEN", "GETDEL", "TYPE", "PERSIST", "GET", "INCR", "DECR"]), self.key()]

    def make_getex(self):
        return ["GETEX", self.key()] + self.options([self.expiry, "PERSIST"])

    def make_with_value(self):
        return [self.random.choice(["SETNX", "GETSET", "APPEND", "APPEND"]), self.key(), self.value()]

    def make_setex(self):
        name = self.random.choice(["SETEX", "PSETEX"])
        return [name, self.key(), self.time("PX" if name == "PSETEX" else "EX"), self.value()]

    def make_many(self):
        name = self.random.choice(["MGET", "DEL", "UNLINK", "EXISTS", "TOUCH"])
        return [name] + [self.key() for _ in range(self.random.randint(1, 4))]

    def make_mset(self):
        words = [self.random.choice(["MSET", "MSETNX"])]
        for _ in range(self.random.randint(1, 4)):
            words += [self.key(), self.value()]
        return words

    def make_range(self):
        return [self.random.choice(["GETRANGE", "SUBSTR"]), self.key(), self.offset(), self.offset()]

    def make_setrange(self):
        return ["SETRANGE", self.key(), self.offset(), self.value()]

    def make_incrby(self):
        return [self.random.choice(["INCRBY", "DECRBY"]), self.random.choice(["num", self.key()]), self.integer()]

    def make_incrbyfloat(self):
        key = self.random.choice(["num", self.key()])
        return ["INCRBYFLOAT", key, self.random.choice(["0.1", "-2.5", "1e3", "3"])]

    def make_lcs(self):
        options = [[], ["LEN"], ["IDX"], ["IDX", "WITHMATCHLEN"], ["IDX", "MINMATCHLEN", "2"]]
        return ["LCS", "a", "b"] + self.random.choice(options)

    def make_setbit(self):
        return ["SETBIT", self.random.choice(["bits", self.key()]), self.offset(), self.random.choice(["0", "1"])]

    def make_getbit(self):
        return ["GETBIT", self.key(), self.offset()]

    def make_bitcount(self):
        bounds = [self.offset(), self.offset(), self.random.choice(["BIT", "BYTE"])]
        return ["BITCOUNT", self.key()] + bounds[: self.random.choice([0, 2, 3])]

    def make_bitpos(self):
        bounds = [self.offset(), self.offset(), self.random.choice(["BIT", "BYTE"])]
        return ["BITPOS", self.key(), self.random.choice(["0", "1"])] + bounds[: self.random.randrange(4)]

    def make_bitop(self):
        operation = self.random.choice(["AND", "OR", "XOR", "NOT"])
        sources = 1 if operation == "NOT" else self.random.randint(1, 3)
        return ["BITOP", operation, self.key()] + [self.key() for _ in range(sources)]

    def make_bitfield(self):
        name = self.random.choice(["BITFIELD", "BITFIELD", "BITFIELD_RO"])
        words = [name, self.random.choice(["bits", self.key()])]
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.choice("ui") + str(self.random.choice([1, 2, 5, 8, 13, 31, 32, 63, 64]))
            place = self.random.choice(["", "#"]) + str(self.random.choice([0, 1, 3, 8, 100]))
            action = self.random.choice(["GET", "GET", "SET", "INCRBY", "OVERFLOW"])
            if action == "OVERFLOW":
                # Not FAIL: Redis 7.0 creates or grows the string for an operation that fails, but does not log it, so
                # after a restart its own state is another (compare/ has FAIL, without restarts).
                words += [action, self.random.choice(["WRAP", "SAT"])]
            else:
                # Not the lowest integer: under OVERFLOW SAT, Redis 7.0 saturates it to the highest value of the type.
                value = self.integer()
                value = "-1" if value == str(-(2**63)) else value
                words += [action, kind, place] + ([] if action == "GET" else [value])
        return words

    def make_expire(self):
        name = self.random.choice(["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])
        kind = ("P" if name.startswith("P") else "E") + ("AT" if name.endswith("AT") else "")
        moment = self.random.choice([self.time(kind)] * 6 + ["-1", "0"])
        return [name, self.key(), moment] + self.random.choice(EXPIRE_CONDITIONS)

    def make_ttl(self):
        return [self.random.choice(["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]), self.key()]

    def make_two_keys(self):
        return [self.random.choice(["RENAME", "RENAMENX"]), self.key(), self.key()]

    def make_copy(self):
        database = ["DB", self.random.choice("012")]
        return ["COPY", self.key(), self.key()] + self.options([lambda: database], ["REPLACE"])

    def make_move(self):
        return ["MOVE", self.key(), self.random.choice("012")]

    def make_select(self):
        return ["SELECT", self.random.choice("00012")]

    def make_keyspace(self):
        return self.random.choice([["DBSIZE"], ["KEYS", "*"], ["KEYS", "?"], ["PING"], ["ECHO", self.value()]])

    def make_flush(self):
        return self.random.choice([["FLUSHDB"], ["FLUSHALL"]]) if self.random.randrange(25) == 0 else self.make_set()

    def command(self):
        words = self.random.choice(self.makers)()
        if self.random.randrange(20) == 0:
            self.spoil(words)
        return words

    def spoil(self, words):
        """One mistake: an argument replaced, left out, said twice or added."""
        place = self.random.randrange(1, len(words) + 1)
        kind = self.random.randrange(4)
        if kind == 0 or place == len(words):
            words.insert(place, self.random.choice(JUNK))
        elif kind == 1:
            words[place] = self.random.choice(JUNK)
        elif kind == 2:
            del words[place]
        else:
            words.insert(place, words[place])


class Pair:
    """The same connections on both servers; every reply compared, the sequence kept for the report."""

    def __init__(self, server, reference, protocol):
        self.servers = (server, reference)
        self.protocol = protocol
        self.history = []
        self.connections = {}
        self.compared = 0

    def reconnect(self):
        for pair in self.connections.values():
            for connection in pair:
                connection.close()
        self.connections = {}

    def call(self, commands, connection=1):
        """Sends the commands in one write to each server and compares the replies."""
        if connection not in self.connections:
            self.connections[connection] = [server.connect(self.protocol) for server in self.servers]
        self.history.append((connection, commands))
        pair = self.connections[connection]
        for client in pair:
            client.send_raw(b"".join(encode(*map(tuple_safe, command)) for command in commands))
        replies = []
        for command in commands:
            got, expected = (client.read() for client in pair)
            self.compared += 1
            if not self.alike(command, commands, got, expected):
                self.fail(command, got, expected)
            replies.append(expected)
        return replies

    def alike(self, command, commands, got, expected):
        normalisers = [MEASURED[command[0]]] if command[0] in MEASURED else []
        if command[0] != "EXEC" or not any(queued[0] in MEASURED for queued in commands):
            return equal(got, expected, normalisers)
        if got.kind != expected.kind or not isinstance(expected.value, list) or len(got.value) != len(expected.value):
            return got == expected
        queued = commands[1:-1]
        return all(
            equal(left, right, [MEASURED[each[0]]]) if each[0] in MEASURED else left == right
            for each, left, right in zip(queued, got.value, expected.value)
        )

    def fail(self, command, got, expected):
        lines = ["%d> %r" % (number, line) for number, lines in self.history[-12:] for line in lines]
        raise AssertionError(
            "%r\n    got      %s\n    expected %s\nbefore it:\n    %s"
            % (command, show(got), show(expected), "\n    ".join(line[:100] for line in lines[-40:]))
        )

    def compare_state(self):
        for database in "012":
            self.call([["SELECT", database], ["DBSIZE"], ["KEYS", "*"]], connection=9)
            for key in KEYS:
                self.call([["TYPE", key], ["GET", key], ["PEXPIRETIME", key]], connection=9)


def tuple_safe(word):
    return word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape")


def round_of(pair, generator, random, length):
    """Single commands, pipelines and transactions, some of them with a key watched and touched."""
    done = 0
    while done < length:
        kind = random.randrange(10)
        commands = [generator.command() for _ in range(random.choice([1, 1, 2, 5, 20]))]
        if kind < 6:
            pair.call(commands, connection=random.choice([1, 2]))
        elif kind < 8:
            commands = [c for c in commands if c[0] != "KEYS"]
            pair.call([["MULTI"]] + commands + [["EXEC"] if random.randrange(6) else ["DISCARD"]])
        else:
            commands = [c for c in commands if c[0] != "KEYS"]
            pair.call([["WATCH", generator.key(), generator.key()]])
            pair.call([generator.command()], connection=2)
            pair.call([["MULTI"]] + commands + [["EXEC"]])
        done += len(commands)


def run_sequences(context, protocol, rounds, length):
    random = context.random
    server = context.server({**durable(context.program, "always"), **LIMITS})
    reference = context.reference_server({**durable(context.reference, "always"), **LIMITS})
    generator, pair = Generator(random), Pair(server, reference, protocol)
    for number in range(rounds):
        round_of(pair, generator, random, length)
        pair.compare_state()
        pair.reconnect()
        if number % 3 == 1:
            for each in pair.servers:
                each.restart()
            pair.compare_state()
        elif number % 3 == 2:
            for each in pair.servers:
                each.crash()
            pair.compare_state()
    context.note("differential: %d replies compared (RESP%d)" % (pair.compared, protocol))


def test_random_sequences_resp2(context):
    run_sequences(context, 2, rounds=60 if context.deep else 9, length=2000 if context.deep else 1200)


def test_random_sequences_resp3(context):
    run_sequences(context, 3, rounds=30 if context.deep else 4, length=2000 if context.deep else 1200)


def test_packed_values_survive(context):
    """Values of every byte and of sizes around powers of two come back as they were, after a crash too."""
    server = context.server(durable(context.program, "always"))
    sizes = sorted({size + delta for power in range(0, 21) for size in [1 << power] for delta in (-1, 0, 1)})
    values = {b"size:%d" % size: (struct.pack(">Q", size) * (size // 8 + 1))[:size] for size in sizes}
    values[b"all bytes"] = bytes(range(256))
    with server.connect() as client:
        for key, value in values.items():
            assert client.call("SET", key, value).raw == b"+OK\r\n"
    server.crash()
    with server.connect() as client:
        for key, value in values.items():
            assert client.call("GET", key).value == value, key


def hyperloglog_bytes(reply):
    """Without the count that Redis keeps in it."""
    return reply.value and reply.value[:8] + reply.value[16:]


def test_hyperloglogs(context):
    """From empty to dense, with merges: the same replies, the same registers."""
    random = context.random
    server, reference = context.server(), context.reference_server()
    with server.connect() as ours, reference.connect() as theirs:
        for step in range(400):
            key = random.choice(["a", "b", "c"])
            added = ["%d" % random.randrange(30_000) for _ in range(random.choice([1, 1, 3, 200]))]
            commands = [["PFADD", key, *added], ["PFCOUNT", key], ["PFCOUNT", "a", "b", "c", "d"]]
            if step % 20 == 19:
                commands += [["PFMERGE", "d", "a", random.choice(["b", "c", "d"])], ["PFCOUNT", "d"]]
            for command in commands:
                got, expected = ours.call(*command), theirs.call(*command)
                assert got.raw == expected.raw, "%s: %s, not %s" % (command[:2], got.raw, expected.raw)
            got, expected = ours.call("GET", key), theirs.call("GET", key)
            assert hyperloglog_bytes(got) == hyperloglog_bytes(expected), "%s after step %d" % (key, step)
        assert ours.call("STRLEN", "a").value == 12304, "it has become dense"
