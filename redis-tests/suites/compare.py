"""Replies compared with a real redis-server, side by side, byte for byte, in RESP2 and RESP3."""

import re

from compare.cases import all_cases, read_differences
from compare.engine import Comparison, Side, display
from compare.normalise import deep, equal
from harness import Skip, command_names, info, wait_for
from resp import encode, show

# The limit of a value is ours by default; redis-server gets the same, so that errors at the limit agree.
DIRECTIVES = {"enable-debug-command": "yes", "slowlog-log-slower-than": "-1", "proto-max-bulk-len": "64mb"}

# Commands whose tests are not in the *.cases files, with the suite that has them.
COVERED_ELSEWHERE = {
    "consistency": "consistency",
    "version": "consistency",
    "waitaof": "consistency",
    "capstan": "topology",
    "capstan|help": "topology",
    "capstan|nodes": "topology",
    "capstan|shard": "topology",
    "capstan|shards": "topology",
    "capstan|transfer": "cluster",
    "shutdown": "lifecycle",
    "monitor": "compare/monitor",
}

shared = {}


def setup(context):
    server = context.server(DIRECTIVES)
    reference = context.reference_server(DIRECTIVES)
    shared["differences"] = read_differences()
    shared["comparison"] = Comparison(server, reference, shared["differences"])
    with server.connect() as client, reference.connect() as reference_client:
        shared["commands"] = command_names(client)
        shared["reference_commands"] = command_names(reference_client)


def missing_for(case):
    return [name for name in case.needs if name not in shared["commands"]]


def run_case(case):
    def run(context):
        missing = missing_for(case)
        if missing:
            raise Skip("the server has no " + ", ".join(missing))
        shared["comparison"].check(case)

    return run


def tests(context):
    for case in all_cases():
        yield case.name, run_case(case)


def both():
    """The two servers, both running and empty."""
    comparison = shared["comparison"]
    for server in (comparison.server, comparison.reference):
        comparison.make_clean(server)
    return comparison.server, comparison.reference


# -- the whole table -------------------------------------------------------------------------------------------------


def covered_by_cases():
    names = set()
    for case in all_cases():
        if missing_for(case):
            continue
        for step in case.steps:
            words = [word.decode("latin-1").lower() for word in step.words]
            if step.is_action:
                words = {"scan": ["scan"], "until": words[2:], "raw": []}.get(words[0], words[1:])
            if words:
                names.update([words[0], "|".join(words[:2])])
    return names


def test_every_command_has_a_case(context):
    covered = covered_by_cases()
    without = sorted(shared["commands"] - covered - set(COVERED_ELSEWHERE))
    if context.is_redis:
        assert "get" not in without and "lrem" in without, without
        raise Skip("redis-server has families without cases yet")
    assert not without, "commands in the server's table without a case: " + " ".join(without)


def arity_mistakes(entry):
    """Command lines with one argument too few and one too many."""
    name, arity = entry[0].decode(), entry[1]
    words = name.split("|")
    if abs(arity) - 1 >= len(words):
        yield words + ["x"] * (abs(arity) - 1 - len(words))
    if arity > 0:
        yield words + ["x"] * (arity + 1 - len(words))


def common_names():
    return sorted(shared["commands"] & shared["reference_commands"])


def command_info(server, names):
    with server.connect() as client:
        return [reply.plain() for reply in client.call("COMMAND", "INFO", *names).value]


def test_wrong_arity_of_every_command(context):
    server, reference = both()
    lines = [line for entry in command_info(reference, common_names()) for line in arity_mistakes(entry)]
    lines += [[word.upper() for word in line] for line in lines] + [[word.title() for word in line] for line in lines]
    differing = []
    for line in lines:
        with server.connect() as ours, reference.connect() as theirs:
            got, expected = ours.call(*line), theirs.call(*line)
        if got.raw != expected.raw:
            differing.append("%s\n    got      %s\n    expected %s" % (" ".join(line), show(got), show(expected)))
    assert not differing, "\n".join(differing[:40])


ASPECTS = ("name", "arity", "flags", "first key", "last key", "step", "ACL categories", "tips", "key specifications")
# What we add to Redis' commands, and so must say of them.
ADDED_FLAGS = {b"movablekeys"}


def aspects(entry):
    """What COMMAND INFO says, orders and explaining notes left out."""
    values = [item.value for item in entry.value[:2]]
    values.append({item.value for item in entry.value[2].value} - ADDED_FLAGS)
    values += [item.value for item in entry.value[3:6]]
    values += [{item.value for item in entry.value[index].value} for index in (6, 7)]
    specifications = []
    for specification in entry.value[8].value:
        fields = dict(zip([item.value for item in specification.value[::2]], specification.value[1::2]))
        fields.pop(b"notes", None)
        specifications.append(sorted((name, show(deep(value), 9999)) for name, value in fields.items()))
    values.append(specifications)
    return values


def test_command_info_of_every_command(context):
    server, reference = both()
    names = common_names()
    with server.connect() as ours, reference.connect() as theirs:
        replies = zip(names, ours.call("COMMAND", "INFO", *names).value, theirs.call("COMMAND", "INFO", *names).value)
    differing = []
    for name, got, expected in replies:
        if got.value is None:
            differing.append(name + ": in COMMAND LIST, not in COMMAND INFO")
            continue
        for aspect, left, right in zip(ASPECTS, aspects(got), aspects(expected)):
            if left != right:
                differing.append("%s: %s\n    got      %s\n    expected %s" % (name, aspect, left, right))
        assert len(got.value) == len(expected.value) == 10, name
    assert not differing, "%d differences\n%s" % (len(differing), "\n".join(differing[:60]))


def test_command_answers_agree(context):
    """COMMAND, COUNT, LIST, INFO without names and DOCS speak of the same table."""
    server, _ = both()
    with server.connect() as client:
        whole = {entry.value[0].value.decode() for entry in client.call("COMMAND").value}
        by_info = {entry.value[0].value.decode() for entry in client.call("COMMAND", "INFO").value}
        docs = {item.value.decode() for item in client.call("COMMAND", "DOCS").value[::2]}
        count = client.call("COMMAND", "COUNT").value
    names = {name for name in shared["commands"] if "|" not in name}
    assert whole == by_info == docs == names and count == len(names), (
        "count %d, differing: %s" % (count, (whole | by_info | docs | names) - (whole & by_info & docs & names))
    )


def test_command_docs(context):
    server, reference = both()
    differing = []
    with server.connect() as ours, reference.connect() as theirs:
        for name in common_names():
            got, expected = (
                dict(zip([k.value for k in entry.value[::2]], entry.value[1::2]))
                for entry in (c.call("COMMAND", "DOCS", name).value[1] for c in (ours, theirs))
            )
            if not got.get(b"summary") or not got[b"summary"].value:
                differing.append(name + ": no summary")
            for field in (b"since", b"group"):
                if field not in got or got[field].value != expected[field].value:
                    differing.append("%s: %s is %s, not %s" % (name, field, got.get(field), expected[field]))
    assert not differing, "\n".join(differing[:60])


# -- replies whose content is not deterministic ----------------------------------------------------------------------

INFO_FIELDS = {
    "server": "redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds uptime_in_days "
    "hz executable config_file server_time_usec",
    "clients": "connected_clients maxclients blocked_clients",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_peak maxmemory maxmemory_policy "
    "mem_fragmentation_ratio mem_allocator",
    "persistence": "loading rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status aof_enabled",
    "stats": "total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes "
    "total_net_output_bytes rejected_connections expired_keys evicted_keys keyspace_hits keyspace_misses",
    "replication": "role connected_slaves master_repl_offset",
    "cpu": "used_cpu_sys used_cpu_user",
    "cluster": "cluster_enabled",
}


def test_info_has_the_fields_that_tools_read(context):
    for server in both():
        with server.connect() as client:
            client.call("SET", "k", "v")
            absent = []
            for section, fields in INFO_FIELDS.items():
                found = info(client, section)
                absent += ["%s: %s" % (section, field) for field in fields.split() if field not in found]
                title = client.call("INFO", section).value.decode().split("\r\n")[0]
                assert title.lower() == "# " + section, title
            assert not absent, "INFO lacks " + ", ".join(absent)
            assert info(client, "server")["redis_version"] == "7.0.15"
            assert info(client, "replication")["role"] == "master"
            everything = info(client, "all")
            assert all(f in everything for fields in INFO_FIELDS.values() for f in fields.split())


def test_info_counts(context):
    """What INFO counts moves alike on both servers."""

    def counts(server):
        with server.connect() as client:
            client.call("CONFIG", "RESETSTAT")
            client.call("SET", "k", "v")
            client.call("SET", "t", "v", "EX", "100")
            client.call("SELECT", "3")
            client.call("SET", "k", "v")
            client.call("SELECT", "0")
            for key in ("k", "k", "missing"):
                client.call("GET", key)
            client.call("EXISTS", "k", "missing")
            client.call("NOSUCHCOMMAND")
            client.call("INCRBY", "k", "x")
            stats = info(client, "stats")
            keyspace = {
                name: re.sub(r"avg_ttl=\d+", "avg_ttl=…", value) for name, value in info(client, "keyspace").items()
            }
            calls = {
                name: re.match(r"calls=(\d+)", value).group(1)
                for name, value in info(client, "commandstats").items()
                if name in ("cmdstat_get", "cmdstat_set", "cmdstat_select", "cmdstat_incrby")
            }
            errors = info(client, "errorstats")
            return {
                "keyspace": keyspace,
                "commandstats": calls,
                "errorstats": errors,
                **{name: stats[name] for name in ("keyspace_hits", "keyspace_misses", "total_commands_processed")},
            }

    server, reference = both()
    got, expected = counts(server), counts(reference)
    assert got == expected, "got      %s\nexpected %s" % (got, expected)


MONITORED = [
    ["SET", "k", "v"],
    ["get", "k"],
    ["SET", 'quo"te', "back\\slash"],
    ["SET", b"bin\x00\xff\r\n\t\a\b", ""],
    ["SELECT", "2"],
    ["GET", "k"],
    ["NOSUCHCOMMAND", "x"],
    ["GET"],
    ["MULTI"],
    ["SET", "a", "1"],
    ["INCR", "a"],
    ["EXEC"],
    ["AUTH", "default", "secret"],
    ["HELLO", "2"],
    ["CONFIG", "GET", "timeout"],
    ["PING"],
    ["ECHO", "end"],
]


def test_monitor(context):
    def lines(server, protocol):
        with server.connect(protocol) as monitor, server.connect() as client:
            assert monitor.call("MONITOR").raw == b"+OK\r\n"
            for command in MONITORED:
                client.call(*command)
            seen = []
            while not seen or b'"end"' not in seen[-1]:
                reply = monitor.read()
                assert reply.kind == "+", show(reply)
                seen.append(re.sub(rb"^\d+\.\d{6} \[(\d+) 127\.0\.0\.1:\d+\]", rb"TIME [\1 ADDRESS]", reply.value))
            return seen

    server, reference = both()
    for protocol in (2, 3):
        got, expected = lines(server, protocol), lines(reference, protocol)
        assert got == expected, "got      %s\nexpected %s" % (got, expected)


def test_monitor_does_not_show_administration(context):
    server, _ = both()
    with server.connect() as monitor, server.connect() as client:
        monitor.call("MONITOR")
        client.call("CONFIG", "SET", "timeout", "0")
        client.call("ECHO", "end")
        assert b'"ECHO" "end"' in monitor.read().value


def test_randomkey_finds_every_key(context):
    server, _ = both()
    names = {b"key:%d" % number for number in range(20)}
    with server.connect() as client:
        client.call("MSET", *[word for name in sorted(names) for word in (name, "v")])
        seen = set()
        for _ in range(5000):
            seen.add(client.call("RANDOMKEY").value)
            if seen == names:
                break
        assert seen == names, "after 5000 calls only %s" % sorted(seen)


def test_save_moves_lastsave(context):
    server, _ = both()
    with server.connect() as client:
        before = client.call("LASTSAVE").value
        wait_for(lambda: client.call("TIME").value[0].value > b"%d" % before, "the clock shows the next second")
        assert client.call("SAVE").raw == b"+OK\r\n"
        assert client.call("LASTSAVE").value > before


# -- the same cases, all of a file's commands in one write ---------------------------------------------------------


def can_be_pipelined(case):
    words = {word.lower() for step in case.steps for word in step.words[:2]}
    return not missing_for(case) and not (
        any(step.is_action or step.connection != 1 for step in case.steps)
        or words & {b"quit", b"monitor", b"kill", b"pause", b"sleep", b"subscribe", b"bgsave", b"wait", b"slowlog"}
    )


def pipelined(server, case, protocol):
    side = Side(server, protocol, case)
    try:
        connection = side.connection(1)
        connection.send_raw(b"".join(encode(*side.words(step)) for step in case.steps))
        return [connection.read() for _ in case.steps]
    finally:
        side.close()


def test_pipelined(context):
    from compare.cases import time_values

    comparison = shared["comparison"]
    differing, compared = [], 0
    for case in all_cases():
        if not can_be_pipelined(case):
            continue
        for protocol in case.protocols:
            servers = both()
            case.values = time_values()
            replies = [pipelined(server, case, protocol) for server in servers]
            for step, got, expected in zip(case.steps, *replies):
                compared += 1
                if not equal(got, expected, step.normalisers) and not comparison.declared(step.text, got, expected):
                    differing.append(
                        "RESP%d %s.cases:%d %s\n    got      %s\n    expected %s"
                        % (protocol, case.file, step.line, step.text, display(got), display(expected))
                    )
    assert compared > 1000 and not differing, "%d of %d differ\n%s" % (
        len(differing),
        compared,
        "\n".join(differing[:40]),
    )


def test_declared_differences_are_real(context):
    """Last of the suite: a difference that nothing needed is taken out of the list."""
    context.note("compare: %d replies compared" % shared["comparison"].compared)
    for difference in shared["differences"]:
        if difference.used:
            told = (difference.command, difference.reply, difference.reason)
            context.note("declared difference: %s → %s: %s" % told)
    context.require_capstan()
    if shared["comparison"].compared < 5000:
        raise Skip("not all cases were run")
    unused = [difference.command for difference in shared["differences"] if not difference.used]
    assert not unused, "declared, but not seen: " + ", ".join(unused)
