"""Histories of concurrent clients are linearizable, also over kill −9 (model, "Levels": STRONG)."""

import itertools
import random
import threading
import time

from harness import durable, wait_for
from linearizability import NEVER, Operation, check, show
from resp import Closed

KEYS = ["register", "counter", "log", "left", "right"]


class Client(threading.Thread):
    """Sends one command after the other, and writes down what came when; after a lost connection it is another client."""

    numbers = itertools.count()

    def __init__(self, server, seed):
        super().__init__(daemon=True)
        self.server = server
        self.random = random.Random(seed)
        self.history = []
        self.stopping = threading.Event()
        self.failure = None

    def command(self):
        value = b"%d" % self.random.randrange(1_000_000)
        return self.random.choice(
            [
                ("GET", "register"),
                ("SET", "register", value),
                # What was read last, so that some succeed.
                ("SET", "register", value, "IFEQ", self.seen("register")),
                ("DEL", "register"),
                ("GET", "counter"),
                ("INCR", "counter"),
                ("GET", "log"),
                ("APPEND", "log", b"%d," % (int(value) % 100)),
                ("DEL", "log"),
                ("MSET", "left", value, "right", value),
                ("MGET", "left", "right"),
            ]
        )

    def seen(self, key):
        for operation in reversed(self.history[-20:]):
            if operation.command == ("GET", key) and operation.reply is not None:
                return operation.reply
        return b"0"

    def run(self):
        try:
            while not self.stopping.is_set():
                self.number = next(self.numbers)
                try:
                    with self.server.connect() as client:
                        while not self.stopping.is_set():
                            self.one(client)
                except (Closed, OSError):
                    self.stopping.wait(0.01)
        except Exception as failure:  # reported by the test that started the thread
            self.failure = failure

    def one(self, client):
        command = self.command()
        begin = time.monotonic()
        try:
            reply = client.call(*command)
        except (Closed, OSError):
            self.history.append(Operation(self.number, begin, NEVER, command))
            raise
        if reply.is_error:
            raise AssertionError("%s answered %s" % (command, reply))
        self.history.append(Operation(self.number, begin, time.monotonic(), command, reply.plain()))


def operations_of(clients):
    return [operation for client in clients for operation in list(client.history)]


def history_under_kills(context, server, kills, operations):
    """What some clients saw while the server was killed so often, with so many commands between."""
    clients = [Client(server, "%s %d" % (context.random.random(), number)) for number in range(6)]
    for client in clients:
        client.start()
    for round_number in range(kills + 1):
        goal = operations * (round_number + 1)
        wait_for(
            lambda: len(operations_of(clients)) >= goal or any(client.failure for client in clients),
            "%d commands" % goal,
            60.0,
        )
        if round_number < kills:
            server.kill()
            server.start()
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join()
        if client.failure:
            raise client.failure
    return operations_of(clients)


def require_linearizable(history):
    broken = check(history)
    assert broken is None, "not linearizable:\n" + show(broken)


def test_the_checker_takes_what_is_linearizable(context):
    del context
    require_linearizable(
        [
            Operation(1, 0, 3, ("SET", "k", b"1"), b"OK"),
            Operation(2, 1, 2, ("GET", "k"), None),  # before the SET took effect
            Operation(3, 2, 5, ("GET", "k"), b"1"),
            Operation(4, 4, NEVER, ("SET", "k", b"2")),  # nobody knows
            Operation(5, 6, 7, ("GET", "k"), b"1"),
            Operation(5, 8, 9, ("GET", "k"), b"2"),
            Operation(6, 8, 10, ("SET", "k", b"3", "IFEQ", b"1"), None),
            Operation(7, 11, NEVER, ("INCR", "k")),
            Operation(8, 12, 13, ("MGET", "k", "other"), [b"2", None]),
            Operation(9, 14, 15, ("MULTI", ("INCR", "k"), ("SET", "other", b"x")), [3, b"OK"]),
            Operation(9, 16, 17, ("MULTI", ("GET", "other"), ("GET", "k")), [b"x", b"3"]),
        ]
    )


def test_the_checker_is_not_lost_in_what_had_no_reply(context):
    """Each of them may have come at any time since, or never; but few of their orders matter."""
    lost = [Operation(n, n, NEVER, ("SET", "k", b"lost %d" % n)) for n in range(40)]
    lost += [Operation(n, n, NEVER, ("INCR", "n")) for n in range(40)]
    history = lost + [Operation(100 + n, 100 + n, 100.5 + n, ("SET", "k", b"%d" % n), b"OK") for n in range(300)]
    for n in range(300):
        seen = b"%d" % n if n % 10 else b"lost %d" % (39 - n // 10)
        history.append(Operation(200 + n, 100.6 + n, 100.9 + n, ("GET", "k"), seen))
        history.append(Operation(200 + n, 100.6 + n, 100.9 + n, ("INCR", "n"), n + 1 + n // 20))
    context.random.shuffle(history)
    require_linearizable(history)
    assert check(history + [Operation(999, 500, 501, ("GET", "n"), b"356")]) is not None, "41 of the 40 came"


def test_the_checker_refuses_what_is_not(context):
    del context
    written = [Operation(1, 0, 1, ("SET", "k", b"1"), b"OK"), Operation(1, 2, 3, ("SET", "k", b"2"), b"OK")]
    for wrong in (
        [Operation(2, 4, 5, ("GET", "k"), b"1")],  # stale
        [Operation(2, 4, 5, ("GET", "k"), None)],  # lost
        [Operation(2, 4, 5, ("INCR", "k"), 4)],
        # Twice from two.
        [Operation(2, 4, 9, ("INCR", "k"), 3), Operation(3, 4, 9, ("INCR", "k"), 3)],
        # Seen, and then not.
        [
            Operation(2, 4, NEVER, ("SET", "k", b"3")),
            Operation(3, 5, 6, ("GET", "k"), b"3"),
            Operation(4, 7, 8, ("GET", "k"), b"2"),
        ],
        # Half of a transaction.
        [
            Operation(2, 4, 5, ("MSET", "k", b"5", "other", b"5"), b"OK"),
            Operation(3, 6, 7, ("MGET", "k", "other"), [b"5", None]),
        ],
        [
            Operation(2, 4, NEVER, ("MULTI", ("SET", "k", b"5"), ("SET", "other", b"5"))),
            Operation(3, 6, 7, ("MULTI", ("GET", "k"), ("GET", "other")), [b"5", None]),
        ],
    ):
        assert check(written + wrong) is not None, "takes\n" + show(written + wrong)


def test_one_node_under_kill(context):
    for appendfsync in ("always", "everysec"):
        server = context.server(durable(context.program, appendfsync))
        history = history_under_kills(context, server, kills=20 if context.deep else 4, operations=1500)
        require_linearizable(history)
        unknown = sum(operation.end == NEVER for operation in history)
        assert unknown > 0, "no command was under way at a kill"
        context.note("linearizable: %d commands, %d without a reply (%s)" % (len(history), unknown, appendfsync))


def test_shards_are_linearizable_each(context):
    context.require_capstan()
    server = context.server({**durable(context.program, "everysec"), "shards": "4", "io-threads": "2"})
    history = history_under_kills(context, server, kills=2, operations=1500)
    # MSET and MGET of keys of several shards are not one command there.
    require_linearizable([operation for operation in history if operation.command[0] not in ("MSET", "MGET")])
