"""Faults below the server: a full disk, an fsync that fails, damage to the journal's files."""

import contextlib
import glob
import os
import re
import shutil
import subprocess

from harness import Skip, durable, wait_for
from load import Load
from resp import Closed, encode

MEGABYTE = 1 << 20


# -- a full disk -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_filesystem(parent, megabytes):
    """A file system of the given size; only root can make one."""
    path = os.path.join(parent, "small")
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "redis-tests", path], capture_output=True, check=False
    )
    if done.returncode != 0:
        raise Skip("no tmpfs can be mounted here: " + done.stderr.decode().strip())
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def fill_up(path):
    """A file that takes all the space that is left; returns its name."""
    name = os.path.join(path, "ballast")
    with open(name, "wb", buffering=0) as file:
        for piece in (MEGABYTE, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * piece)
            except OSError:
                pass
    return name


def write_until_refused(client, written, limit=400):
    """SETs of 1 MiB until one is refused; what is acknowledged goes into `written`. Returns the refusal."""
    for _ in range(limit):
        key = b"large:%d" % len(written)
        reply = client.call("SET", key, key * (MEGABYTE // len(key)))
        if reply.is_error:
            return reply
        written.append(key)
    raise AssertionError("%d MiB were written to a full disk" % limit)


def expect_written(client, written):
    for key in written:
        assert client.call("GET", key).value == key * (MEGABYTE // len(key)), key


def test_full_disk(context):
    """Writes are refused with MISCONF, reads go on; with space, writes work again; nothing acknowledged is lost."""
    server = context.server(durable(context.program, "everysec"), start=False)
    with small_filesystem(server.root, 700) as path:
        server.directory = os.path.join(path, "data")
        os.makedirs(server.directory)
        server.start()
        try:
            full_disk_story(server, path)
        finally:
            server.kill()


def full_disk_story(server, path):
    with server.connect() as client:
        written = []
        assert client.call("SET", "before", "full").raw == b"+OK\r\n"
        ballast = fill_up(path)
        refusal = wait_for(lambda: write_until_refused(client, written), "a write is refused", 60.0)
        assert refusal.value.startswith(b"MISCONF "), refusal
        for _ in range(5):
            reply = client.call("SET", "a", "x" * MEGABYTE)
            assert reply.is_error and reply.value.startswith(b"MISCONF "), reply
        counted = 0
        for _ in range(5):  # what is small may still find room
            reply = client.call("INCR", "n")
            assert reply.raw == b":%d\r\n" % (counted + 1) or reply.value.startswith(b"MISCONF "), reply
            counted += not reply.is_error
        assert client.call("GET", "before").value == b"full"
        for _ in range(50):  # scans beside flushes that fail, or that find the space of journal segments
            client.send_raw(encode("BGSAVE") + encode("SCAN", "0", "COUNT", "10000") * 20)
            client.read()
            for _ in range(20):
                assert len(client.read().plain()[1]) > len(written)
        assert client.call("EXISTS", "before", *written).value == len(written) + 1
        expect_written(client, written)
        os.remove(ballast)
        wait_for(lambda: client.call("SET", "after", "full").raw == b"+OK\r\n", "writes work again", 30.0)
        assert client.call("INCR", "n").value == counted + 1
        assert client.call("EXISTS", "a").value == 0
        expect_written(client, written)
    server.crash()
    with server.connect() as client:
        assert client.call("MGET", "before", "after", "n").plain() == [b"full", b"full", b"%d" % (counted + 1)]
        expect_written(client, written)


def test_crash_while_the_disk_is_full(context):
    """Killed with a full disk, it starts and is read; with room, all that was acknowledged is there and it goes on."""
    if context.is_redis:
        raise Skip("redis-server acknowledges a write that it could not write to its file yet")
    server = context.server(durable(context.program, "everysec"), start=False)
    with small_filesystem(server.root, 700) as path:
        server.directory = os.path.join(path, "data")
        os.makedirs(server.directory)
        server.start()
        try:
            written = []
            with server.connect() as client:
                client.call("SET", "before", "full")
                ballast = fill_up(path)
                write_until_refused(client, written)
            server.crash()
            fill_up(path + "/data")
            with server.connect() as client:
                assert client.call("GET", "before").value == b"full"
                expect_written(client, written)
                assert client.call("SET", "a", "x" * MEGABYTE).value.startswith(b"MISCONF ")
                os.remove(ballast)
                os.remove(path + "/data/ballast")
                wait_for(lambda: client.call("SET", "after", "v").raw == b"+OK\r\n", "writes work again", 30.0)
            server.crash()
            with server.connect() as client:
                assert client.call("MGET", "before", "after").plain() == [b"full", b"v"]
                expect_written(client, written)
        finally:
            server.kill()


# -- an fsync that fails ---------------------------------------------------------------------------------------------


def server_with_fsync(context, fault, directives):
    """A server whose fsyncs have the fault (fsync_faults.cc) when the file exists whose name is returned with it."""
    library = os.path.join(context.build, "bin", "libredis-tests-fsync-faults.so")
    if not os.path.exists(library):
        raise Skip("not built: " + library)
    server = context.server(directives, start=False)
    trigger = os.path.join(server.root, "trigger")
    server.environment = {"LD_PRELOAD": library, fault: trigger}
    server.start()
    return server, trigger


def touch(path):
    open(path, "w", encoding="utf-8").close()


def test_failed_fsync_stops_the_node(context):
    """What an fsync did not keep is never acknowledged: the node stops; nothing acknowledged is lost."""
    server, trigger = server_with_fsync(context, "FSYNC_FAILS_WHEN", durable(context.program, "always"))
    load = Load(server)
    load.start()
    wait_for(lambda: load.acknowledged() > 2000 or load.failed(), "2,000 writes", 30.0)
    touch(trigger)
    code = server.wait_exit(30.0)
    load.join()
    assert code != 0, "a failed fsync is not a clean end"
    assert re.search(r"fsync|fdatasync|sync", server.log()), "the log does not say why:\n" + server.log()[-1500:]
    os.remove(trigger)
    server.start()
    load.check()


# -- a disk that does not keep up ------------------------------------------------------------------------------------


def test_writers_wait_while_no_flush_ends(context):
    """Changes that are in no flush yet are bounded: beyond that writers wait, then are refused; readers go on."""
    directives = {"dirty-memory": "8mb", "cache-memory": "64mb", "overload-timeout": "100"}
    server, trigger = server_with_fsync(context, "FSYNC_WAITS_WHILE", directives)
    touch(trigger)
    with server.connect() as client, server.connect() as other:
        written = []
        refused = None
        while refused is None and len(written) < 64:
            key = b"large:%d" % len(written)
            reply = client.call("SET", key, key * (MEGABYTE // len(key)))
            if reply.is_error:
                refused = reply
            else:
                written.append(key)
        assert refused is not None and refused.value.startswith(b"OVERLOADED"), refused
        assert 8 < len(written) <= 20, "%d MiB were taken with dirty-memory 8mb" % len(written)
        expect_written(client, written)
        assert client.call("CONFIG", "SET", "overload-timeout", "600000").value == b"OK"
        number = other.call("CLIENT", "ID").value
        other.send("SET", "patient", "waits")
        wait_for(lambda: b"cmd=set" in client.call("CLIENT", "LIST", "ID", str(number)).value, "the writer was met")
        os.remove(trigger)
        assert other.read().value == b"OK"
        assert client.call("SET", "more", "v").value == b"OK"
        expect_written(client, written)
    server.kill()
    server.start()
    with server.connect() as client:
        expect_written(client, written)
        assert client.call("MGET", "patient", "more").plain() == [b"waits", b"v"]


# -- damage to the journal -------------------------------------------------------------------------------------------


def journal_files(server):
    found = glob.glob(server.directory + "/journal/**", recursive=True)
    files = sorted(path for path in found if os.path.isfile(path))
    assert files, "no files below %s/journal" % server.directory
    return files


def find_in_journal(server, marker):
    """File and offset of the last place where the bytes stand."""
    found = None
    for path in journal_files(server):
        with open(path, "rb") as file:
            offset = file.read().rfind(marker)
        if offset >= 0:
            found = (path, offset)
    assert found, "the journal does not contain %r" % marker
    return found


def change_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ 0x01]))


def killed_with_a_journal(context, writes=3000):
    """A server killed right after its writes: EARLY first, LAST at the end, numbered ones between."""
    context.require_capstan()
    server = context.server({"appendfsync": "always"})
    with server.connect() as client:
        assert client.call("SET", "early", "EARLY-MARKER-" + "e" * 100).raw == b"+OK\r\n"
        for start in range(0, writes, 100):
            client.pipeline([["SET", "k%d" % n, "value-%d-" % n + "v" * 50] for n in range(start, start + 100)])
        assert client.call("SET", "last", "LAST-MARKER-" + "l" * 100).raw == b"+OK\r\n"
    server.kill()
    return server


def prefix_length(server, writes=3000):
    """How many of the numbered writes are there; fails unless they are the first ones, undamaged."""
    with server.connect() as client:
        values = client.call("MGET", *["k%d" % number for number in range(writes)]).plain()
        assert client.call("GET", "early").value == b"EARLY-MARKER-" + b"e" * 100
    present = [value is not None for value in values]
    length = sum(present)
    assert all(present[:length]), "a write is missing before one that is there"
    assert all(value == b"value-%d-" % n + b"v" * 50 for n, value in enumerate(values[:length]))
    return length


def test_torn_tail_is_cut_off(context):
    """A byte of the last record is wrong, as after a crash of the system: cut off, logged; the rest is there."""
    server = killed_with_a_journal(context)
    path, offset = find_in_journal(server, b"LAST-MARKER-")
    change_byte(path, offset + 5)
    before = len(server.log())
    server.start()
    assert prefix_length(server) == 3000
    assert server.call("GET", "last").is_null, "the damaged record was taken"
    assert re.search(r"torn|cut|truncat", server.log()[before:], re.I), server.log()[before:][-2000:]
    with server.connect() as client:
        assert client.call("SET", "last", "again").raw == b"+OK\r\n"
    server.crash()
    assert server.call("GET", "last").value == b"again"
    assert prefix_length(server) == 3000


def test_journal_cut_short(context):
    """The file ends within the last record."""
    server = killed_with_a_journal(context)
    path, offset = find_in_journal(server, b"LAST-MARKER-")
    os.truncate(path, offset + 20)
    server.start()
    assert prefix_length(server) == 3000
    assert server.call("GET", "last").is_null
    assert server.call("SET", "last", "again").raw == b"+OK\r\n"
    server.crash()
    assert server.call("GET", "last").value == b"again"


def test_zeros_at_the_end(context):
    """The last record's pages never reached the disk."""
    server = killed_with_a_journal(context)
    path, offset = find_in_journal(server, b"LAST-MARKER-")
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\0" * 112)
    server.start()
    assert prefix_length(server) == 3000
    assert server.call("GET", "last").is_null


def test_damage_before_the_synced_point_stops_the_start(context):
    """What was synced is damaged: the start stops and names file and offset; mended, everything is there."""
    server = killed_with_a_journal(context)
    path, offset = find_in_journal(server, b"EARLY-MARKER-")
    change_byte(path, offset + 5)
    before = len(server.log())
    server.spawn()
    assert server.wait_exit() != 0, "the server starts on a damaged journal"
    said = server.log()[before:]
    assert os.path.basename(path) in said, "the message does not name the file:\n" + said[-2000:]
    offsets = [int(number, 0) for number in re.findall(r"\b(?:0x[0-9a-f]+|[1-9]\d*|0)\b", said)]
    near = any(offset - 400 <= at <= offset + 120 for at in offsets)
    assert near, "no offset near %d:\n%s" % (offset, said[-2000:])
    change_byte(path, offset + 5)
    server.start()
    assert prefix_length(server) == 3000
    assert server.call("GET", "last").value == b"LAST-MARKER-" + b"l" * 100


def test_damage_can_be_cut_off_at_the_operators_word(context):
    """The way out that the refused start names: what lies before the damage is served, and stays after a restart."""
    server = killed_with_a_journal(context)
    path, offset = find_in_journal(server, b"EARLY-MARKER-")
    change_byte(path, offset + 5)
    server.directives["journal-damage"] = "truncate"
    server.start()
    kept = server.call("DBSIZE").value
    assert kept < 3000, "what lies behind the damage is served"
    del server.directives["journal-damage"]
    server.call("SET", "after", "v")
    server.kill()
    server.start()
    assert server.call("DBSIZE").value == kept + 1
    assert server.call("GET", "after").value == b"v"


def test_damage_anywhere_is_never_served(context):
    """A random byte of the journal is changed: either the start stops, or a prefix of the writes is served."""
    server = killed_with_a_journal(context)
    kept = server.directory + ".kept"
    shutil.copytree(server.directory, kept)
    end_path, end = find_in_journal(server, b"LAST-MARKER-")
    refused = 0
    for _ in range(100 if context.deep else 6):
        shutil.rmtree(server.directory)
        shutil.copytree(kept, server.directory)
        path = context.random.choice([p for p in journal_files(server) if p <= end_path])
        limit = end + 112 if path == end_path else os.path.getsize(path)
        offset = context.random.randrange(min(limit, os.path.getsize(path)))
        change_byte(path, offset)
        server.spawn()
        try:
            server.wait_ready()
        except AssertionError:
            ended = server.process.poll() is not None
            assert ended, "neither serves nor ends with byte %d of %s changed" % (offset, path)
            refused += 1
            continue
        # Only what came after the last position that was known to be synced may be taken for a torn tail.
        assert prefix_length(server) >= 2800, "byte %d of %s changed: synced writes are gone" % (offset, path)
        server.kill()
    context.note("faults: %d starts were refused on a damaged journal" % refused)


def test_crashes_with_recycled_segments(context):
    """More is written than a segment holds, several times, with kill −9 in between: stale frames never pass."""
    context.require_capstan()
    server = context.server({"appendfsync": "no"})
    value = b"s" * 60000
    for life in range(3):
        with server.connect() as client:
            for start in range(0, 2500, 50):
                names = [b"n%d" % (number % 700) for number in range(start, start + 50)]
                client.send_raw(b"".join(encode("SET", name, b"%d/" % life + name + value) for name in names))
                assert all(client.read().raw == b"+OK\r\n" for _ in names)
            if life == 1:
                assert client.call("SAVE").raw == b"+OK\r\n"
        server.crash()
        with server.connect() as client:
            assert client.call("DBSIZE").value == 700
            for number in range(700):
                wanted = b"%d/n%d" % (life, number) + value
                assert client.call("GET", "n%d" % number).value == wanted


def test_kill_during_mset(context):
    """A client that is told nothing never finds its write half there (see durability for the rest)."""
    server = context.server(durable(context.program, "always"))
    with server.connect() as client:
        client.call("MSET", "left", "0", "right", "0")
        client.send_raw(b"".join(encode("MSET", "left", n, "right", n) for n in range(1, 3000)))
        server.kill()
        acknowledged = 0
        try:
            while True:
                assert client.read().raw == b"+OK\r\n"
                acknowledged += 1
        except (Closed, ConnectionError):
            pass
    server.start()
    left, right = server.call("MGET", "left", "right").plain()
    assert left == right and int(left) >= acknowledged, (left, right, acknowledged)
