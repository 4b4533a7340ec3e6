#!/usr/bin/env python3
"""How a replica catches up by itself while the cluster serves: one that was down, and one that lost its disk.

usage: catchup.py [options]     (`./capstan bench catchup` builds first and calls this)

Three nodes hold --keys keys. SETs of random keys run at the leader all the time, 50 clients with a pipeline of 16;
their throughput is taken per second. A follower is killed with SIGKILL, --writes writes pass it by, and it is started
again; then it is killed again, its data are deleted, and it is started. Measured is the time from its start until it
has applied what the leader had committed 0.1 s before, and votes, and the throughput in the meantime, beside what it
was before.

The aim: it comes back by itself, and the throughput meanwhile is at least half of what it was before.

Writes catchup.md and catchup.json into --out.
"""
import argparse
import csv
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import servers

VALUE_BYTES = 64
IN_STEP_S = 0.1


class Load:
    """A generator that runs until the end of the block; then `per_second` has the operations of each second."""

    def __init__(self, server, keys):
        self.csv = server.directory / "load.csv"
        self.line = [str(word) for word in (
            servers.CAPSTAN_BENCH, "--port", server.port, "--workload", "set", "--keys", keys, "--value-size", VALUE_BYTES,
            "--clients", 50, "--pipeline", 16, "--seconds", 100_000, "--csv", self.csv)]

    def __enter__(self):
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        complaints = self.process.communicate(timeout=60)[1]
        if self.process.returncode != 0:
            raise RuntimeError(f"the load failed: {complaints.decode()}")
        with open(self.csv, newline="") as file:
            self.per_second = [int(row["operations"]) for row in csv.DictReader(file)]

    def between(self, since, until):
        """Operations of the whole seconds in between, or, if there is none, of the seconds touched."""
        first, last = since - self.began, until - self.began
        whole = self.per_second[int(first) + 1:int(last)]
        return whole or self.per_second[int(first):int(last) + 1]


def raft(server, field):
    return int(re.search(rf"raft_shard0:.*\b{field}=(\d+)", server.command("INFO", "raft").decode())[1])


def votes(server):
    log = (server.directory / "server.log").read_text(errors="replace")
    return "cluster: this node votes" in log.rsplit("ready to accept connections", 1)[-1]


def wait_in_step(leader, follower):
    """When the follower voted and had what was committed at the leader a moment ago."""
    while True:
        goal = raft(leader, "commit")
        asked = time.monotonic()
        servers.wait_until(lambda: raft(follower, "applied") >= goal, 600, "the follower has caught up")
        if time.monotonic() - asked < IN_STEP_S:
            break
    servers.wait_until(lambda: votes(follower), 600, "the follower votes")
    return time.monotonic()


def come_back(name, leader, follower, prepare, options):
    """The follower is down; starts it under load."""
    prepare()
    with Load(leader, options.keys) as load:
        time.sleep(options.seconds)
        began = time.monotonic()
        follower.start()
        ended = wait_in_step(leader, follower)
        time.sleep(options.seconds)
        done = time.monotonic()
    rates = {"without it": load.between(load.began, began), "meanwhile": load.between(began, ended),
             "afterwards": load.between(ended, done)}
    result = {"name": name, "seconds": ended - began, **{when: statistics.median(found) for when, found in rates.items()},
              "worst_meanwhile": min(rates["meanwhile"]), "per_second": load.per_second}
    print(f"{name}: {result['seconds']:.1f} s; {result['without it']:,.0f}/s without it, {result['meanwhile']:,.0f}/s meanwhile, "
          f"{result['afterwards']:,.0f}/s afterwards", file=sys.stderr)
    return result


def measure(options):
    group = servers.capstan_cluster(3)
    try:
        leader = group.front
        follower = next(member for member in group.members if member is not leader)
        servers.load(leader, options.keys, VALUE_BYTES)
        before = servers.generate(leader, "--workload", "set", "--keys", options.keys, "--value-size", VALUE_BYTES,
                                  "--clients", 50, "--pipeline", 16, "--seconds", options.seconds)["per_second"]

        def pass_by():
            follower.kill()
            servers.generate(leader, "--workload", "set", "--keys", options.keys, "--value-size", VALUE_BYTES,
                             "--clients", 50, "--pipeline", 16, "--requests", options.writes)

        def lose_disk():
            follower.kill()
            shutil.rmtree(follower.directory)

        return before, [come_back(f"down for {options.writes:,} writes", leader, follower, pass_by, options),
                        come_back("its disk lost", leader, follower, lose_disk, options)]
    finally:
        group.discard()


def report(before, results, options):
    text = ["# Catching up while the cluster serves", "",
            f"{servers.machine()}. Three nodes, {options.keys:,} keys of {VALUE_BYTES} bytes, SETs at the leader (50 clients, "
            f"P 16): {before:,.0f}/s with all three nodes in step. Thousand SETs per second, medians over seconds.", "",
            "| the replica was | in step after s | while it was down | meanwhile | worst second | afterwards | ratio | aim met |",
            "|---|---:|---:|---:|---:|---:|---:|---|"]
    for r in results:
        ratio = r["meanwhile"] / before
        text.append(f"| {r['name']} | {r['seconds']:.1f} | {r['without it'] / 1000:.0f} | {r['meanwhile'] / 1000:.0f} "
                    f"| {r['worst_meanwhile'] / 1000:.0f} | {r['afterwards'] / 1000:.0f} | {ratio:.2f} "
                    f"| {'yes' if ratio >= 0.5 else 'NO'} |")
    (options.out / "catchup.md").write_text("\n".join(text) + "\n")
    (options.out / "catchup.json").write_text(json.dumps({"before": before, "results": results}, indent=1))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--writes", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=5, help="of load before and after")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    return parser.parse_args()


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    before, results = measure(options)
    report(before, results, options)
    print((options.out / "catchup.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
