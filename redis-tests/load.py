"""Writers that keep book: after a crash they say which acknowledged write is missing and which one is half there.

Each writer numbers its writes 1, 2, 3, … and sends them in pipelines. Number n does one of three things, told by n
alone, so that the state after the first n writes is known:
    SET to one of its keys, with a value that names writer, key and number and ends in a pattern of its own
    INCR of its counter
    MULTI, SET left, SET right, EXEC: both keys get the number, or neither
"""

import random
import threading

from resp import Closed, encode

KEYS_PER_WRITER = 40


def value_of(writer, key, number):
    """A value that can be told from every other; its length varies from 30 to 4,000 bytes."""
    size = random.Random("%s %s" % (writer, number)).choice([10, 50, 200, 1000, 4000])
    return b"%d/%d/%d/" % (writer, key, number) + (b"%d." % number) * (size // len(b"%d." % number) + 1)


class Writer(threading.Thread):
    """One connection that writes until the server dies or it is told to stop."""

    def __init__(self, server, identity, batch=50):
        super().__init__(daemon=True)
        self.server = server
        self.identity = identity
        self.batch = batch
        self.sent = 0
        self.acknowledged = 0
        self.stopping = threading.Event()
        self.failure = None

    # what number n is

    def kind(self, number):
        return "counter" if number % 5 == 0 else "pair" if number % 5 == 1 else "value"

    def key_index(self, number):
        return (number * 7919) % KEYS_PER_WRITER

    def command(self, number):
        kind, name = self.kind(number), b"{w%d}" % self.identity
        if kind == "counter":
            return [encode("INCR", name + b":counter")]
        if kind == "pair":
            return [
                encode("MULTI"),
                encode("SET", name + b":left", b"%d" % number),
                encode("SET", name + b":right", b"%d" % number),
                encode("EXEC"),
            ]
        index = self.key_index(number)
        return [encode("SET", name + b":%d" % index, value_of(self.identity, index, number))]

    def run(self):
        try:
            with self.server.connect() as client:
                while not self.stopping.is_set():
                    self.one_batch(client)
        except (Closed, OSError):
            pass
        except Exception as failure:  # reported by the test that started the thread
            self.failure = failure

    def one_batch(self, client):
        first = self.sent + 1
        commands = [self.command(number) for number in range(first, first + self.batch)]
        self.sent += self.batch
        client.send_raw(b"".join(part for parts in commands for part in parts))
        for number, parts in enumerate(commands, first):
            for _ in parts:
                reply = client.read()
            if reply.is_error:
                raise AssertionError("write %d answered %s" % (number, reply))
            self.acknowledged = number

    # what must be there

    def surviving(self, client):
        """The last number whose effect is there; fails when the state is not that after exactly that many writes."""
        name = b"{w%d}" % self.identity
        keys = [name + b":%d" % index for index in range(KEYS_PER_WRITER)]
        values = [reply.value for reply in client.call("MGET", *keys).value]
        counter, left, right = (
            reply.value for reply in client.call("MGET", name + b":counter", name + b":left", name + b":right").value
        )
        assert left == right, "writer %d: a transaction is half there: %r, %r" % (self.identity, left, right)
        numbers = [int(left or 0), int(counter or 0) * 5]
        for index, value in enumerate(values):
            if value is not None:
                writer, key, number = (int(part) for part in value.split(b"/")[:3])
                wanted = value_of(self.identity, index, number)
                assert value == wanted, "writer %d: a damaged value of %d bytes" % (self.identity, len(value))
                numbers.append(number)
        last = max(numbers)
        self.expect_state_after(last, values, counter, left)
        return last

    def expect_state_after(self, last, values, counter, left):
        name = "writer %d after write %d: " % (self.identity, last)
        newest = {}
        for number in range(max(1, last - 5 * KEYS_PER_WRITER), last + 1):
            kind = self.kind(number)
            newest[self.key_index(number) if kind == "value" else kind] = number
        assert int(counter or 0) == last // 5, name + "the counter is %r" % counter
        assert int(left or 0) == newest.get("pair", 0), name + "the pair is %r" % left
        for index, value in enumerate(values):
            if index in newest:
                number = int(value.split(b"/")[2]) if value else 0
                assert number == newest[index], name + "key %d holds write %d, not %d" % (index, number, newest[index])

    def check(self, client):
        """Compares what is there with what was acknowledged; a later start goes on from what is there."""
        if self.failure:
            raise self.failure
        last = self.surviving(client)
        assert last >= self.acknowledged, "writer %d: acknowledged up to %d, there up to %d" % (
            self.identity,
            self.acknowledged,
            last,
        )
        assert last <= self.sent, "writer %d: %d was never sent" % (self.identity, last)
        return last


class Load:
    """Several writers; each life of the server continues where the state left off."""

    def __init__(self, server, writers=4, batch=50):
        self.server = server
        self.positions = [0] * writers
        self.batch = batch
        self.writers = []

    def start(self):
        self.writers = [Writer(self.server, identity, self.batch) for identity in range(len(self.positions))]
        for writer, position in zip(self.writers, self.positions):
            writer.sent = writer.acknowledged = position
            writer.start()

    def acknowledged(self):
        return sum(writer.acknowledged for writer in self.writers)

    def failed(self):
        return any(writer.failure for writer in self.writers)

    def join(self):
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.join()

    def check(self):
        with self.server.connect() as client:
            self.positions = [writer.check(client) for writer in self.writers]
        return sum(self.positions)
