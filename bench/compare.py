#!/usr/bin/env python3
"""Throughput, latency, CPU and memory of capstan-server beside redis-server, both driven by redis-benchmark.

usage: compare.py [options]     (`./capstan bench` builds first and calls this)

For every durability, pipeline and command, the servers take turns in one run: redis-server, capstan-server with one I/O
thread and, where that is another number, capstan-server with its default; who begins rotates from round to round. Both
have the same durability: everysec (an append-only file or journal synced each second), always (synced before each
reply), no (written before each reply, never synced). With none, Redis keeps no file of commands at all, and a kill of
its process loses everything; Capstan's journal is as with no. Before a command's rounds each server is emptied and gets 100,000 keys;
everything else is left at its default, Redis' rewriting of its append-only file included. Reported are medians over the
rounds and Capstan's ratios to Redis; an aim is met or missed by the figures as they are, without a tolerance. Where
Capstan leaves the generator, one thread, without pause and has some itself, the generator is the limit and CPU time per
command decides. Commands that either server does not know are left out.

--tests all measures further commands besides redis-benchmark's own.

Writes compare.md, compare.json (every single number) and compare-*.svg into --out. Exit status 1 if any command got an
error reply.
"""
import argparse
import csv
import io
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

import servers
import svg

KEY = "key:__rand_int__"  # redis-benchmark puts one of the loaded keys' numbers there
# redis-benchmark's own tests, each with a command that shows whether the server knows what the test needs.
OWN_TESTS = {
    "ping_inline": ("PING",), "ping_mbulk": ("PING",), "set": ("SET", "probe", "1"), "get": ("GET", "probe"),
    "incr": ("INCR", "probe:n"), "mset": ("MSET", "probe", "1"), "lpush": ("LPUSH", "probe:l", "a"),
    "rpush": ("RPUSH", "probe:l", "a"), "lpop": ("LPOP", "probe:l"), "rpop": ("RPOP", "probe:l"),
    "sadd": ("SADD", "probe:s", "a"), "hset": ("HSET", "probe:h", "a", "1"), "spop": ("SPOP", "probe:s"),
    "zadd": ("ZADD", "probe:z", "1", "a"), "zpopmin": ("ZPOPMIN", "probe:z"),
}
KEYS, VALUE_BYTES, CLIENTS = 100_000, 64, 50
VALUE = "x" * (VALUE_BYTES - 12) + "__rand_int__"
# Commands written out, which are their own probe. Those that write change something each time.
FURTHER_TESTS = {
    "exists": ("EXISTS", KEY), "ttl": ("TTL", KEY), "mget_10": ("MGET",) + (KEY,) * 10, "getrange": ("GETRANGE", KEY, "8", "23"),
    "bitcount": ("BITCOUNT", KEY), "getset": ("GETSET", KEY, VALUE), "setex": ("SETEX", KEY, "100000", VALUE),
    "setrange": ("SETRANGE", KEY, "0", "__rand_int__"), "expire": ("EXPIRE", KEY, "1__rand_int__"),
}
TESTS = OWN_TESTS | FURTHER_TESTS
DURABILITIES = ("everysec", "always", "no", "none")
# redis-benchmark's histogram has steps of 8 µs from 10 µs on, and three digits above.
P99_NOTE = "redis-benchmark knows latencies to 8 µs, so p99s that differ by one such step may be the same"
BUSY = 0.9  # of a core's time


def floor_of(test, pipeline):
    """The ratio to Redis' throughput that is aimed at."""
    if test in ("set", "get", "incr"):
        return 1.1 if pipeline == 1 else 1.5
    return 1.0


def redis_benchmark(server, test, pipeline, requests):
    """One run: requests per second, latencies in ms, the server's CPU µs per command, the share of a core's time that
    generator and server were busy, and error replies."""
    chosen = ["-t", test] if test in OWN_TESTS else []
    line = ["redis-benchmark", "-p", str(server.port), *chosen, "-n", str(requests), "-r", str(KEYS), "-d", str(VALUE_BYTES),
            "-c", str(CLIENTS), "-P", str(pipeline), "--csv", *([] if chosen else TESTS[test])]
    before = server.cpu_s(), children_cpu_s()
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    server_cpu_s, generator_cpu_s = server.cpu_s() - before[0], children_cpu_s() - before[1]
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    # The CONFIG that redis-benchmark asks for at its start is no part of the test.
    errors = [line for line in done.stderr.splitlines() if line.strip() and "CONFIG" not in line]
    if done.returncode != 0 or not rows:
        raise RuntimeError(f"redis-benchmark for {test} on {server.label}: status {done.returncode}\n{done.stderr}")
    row = rows[-1]
    rps = float(row["rps"])
    latencies = {f"{name}_ms": float(row[f"{name}_latency_ms"]) for name in ("p50", "p99", "max")}
    return {"rps": rps, **latencies, "cpu_us": server_cpu_s / requests * 1e6, "server_busy": server_cpu_s / requests * rps,
            "generator_busy": generator_cpu_s / requests * rps, "errors": errors}


def children_cpu_s():
    """CPU seconds of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def requests_for(contestants, test, pipeline, seconds):
    """So many that the fastest server takes about `seconds`; a multiple of what redis-benchmark sends at once."""
    rate = max(redis_benchmark(server, test, pipeline, 2000 * pipeline + 8000)["rps"] for server in contestants)
    return max(int(rate * seconds), 10_000)


def measure(contestants, test, pipeline, options):
    """{label: {number: median over the rounds}} with the single rounds beside, for one test."""
    for server in contestants:
        server.command("FLUSHALL")
        servers.load(server, KEYS, VALUE_BYTES)
    requests = options.requests or requests_for(contestants, test, pipeline, options.seconds)
    rounds = {server.label: [] for server in contestants}
    for turn in range(options.rounds):
        first = turn % len(contestants)
        for server in contestants[first:] + contestants[:first]:
            rounds[server.label].append(redis_benchmark(server, test, pipeline, requests))
    medians = {}
    for label, results in rounds.items():
        medians[label] = {name: statistics.median(r[name] for r in results) for name in results[0] if name != "errors"}
        medians[label]["errors"] = [error for r in results for error in r["errors"]]
        medians[label]["rounds"] = results
    return {"test": test, "pipeline": pipeline, "requests": requests, "servers": medians}


def contest(durability, options):
    """All tests at one durability: a list of measure()'s results, and the memory of each server at the end."""
    contestants = [servers.redis(durability), servers.capstan(durability, "--io-threads", "1", label="capstan 1")]
    if options.default_threads > 1:
        contestants.append(servers.capstan(durability, label="capstan"))
    results = []
    try:
        for test in options.tests:
            unknown = [server.label for server in contestants if not server.knows(*TESTS[test])]
            if unknown:
                print(f"{test}: left out, not known to {', '.join(unknown)}", file=sys.stderr)
                continue
            for pipeline in options.pipelines:
                result = measure(contestants, test, pipeline, options)
                result["durability"] = durability
                results.append(result)
                print(f"{durability} P {pipeline} {test}: " + ", ".join(
                    f"{label} {m['rps']:,.0f}/s" for label, m in result["servers"].items()), file=sys.stderr)
        memory = {}
        for server in contestants:
            server.command("FLUSHALL")
            servers.load(server, KEYS, VALUE_BYTES)
            memory[server.label] = server.memory()
        return results, memory
    finally:
        for server in contestants:
            server.discard()


def generator_is_limit(figures):
    """Whether the server could have done more than redis-benchmark, which is one thread, asked of it."""
    return figures["generator_busy"] >= BUSY and figures["server_busy"] < figures["generator_busy"]


def verdict(result):
    """What of the aim is missed, or "yes"."""
    redis, one = result["servers"]["redis"], result["servers"]["capstan 1"]
    default = result["servers"].get("capstan", one)
    floor = floor_of(result["test"], result["pipeline"])
    missed, note = [], ""
    if one["rps"] < floor * redis["rps"]:
        cpu = one["cpu_us"] / redis["cpu_us"] if redis["cpu_us"] else 1  # 0: too few requests to measure it
        note = f" (generator's limit; CPU per command {cpu:.2f} ×)" if generator_is_limit(one) else ""
        if not note or cpu > 1 / floor:
            missed.append("throughput" + note)
    if max(one["p99_ms"], default["p99_ms"]) > redis["p99_ms"]:
        missed.append("p99")
    if default["rps"] < one["rps"]:
        missed.append("default threads")
    if any(m["errors"] for m in result["servers"].values()):
        missed.append("ERRORS")
    return ", ".join(missed) or "yes" + note


def table(results):
    """One row per command; the columns of figures hold one per contestant."""
    lines = ["| command | thousand/s | ratio | p50 ms | p99 ms | p99 ratio | max ms | CPU µs | CPU ratio | generator busy | aim met |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in results:
        redis, *ours = result["servers"].values()

        def figures(name, digits, scale=1):
            return " / ".join(f"{m[name] / scale:.{digits}f}" for m in (redis, *ours))

        def ratios(name):
            return " / ".join(f"{m[name] / redis[name]:.2f}" if redis[name] else "?" for m in ours)

        cells = [result["test"].upper(), figures("rps", 1, 1000), ratios("rps"), figures("p50_ms", 3), figures("p99_ms", 3),
                 ratios("p99_ms"), figures("max_ms", 1), figures("cpu_us", 2), ratios("cpu_us"),
                 figures("generator_busy", 2), verdict(result)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def head(versions, options):
    default = ("; its default is 1 on this machine, too, so there is no third contestant" if options.default_threads == 1
               else f" / Capstan with its default of {options.default_threads}")
    return (f"{versions}; {servers.machine()}. redis-benchmark, {CLIENTS} clients, {KEYS:,} random keys, {VALUE_BYTES}-byte "
            f"values; medians of {options.rounds} rounds in alternation. Columns: Redis / Capstan with 1 I/O thread{default}. "
            "The aim: SET, GET, INCR at least 1.1 × at P 1 and 1.5 × at P 16, all others 1.0 ×, no p99 above Redis', the "
            f"default threads no slower than one; compared as measured ({P99_NOTE}). Where the generator is the limit "
            f"(busy at least {BUSY} of a core, and more than Capstan), CPU time per command decides instead of throughput.")


def report(versions, everything, memories, options):
    text = ["# Capstan beside Redis", "", head(versions, options), ""]
    for durability in options.durabilities:
        for pipeline in options.pipelines:
            chosen = [r for r in everything if r["durability"] == durability and r["pipeline"] == pipeline]
            if chosen:
                name = f"compare-{durability}-p{pipeline}.svg"
                series = {label: [r["servers"][label]["rps"] / r["servers"]["redis"]["rps"] for r in chosen]
                          for label in chosen[0]["servers"]}
                (options.out / name).write_text(svg.bars(
                    f"Throughput, durability {durability}, pipeline {pipeline}", "× Redis", [r["test"] for r in chosen],
                    series, reference=1))
                text += [f"## {durability}, pipeline {pipeline}", "", *table(chosen), "", f"![ratios]({name})", ""]
    text += [f"## Memory with {KEYS:,} keys", "", "| durability | server | RSS MiB | of it anonymous MiB |", "|---|---|---:|---:|"]
    for durability, memory in memories.items():
        for label, (rss, anonymous) in memory.items():
            text.append(f"| {durability} | {label} | {rss / servers.MIB:.1f} | {anonymous / servers.MIB:.1f} |")
    (options.out / "compare.md").write_text("\n".join(text) + "\n")
    (options.out / "compare.json").write_text(json.dumps({"versions": versions, "results": everything, "memory": memories}, indent=1))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="that one test takes on the fastest server")
    parser.add_argument("-n", "--requests", type=int, help="per test, instead of --seconds")
    parser.add_argument("-t", "--tests", default=",".join(OWN_TESTS),
                        help=f"with commas: redis-benchmark's names, and {', '.join(FURTHER_TESTS)}; or all")
    parser.add_argument("--durabilities", default=",".join(DURABILITIES))
    parser.add_argument("--pipelines", default="1,16")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    options = parser.parse_args()
    options.tests = list(TESTS) if options.tests == "all" else options.tests.split(",")
    options.durabilities = options.durabilities.split(",")
    options.pipelines = [int(p) for p in options.pipelines.split(",")]
    for given, known in ((options.tests, TESTS), (options.durabilities, DURABILITIES)):
        if unknown := set(given) - set(known):
            parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(known)}")
    return options


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    probes = [servers.redis("none"), servers.capstan("none")]
    versions = f"redis-server {probes[0].info('redis_version')}, capstan-server {probes[1].info('capstan_version')}"
    options.default_threads = int(probes[1].command("CONFIG", "GET", "io-threads")[1])
    for probe in probes:
        probe.discard()
    everything, memories = [], {}
    for durability in options.durabilities:
        results, memories[durability] = contest(durability, options)
        everything += results
        report(versions, everything, memories, options)
    print((options.out / "compare.md").read_text())
    return 1 if any(m["errors"] for r in everything for m in r["servers"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
