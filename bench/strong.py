#!/usr/bin/env python3
"""STRONG commands of a three-node cluster beside redis-server with two replicas, and beside etcd.

usage: strong.py [options]     (`./capstan bench strong` builds first and calls this)

Both sides sync to the disk before they acknowledge: Redis with appendfsync always, each batch of writes followed by
WAIT 1 0; Capstan commits, with the journals of a majority synced. capstan-bench drives both, at the node that leads,
and Capstan besides through a node that follows; servers take turns within a round, and who begins rotates. Reported are
medians over the rounds. Everything runs on this one machine, which three nodes and the generator share.

etcd answers `etcdctl check perf`, its own load of 1,000 clients, which offers at most 15,000 writes per second.

Growth: SET with 50 clients and a pipeline of 16 with more shards, and with more nodes.

The aim (50 clients): SET at P 1 at least 1.2 × Redis with WAIT, at P 16 at least 3 × that, both at least 5 × etcd's; p99
no worse than Redis'; GET at the leader at least 1.0 × Redis' GET, through a follower 0.5 ×; no election meanwhile.

Writes strong.md and strong.json into --out. Exit status 1 if a command got an error reply.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

import servers

KEYS, VALUE_BYTES = 100_000, 64
WRITES = ("set", "incr")
FIGURES = ("per_second", "p50_us", "p99_us", "p999_us", "cpu_us")


class Contestant:
    """Whom the generator talks to, in which group of servers. wait: replicas that each batch of writes waits for."""

    def __init__(self, label, group, front=None, wait=0):
        self.label, self.group, self.front, self.wait = label, group, front or group.front, wait

    def measure(self, operation, clients, pipeline, seconds):
        waits = ["--wait-replicas", self.wait] if self.wait and operation in WRITES else []
        before = self.group.cpu_s()
        found = servers.generate(self.front, "--workload", operation, "--keys", KEYS, "--value-size", VALUE_BYTES,
                                 "--clients", clients, "--pipeline", pipeline, "--seconds", seconds, *waits)
        found["cpu_us"] = (self.group.cpu_s() - before) / found["operations"] * 1e6
        return found


def terms(group):
    """The terms of all shards, as a node has them: they change with an election."""
    info = group.front.command("INFO", "raft").decode()
    return re.findall(r"term=(\d+)", info)


def beside_redis(options):
    """A list of results, one for each operation, number of clients and pipeline."""
    redis = servers.redis_replicated("always", 2)
    capstan = servers.capstan_cluster(3)
    try:
        follower = next(member for member in capstan.members if member is not capstan.front)
        contestants = [Contestant("redis", redis, wait=1), Contestant("capstan", capstan),
                       Contestant("through a follower", capstan, follower)]
        for group in (redis, capstan):
            servers.load(group.front, KEYS, VALUE_BYTES)
        before = terms(capstan)
        results = []
        for operation in options.operations:
            for clients in options.clients:
                for pipeline in options.pipelines:
                    results.append(alternate(contestants, operation, clients, pipeline, options))
        return results, before == terms(capstan)
    finally:
        redis.discard()
        capstan.discard()


def alternate(contestants, operation, clients, pipeline, options):
    rounds = {contestant.label: [] for contestant in contestants}
    for turn in range(options.rounds):
        first = turn % len(contestants)
        for contestant in contestants[first:] + contestants[:first]:
            rounds[contestant.label].append(contestant.measure(operation, clients, pipeline, options.seconds))
    medians = {label: {name: statistics.median(r[name] for r in runs) for name in FIGURES} for label, runs in rounds.items()}
    print(f"{operation}, {clients} clients, P {pipeline}: " + ", ".join(
        f"{label} {m['per_second']:,.0f}/s p99 {m['p99_us'] / 1000:.2f} ms" for label, m in medians.items()), file=sys.stderr)
    return {"operation": operation, "clients": clients, "pipeline": pipeline, "servers": medians, "rounds": rounds}


# ---- etcd


def etcd(options):
    """What `etcdctl check perf` says of three nodes, per run; None without etcd."""
    if not options.etcd or not shutil.which("etcd") or not shutil.which("etcdctl"):
        return None
    group, endpoints = etcd_cluster()
    try:
        runs = []
        for _ in range(options.etcd):
            before = group.cpu_s()
            done = etcdctl(endpoints, "check", "perf", "--load", "xl")
            said = done.stdout + done.stderr
            rate = re.search(r"hroughput (?:is|too low:) (\d+) writes/s", said)
            slowest = re.search(r"lowest request took(?: too long)?:? ([\d.]+)s", said)
            if not rate:
                raise RuntimeError(f"etcdctl check perf: no throughput in its report\n{said}")
            per_second = int(rate[1])
            runs.append({"per_second": per_second, "slowest_s": float(slowest[1]) if slowest else None,
                         "cpu_us": (group.cpu_s() - before) / (per_second * 60) * 1e6})
            print(f"etcd: {per_second:,}/s", file=sys.stderr)
        return runs
    finally:
        group.discard()


def etcd_cluster():
    ports = [(f"e{number}", servers.free_port(), servers.free_port()) for number in (1, 2, 3)]
    cluster = ",".join(f"{name}=http://127.0.0.1:{peer}" for name, _, peer in ports)
    members = []
    for name, client, peer in ports:
        ours, peers = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        members.append(servers.Process(name, [
            "etcd", "--name", name, "--data-dir", "data", "--log-level", "error", "--initial-cluster", cluster,
            "--listen-client-urls", ours, "--advertise-client-urls", ours,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]))
    endpoints = ",".join(f"http://127.0.0.1:{client}" for _, client, _ in ports)
    group = servers.Group("etcd", members)
    servers.wait_until(lambda: etcdctl(endpoints, "endpoint", "health").returncode == 0, 60, "etcd is healthy")
    return group, endpoints


def etcdctl(endpoints, *words):
    return subprocess.run(["etcdctl", "--endpoints", endpoints, *words], env={**os.environ, "ETCDCTL_API": "3"},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)


# ---- growth


def growth(options):
    """SETs per second by (nodes, shards)."""
    found = []
    for nodes, shards in [(3, count) for count in options.shards] + [(count, 1) for count in options.nodes if count != 3]:
        group = servers.capstan_cluster(nodes, "--shards", str(shards))
        try:
            servers.load(group.front, KEYS, VALUE_BYTES)
            contestant = Contestant("capstan", group)
            runs = [contestant.measure("set", 50, 16, options.seconds) for _ in range(options.rounds)]
        finally:
            group.discard()
        found.append({"nodes": nodes, "shards": shards, **{name: statistics.median(r[name] for r in runs) for name in FIGURES}})
        print(f"{nodes} nodes, {shards} shards: {found[-1]['per_second']:,.0f}/s", file=sys.stderr)
    return found


# ---- the report


def redis_with_wait(results):
    """Redis' SETs per second with WAIT after each, with 50 clients: what is aimed at is a multiple of this."""
    return next((r["servers"]["redis"]["per_second"] for r in results
                 if (r["operation"], r["clients"], r["pipeline"]) == ("set", 50, 1)), None)


def verdict(result, results, etcd_runs):
    """What of the aim is missed, or "yes"; empty where nothing is aimed at."""
    if result["clients"] != 50 or result["operation"] == "incr":
        return ""
    redis, ours, follower = (result["servers"][label] for label in ("redis", "capstan", "through a follower"))
    missed = []
    if result["operation"] == "set":
        base = redis_with_wait(results)
        if base and ours["per_second"] < (1.2 if result["pipeline"] == 1 else 3) * base:
            missed.append("throughput")
        if etcd_runs and ours["per_second"] < 5 * statistics.median(run["per_second"] for run in etcd_runs):
            missed.append("etcd")
    else:
        if ours["per_second"] < redis["per_second"]:
            missed.append("throughput")
        if follower["per_second"] < 0.5 * redis["per_second"]:
            missed.append("follower")
    if ours["p99_us"] > redis["p99_us"]:
        missed.append("p99")
    return ", ".join(missed) or "yes"


def table(results, etcd_runs):
    lines = ["| command | clients | P | thousand/s | ratios | p50 ms | p99 ms | p99.9 ms | CPU µs | aim met |",
             "|---|---:|---:|---|---|---|---|---|---|---|"]
    for result in results:
        redis, *ours = result["servers"].values()

        def cells(name, scale, digits=2):
            return " / ".join(f"{m[name] / scale:.{digits}f}" for m in (redis, *ours))

        ratios = " / ".join(f"{m['per_second'] / redis['per_second']:.2f}" for m in ours)
        lines.append(f"| {result['operation'].upper()} | {result['clients']} | {result['pipeline']} "
                     f"| {cells('per_second', 1000, 1)} | {ratios} | {cells('p50_us', 1000)} | {cells('p99_us', 1000)} "
                     f"| {cells('p999_us', 1000)} | {cells('cpu_us', 1, 1)} | {verdict(result, results, etcd_runs)} |")
    return lines


def report(versions, results, calm, etcd_runs, grown, options):
    text = ["# Three nodes beside Redis with WAIT, and etcd", "",
            f"{versions}; {servers.machine()}. capstan-bench, {KEYS:,} random keys, {VALUE_BYTES}-byte values; medians of "
            f"{options.rounds} rounds of {options.seconds} s in alternation. Figures: Redis with two replicas, appendfsync "
            "always and WAIT 1 0 after each batch of writes / Capstan's leader / Capstan through a follower. CPU: of all "
            "nodes, per command. A pipeline of 16 has one WAIT per batch for Redis; the aim at P 16 is 3 × Redis' SET with "
            "a WAIT after each (50 clients, P 1).", "", *table(results, etcd_runs), "",
            "No election took place." if calm else "An ELECTION took place."]
    if etcd_runs:
        text += ["", "## etcd", "", "`etcdctl check perf --load xl`, three nodes: " + "; ".join(
            f"{run['per_second']:,} writes/s ({run['cpu_us']:.0f} µs CPU each, slowest {run['slowest_s']} s)" for run in etcd_runs) + "."]
    if grown:
        text += ["", "## Growth: SET, 50 clients, P 16", "", "| nodes | shards | thousand/s | p99 ms | CPU µs |", "|---:|---:|---:|---:|---:|"]
        text += [f"| {g['nodes']} | {g['shards']} | {g['per_second'] / 1000:.1f} | {g['p99_us'] / 1000:.2f} | {g['cpu_us']:.1f} |"
                 for g in grown]
    (options.out / "strong.md").write_text("\n".join(text) + "\n")
    (options.out / "strong.json").write_text(json.dumps(
        {"versions": versions, "results": results, "no_election": calm, "etcd": etcd_runs, "growth": grown}, indent=1))


def parse():
    def numbers(text):
        return [int(word) for word in text.split(",") if word]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of one measurement")
    parser.add_argument("--operations", default="set,get,incr")
    parser.add_argument("--clients", type=numbers, default=[1, 50, 500])
    parser.add_argument("--pipelines", type=numbers, default=[1, 16])
    parser.add_argument("--etcd", type=int, default=3, help="runs of etcdctl check perf; 0: none")
    parser.add_argument("--shards", type=numbers, default=[1, 4, 16, 64])
    parser.add_argument("--nodes", type=numbers, default=[3, 5])
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    options = parser.parse_args()
    options.operations = options.operations.split(",")
    return options


def version_of(words, pattern):
    try:
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return "none"
    return (re.search(pattern, done.stdout + done.stderr) or ["?", "?"])[1]


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    versions = (f"redis-server {version_of(['redis-server', '--version'], r'v=([0-9.]+)')}, capstan-server "
                f"{version_of([servers.CAPSTAN, '--version'], r'([0-9][0-9.]*)')}, etcd "
                f"{version_of(['etcd', '--version'], r'Version: ([0-9.]+)')}")
    results, calm = beside_redis(options)
    etcd_runs = etcd(options)
    grown = growth(options)
    report(versions, results, calm, etcd_runs, grown, options)
    print((options.out / "strong.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
