"""Many long names, values of the maximum size, and more data than memory."""

import random

from harness import durable, info
from memory_limit import MemoryLimit
from resp import Closed, encode

MEGABYTE = 1 << 20
LARGEST = 64 * MEGABYTE  # proto-max-bulk-len's default in capstan-server; redis-server is given the same
BATCH = 200


def write_all(client, items):
    """Pipelined SETs."""
    batch = []
    for key, value in items:
        batch.append(encode("SET", key, value))
        if len(batch) == BATCH:
            flush_batch(client, batch)
    flush_batch(client, batch)


def flush_batch(client, batch):
    client.send_raw(b"".join(batch))
    for _ in batch:
        reply = client.read()
        assert reply.raw == b"+OK\r\n", reply
    batch.clear()


def scan_all(client, count=1000):
    """Every key that SCAN returns, as often as it does."""
    cursor, found = b"0", []
    while True:
        reply = client.call("SCAN", cursor, "COUNT", count)
        cursor = reply.value[0].value
        assert int(cursor) < 1 << 53, "clients that keep a cursor in a JavaScript number lose %r" % cursor
        found += [item.value for item in reply.value[1].value]
        if cursor == b"0":
            return found


def long_names(seed, count):
    """Names of 600 to 2,000 bytes; many share a prefix of 600, some have any byte in them."""
    source = random.Random(seed)
    prefix = b"a/common/prefix/" * 40
    for number in range(count):
        kind = number % 4
        if kind == 0:
            yield b"%d:" % number + source.randbytes(source.randrange(600, 1990))
        elif kind == 1:
            yield prefix[:600] + b"%d" % number
        elif kind == 2:
            yield b"%d" % number * (source.randrange(600, 1900) // len(b"%d" % number) + 1)
        else:
            yield prefix + bytes(source.randrange(256) for _ in range(4)) + b"%d" % number


def test_100000_keys_with_long_names(context):
    count = 100000
    server = context.server(durable(context.program, "everysec"))
    with server.connect() as client:
        write_all(client, ((name, b"%d" % number) for number, name in enumerate(long_names(context.seed, count))))
    names = set(long_names(context.seed, count))
    assert len(names) == count
    expect_names(context, server, names)
    server.crash()
    expect_names(context, server, names)
    server.restart()
    expect_names(context, server, names)


def expect_names(context, server, names):
    with server.connect() as client:
        assert client.call("DBSIZE").value == len(names)
        found = scan_all(client)
        lacking, extra = len(names - set(found)), len(set(found) - names)
        assert not lacking and not extra, "SCAN lacks %d and has %d too many" % (lacking, extra)
        if not context.is_redis:  # whose hash table may be growing while it is scanned
            assert len(found) == len(names), "SCAN told %d names twice" % (len(found) - len(names))
        for number, name in enumerate(long_names(context.seed, 2000)):
            assert client.call("GET", name).value == b"%d" % number


def test_value_of_the_maximum_size(context):
    limit = {"proto-max-bulk-len": "64mb"} if context.is_redis else {}
    server = context.server({**durable(context.program, "everysec"), **limit})
    unit = bytes(range(256)) * 4096  # 1 MiB
    value = unit * 64
    with server.connect(timeout=60) as client:
        assert client.call("SET", "largest", value).raw == b"+OK\r\n"
        assert client.call("STRLEN", "largest").value == LARGEST
        assert client.call("GET", "largest").value == value
        assert client.call("GETRANGE", "largest", LARGEST - 10, -1).value == value[-10:]
        assert client.call("GETRANGE", "largest", 12345678, 12345999).value == value[12345678:12346000]
        assert client.call("SETRANGE", "largest", LARGEST - 3, "end").value == LARGEST
        assert client.call("SETRANGE", "largest", 65536 - 2, "chunk").value == LARGEST
        assert client.call("SETBIT", "largest", LARGEST * 8 - 1, "1").value == 0
        expect_refusals(client)
        assert client.call("STRLEN", "largest").value == LARGEST
        # grown step by step to the same size
        assert client.call("SET", "grown", unit * 60).raw == b"+OK\r\n"
        for _ in range(4):
            client.call("APPEND", "grown", unit)
        assert client.call("APPEND", "grown", "").value == LARGEST
        assert client.call("SETRANGE", "padded", LARGEST - 1, "x").value == LARGEST
    value = bytearray(value)
    value[65534:65539] = b"chunk"
    value[-3:] = b"ene"  # "end" and the last bit
    for again in (server.crash, server.restart):
        again(60.0)
        with server.connect(timeout=60) as client:
            assert client.call("GET", "largest").value == value
            assert client.call("GET", "grown").value == unit * 64
            assert client.call("GET", "padded").value == b"\0" * (LARGEST - 1) + b"x"


def expect_refusals(client):
    too_long = b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    for command in (
        ["APPEND", "largest", "x"],
        ["SETRANGE", "largest", LARGEST, "x"],
        ["SETRANGE", "largest", LARGEST - 1, "xy"],
        ["SETRANGE", "fresh", LARGEST, "x"],
    ):
        reply = client.call(*command)
        assert reply.is_error and reply.value == too_long, "%s answered %s" % (command[0], reply)
    reply = client.call("SETBIT", "largest", LARGEST * 8, "1")
    assert reply.value == b"ERR bit offset is not an integer or out of range", reply
    assert client.call("EXISTS", "fresh").value == 0


def test_one_byte_too_much(context):
    """A bulk string longer than proto-max-bulk-len is refused when its length is read."""
    server = context.server({"proto-max-bulk-len": "64mb"} if context.is_redis else {})
    with server.connect() as client:
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (LARGEST + 1))
        assert client.read().raw == b"-ERR Protocol error: invalid bulk length\r\n"
        assert client.is_closed()
    assert server.call("EXISTS", "k").value == 0


# -- more data than memory -------------------------------------------------------------------------------------------


NOISE = random.Random(1).randbytes(MEGABYTE)


def item(number, life=0):
    """Key and value of an item; values of about 4 KB that do not compress and differ for each item and life."""
    start = (number * 7919 + life * 104729) % (MEGABYTE - 8192)
    size = 2048 + (number * 31 + life) % 4096
    return b"item:%d" % number, b"%d/%d/" % (number, life) + NOISE[start : start + size]


# Of the process, in MiB: about half of the data. It must hold what is dirty, a flush of it, and the cache.
MEMORY_LIMIT = 448
ITEMS = 200000


def test_more_data_than_memory(context):
    """Twice as much data as the process may take: reads, writes, SCAN and DBSIZE stay right."""
    factor = 4 if context.deep else 1
    count = ITEMS * factor if not context.is_redis else 20000
    limit = MemoryLimit(MEMORY_LIMIT * MEGABYTE) if not context.is_redis else None
    server = context.server(
        durable(context.program, "always") if context.is_redis else {"appendfsync": "everysec", "cache-memory": "64mb"},
        wrap=limit.wrap if limit else (),
    )
    try:
        more_data_than_memory(context, server, count, limit)
    except (Closed, ConnectionError) as failure:
        state = "runs" if server.is_running() else "ended with %s (−9: out of memory?)" % server.process.poll()
        raise AssertionError("%s; the server %s" % (failure, state)) from None
    finally:
        server.kill()
        if limit:
            limit.close()


def more_data_than_memory(context, server, count, limit):
    expected = {}
    with server.connect(timeout=120) as client:
        write_all(client, (item(number) for number in range(count)))
        for _ in range(count // 10):
            number = context.random.randrange(count)
            expected[number] = 1
        write_all(client, (item(number, 1) for number in sorted(expected)))
        check_items(context, client, count, expected)
        removed = [number for number in range(0, count, 1000)]
        assert client.call("DEL", *[b"item:%d" % number for number in removed]).value == len(removed)
        assert client.call("DBSIZE").value == count - len(removed)
        found = scan_all(client, 5000)
        assert len(set(found)) == count - len(removed), "SCAN finds %d of %d" % (len(set(found)), count - len(removed))
        if not context.is_redis:
            assert len(found) == len(set(found)), "SCAN told %d names twice" % (len(found) - len(set(found)))
        memory = info(client, "memory")
        context.note(
            "scale: %d items of about 4 KB, used_memory %s, resident %d MiB; limit by %s"
            % (count, memory.get("used_memory_human"), server.rss_bytes() >> 20, limit.description if limit else "nothing")
        )
        write_all(client, (item(number, 2) for number in removed))
        expected.update((number, 2) for number in removed)
    server.crash(120.0)
    with server.connect(timeout=120) as client:
        assert client.call("DBSIZE").value == count
        check_items(context, client, count, expected)


def check_items(context, client, count, expected):
    """Random reads, one by one and in batches."""
    for _ in range(50):
        numbers = [context.random.randrange(count) for _ in range(100)]
        values = client.call("MGET", *[b"item:%d" % number for number in numbers]).plain()
        for number, value in zip(numbers, values):
            assert value == item(number, expected.get(number, 0))[1], "item %d is wrong or missing" % number
    for _ in range(1000):
        number = context.random.randrange(count)
        assert client.call("GET", b"item:%d" % number).value == item(number, expected.get(number, 0))[1], number
