"""What clients at all nodes saw while nodes were killed, stopped and cut off is linearizable (model, "Levels": STRONG).

A command that was refused (TRYAGAIN, CLUSTERDOWN, OVERLOADED) did not happen; one that answered UNCERTAIN or nothing at
all may have happened at any time since, or never. Each round of a fault and its end has keys of its own, so that what
is not known of one round does not make the search through the next one long.
"""

import collections
import itertools
import math
import threading
import time

from cluster import APPLIED, REFUSED, UNKNOWN, error_word, outcome, strong
from harness import wait_for
from linearizability import NEVER, Operation, check, shortest, show
from resp import Closed, show as show_reply

REPLY_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_MS = 1000
CLIENTS = 6
COMMANDS = 60  # of each client, in each part of a round
READS = ("GET", "MGET")
MOVES_ON = 0.2  # of the refused; or all might wait at the same few nodes, where the last faults have driven them


def keys_of_round(number):
    names = ("register", "counter", "log", "left", "right", "a", "b")
    return {name: "%s:{round %d}" % (name, number) for name in names}


def is_read(command):
    return all(each[0] in READS for each in command[1:]) if command[0] == "MULTI" else command[0] in READS


class Client(threading.Thread):
    """Sends one command after the other to a node, and to the next one after a lost connection, as another client."""

    numbers = itertools.count(1)
    tokens = itertools.count(1)

    def __init__(self, load, nodes, random):
        super().__init__(daemon=True)
        self.load = load
        self.nodes = itertools.cycle(nodes)
        self.random = random
        self.number = next(self.numbers)
        self.begun = self.acknowledged = 0
        self.history = []  # Operations
        self.refused = []  # commands
        self.seen = b"0"  # in the register
        self.failure = None
        self.latest = collections.deque(maxlen=4)  # what it did last, for who asks why nothing goes on

    def command(self):
        keys = keys_of_round(self.load.round)
        value = b"%d" % next(self.tokens)
        return self.random.choice(
            [
                ("GET", keys["register"]),
                ("GET", keys["register"]),
                ("SET", keys["register"], value),
                ("SET", keys["register"], value, "IFEQ", self.seen),
                ("GET", keys["counter"]),
                ("INCR", keys["counter"]),
                ("GET", keys["log"]),
                ("APPEND", keys["log"], value + b","),
                ("MSET", keys["left"], value, keys["right"], value),
                ("MGET", keys["left"], keys["right"]),
                ("MULTI", ("INCR", keys["a"]), ("SET", keys["b"], value), ("GET", keys["a"])),
                ("MULTI", ("GET", keys["b"]), ("GET", keys["a"])),
            ]
        )

    def run(self):
        try:
            for node in self.nodes:
                try:
                    with node.connect(timeout=REPLY_TIMEOUT_S) as connection:
                        self.latest.append("at %s" % node)
                        reply = connection.call("CONSISTENCY", "STRONG", "TIMEOUT", COMMAND_TIMEOUT_MS)
                        assert not reply.is_error, show_reply(reply)
                        while self.wait_for_turn():
                            self.one(connection)
                        return
                except (Closed, OSError):
                    if self.load.stopping.wait(0.01):
                        return
        except Exception as failure:  # reported by the test that started the thread
            self.failure = failure

    def __str__(self):
        return "client %d, %d of %d begun: %s" % (self.number, self.begun, self.load.allowed, "; ".join(self.latest))

    def wait_for_turn(self):
        while self.begun >= self.load.allowed and not self.load.stopping.is_set():
            self.load.stopping.wait(0.005)
        return not self.load.stopping.is_set()

    def one(self, connection):
        command, begin, fate, reply = self.command(), time.monotonic(), UNKNOWN, None
        self.begun += 1
        try:
            reply = self.send(connection, command)
            fate = outcome(reply)
        finally:
            took_ms = 1000 * (time.monotonic() - begin)
            self.latest.append("%s: %s, %d ms" % (command[0], show_reply(reply) if reply else "no reply", took_ms))
            if fate == APPLIED:
                self.acknowledged += 1
                self.history.append(Operation(self.number, begin, time.monotonic(), command, reply.plain()))
            elif fate == REFUSED:
                self.refused.append(command)
                self.load.stopping.wait(0.01)
            else:
                if not is_read(command):
                    self.history.append(Operation(self.number, begin, NEVER, command))
                self.number = next(self.numbers)
        if fate == REFUSED and self.random.random() < MOVES_ON:
            raise Closed("goes on to the next node")
        if fate == APPLIED and command[0] == "GET" and command[1].startswith("register"):
            self.seen = reply.value or b"0"

    @staticmethod
    def send(connection, command):
        if command[0] != "MULTI":
            return connection.call(*command)
        replies = connection.pipeline([("MULTI",), *command[1:], ("EXEC",)])
        begun, *queued, done = replies
        unlike = [reply for reply in queued if reply.value != b"QUEUED"]
        if unlike and error_word(done) == "EXECABORT":
            return unlike[0]
        assert begun.value == b"OK" and not unlike, " ".join(show_reply(reply) for reply in replies)
        return done


class Load:
    """The clients, and what they may do: so many commands each, on the keys of the round."""

    def __init__(self, cluster, random):
        self.round = 0
        self.allowed = 0
        self.stopping = threading.Event()
        nodes = cluster.nodes
        turned = [nodes[n % len(nodes) :] + nodes[: n % len(nodes)] for n in range(CLIENTS)]
        self.clients = [Client(self, each, type(random)(random.random())) for each in turned]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        for client in self.clients:
            client.join()
        if kind is None:
            self.raise_failure()

    def raise_failure(self):
        for client in self.clients:
            if client.failure:
                raise client.failure

    def acknowledged(self):
        return sum(client.acknowledged for client in self.clients)

    def allow_more(self):
        begun = max(client.begun for client in self.clients)
        self.allowed = COMMANDS + (begun if self.allowed == math.inf else self.allowed)

    def allow_all(self):
        """So that they are busy, however long it takes what comes next to come."""
        self.allowed = math.inf

    def wait_for_more(self, what):
        """Until more commands than a single client may send have succeeded."""
        goal = self.acknowledged() + COMMANDS
        self.allow_more()
        failed = lambda: any(client.failure for client in self.clients)  # noqa: E731
        try:
            wait_for(lambda: failed() or self.acknowledged() >= goal, "%d commands succeed %s" % (COMMANDS, what), 60.0)
        except AssertionError as late:
            raise AssertionError("%s\n%s" % (late, "\n".join(str(client) for client in self.clients))) from None
        self.raise_failure()

    def history(self):
        return [operation for client in self.clients for operation in client.history]


# -- what goes wrong -------------------------------------------------------------------------------------------------


def kill_leader(cluster, random):
    del random
    node = cluster.wait_for_leader()
    node.kill()
    return node


def kill_one(cluster, random):
    node = random.choice(cluster.nodes)
    node.kill()
    return node


def kill_all(cluster, random):
    del random
    cluster.kill_all()
    cluster.start()
    return cluster.nodes


def restart_leader(cluster, random):
    del random
    node = cluster.wait_for_leader()
    node.restart()
    return node


def stop_leader(cluster, random):
    del random
    node = cluster.wait_for_leader()
    node.pause()
    return node


def stop_one(cluster, random):
    node = random.choice(cluster.nodes)
    node.pause()
    return node


def isolate_leader(cluster, random):
    del random
    node = cluster.wait_for_leader()
    cluster.isolate(node)
    return node


def cut_minority(cluster, random):
    minority = random.sample(cluster.nodes, (len(cluster.nodes) - 1) // 2)
    cluster.partition(minority, cluster.others(*minority))
    return minority


def cut_one_way(cluster, random):
    source, target = random.sample(cluster.nodes, 2)
    cluster.one_way(source, target)
    return "from %s to %s" % (source, target)


def deafen_leader(cluster, random):
    del random
    node = cluster.wait_for_leader()
    for other in cluster.others(node):
        cluster.one_way(other, node)
    return node


def bridge(cluster, random):
    middle = random.choice(cluster.nodes)
    cluster.bridge(middle)
    return middle


def lose_packets(cluster, random):
    percent = random.choice([2, 5, 10])
    cluster.loss(percent)
    return "%d %%" % percent


def isolate_and_kill(cluster, random):
    """The one that is cut off dies before it can tell what it had accepted."""
    del random
    node = cluster.wait_for_leader()
    cluster.isolate(node)
    node.kill()
    return node


FAULTS = [
    kill_leader,
    stop_leader,
    isolate_leader,
    kill_all,
    cut_minority,
    bridge,
    deafen_leader,
    restart_leader,
    stop_one,
    cut_one_way,
    isolate_and_kill,
    lose_packets,
    kill_one,
]


def torment(context, cluster, rounds):
    """Rounds of faults under load; the load, whose history is complete, and the story."""
    story, faults = [], []
    with Load(cluster, context.random) as load:
        try:
            for load.round in range(1, rounds + 1):
                faults = faults or context.random.sample(FAULTS, len(FAULTS))
                fault = faults.pop()
                load.wait_for_more("before the fault")
                story.append("round %d: %s" % (load.round, fault.__name__))
                load.allow_all()
                story[-1] += " %s" % fault(cluster, context.random)
                load.wait_for_more("in spite of %s" % fault.__name__)
                load.allow_more()
                cluster.mend()
                load.wait_for_more("after %s" % fault.__name__)
                cluster.wait_until_serves()
        except Exception as failure:
            raise AssertionError("%s\nseed %d\n%s" % (failure, context.seed, "\n".join(story[-20:]))) from failure
    return load, story


# -- what has to hold ------------------------------------------------------------------------------------------------


def last_reads(cluster, rounds):
    """What is there in the end, as operations of one more client, through one node after the other."""
    operations = []
    nodes = itertools.cycle(cluster.nodes)
    for number in range(1, rounds + 1):
        keys = list(keys_of_round(number).values())
        begin = time.monotonic()
        reply = cluster.insist(next(nodes), *strong(5000, "MGET", *keys))
        end = time.monotonic()
        for key, value in zip(keys, reply.plain()):
            operations.append(Operation(0, begin, end, ("GET", key), value))
    return operations


def expect_acknowledged(load, final):
    """Every acknowledged INCR and APPEND is there once, every refused one is not, any other one at most once."""
    values = {operation.command[1]: operation.reply for operation in final}
    for key in [key for key in values if key.startswith("log")]:
        found = (values[key] or b"").split(b",")[:-1]
        assert len(found) == len(set(found)), "twice in %s: %s" % (key, found)
        appended = [o for o in load.history() if o.command[:2] == ("APPEND", key)]
        acknowledged = {o.command[2][:-1] for o in appended if o.end != NEVER}
        possible = {o.command[2][:-1] for o in appended}
        assert acknowledged <= set(found), "lost from %s: %s" % (key, sorted(acknowledged - set(found)))
        assert set(found) <= possible, "not refused in %s: %s" % (key, sorted(set(found) - possible))
    for key in [key for key in values if key.startswith("counter")]:
        ends = [o.end for o in load.history() if o.command == ("INCR", key)]
        least, count = sum(end != NEVER for end in ends), int(values[key] or 0)
        assert least <= count <= len(ends), "%s is %d after %d to %d increments" % (key, count, least, len(ends))


def expect_linearizable(history, context, story):
    broken = check(history)
    if broken:
        part = shortest(broken)
        text = "not linearizable (seed %d); the last of %d commands:\n%s" % (context.seed, len(part), show(part[-30:]))
        raise AssertionError(text + "\n" + "\n".join(story))


def run(context, rounds, nodes=3, directives=(), replicas=None):
    cluster = context.cluster(nodes, directives, replicas=replicas)
    load, story = torment(context, cluster, rounds)
    final = last_reads(cluster, rounds)
    expect_acknowledged(load, final)
    expect_linearizable(load.history() + final, context, story)
    cluster.wait_converged()
    unknown = sum(operation.end == NEVER for operation in load.history())
    refused = sum(len(client.refused) for client in load.clients)
    context.note(
        "cluster_histories: %d nodes on %s, %d rounds: %d commands, %d refused, %d unknown"
        % (nodes, cluster.network.kind, rounds, len(load.history()), refused, unknown)
    )
    for line in story:
        context.note("  " + line)


def test_three_nodes(context):
    run(context, rounds=200 if context.deep else len(FAULTS))


def test_five_nodes(context):
    run(context, rounds=100 if context.deep else 6, nodes=5)


def test_several_shards(context):
    run(context, rounds=50 if context.deep else 4, directives={"shards": "4", "io-threads": "2"})


def test_nodes_without_a_replica(context):
    """Each shard is on three of five nodes: the others' clients are served, too."""
    run(context, rounds=50 if context.deep else 4, nodes=5, replicas=3, directives={"shards": "8", "io-threads": "2"})
