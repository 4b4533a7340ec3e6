"""Input that is not RESP, comes in pieces, or never ends, while another client keeps working."""

import socket
import threading
import time

from harness import wait_for
from resp import Connection, encode, show

shared = {}
MEGABYTE = 1 << 20


def setup(context):
    directives = {"proto-max-bulk-len": "64mb"}
    shared["server"] = context.server(directives)
    shared["reference"] = context.reference_server(directives)


class Bystander(threading.Thread):
    """A client that works all the while; what it sees must be right, and memory must stay bounded."""

    def __init__(self, server, growth=300 * MEGABYTE):
        super().__init__(daemon=True)
        self.server = server
        self.growth = growth
        self.stopping = threading.Event()
        self.failure = None
        self.rounds = 0

    def run(self):
        try:
            with self.server.connect() as client:
                while not self.stopping.is_set():
                    self.rounds += 1
                    assert client.call("SET", "bystander", self.rounds).raw == b"+OK\r\n"
                    assert client.call("GET", "bystander").value == b"%d" % self.rounds
                    assert client.call("INCR", "bystander:count").value == self.rounds
        except Exception as failure:
            self.failure = failure

    def __enter__(self):
        self.server.call("FLUSHALL")
        self.memory = self.server.rss_bytes()
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:  # it must still make progress after all that happened
            goal = self.rounds + 100
            wait_for(lambda: self.rounds >= goal or self.failure, "the bystander goes on", 30.0)
        self.stopping.set()
        self.join()
        if kind is None:
            assert self.failure is None, "the bystander failed: %r" % self.failure
            assert self.server.is_running()
            grown = self.server.rss_bytes() - self.memory
            assert grown < self.growth, "memory grew by %d MiB" % (grown >> 20)


def dialogue(server, data, patience=10.0):
    """Sends the bytes, closes the sending side, and returns all that the server answers until it closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=patience) as client:
        answer = bytearray()
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while True:
                piece = client.recv(1 << 16)
                if not piece:
                    break
                answer += piece
        except TimeoutError:
            raise
        except OSError:  # closed while we still send
            pass
        return bytes(answer)


SAMPLES = [
    encode("PING"),
    encode("SET", "key", "value"),
    encode("MSET", "a", "1", "b", "", "c", b"\x00\r\n$5\r\n"),
    encode("GET", "x" * 300),
    b"SET inline 'quoted value' \r\n",
    b"\r\n\r\nPING\r\n",
    encode("MULTI") + encode("SET", "k", "v") + encode("EXEC"),
    b"*0\r\n" + encode("ECHO", "after nothing"),
]


def test_disconnects_at_every_byte(context):
    server = shared["server"]
    with Bystander(server):
        for sample in SAMPLES:
            for length in range(len(sample)):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.sendall(sample[:length])
    wait_for(lambda: connected(server) <= 2, "the server has noticed that they are gone")


def connected(server):
    with server.connect() as client:
        return client.call("CLIENT", "LIST").value.count(b"\n")


def test_one_byte_at_a_time(context):
    server = shared["server"]
    with Bystander(server):
        for sample in SAMPLES:
            with server.connect() as whole, server.connect() as dribbled:
                whole.send_raw(sample + encode("ECHO", "end"))
                for index in range(len(sample)):
                    dribbled.send_raw(sample[index : index + 1])
                dribbled.send("ECHO", "end")
                while True:
                    left, right = whole.read(), dribbled.read()
                    assert left.raw == right.raw, "%r: %s and %s" % (sample, show(left), show(right))
                    if left.value == b"end":
                        break


def test_chunks_of_random_sizes(context):
    """A long pipeline cut anywhere gives the replies of the same pipeline in one piece."""
    server, random = shared["server"], context.random
    stream, count = bytearray(), 3000
    for number in range(count):
        size = random.choice([0, 1, 10, 100, 1000, 40000 if number % 100 == 0 else 5])
        stream += encode("ECHO", b"%d:" % number + b"e" * size)
    with server.connect() as client:
        writer = threading.Thread(target=send_in_chunks, args=(client, stream, random), daemon=True)
        writer.start()
        for number in range(count):
            reply = client.read()
            assert reply.value.startswith(b"%d:" % number), show(reply)
        writer.join()


def send_in_chunks(client, stream, random):
    position = 0
    while position < len(stream):
        size = random.choice([1, 2, 3, 7, 50, 1000, 16384, 20000, 70000])
        client.socket.sendall(stream[position : position + size])
        position += size


def mutate(random, data):
    data = bytearray(data)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(data))
        kind = random.randrange(6)
        if kind == 0:
            data[place] = random.randrange(256)
        elif kind == 1:
            del data[place : place + random.randint(1, 4)]
        elif kind == 2:
            data[place:place] = bytes(random.randrange(256) for _ in range(random.randint(1, 4)))
        elif kind == 3:
            data[place:place] = random.choice([b"\r\n", b"\n", b"\r", b"*", b"$", b"-", b"$-1\r\n", b"*1\r\n", b"\x00"])
        elif kind == 4:
            data[place] = random.choice(b"0123456789*$\r\n+-")
        else:
            data[place:place] = data[place : place + 10]
        if not data:
            data = bytearray(b"\n")
    return bytes(data)


def test_mutated_requests_like_redis(context):
    """Damaged requests are answered byte for byte as redis-server answers them, the closing of the connection too."""
    server, reference, random = shared["server"], shared["reference"], context.random
    differing = []
    with Bystander(server):
        for _ in range(5000 if context.deep else 600):
            sample = mutate(random, b"".join(random.choice(SAMPLES) for _ in range(random.randint(1, 3))))
            if b"\x00" in sample:
                continue  # redis-server never finds the end of an inline command with a NUL in it
            answers = dialogue(server, with_flush(sample)), dialogue(reference, with_flush(sample))
            if answers[0] != answers[1]:
                got, expected = (answer[:300] for answer in answers)
                differing.append("%r\n    got      %r\n    expected %r" % (sample, got, expected))
    assert not differing, "%d differ\n%s" % (len(differing), "\n".join(differing[:15]))


def with_flush(sample):
    return encode("DEL", "key", "a", "b", "c", "inline", "k") + sample


def test_random_bytes(context):
    server, random = shared["server"], context.random
    with Bystander(server):
        for _ in range(5000 if context.deep else 300):
            size = random.choice([1, 10, 100, 1000, 20000])
            data = bytes(random.getrandbits(8) for _ in range(size)) if size < 20000 else random.randbytes(size)
            if random.randrange(3) == 0:
                data = random.choice([b"*1\r\n", b"*3\r\n$3\r\n", b"$5\r\n", b"*-1\r\n"]) + data
            dialogue(server, data)


def refused(server, data, text):
    """The exact error, then the connection is closed."""
    with server.connect() as client:
        client.send_raw(data)
        reply = client.read()
        assert reply.raw == b"-ERR Protocol error: %s\r\n" % text, show(reply)
        assert client.is_closed()


def test_protocol_errors(context):
    for server in (shared["server"], shared["reference"]):
        for data, text in (
            (b"*2147483648\r\n", b"invalid multibulk length"),
            (b"*9223372036854775808\r\n", b"invalid multibulk length"),
            (b"*1\r\n$67108865\r\n", b"invalid bulk length"),
            (b"*1\r\n$-2\r\n", b"invalid bulk length"),
            (b"*1\r\n$9223372036854775807\r\n", b"invalid bulk length"),
            (b"*1\r\nPING\r\n", b"expected '$', got 'P'"),
            (b"*2\r\n$4\r\nECHO\r\n!x\r\n", b"expected '$', got '!'"),
            (b"*" + b"1" * 70000, b"too big mbulk count string"),
            (b"*1\r\n$" + b"1" * 70000, b"too big bulk count string"),
            (b"x" * (65536 + 1), b"too big inline request"),
            (b'SET a "b\r\n', b"unbalanced quotes in request"),
        ):
            refused(server, data, text)


def test_inline_of_64_kib(context):
    """Just below the limit an inline command works; one that exceeds it is refused."""
    for server in (shared["server"], shared["reference"]):
        with server.connect() as client:
            word = b"x" * (65536 - 100)
            client.send_raw(b"ECHO " + word + b"\r\n")
            assert client.read().value == word
        refused(server, b"ECHO " + b"x" * (65536 + 1), b"too big inline request")


def test_unauthenticated_limits(context):
    """Before AUTH a client gets no large buffers."""
    for server in (context.server({"requirepass": "secret"}), context.reference_server({"requirepass": "secret"})):
        refused(server, b"*11\r\n", b"unauthenticated multibulk length")
        refused(server, b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"unauthenticated bulk length")
        with server.connect() as client:
            assert client.call("AUTH", "x" * 16384).value.startswith(b"WRONGPASS")
            assert client.call("AUTH", "secret").raw == b"+OK\r\n"
            assert client.call("SET", "k", "x" * 20000).raw == b"+OK\r\n"
            assert client.call("DEL", *range(20)).raw == b":0\r\n"


def test_many_arguments(context):
    for server in (shared["server"], shared["reference"]):
        with server.connect() as client:
            client.call("FLUSHALL")
            words = [word for number in range(5000) for word in ("key:%d" % number, number)]
            assert client.call("MSET", *words).raw == b"+OK\r\n"
            values = client.call("MGET", *words[::2]).plain()
            assert values == [b"%d" % number for number in range(5000)]
            assert client.call("EXISTS", *(words[::2] * 2)).value == 10000
            assert client.call("DEL", *words).value == 5000
            reply = client.call("GET", *range(20000))
            assert reply.raw == b"-ERR wrong number of arguments for 'get' command\r\n"
            reply = client.call("NOSUCH", *range(20000))
            assert reply.value.startswith(b"ERR unknown command 'NOSUCH', with args beginning with: '0' '1' ")
            assert client.call("PING").raw == b"+PONG\r\n"


PROMISES = [b"*1000000\r\n$3\r\nSET\r\n", b"*2\r\n$4\r\nECHO\r\n$67108864\r\nabc", b"*2147483647\r\n"]


def test_promises_that_are_not_kept(context):
    """Huge lengths are announced and little comes: memory is taken for what arrives, not for what is announced."""
    server = shared["server"]
    clients = []
    with Bystander(server, growth=150 * MEGABYTE):
        for number in range(300):
            client = Connection(server.port)
            client.send_raw(PROMISES[number % len(PROMISES)])
            clients.append(client)
        with server.connect() as client:
            assert client.call("PING").raw == b"+PONG\r\n"
        for client in clients:
            client.close()


def test_slow_clients(context):
    """Many clients that send one byte each in turn are all answered."""
    server = shared["server"]
    request = encode("SET", "slow", "x" * 20) + encode("ECHO", "done")
    with Bystander(server):
        clients = [server.connect() for _ in range(150)]
        for index in range(len(request)):
            for client in clients:
                client.socket.sendall(request[index : index + 1])
        for client in clients:
            assert client.read().raw == b"+OK\r\n"
            assert client.read().value == b"done"
            client.close()


def test_clients_that_do_not_read(context):
    """They ask for a lot, read nothing and vanish."""
    server = shared["server"]
    with Bystander(server, growth=600 * MEGABYTE):
        with server.connect() as client:
            client.call("SET", "large", "x" * 100000)
        for _ in range(20):
            with server.connect() as client:
                client.send_raw(encode("GET", "large") * 200)
    wait_for(lambda: connected(server) <= 2, "the server has noticed that they are gone")


def test_query_buffer_limit(context):
    """A request that is larger than client-query-buffer-limit ends its connection."""
    limit = {"client-query-buffer-limit": "1mb"}
    for server in (context.server(limit), context.reference_server(limit)):
        with server.connect() as client:
            try:
                client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n" + b"x" * 2500000)
            except ConnectionError:
                pass
            assert client.is_closed()
        with server.connect() as client:
            assert client.call("EXISTS", "k").value == 0
            assert client.call("SET", "k", "x" * 500000).raw == b"+OK\r\n"


def test_pipelines_deeper_than_the_buffers(context):
    """A client may send 200,000 commands before it reads the first reply."""
    server = shared["server"]
    count = 200000
    with server.connect() as client:
        client.call("DEL", "deep")
        sender = threading.Thread(target=client.send_raw, args=(encode("INCR", "deep") * count,), daemon=True)
        sender.start()
        deadline = time.monotonic() + 60
        for number in range(1, count + 1):
            assert client.read().value == number
            assert time.monotonic() < deadline
        sender.join()


def send_and_stop_sending(port, data):
    """All that the server answers to a client that then sends no more."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        pieces = iter(lambda: client.recv(1 << 16), b"")
        return b"".join(pieces)


def test_clients_that_stop_sending_are_answered(context):
    server = context.server({} if context.is_redis else {"io-threads": "2", "shards": "4"})
    writes = b"".join(encode("SET", "half:%d" % number, "v") for number in range(3000))
    assert send_and_stop_sending(server.port, b"PING\r\n" + writes) == b"+PONG\r\n" + b"+OK\r\n" * 3000
    assert send_and_stop_sending(server.port, encode("CLIENT", "REPLY", "OFF") + encode("INCR", "n") * 6000) == b""
    assert server.call("GET", "n").value == b"6000" and server.call("DBSIZE").value == 3001
    waiting = encode("WAIT", "1", "0") + encode("PING")
    if not context.is_redis:  # which does not answer at all
        assert send_and_stop_sending(server.port, waiting) == b":0\r\n+PONG\r\n"


def test_clients_that_leave_while_they_wait(context):
    """However much they sent behind WAIT, they are noticed."""
    server = context.server()
    for _ in range(3):
        with server.connect() as client:
            client.send_raw(encode("WAIT", "1", "0") + encode("PING") * 12000)
    wait_for(lambda: connected(server) == 1, "the server has noticed that they are gone")


def test_a_reply_without_bound(context):
    """Members drawn with repetition: Redis would try to send quintillions of them."""
    server = shared["server"]
    with Bystander(server), server.connect() as client:
        client.call("SADD", "s", "a")
        for count in (-(2**63) + 1, -10_000_001):
            assert "out of range" in client.call("SRANDMEMBER", "s", count).value.decode(), count
        assert len(client.call("SRANDMEMBER", "s", -1000).value) == 1000
