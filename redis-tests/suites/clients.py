"""Client programs and libraries, unchanged: redis-cli, redis-benchmark, hiredis, redis-py, ioredis, node-redis."""

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import redis

from harness import Skip, wait_for

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODE = os.path.join(HERE, "node")
shared = {}


def setup(context):
    shared["server"] = context.server()


def empty_server():
    server = shared["server"]
    if not server.is_running():
        server.start()
    server.call("FLUSHALL")
    return server


def run(command, timeout=60, **more):
    done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **more)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


# -- redis-cli -------------------------------------------------------------------------------------------------------


def cli(server, *words, stdin=b"", wanted=None):
    code, out, err = run(["redis-cli", "-p", str(server.port), *words], input=stdin)
    assert code == 0, "redis-cli %s: code %d\n%s%s" % (words, code, out, err)
    assert wanted is None or out == wanted, "redis-cli %s printed %r" % (words, out)
    return out


def test_redis_cli_commands(context):
    server = empty_server()
    cli(server, "SET", "k", "a value", wanted="OK\n")
    cli(server, "GET", "k", wanted="a value\n")
    cli(server, "-3", "GET", "k", wanted="a value\n")
    cli(server, "-3", "GET", "missing", wanted="\n")
    cli(server, "--no-raw", "GET", "missing", wanted="(nil)\n")
    cli(server, "--no-raw", "INCR", "n", wanted="(integer) 1\n")
    cli(server, "--no-raw", "MGET", "k", "missing", wanted='1) "a value"\n2) (nil)\n')
    cli(server, "--no-raw", "-3", "CONFIG", "GET", "maxclients", wanted='1# "maxclients" => "10000"\n')
    cli(server, "--csv", "MGET", "k", "missing", wanted='"a value",NULL\n')
    cli(server, "--json", "-3", "MGET", "k", "missing", wanted='["a value",null]\n')
    cli(server, "-n", "3", "SET", "k", "three", wanted="OK\n")
    cli(server, "-n", "3", "GET", "k", wanted="three\n")
    cli(server, "-r", "3", "INCR", "n", wanted="2\n3\n4\n")
    cli(server, "-x", "SET", "x", stdin=b"from\x00stdin", wanted="OK\n")
    cli(server, "STRLEN", "x", wanted="10\n")
    cli(server, "--quoted-input", "SET", '"q\\x00"', '"v"', wanted="OK\n")
    cli(server, "EXISTS", "q", wanted="0\n")
    wanted = "(error) ERR unknown command 'NOSUCH', with args beginning with: 'x' \n"
    cli(server, "--no-raw", "NOSUCH", "x", wanted=wanted)


def test_redis_cli_session_on_standard_input(context):
    server = empty_server()
    lines = b'SET k "two words"\nGET k\nMULTI\nINCR n\nINCR n\nEXEC\nSELECT 2\nDBSIZE\nHELLO 3\nGET missing\n'
    out = cli(server, stdin=lines)
    wanted = "OK\ntwo words\nOK\nQUEUED\nQUEUED\n1\n2\nOK\n0\nserver redis\nversion 7.0.15\nproto 3\n"
    assert out.startswith(wanted), repr(out)


def test_redis_cli_interactive(context):
    """On a terminal redis-cli asks for COMMAND DOCS first, for its hints."""
    server = empty_server()
    terminal, program_side = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 150, 0, 0))
    process = subprocess.Popen(
        ["redis-cli", "-p", str(server.port)],
        stdin=program_side,
        stdout=program_side,
        stderr=program_side,
        env={**os.environ, "TERM": "xterm", "HOME": server.root},
    )
    os.close(program_side)
    try:
        screen = Screen(terminal)
        screen.wait("%d> " % server.port)
        for typed, wanted in (
            (b"set k v\r", "OK"),
            (b"get k\r", '"v"'),
            (b"get ", "key"),  # the hint
            (b"missing\r", "(nil)"),
            (b"help get\r", "summary"),
            (b"select 2\r", "OK"),
            (b"multi\r", "OK"),
            (b"discard\r", "OK"),
        ):
            os.write(terminal, typed)
            screen.wait(wanted)
            if typed.endswith(b"\r"):  # what is typed while no prompt is shown is lost
                screen.wait({b"select 2\r": "[2]> ", b"multi\r": "(TX)> "}.get(typed, "> "))
        os.write(terminal, b"quit\r")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


class Screen:
    """What a program wrote to its terminal since the last wait."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.text = ""

    def wait(self, wanted, timeout=15):
        deadline = time.monotonic() + timeout
        while wanted not in self.text:
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, "%r does not appear; the terminal shows %r" % (wanted, self.text[-500:])
            self.text += os.read(self.terminal, 65536).decode("utf-8", "replace")
        self.text = self.text[self.text.index(wanted) + len(wanted) :]


def fill(server, count=1000):
    with server.connect() as client:
        client.pipeline([["SET", "key:%d" % number, "v" * (number % 500)] for number in range(count)])


def test_redis_cli_scan(context):
    server = empty_server()
    fill(server)
    names = {"key:%d" % number for number in range(1000)}
    assert sorted(cli(server, "--scan").split()) == sorted(names)
    matching = {name for name in names if re.fullmatch(r"key:1\d", name)}
    assert set(cli(server, "--scan", "--pattern", "key:1?").split()) == matching
    assert set(cli(server, "-3", "--scan").split()) == names


def test_redis_cli_bigkeys_and_memkeys(context):
    server = empty_server()
    fill(server)
    out = cli(server, "--bigkeys")
    assert "Sampled 1000 keys in the keyspace!" in out and "has 499 bytes" in out, out[-1500:]
    out = cli(server, "--memkeys")
    assert "Sampled 1000 keys in the keyspace!" in out, out[-1500:]


def test_redis_cli_pipe(context):
    server = empty_server()
    stream = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$1\r\nv\r\n" % (len(str(n)) + 1, n) for n in range(50000))
    out = cli(server, "--pipe", stdin=stream)
    assert "errors: 0, replies: 50000" in out, out
    command = ["redis-cli", "-p", str(server.port), "--pipe"]
    code, out, err = run(command, input=b"SET inline 1\r\nINCR inline\r\nNOSUCH\r\n")
    assert code == 1 and "errors: 1, replies: 3" in out, out + err
    assert server.call("DBSIZE").value == 50001


def first_lines(command, count, timeout=20):
    """The first lines of a program that does not end by itself."""
    process = subprocess.Popen(["stdbuf", "-oL", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text, deadline = b"", time.monotonic() + timeout
    try:
        while text.count(b"\n") < count:
            ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(process.stdout.fileno(), 65536) if ready else b""
            assert piece, "only %r" % text
            text += piece
    finally:
        process.kill()
        process.wait()
    return text.decode().split("\n")[:count]


def test_redis_cli_stat(context):
    server = empty_server()
    fill(server)
    lines = first_lines(["redis-cli", "-p", str(server.port), "--stat", "-i", "0.2"], 4)
    for line in lines[2:]:
        fields = line.split()
        assert fields[0] == "1000" and re.fullmatch(r"[\d.]+[BKMG]", fields[1]), line
        assert all(field.lstrip("(+").rstrip(")").isdigit() for field in fields[2:]), line


def test_redis_cli_latency(context):
    server = empty_server()
    out = cli(server, "--latency", "-i", "0.2", "--raw")
    fields = out.split()
    assert len(fields) >= 4 and float(fields[0]) <= float(fields[2]) <= float(fields[1]), out


def test_redis_cli_monitor(context):
    server = empty_server()
    process = subprocess.Popen(["redis-cli", "-p", str(server.port), "MONITOR"], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"OK\n"
        server.call("SET", "seen", "by monitor")
        assert b'"SET" "seen" "by monitor"' in process.stdout.readline()
    finally:
        process.kill()
        process.wait()


def test_redis_cli_password(context):
    server = context.server({"requirepass": "sesame"})
    base = ["redis-cli", "-p", str(server.port), "--no-auth-warning"]
    assert "NOAUTH" in run(base + ["PING"])[1]
    for words in (["-a", "sesame"], ["--user", "default", "--pass", "sesame"], ["-a", "sesame", "-3"]):
        assert run(base + words + ["PING"])[1] == "PONG\n", words
    assert "WRONGPASS" in run(base + ["-a", "wrong", "PING"])[2]
    assert run(base + ["PING"], env={**os.environ, "REDISCLI_AUTH": "sesame"})[1] == "PONG\n"


# -- redis-benchmark -------------------------------------------------------------------------------------------------


def benchmark(server, *words):
    command = ["redis-benchmark", "-p", str(server.port), "-n", "5000", "-c", "20", "--csv", *words]
    code, out, err = run(command, timeout=120)
    assert code == 0 and "rror" not in out + err and "fetch server CONFIG" not in out + err, out + err
    rows = {line.split(",")[0].strip('"'): line.split(",")[1].strip('"') for line in out.strip().split("\n")[1:]}
    assert rows and all(float(rate) > 0 for rate in rows.values()), out
    return rows


def test_redis_benchmark(context):
    server = empty_server()
    tests = ["-t", "ping,set,get,incr,mset"]
    wanted = {"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"}
    for options in ("", "-P 16", "--threads 2", "-r 1000 -d 500 -P 16", "-k 0 -n 500"):
        assert set(benchmark(server, *options.split(), *tests)) == wanted, options


def test_redis_benchmark_resp3(context):
    code, out, _ = run(["redis-benchmark", "--help"])
    if "-3 " not in out:
        raise Skip("this redis-benchmark has no -3")
    assert set(benchmark(empty_server(), "-3", "-t", "set,get")) == {"SET", "GET"}


def test_redis_benchmark_own_command(context):
    server = empty_server()
    benchmark(server, "-r", "100", "SETRANGE", "k:__rand_int__", "10", "value")
    assert 50 < server.call("DBSIZE").value <= 100


# -- hiredis ---------------------------------------------------------------------------------------------------------


def test_hiredis(context):
    program = os.path.join(context.build, "bin", "redis-tests-hiredis")
    assert os.path.exists(program), "build the target redis-tests-hiredis (looked for %s)" % program
    code, out, err = run([program, str(empty_server().port)])
    assert code == 0 and out == "done\n", out + err


# -- redis-py --------------------------------------------------------------------------------------------------------


def test_redis_py(context):
    server = empty_server()
    client = redis.Redis(port=server.port, socket_timeout=20, client_name="redis-py-test")
    assert client.ping() and client.client_getname() == "redis-py-test"
    assert client.set("k", b"\x00\xff", ex=100) and client.get("k") == b"\x00\xff"
    assert client.set("k", "v", nx=True) is None and client.set("k", "v", get=True, keepttl=True) == b"\x00\xff"
    assert 90 < client.ttl("k") <= 100 and client.get("missing") is None
    assert client.mset({"a": 1, "b": 2}) and client.mget("a", "missing", "b") == [b"1", None, b"2"]
    assert client.incrby("a", 5) == 6 and client.incrbyfloat("f", 1.25) == 1.25
    assert client.setrange("r", 2, "x") == 3 and client.getrange("r", 2, 2) == b"x"
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1 and client.bitpos("bits", 1) == 7
    assert client.bitfield("field").incrby("u8", 0, 10).get("u8", 0).execute() == [10, 10]
    assert client.getdel("a") == b"6" and client.getex("b", px=100000) == b"2" and client.copy("b", "c")
    assert client.expire("b", 5) and client.persist("b") and client.rename("b", "d")
    assert client.type("d") == b"string" and client.exists("d", "missing") == 1
    assert client.object("encoding", "d") == b"int" and client.touch("d") == 1
    assert client.info()["redis_version"] == "7.0.15" and client.info("keyspace")["db0"]["keys"] == client.dbsize()
    assert client.config_get("max*s")["maxclients"] == "10000" and client.config_set("timeout", 0)
    assert client.client_list()[0]["name"] in ("", "redis-py-test") and client.client_id() > 0
    assert client.time()[0] > 1600000000 and client.slowlog_len() >= 0 and client.lastsave()
    assert client.command()["get"]["arity"] == 2 and client.memory_usage("d") > 0
    for wrong in (lambda: client.incr("r"), lambda: client.execute_command("NOSUCH")):
        try:
            wrong()
            raise AssertionError("no error")
        except redis.ResponseError:
            pass
    client.close()


def test_redis_py_pipelines_and_transactions(context):
    server = empty_server()
    client = redis.Redis(port=server.port, socket_timeout=20, decode_responses=True)
    with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set("k%d" % number, number).get("k%d" % number)
        assert pipe.execute() == [value for number in range(1000) for value in (True, str(number))]
    with client.pipeline() as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
        pipe.watch("a")
        client.set("a", 10)
        pipe.multi()
        pipe.incr("a")
        try:
            pipe.execute()
            raise AssertionError("the transaction went through")
        except redis.WatchError:
            pass
    attempts = []

    def double(pipe):
        value = int(pipe.get("a"))
        if not attempts:
            client.set("a", 7)  # makes the first attempt fail
        attempts.append(value)
        pipe.multi()
        pipe.set("a", value * 2)

    assert client.transaction(double, "a") == [True] and attempts == [10, 7] and client.get("a") == "14"
    assert set(client.scan_iter("k1*", count=50)) == {"k%d" % n for n in range(1000) if str(n).startswith("1")}
    client.close()


def test_redis_py_reconnects(context):
    server = context.server()
    client = redis.Redis(
        port=server.port, socket_timeout=20, retry_on_error=[redis.ConnectionError], health_check_interval=1
    )
    assert client.set("k", "v")
    server.restart()

    def again():
        try:
            return client.ping()
        except redis.ConnectionError:
            return False

    wait_for(again, "redis-py is connected again")
    client.close()


def test_redis_py_monitor(context):
    server = empty_server()
    client = redis.Redis(port=server.port, socket_timeout=20)
    with client.monitor() as monitor:
        client.set("seen", "x")
        assert monitor.next_command()["command"].upper() == "SET SEEN X"
    client.close()


# -- Node ------------------------------------------------------------------------------------------------------------


def install_node_packages():
    """npm ci installs exactly what package-lock.json names."""
    with open(os.path.join(NODE, "package.json"), encoding="utf-8") as file:
        wanted = json.load(file)["dependencies"]
    for name, version in wanted.items():
        installed = os.path.join(NODE, "node_modules", name, "package.json")
        if not os.path.exists(installed) or json.load(open(installed, encoding="utf-8"))["version"] != version:
            code, out, err = run(["npm", "ci", "--no-audit", "--no-fund"], timeout=300, cwd=NODE)
            assert code == 0, "npm ci failed:\n" + out + err
            return


def run_node(context, script, restarts):
    install_node_packages()
    server = context.server({"appendonly": "yes"} if context.is_redis else {})
    command = ["node", os.path.join(NODE, script), str(server.port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = []
    try:
        for line in process.stdout:
            output.append(line.decode().rstrip())
            if output[-1] == "restart":
                server.restart()
                process.stdin.write(b"restarted\n")
                process.stdin.flush()
        errors = process.stderr.read().decode()
        assert process.wait(30) == 0 and output[-1] == "done", "\n".join(output) + "\n" + errors
        assert output.count("restart") == restarts
    finally:
        process.kill()
        process.wait()


def test_ioredis(context):
    run_node(context, "ioredis.mjs", restarts=1)


def test_node_redis(context):
    run_node(context, "node_redis.mjs", restarts=2)
