"""The suites notice a server that is wrong: a lying proxy, lost writes, half a transaction, a dead server."""

import socket
import threading

from compare.cases import Case, parse_step
from compare.engine import Comparison
from harness import durable, wait_for
from load import Load
from suites.malformed import Bystander, refused


class Proxy:
    """Stands between client and server and changes what the server answers; looks like a harness.Server."""

    def __init__(self, server, change):
        self.server = server
        self.change = change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __getattr__(self, name):
        return getattr(self.server, name)

    def connect(self, protocol=2, timeout=30.0):
        from resp import Connection

        return Connection(self.port, protocol=protocol, timeout=timeout)

    def call(self, *args):
        with self.connect() as client:
            return client.call(*args)

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            upstream = socket.create_connection(("127.0.0.1", self.server.port))
            for source, target, change in ((client, upstream, lambda data: data), (upstream, client, self.change)):
                threading.Thread(target=self.copy, args=(source, target, change), daemon=True).start()

    @staticmethod
    def copy(source, target, change):
        try:
            while data := source.recv(1 << 16):
                target.sendall(change(data))
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def case_of(*lines):
    return Case("selfcheck", "selfcheck", steps=[parse_step(number, line) for number, line in enumerate(lines, 1)])


def mismatches(context, change, *lines):
    reference = context.reference_server()
    proxy = Proxy(context.reference_server(), change)
    return Comparison(proxy, reference, []).run(case_of(*lines), 2)


def test_comparison_passes_what_is_equal(context):
    lines = ["SET k v", "@near1 TTL k", "INCR n", "!scan", "GET k", "NOSUCH x"]
    assert not mismatches(context, lambda data: data, *lines)


def test_comparison_notices_another_integer(context):
    found = mismatches(context, lambda data: data.replace(b":2\r\n", b":3\r\n"), "INCR n", "INCR n", "INCR n")
    assert len(found) == 1 and "selfcheck.cases:2 INCR n" in found[0], found


def test_comparison_notices_another_error_text(context):
    found = mismatches(context, lambda data: data.replace(b"syntax", b"Syntax"), "SET k v x", "SET k v")
    assert len(found) == 1 and "SET k v x" in found[0], found


def test_comparison_notices_another_type(context):
    found = mismatches(context, lambda data: data.replace(b"$1\r\nv\r\n", b"+v\r\n"), "SET k v", "GET k")
    assert len(found) == 1, found


def test_comparison_notices_another_null(context):
    found = mismatches(context, lambda data: data.replace(b"$-1", b"*-1"), "GET k")
    assert len(found) == 1, found


def test_comparison_notices_a_missing_key(context):
    found = mismatches(context, lambda data: data.replace(b"$1\r\nb\r\n", b"$1\r\na\r\n"), "MSET a 1 b 2", "!scan")
    assert len(found) == 1, found


def test_comparison_notices_what_is_far(context):
    change = lambda data: data.replace(b":100\r\n", b":90\r\n")  # noqa: E731
    found = mismatches(context, change, "SET k v EX 100", "@near1 TTL k", "@near10 TTL k")
    assert len(found) == 1 and "@near1 " in found[0], found


def test_load_notices_lost_writes(context):
    server = context.reference_server()  # keeps nothing
    load = Load(server)
    load.start()
    wait_for(lambda: load.acknowledged() > 1000, "1,000 writes")
    server.kill()
    load.join()
    server.start()
    expect_failure(load.check, "acknowledged up to")


def loaded(context):
    load = Load(context.reference_server(durable("redis-server", "always")), writers=1)
    load.start()
    wait_for(lambda: load.acknowledged() > 1000, "1,000 writes")
    load.join()
    load.check()
    return load


def test_load_notices_half_a_transaction(context):
    load = loaded(context)
    load.server.call("INCR", "{w0}:left")
    expect_failure(load.check, "half there")


def test_load_notices_a_repeated_increment(context):
    load = loaded(context)
    load.server.call("INCR", "{w0}:counter")
    expect_failure(load.check, "w")


def test_load_notices_a_damaged_value(context):
    load = loaded(context)
    load.server.call("SETRANGE", "{w0}:7", "20", "!")
    expect_failure(load.check, "damaged")


def test_load_notices_one_missing_write(context):
    load = loaded(context)
    load.server.call("DEL", "{w0}:7")
    expect_failure(load.check, "key 7")


def test_bystander_notices_a_dead_server(context):
    server = context.reference_server()

    def killed():
        with Bystander(server):
            server.kill()

    expect_failure(killed, "bystander")


def test_refusal_is_compared_exactly(context):
    expect_failure(lambda: refused(context.reference_server(), b"*x\r\n", b"invalid bulk length"), "multibulk")


def expect_failure(function, text):
    try:
        function()
    except AssertionError as failure:
        assert text in str(failure), failure
        return
    raise AssertionError("nothing was noticed")
