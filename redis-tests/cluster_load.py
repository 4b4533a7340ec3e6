"""Writers on all nodes of a cluster that keep book of what was acknowledged, refused, and is not known.

Each write is a SET of a key of its own. In the end every acknowledged one has to be there, and no refused one. Readers
see to it that nobody reads what is older than what was acknowledged before.
"""

import collections
import itertools
import random
import threading

from cluster import APPLIED, KEYS_PER_READ, REFUSED, UNKNOWN, error_word, outcome, strong
from harness import wait_for
from resp import Closed

REPLY_TIMEOUT_S = 5.0  # then the writer goes on to the next node
COMMAND_TIMEOUT_MS = 1000
MOVES_ON = 0.2  # of the refused: or all might wait at nodes that cannot serve


class Writer(threading.Thread):
    """One client. It stays at a node until the connection breaks, no reply comes, or it is refused too often."""

    numbers = itertools.count(1)

    def __init__(self, nodes, book):
        super().__init__(daemon=True)
        self.name = "w%d" % next(self.numbers)
        self.nodes = itertools.cycle(nodes)
        self.book = book
        self.random = random.Random(self.name)

    def run(self):
        try:
            number = itertools.count(1)
            for node in self.nodes:
                if self.book.stopping.is_set():
                    return
                try:
                    with node.connect(timeout=REPLY_TIMEOUT_S) as client:
                        client.call("CONSISTENCY", "STRONG", "TIMEOUT", COMMAND_TIMEOUT_MS)
                        while not self.book.stopping.is_set():
                            self.write(client, "%s:%d" % (self.name, next(number)))
                except (OSError, Closed):
                    self.book.stopping.wait(0.01)
        except Exception as failure:  # reported by the test that started the thread
            self.book.failure = failure

    def write(self, client, key):
        fate = UNKNOWN
        try:
            reply = client.call("SET", key, key)
            fate = outcome(reply)
            if fate != APPLIED:
                self.book.errors[error_word(reply)] += 1
                self.book.stopping.wait(0.01)
        finally:
            self.book.keys[fate].append(key)
        if fate == REFUSED and self.random.random() < MOVES_ON:
            raise Closed("goes on to the next node")


class Book:
    """Several writers and what they know:

    with Book(nodes) as book:
        book.wait_for_more(100)
    book.check(cluster)
    """

    def __init__(self, nodes, writers=6):
        self.keys = {fate: collections.deque() for fate in (APPLIED, REFUSED, UNKNOWN)}
        self.errors = collections.Counter()
        self.stopping = threading.Event()
        self.failure = None
        nodes = list(nodes)
        self.writers = [Writer(nodes[n % len(nodes) :] + nodes[: n % len(nodes)], self) for n in range(writers)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for writer in self.writers:
            writer.join()

    def acknowledged(self):
        return len(self.keys[APPLIED])

    def wait_for_more(self, count, timeout=60.0):
        """Until so many more writes are acknowledged."""
        goal = self.acknowledged() + count
        what = "%d more writes are acknowledged; errors: %s" % (count, dict(self.errors))
        wait_for(lambda: self.failure or self.acknowledged() >= goal, what, timeout)
        if self.failure:
            raise self.failure

    def check(self, cluster):
        """Compares with what STRONG reads through every node see, once the writers have stopped."""
        if self.failure:
            raise self.failure
        for fate, there in ((APPLIED, True), (REFUSED, False)):
            keys = list(self.keys[fate])
            for number, first in enumerate(range(0, len(keys), KEYS_PER_READ)):
                part = keys[first : first + KEYS_PER_READ]
                node = cluster.up()[number % len(cluster.up())]
                values = cluster.insist(node, *strong(5000, "MGET", *part)).plain()
                wrong = [(k, v) for k, v in zip(part, values) if v != (k.encode() if there else None)]
                assert not wrong, "%d of the writes that were %s: %s" % (len(wrong), fate, wrong[:5])

    def summary(self):
        counts = ["%d %s" % (len(keys), fate) for fate, keys in self.keys.items()]
        return "%s; errors %s" % (", ".join(counts), dict(self.errors) or "none")


class Readers:
    """A reader at every node: what it reads is never older than the last version acknowledged before it asked."""

    KEY = "readers:version"

    def __init__(self, cluster):
        self.cluster = cluster
        self.acknowledged = 0
        self.served = collections.Counter()
        self.stopping = threading.Event()
        self.failure = None
        self.threads = [threading.Thread(target=self.read, args=(node,), daemon=True) for node in cluster.nodes]

    def __enter__(self):
        self.write(self.cluster.wait_for_leader())
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if kind is None and self.failure:
            raise self.failure

    def write(self, node):
        """The next version, through this node."""
        self.cluster.insist(node, *strong(COMMAND_TIMEOUT_MS, "SET", self.KEY, self.acknowledged + 1))
        self.acknowledged += 1

    def wait_until_read(self, *nodes):
        """Until the last version was read at each of these nodes."""
        before = {node: self.served[node] for node in nodes}
        for node in nodes:
            what = "%s answers a STRONG read" % node
            wait_for(lambda node=node: self.failure or self.served[node] > before[node] + 1, what, 30.0)
        if self.failure:
            raise self.failure

    def read(self, node):
        while not self.stopping.is_set():
            try:
                with node.connect(timeout=REPLY_TIMEOUT_S) as client:
                    while not self.stopping.is_set():
                        self.one(node, client)
            except (OSError, Closed):
                self.stopping.wait(0.01)
            except Exception as failure:  # reported when the readers end
                self.failure = failure
                return

    def one(self, node, client):
        floor = self.acknowledged
        reply = client.call(*strong(COMMAND_TIMEOUT_MS, "GET", self.KEY))
        if outcome(reply) == APPLIED:
            seen = int(reply.value or 0)
            assert seen >= floor, "%s reads version %d after %d was acknowledged" % (node, seen, floor)
            self.served[node] += 1
        else:
            self.stopping.wait(0.01)
