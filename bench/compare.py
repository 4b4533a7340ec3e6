#!/usr/bin/env python3
"""Throughput, latency, CPU and memory of capstan-server beside redis-server, both driven by redis-benchmark.

usage: compare.py [options]     (`./capstan bench` builds first and calls this)

For every durability, pipeline and command, the servers take turns in one run: redis-server, capstan-server with one I/O
thread, capstan-server with its default number of them; who begins rotates from round to round. Both have the same
durability: everysec (an append-only file or journal synced each second), always (synced before each reply), none (no
file of commands, no sync). Before a command's rounds each server is emptied and gets 100,000 keys; everything else is
left at its default, Redis' rewriting of its append-only file included. Reported are medians over the rounds, the ratio
of Capstan's throughput to Redis', and CPU time per command, which tells the servers apart where the generator is the
limit. Commands that either server does not know are left out.

Writes compare.md, compare.json (every single number) and compare-*.svg into --out. Exit status 1 if any command got an
error reply.
"""
import argparse
import csv
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys

import servers
import svg

# redis-benchmark's test → a command that shows whether the server knows what the test needs.
TESTS = {
    "ping_inline": ("PING",), "ping_mbulk": ("PING",), "set": ("SET", "probe", "1"), "get": ("GET", "probe"),
    "incr": ("INCR", "probe:n"), "mset": ("MSET", "probe", "1"), "lpush": ("LPUSH", "probe:l", "a"),
    "rpush": ("RPUSH", "probe:l", "a"), "lpop": ("LPOP", "probe:l"), "rpop": ("RPOP", "probe:l"),
    "sadd": ("SADD", "probe:s", "a"), "hset": ("HSET", "probe:h", "a", "1"), "spop": ("SPOP", "probe:s"),
    "zadd": ("ZADD", "probe:z", "1", "a"), "zpopmin": ("ZPOPMIN", "probe:z"),
}
KEYS, VALUE_BYTES, CLIENTS = 100_000, 64, 50
NOISE = 0.03
DURABILITIES = ("everysec", "always", "none")


def floor_of(test, pipeline):
    """The ratio to Redis' throughput that is aimed at."""
    if test in ("set", "get", "incr"):
        return 1.1 if pipeline == 1 else 1.5
    return 1.0


def redis_benchmark(server, test, pipeline, requests):
    """One run. Returns requests per second, p50 and p99 in ms, CPU µs of the server per command, and error replies."""
    before = server.cpu_s()
    done = subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-t", test, "-n", str(requests), "-r", str(KEYS), "-d", str(VALUE_BYTES),
         "-c", str(CLIENTS), "-P", str(pipeline), "--csv"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    cpu_s = server.cpu_s() - before
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    # The CONFIG that redis-benchmark asks for at its start is no part of the test.
    errors = [line for line in done.stderr.splitlines() if line.strip() and "CONFIG" not in line]
    if done.returncode != 0 or not rows:
        raise RuntimeError(f"redis-benchmark -t {test} on {server.label}: status {done.returncode}\n{done.stderr}")
    row = rows[-1]
    return {"rps": float(row["rps"]), "p50_ms": float(row["p50_latency_ms"]), "p99_ms": float(row["p99_latency_ms"]),
            "cpu_us": cpu_s / requests * 1e6, "errors": errors}


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
        medians[label] = {name: statistics.median(r[name] for r in results) for name in ("rps", "p50_ms", "p99_ms", "cpu_us")}
        medians[label]["errors"] = [error for r in results for error in r["errors"]]
        medians[label]["rounds"] = results
    return {"test": test, "pipeline": pipeline, "requests": requests, "servers": medians}


def contest(durability, options):
    """All tests at one durability: a list of measure()'s results, and the memory of each server at the end."""
    contestants = [servers.redis(durability), servers.capstan(durability, "--io-threads", "1", label="capstan 1"),
                   servers.capstan(durability, label="capstan")]
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


def verdict(result):
    """What of the aim is missed, or "yes". What is meant to be equal may differ by NOISE."""
    redis, one, default = (result["servers"][label] for label in ("redis", "capstan 1", "capstan"))
    missed = []
    if one["rps"] < floor_of(result["test"], result["pipeline"]) * redis["rps"]:
        missed.append("throughput")
    if max(one["p99_ms"], default["p99_ms"]) > redis["p99_ms"] * (1 + NOISE):
        missed.append("p99")
    if default["rps"] < one["rps"] * (1 - NOISE):
        missed.append("default threads")
    if any(m["errors"] for m in result["servers"].values()):
        missed.append("ERRORS")
    return ", ".join(missed) or "yes"


def table(results):
    lines = ["| command | Redis /s | Capstan, 1 thread /s | ratio | Capstan, default /s | ratio | p50 ms | p99 ms | CPU µs per command | aim met |",
             "|---|---:|---:|---:|---:|---:|---|---|---|---|"]
    for result in results:
        redis, one, default = (result["servers"][label] for label in ("redis", "capstan 1", "capstan"))

        def three(name, digits):
            return " / ".join(f"{m[name]:.{digits}f}" for m in (redis, one, default))

        lines.append(f"| {result['test'].upper()} | {redis['rps']:,.0f} | {one['rps']:,.0f} | {one['rps'] / redis['rps']:.2f} "
                     f"| {default['rps']:,.0f} | {default['rps'] / redis['rps']:.2f} | {three('p50_ms', 3)} "
                     f"| {three('p99_ms', 3)} | {three('cpu_us', 2)} | {verdict(result)} |")
    return lines


def report(versions, everything, memories, options):
    text = ["# Capstan beside Redis", "",
            f"{versions}; {servers.machine()}. redis-benchmark, {CLIENTS} clients, {KEYS:,} random keys, {VALUE_BYTES}-byte "
            f"values; medians of {options.rounds} rounds in alternation. p50, p99 and CPU: Redis / Capstan with 1 I/O "
            "thread / Capstan with its default. The aim: SET, GET, INCR at least 1.1 × at P 1 and 1.5 × at P 16, all "
            "others 1.0 ×, no p99 above Redis', the default threads no slower than one.", ""]
    for durability in options.durabilities:
        for pipeline in options.pipelines:
            chosen = [r for r in everything if r["durability"] == durability and r["pipeline"] == pipeline]
            if chosen:
                name = f"compare-{durability}-p{pipeline}.svg"
                series = {label: [r["servers"][label]["rps"] / r["servers"]["redis"]["rps"] for r in chosen]
                          for label in ("redis", "capstan 1", "capstan")}
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
    parser.add_argument("-t", "--tests", default=",".join(TESTS), help="redis-benchmark's names, with commas")
    parser.add_argument("--durabilities", default=",".join(DURABILITIES))
    parser.add_argument("--pipelines", default="1,16")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    options = parser.parse_args()
    options.tests = options.tests.split(",")
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
