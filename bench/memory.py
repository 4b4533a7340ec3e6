#!/usr/bin/env python3
"""Memory and start-up of capstan-server beside redis-server, with many small keys.

usage: memory.py [options]     (`./capstan bench memory` builds first and calls this)

Each server, durability everysec:
1. gets 1,000,000 keys with values of 64 bytes; memory is read at once, while all of them are in Capstan's row table;
2. is stopped cleanly and started again; memory is read again;
3. a fresh one gets the same keys, is killed with SIGKILL at once and started again: the time from exec until it answers
   PING, then DBSIZE and a sample of values must be as before.

The aim: after loading at most 1.15 × Redis' memory, after a clean restart under a third of it, and started after the
kill in under 3 s. Writes memory.md, memory.json and memory.svg into --out; exit status 1 if any data were missing.
"""
import argparse
import json
import pathlib
import random
import sys

import servers
import svg

SAMPLE = 1000


class Data:
    """What a server must still have: how many keys, and the values of a sample of them."""

    def __init__(self, server, keys, value_bytes):
        servers.load(server, keys, value_bytes)
        self.keys = keys
        chosen = random.Random(keys).sample(range(keys), min(SAMPLE, keys)) + [keys - 1]  # the last one written, too
        self.names = [f"key:{number:012d}" for number in chosen]
        self.values = server.command("MGET", *self.names)
        if any(value is None or len(value) != value_bytes for value in self.values):
            raise RuntimeError(f"{server.label}: values missing right after loading")

    def differences(self, server):
        """What is not as it was, as text; empty if all is there."""
        found = []
        if (size := server.command("DBSIZE")) != self.keys:
            found.append(f"DBSIZE {size} instead of {self.keys}")
        wrong = sum(a != b for a, b in zip(self.values, server.command("MGET", *self.names)))
        if wrong:
            found.append(f"{wrong} of {len(self.names)} sampled values differ")
        return ", ".join(found)


def measure(start, options):
    """All figures of one server, by name; sizes in MiB, times in seconds."""
    figures = {}

    def read_memory(server, when):
        figures[f"RSS {when}"], figures[f"anonymous {when}"] = (size / servers.MIB for size in server.memory())

    server = start()
    data = Data(server, options.keys, options.value_size)
    read_memory(server, "after loading")
    server.stop()
    figures["disk after a clean stop"] = server.disk_bytes() / servers.MIB
    figures["start after a clean stop"] = server.start()
    read_memory(server, "after a clean restart")
    figures["missing after a clean restart"] = data.differences(server)
    server.discard()

    server = start()
    data = Data(server, options.keys, options.value_size)
    server.kill()
    figures["start after kill -9"] = server.start()
    figures["missing after kill -9"] = data.differences(server)
    read_memory(server, "after kill -9")
    server.discard()
    return figures


def verdicts(redis, capstan, kind):
    """(aim, figure, whether it is met) for each aim; kind: RSS or anonymous."""
    loaded = capstan[f"{kind} after loading"] / redis[f"{kind} after loading"]
    restarted = capstan[f"{kind} after a clean restart"] / redis[f"{kind} after loading"]
    return [(f"{kind} after loading at most 1.15 × Redis'", f"{loaded:.2f} ×", loaded <= 1.15),
            (f"{kind} after a clean restart under a third of Redis'", f"{restarted:.2f} ×", restarted < 1 / 3)]


def report(results, options):
    redis, capstan = results["redis"], results["capstan"]
    start = capstan["start after kill -9"]
    aims = verdicts(redis, capstan, "RSS") + verdicts(redis, capstan, "anonymous")
    aims.append(("start after kill -9 in under 3 s", f"{start:.2f} s", start < 3))
    text = ["# Memory and start-up beside Redis", "",
            f"{options.keys:,} keys with values of {options.value_size} bytes, durability everysec; {servers.machine()}.", "",
            "| | Redis | Capstan |", "|---|---:|---:|"]
    for name, value in redis.items():
        cells = [f"{v[name]:.2f}" if isinstance(value, float) else v[name] or "nothing" for v in (redis, capstan)]
        unit = "" if not isinstance(value, float) else ", s" if name.startswith("start") else ", MiB"
        text.append(f"| {name}{unit} | {cells[0]} | {cells[1]} |")
    text += ["", "| aim | figure | met |", "|---|---:|---|"]
    text += [f"| {aim} | {figure} | {'yes' if met else 'NO'} |" for aim, figure, met in aims]
    text += ["", "![memory](memory.svg)"]
    (options.out / "memory.md").write_text("\n".join(text) + "\n")
    (options.out / "memory.json").write_text(json.dumps(results, indent=1))
    moments = ["after loading", "after a clean restart", "after kill -9"]
    (options.out / "memory.svg").write_text(svg.bars(
        f"Resident memory, {options.keys:,} keys", "MiB", ["loaded", "restarted", "killed"],
        {label: [figures[f"RSS {moment}"] for moment in moments] for label, figures in results.items()}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-size", type=int, default=64)
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = {"redis": measure(lambda: servers.redis("everysec"), options),
               "capstan": measure(lambda: servers.capstan("everysec"), options)}
    report(results, options)
    print((options.out / "memory.md").read_text())
    return 1 if any(value for name, value in results["capstan"].items() if name.startswith("missing")) else 0


if __name__ == "__main__":
    sys.exit(main())
