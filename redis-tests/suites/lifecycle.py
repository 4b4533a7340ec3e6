"""Limits of connections, stopping and starting, configuration files."""

import os
import re
import signal
import subprocess

from harness import Server, Skip, durable, info, wait_for
from resp import Closed, encode, show

STOCK_CONFIGURATION = "/etc/redis/redis.conf"


# -- limits ----------------------------------------------------------------------------------------------------------


def test_maxclients(context):
    server = context.server({"maxclients": "20"})
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        assert client.call("PING").raw == b"+PONG\r\n"
    for _ in range(3):
        with server.connect() as refused:
            assert refused.read().raw == b"-ERR max number of clients reached\r\n"
            assert refused.is_closed()
    assert clients[0].call("SET", "k", "v").raw == b"+OK\r\n"
    assert int(info(clients[0], "stats")["rejected_connections"]) == 3
    clients.pop().close()
    wait_for(lambda: clients[0].call("CLIENT", "LIST").value.count(b"\n") == 19, "the server sees that one is gone")
    with server.connect() as welcome:
        assert welcome.call("PING").raw == b"+PONG\r\n"
    assert clients[0].call("CONFIG", "SET", "maxclients", "30").raw == b"+OK\r\n"
    more = [server.connect() for _ in range(8)]
    assert all(client.call("GET", "k").value == b"v" for client in more)


def test_timeout_closes_idle_clients(context):
    server = context.server({"timeout": "1"})
    with server.connect() as idle, server.connect() as busy:
        idle.call("PING")
        wait_for(lambda: busy.call("PING") and idle.is_closed(timeout=0.05), "the idle client is closed", 20.0)
        assert busy.call("PING").raw == b"+PONG\r\n"
        assert busy.call("CONFIG", "SET", "timeout", "0").raw == b"+OK\r\n"


def test_output_buffer_limit(context):
    """A client that asks for much and reads nothing is closed at the limit; memory stays bounded."""
    server = context.server({"client-output-buffer-limit": ["normal", "2mb", "0", "0"]})
    with server.connect() as other:
        other.call("SET", "large", "x" * 1000000)
        before = server.rss_bytes()
        with server.connect() as greedy:
            greedy.send_raw(encode("GET", "large") * 300)
            wait_for(lambda: other.call("CLIENT", "LIST").value.count(b"\n") == 1, "the greedy client is closed")
            assert server.rss_bytes() - before < 40 << 20, "more than a packet's replies are not kept"
        with server.connect() as modest:
            assert len(modest.call("GET", "large").value) == 1000000
        assert other.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0").raw == b"+OK\r\n"
        with server.connect() as patient:
            patient.send_raw(encode("GET", "large") * 60)
            assert all(len(patient.read().value) == 1000000 for _ in range(60))


def test_large_replies_of_many_clients(context):
    server = context.server()
    clients = [server.connect() for _ in range(50)]
    clients[0].call("SET", "large", "y" * 300000)
    for client in clients:
        client.send_raw(encode("GET", "large") * 5)
    for client in clients:
        assert all(client.read().value == b"y" * 300000 for _ in range(5))


def test_connections_come_and_go(context):
    server = context.server()
    with server.connect() as client:
        for _ in range(20):
            others = [server.connect() for _ in range(50)]
            assert all(other.call("PING").raw == b"+PONG\r\n" for other in others)
            for other in others:
                other.close()
        wait_for(lambda: info(client, "clients")["connected_clients"] == "1", "one client is connected")
        assert int(info(client, "stats")["total_connections_received"]) >= 1000


def test_client_kill_under_load(context):
    """Killing busy clients disturbs no other."""
    server = context.server()
    with server.connect() as killer, server.connect() as survivor:
        for _ in range(30):
            victim = server.connect()
            identity = victim.call("CLIENT", "ID").value
            victim.send_raw(encode("SET", "k", "x" * 1000) * 500)
            assert killer.call("CLIENT", "KILL", "ID", identity).raw == b":1\r\n"
            try:
                while True:
                    assert victim.read().raw == b"+OK\r\n"
            except (Closed, ConnectionError):
                pass
            victim.close()
            assert survivor.call("PING").raw == b"+PONG\r\n"


def test_debug_must_be_enabled(context):
    server, reference = context.server(), context.reference_server()
    answers = [each.call("DEBUG", "SLEEP", "0").raw for each in (server, reference)]
    assert answers[0] == answers[1], "got %s, expected %s" % tuple(answers)


def test_rename_command(context):
    server = context.server({"rename-command": ["FLUSHALL", ""]}, config_file=None)
    with server.connect() as client:
        client.call("SET", "k", "v")
        assert client.call("FLUSHALL").value.startswith(b"ERR unknown command 'FLUSHALL'")
        assert client.call("EXISTS", "k").value == 1
        assert client.call("FLUSHDB").raw == b"+OK\r\n"


# -- stopping --------------------------------------------------------------------------------------------------------


def filled(context, appendfsync="everysec"):
    """A server with 5,000 keys, some with an expiry, in two databases."""
    server = context.server(durable(context.program, appendfsync))
    with server.connect() as client:
        replies = client.pipeline([["SET", "key:%d" % n, "value %d" % n] for n in range(5000)])
        assert all(reply.raw == b"+OK\r\n" for reply in replies)
        client.call("EXPIRE", "key:7", "100000")
        client.call("SELECT", "3")
        client.call("SET", "in", "three")
    return server


def expect_filled(server):
    with server.connect() as client:
        assert client.call("DBSIZE").value == 5000
        for number in range(0, 5000, 7):
            assert client.call("GET", "key:%d" % number).value == b"value %d" % number
        assert 99000 < client.call("TTL", "key:7").value <= 100000
        client.call("SELECT", "3")
        assert client.call("GET", "in").value == b"three"


def stop_and_start(context, stop, appendfsync="everysec"):
    server = filled(context, appendfsync)
    stop(server)
    assert server.wait_exit() == 0, "exit code %d\n%s" % (server.process.returncode, server.log()[-2000:])
    server.start()
    expect_filled(server)


def shutdown(*words):
    def stop(server):
        with server.connect() as client:
            client.send("SHUTDOWN", *words)
            assert client.is_closed(), "SHUTDOWN closes the connection without a reply"
            assert not client.buffer, bytes(client.buffer)

    return stop


def test_shutdown_keeps_everything(context):
    stop_and_start(context, shutdown())


def test_shutdown_with_every_option(context):
    for words in (["NOSAVE"], ["NOW"], ["FORCE"], ["nosave", "now", "force"]):
        stop_and_start(context, shutdown(*words))


def test_shutdown_without_fsync(context):
    stop_and_start(context, shutdown(), appendfsync="no")


def test_sigterm_keeps_everything(context):
    stop_and_start(context, lambda server: server.process.send_signal(signal.SIGTERM))


def test_sigint_keeps_everything(context):
    stop_and_start(context, lambda server: server.process.send_signal(signal.SIGINT))


def test_stop_with_clients_at_work(context):
    server = filled(context)
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.send_raw(encode("SET", "during", "stop") * 2000)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    server.start()
    with server.connect() as client:
        assert client.call("DBSIZE").value in (5000, 5001)


def test_second_server_on_the_same_directory(context):
    """Two processes never share a directory: the second one ends and says why, the first goes on."""
    context.require_capstan()
    server = filled(context)
    second = Server(context.program, directory=server.directory, start=False)
    second.log_path = server.log_path + ".second"
    try:
        second.spawn()
        assert second.wait_exit() != 0
        assert server.directory in second.log() or "lock" in second.log().lower(), second.log()
    finally:
        second.close()
    expect_filled(server)


def test_port_in_use(context):
    server = context.server()
    second = context.server({"port": server.port}, start=False)
    second.spawn()
    assert second.wait_exit() != 0, "a second server listens on the same port"
    assert str(server.port) in second.log(), second.log()
    assert server.call("PING").raw == b"+PONG\r\n"


# -- configuration ---------------------------------------------------------------------------------------------------


def write_file(server, name, text):
    path = os.path.join(server.root, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def test_config_rewrite(context):
    server = context.server(start=False)
    text = '# kept comment\nmaxclients 500\n\ntimeout 100\nloglevel notice\nrequirepass "a b"\n'
    server.config_file = write_file(server, "test.conf", text)
    server.start()
    with server.connect() as client:
        assert client.call("AUTH", "a b").raw == b"+OK\r\n"
        assert client.call("CONFIG", "GET", "maxclients").plain() == [b"maxclients", b"500"]
        assert client.call("CONFIG", "SET", "maxclients", "600", "slowlog-max-len", "77").raw == b"+OK\r\n"
        limits = "normal 0 0 0 pubsub 1mb 1mb 9"
        assert client.call("CONFIG", "SET", "client-output-buffer-limit", limits).raw == b"+OK\r\n"
        assert client.call("CONFIG", "SET", "requirepass", 'quo"te \\ and \x01').raw == b"+OK\r\n"
        limits = client.call("CONFIG", "GET", "client-output-buffer-limit").plain()
        assert client.call("CONFIG", "REWRITE").raw == b"+OK\r\n"
    with open(server.config_file, encoding="utf-8") as file:
        lines = file.read().split("\n")
    assert lines[0] == "# kept comment" and "maxclients 600" in lines and "timeout 100" in lines, lines
    assert not any(line.startswith("maxclients 500") for line in lines), lines
    server.restart()
    with server.connect() as client:
        assert client.call("AUTH", 'quo"te \\ and \x01').raw == b"+OK\r\n"
        for name, value in (("maxclients", b"600"), ("slowlog-max-len", b"77"), ("timeout", b"100")):
            assert client.call("CONFIG", "GET", name).plain()[1] == value
        assert client.call("CONFIG", "GET", "client-output-buffer-limit").plain() == limits


def test_configuration_file_syntax(context):
    server = context.server(start=False)
    server.config_file = write_file(
        server,
        "test.conf",
        "# comment\n\n   \t\n  maxclients\t 321  \nTIMEOUT 12\nmaxclients 322\n"
        "requirepass 'single'\nclient-query-buffer-limit 2MB\nslowlog-max-len 55\r\n",
    )
    server.directives = {"timeout": "15", "slowlog-log-slower-than": "-1"}
    server.start()
    with server.connect() as client:
        assert client.call("AUTH", "single").raw == b"+OK\r\n"
        for name, value in (
            ("maxclients", b"322"),
            ("timeout", b"15"),  # the command line comes after the file
            ("client-query-buffer-limit", b"2097152"),
            ("slowlog-max-len", b"55"),
            ("slowlog-log-slower-than", b"-1"),
        ):
            reply = client.call("CONFIG", "GET", name).plain()
            assert reply == [name.encode(), value], reply


def test_include_of_a_file(context):
    server = context.server(start=False)
    included = write_file(server, "included.conf", "maxclients 111\n")
    server.config_file = write_file(server, "test.conf", "maxclients 100\ninclude %s\n" % included)
    server.start()
    with server.connect() as client:
        assert client.call("CONFIG", "GET", "maxclients").plain()[1] == b"111"


BAD_LINES = [
    "nosuchdirective 1",
    "maxclients abc",
    "maxclients",
    "timeout -1",
    "port 99999",
    'requirepass "unbalanced',
    "appendfsync sometimes",
    "loglevel loud",
    "client-output-buffer-limit normal 1",
]


def test_bad_configuration_stops_the_start(context):
    for line in BAD_LINES:
        server = context.server(start=False)
        path = write_file(server, "bad.conf", "# first line\ntimeout 0\n%s\nmaxclients 100\n" % line)
        server.config_file = path
        server.spawn()
        assert server.wait_exit() != 0, line
        log = server.log()
        assert re.search(r"\b3\b", log), "%r: the log does not name line 3:\n%s" % (line, log)
        assert line.split()[0] in log, "%r: the log does not name the directive:\n%s" % (line, log)
        if not context.is_redis:
            assert "bad.conf" in log, "%r: the log does not name the file:\n%s" % (line, log)


def test_bad_command_line_stops_the_start(context):
    for words in (["--nosuchdirective", "1"], ["--maxclients", "abc"], ["--maxclients"], ["/nonexistent/file.conf"]):
        server = context.server(start=False)
        command = [context.program] + words + ["--port", str(server.port), "--dir", server.directory]
        done = subprocess.run(command, capture_output=True, timeout=30, cwd=server.root, check=False)
        output = (done.stdout + done.stderr).decode()
        assert done.returncode != 0, "%s started" % words
        assert words[0].lstrip("-") in output, "%s is not named:\n%s" % (words, output)


def test_stock_configuration_of_debian(context):
    """The file that Debian installs starts a server; what has no meaning here is a warning."""
    if not os.path.exists(STOCK_CONFIGURATION):
        raise Skip("there is no " + STOCK_CONFIGURATION)
    server = context.server(start=False)
    with open(STOCK_CONFIGURATION, encoding="utf-8") as file:
        server.config_file = write_file(server, "redis.conf", file.read())
    log_file = os.path.join(server.root, "server.log")
    server.directives = {
        "daemonize": "no",
        "supervised": "no",
        "logfile": log_file,
        "pidfile": os.path.join(server.root, "pid"),
        "unixsocket": os.path.join(server.root, "socket"),
    }
    server.start()
    with server.connect() as client:
        assert client.call("SET", "k", "v").raw == b"+OK\r\n"
        assert client.call("GET", "k").value == b"v"
        assert client.call("CONFIG", "GET", "maxclients").plain()[1] == b"10000"
    with open(log_file, encoding="utf-8") as file:
        assert context.is_redis or "warn" in file.read().lower(), "nothing was said about what has no meaning here"


def test_version_and_help(context):
    for words in (["--version"], ["-v"], ["--help"], ["-h"]):
        done = subprocess.run([context.program] + words, capture_output=True, timeout=30, check=False)
        output = (done.stdout + done.stderr).decode()
        assert output.strip() and "Traceback" not in output, words
        if words[0].startswith(("--v", "-v")):
            assert done.returncode == 0 and re.search(r"\d+\.\d+", output), output


def test_works_without_any_configuration(context):
    """Neither file nor directives but port and directory; a directory that is not there yet is made."""
    context.require_capstan()
    server = context.server(start=False)
    server.directory = os.path.join(server.root, "not", "there", "yet")
    server.start()
    with server.connect() as client:
        assert client.call("SET", "k", "v").raw == b"+OK\r\n"
    server.restart()
    assert server.call("GET", "k").value == b"v"


def test_io_threads(context):
    """Any number of workers serves the same data, also when it changes between starts."""
    server = context.server(durable(context.program, "always"))
    with server.connect() as client:
        client.pipeline([["SET", "k%d" % number, number] for number in range(2000)])
    for number_of_start, threads in enumerate(["1", "2", "4", "1"]):
        server.directives["io-threads"] = threads
        server.restart() if number_of_start == 1 else server.crash()
        clients = [server.connect() for _ in range(8)]
        for index, client in enumerate(clients):
            replies = client.pipeline([["GET", "k%d" % number] for number in range(index, 2000, 8)])
            assert [reply.value for reply in replies] == [b"%d" % number for number in range(index, 2000, 8)]
            assert client.call("INCR", "total:%d" % number_of_start).value == index + 1
        for client in clients:
            client.close()


def test_loading_of_configuration_from_standard_names(context):
    """CONFIG GET of port and dir tell where the server is."""
    server = context.server()
    with server.connect() as client:
        assert client.call("CONFIG", "GET", "port").plain() == [b"port", b"%d" % server.port]
        directory = client.call("CONFIG", "GET", "dir").plain()[1].decode()
        assert os.path.realpath(directory) == os.path.realpath(server.directory), directory
        assert show(client.call("CONFIG", "GET", "nosuch")) == "*[]"


def test_shutdown_without_saving_during_a_flush(context):
    """SHUTDOWN NOSAVE waits for the flush that is under way; what was acknowledged is in the journal."""
    context.require_capstan()
    server = context.server()
    with server.connect() as client:
        for i in range(60):
            client.call("SET", "k%d" % i, os.urandom(1 << 20))
        client.call("BGSAVE")
        client.send("SHUTDOWN", "NOSAVE")
    assert server.wait_exit() == 0, server.log()[-2000:]
    server.start()
    assert server.call("DBSIZE").value == 60


def test_clients_leave_descriptors_for_the_data(context):
    """With few descriptors there are fewer clients, and the journal still gets its segments."""
    context.require_capstan()
    server = context.server(wrap=["sh", "-c", 'ulimit -n 128; ulimit -Hn 128; exec "$0" "$@"'])
    with server.connect() as client:
        limit = int(client.call("CONFIG", "GET", "maxclients").value[1].value)
        assert 1 <= limit < 128, "maxclients %d with 128 descriptors" % limit
        others = [server.connect() for _ in range(150)]
        for _ in range(300):
            assert client.call("SET", "k", "x" * (1 << 20)).raw == b"+OK\r\n"
        for other in others:
            other.close()


def test_passwords_are_shown_to_nobody(context):
    context.require_capstan()
    server = context.server({"slowlog-log-slower-than": "0", "rename-command": ["AUTH", "login"]})
    secrets = ["pw-of-%d" % i for i in range(6)]
    with server.connect() as client, server.connect() as monitor:
        assert monitor.call("MONITOR").raw == b"+OK\r\n"
        client.call("LOGIN", "default", secrets[0])
        client.call("CONSISTENCY", "STRONG", "LOGIN", "default", secrets[1])
        client.call("HELLO", "2", "AUTH", "default", secrets[2])
        client.call("CONSISTENCY", "LOCAL", "HELLO", "2", "AUTH", "default", secrets[3])
        client.call("CONFIG", "SET", "masterauth", secrets[4])
        client.call("CONFIG", "SET", "timeout", "100", "requirepass", secrets[5])
        client.call("ECHO", "the-end")
        shown = b""
        while b"the-end" not in shown:
            shown += monitor.read().raw
        shown += client.call("SLOWLOG", "GET", "100").raw
        assert b"the-end" in shown and b"(redacted)" in shown
        for secret in secrets:
            assert secret.encode() not in shown, "%s is shown" % secret


def test_debug_object_does_not_need_the_names_of_others(context):
    context.require_capstan()
    server = context.server({"enable-debug-command": "yes", "rename-command": ["OBJECT", ""]})
    with server.connect() as client:
        assert client.call("SET", "k", "v").raw == b"+OK\r\n"
        assert b"encoding:embstr" in client.call("DEBUG", "OBJECT", "k").value


def microseconds(client):
    seconds, rest = client.call("TIME").plain()
    return int(seconds) * 1_000_000 + int(rest)


def test_the_longer_pause_stays(context):
    """As redis-server 7.0.15 has it."""
    server = context.server()
    with server.connect() as client, server.connect() as writer:
        client.call("CLIENT", "PAUSE", "60000", "WRITE")
        client.call("CLIENT", "PAUSE", "1", "WRITE")
        writer.send("SET", "k", "v")
        began = microseconds(client)
        wait_for(lambda: microseconds(client) > began + 300_000, "the shorter pause is over on the server's clock")
        assert client.call("GET", "k").is_null, "a write ran in the longer pause"
        assert client.call("CLIENT", "UNPAUSE").raw == b"+OK\r\n"
        assert writer.read().raw == b"+OK\r\n"


def test_another_number_of_shards_is_refused(context):
    context.require_capstan()
    server = context.server({"shards": "2"})
    assert server.call("SET", "k", "v").raw == b"+OK\r\n"
    server.terminate()
    for number in ("1", "3"):
        server.directives["shards"] = number
        server.spawn()
        assert server.wait_exit() != 0, "started with %s shards" % number
        assert "2 shards" in server.log()
    server.directives["shards"] = "2"
    server.start()
    assert server.call("GET", "k").value == b"v"


def test_config_rewrite_says_included_names_once(context):
    context.require_capstan()
    server = context.server(start=False)
    included = os.path.join(server.root, "names.conf")
    server.config_file = os.path.join(server.root, "main.conf")
    with open(included, "w", encoding="ascii") as file:
        file.write('rename-command FLUSHALL ""\n')
    with open(server.config_file, "w", encoding="ascii") as file:
        file.write("include %s\n" % included)
    server.start()
    assert server.call("CONFIG", "SET", "timeout", "77").raw == b"+OK\r\n"
    assert server.call("CONFIG", "REWRITE").raw == b"+OK\r\n"
    server.restart()
    assert server.call("CONFIG", "GET", "timeout").value[1].value == b"77"
    assert server.call("FLUSHALL").is_error


def test_inspect_shows_what_is_on_the_disk(context):
    """capstan-inspect beside the running server: what is flushed, and what only the journal has."""
    inspect = os.path.join(os.path.dirname(context.program), "capstan-inspect")
    server = context.server({"shards": "1"})
    with server.connect() as client:
        client.call("SET", "plain", "v")
        client.call("SET", "long", b"x" * 200000, "EX", "1000")
        client.call("SAVE")
        client.call("SET", "journaled", "v")
    done = subprocess.run([inspect, "--rows", "--journal", server.directory], capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    assert re.search(r'database 0 slot \d+ "plain"', done.stdout) and '"long"' in done.stdout, done.stdout
    assert '"journaled"' not in done.stdout, "it is not in LMDB yet"
    assert re.search(r"applied R [0-9a-f]{16}:2;", done.stdout), done.stdout
    assert re.search(r"  elements 4 entries", done.stdout), "chunks of 64 KiB:\n" + done.stdout
    assert len(re.findall(r"type 2 shard 0", done.stdout)) == 3, "a line per record:\n" + done.stdout
    missing = subprocess.run([inspect, server.directory + "/none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "No such file or directory" in missing.stderr
