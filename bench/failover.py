#!/usr/bin/env python3
"""How long a three-node cluster takes no writes: when its leader is lost in one way or another, and when all nodes are
restarted one after the other.

usage: failover.py [options]     (`./capstan bench failover` builds first and calls this)

Each node is in a network namespace of its own. A client at every surviving node writes one key after the other,
STRONG, waiting for each reply. The leader is killed with SIGKILL, stopped with SIGSTOP, or cut off silently (its
packets vanish, no connection is closed); measured is the time from then until a write that was sent after it is
acknowledged to any of the clients. Then the node comes back, and the next time begins when it is in step.

A rolling restart stops each node with SIGTERM, starts it again, and goes on when it is in step; measured is the longest
time without an acknowledgement for a client of a node that stays up, and what errors these clients got.

The aim: after SIGKILL a median of at most the lease (75 ms) + 50 ms, with lease-reads no 50 ms; after a silent cut 400
ms; no pause above 100 ms in rolling restarts, and nothing but retryable errors.

Writes failover.md and failover.json into --out.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import sys
import threading
import time

import servers
from cluster import Cluster, error_word, strong
from harness import wait_for
from resp import Closed

LEASE_MS = 75


class Writer(threading.Thread):
    """A client of one node. `acknowledged` are pairs: when a write was sent, and when it was acknowledged."""

    def __init__(self, node, number):
        super().__init__(daemon=True)
        self.node, self.key = node, f"writer:{number}"
        self.stopping = False
        self.acknowledged = []
        self.errors = collections.Counter()

    def run(self):
        while not self.stopping:
            try:
                with self.node.connect(timeout=10) as client:
                    while not self.stopping:
                        self.write(client)
            except (OSError, Closed):
                time.sleep(0.001)  # the node is down

    def write(self, client):
        sent = time.monotonic()
        reply = client.call(*strong(5000, "SET", self.key, "x"))
        if reply.is_error:
            self.errors[error_word(reply)] += 1
        else:
            self.acknowledged.append((sent, time.monotonic()))


class Writers:
    def __init__(self, nodes):
        self.threads = [Writer(node, number) for number, node in enumerate(nodes)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_until_acknowledged(time.monotonic())
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.stopping = True
        for thread in self.threads:
            thread.join()

    def wait_until_acknowledged(self, since):
        """Until each has had a write acknowledged that was sent later than that."""
        wait_for(lambda: all(t.acknowledged and t.acknowledged[-1][0] > since for t in self.threads), "all clients write", 60)

    def first_acknowledged(self, since):
        """When the first write that was sent later was acknowledged."""
        return min(done for t in self.threads for sent, done in t.acknowledged if sent > since)


def in_step(cluster):
    """Every node is up and connected to every other one, and the leader has both others in step; then the leader, else
    None."""
    leader = cluster.leader_now(cluster.nodes)
    if leader is None or any(b"disconnected" in node.call("CLUSTER", "NODES").value for node in cluster.nodes):
        return None
    role = leader.ask("ROLE")
    return leader if role is not None and not role.is_error and len(role.plain()[2]) == len(cluster.nodes) - 1 else None


def wait_in_step(cluster):
    wait_for(lambda: in_step(cluster), "all nodes are in step", 60, 0.02)
    time.sleep(1)  # who has just started is still bound by what an earlier process may have promised
    return wait_for(lambda: in_step(cluster), "all nodes are in step", 60, 0.02)


def lose(cluster, how):
    """Milliseconds until writes are accepted again, once."""
    leader = wait_in_step(cluster)
    with Writers(cluster.others(leader)) as writers:
        began = time.monotonic()
        {"kill": leader.kill, "stop": leader.pause, "cut": lambda: cluster.isolate(leader)}[how]()
        lost = time.monotonic()
        writers.wait_until_acknowledged(lost)
    cluster.mend()
    return (writers.first_acknowledged(lost) - began) * 1000  # a cut takes some ms to be made: they count


def lost_leaders(name, how, aim, directives, options):
    with Cluster(str(servers.CAPSTAN), directives=directives) as cluster:
        times = [lose(cluster, how) for _ in range(options.times)]
    result = {"name": name, "aim_ms": aim, "median_ms": statistics.median(times), "worst_ms": max(times), "times_ms": times}
    print(f"{name}: median {result['median_ms']:.0f} ms, worst {result['worst_ms']:.0f} ms", file=sys.stderr)
    return result


def pause_of(writer, since, until):
    """The longest time without an acknowledgement, in ms."""
    moments = [since, *(done for _, done in writer.acknowledged if since < done < until), until]
    return max(b - a for a, b in zip(moments, moments[1:])) * 1000


def rolling_restarts(options):
    pauses, errors = [], collections.Counter()
    with Cluster(str(servers.CAPSTAN)) as cluster:
        for turn in range(options.restarts * len(cluster.nodes)):
            wait_in_step(cluster)
            node = cluster.nodes[turn % len(cluster.nodes)]
            with Writers(cluster.others(node)) as writers:
                began = time.monotonic()
                assert node.terminate() == 0
                node.start()
                wait_in_step(cluster)
                ended = time.monotonic()
                writers.wait_until_acknowledged(ended)
            pauses.append(max(pause_of(writer, began, ended) for writer in writers.threads))
            for writer in writers.threads:
                errors.update(writer.errors)
    print(f"rolling restarts: median pause {statistics.median(pauses):.0f} ms, worst {max(pauses):.0f} ms, errors "
          f"{dict(errors) or 'none'}", file=sys.stderr)
    return {"pauses_ms": pauses, "errors": dict(errors)}


def report(lost, restarts, options):
    text = ["# Without a leader", "",
            f"{servers.machine()}. Three nodes, a STRONG writer at each that survives; {options.times} times each. "
            "Milliseconds from the loss until a write sent after it is acknowledged.", "",
            "| the leader is | median | worst | aim for the median | met |", "|---|---:|---:|---:|---|"]
    for result in lost:
        met = "" if result["aim_ms"] is None else "yes" if result["median_ms"] <= result["aim_ms"] else "NO"
        text.append(f"| {result['name']} | {result['median_ms']:.0f} | {result['worst_ms']:.0f} | {result['aim_ms'] or ''} | {met} |")
    pauses, errors = restarts["pauses_ms"], restarts["errors"]
    text += ["", "## Rolling restarts", "",
             f"{len(pauses)} restarts, one node after the other. The longest time without an acknowledgement for a client of "
             f"a node that stays up: median {statistics.median(pauses):.0f} ms, worst {max(pauses):.0f} ms (the aim: 100). "
             f"Errors: {', '.join(f'{count} {word}' for word, count in errors.items()) or 'none'}."]
    (options.out / "failover.md").write_text("\n".join(text) + "\n")
    (options.out / "failover.json").write_text(json.dumps({"lost": lost, "restarts": restarts}, indent=1))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--restarts", type=int, default=5, help="of every node")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    return parser.parse_args()


def main():
    options = parse()
    os.makedirs(options.out, exist_ok=True)
    lost = [lost_leaders("killed", "kill", LEASE_MS + 50, (), options),
            lost_leaders("killed (lease-reads no)", "kill", 50, {"lease-reads": "no"}, options),
            lost_leaders("stopped", "stop", None, (), options),
            lost_leaders("cut off silently", "cut", 400, (), options)]
    report(lost, rolling_restarts(options), options)
    print((options.out / "failover.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
