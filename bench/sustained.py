#!/usr/bin/env python3
"""Ten minutes of uniformly random SETs over ten million keys, for capstan-server and for redis-server.

usage: sustained.py [options]     (`./capstan bench sustained` builds first and calls this)

Each server (durability everysec, everything else at its default) is loaded with all keys, then written to by
capstan-bench for --seconds. With --slices 1 the two run one after the other; with more, both stay up and take turns, so
that a disturbance of the machine meets both, and each has the other's turns to catch up with its background work.
Reported: throughput over time, its worst and best 10 s, p99.9 and maximum latency, bytes written to disk per byte of
data set (key and value), memory over time.

--memory-fraction F limits Capstan, alone, to F × the bytes of the data, with half of that as --cache-memory: by a control
group where this process may make one (it counts the page cache too), else by RLIMIT_DATA; the report says which. There
must be no error and no growth.

The aim: the worst 10 s not under half of the best, p99.9 under 20 ms, in all 1.5 × Redis. Writes sustained.md,
sustained.json, sustained.csv and two SVGs into --out (sustained-limited.* with --memory-fraction); exit status 1 if a
command failed.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import sys

import servers
import svg

KEY_BYTES = len("key:000000000000")
WINDOW_S = 10


class Contestant:
    """A loaded server with everything measured on it so far."""

    def __init__(self, server, options):
        self.server, self.options = server, options
        self.seconds = []  # one row of capstan-bench's CSV per second of its turns
        self.rss = []      # RSS in bytes, once a second
        self.summaries = []
        servers.load(server, options.keys, options.value_size)
        self.written_before = server.written_bytes()
        print(f"{server.label}: loaded, RSS {server.memory()[0] / servers.MIB:.0f} MiB", file=sys.stderr)

    def turn(self, seconds, seed):
        """Random SETs for so many seconds."""
        table = servers.SCRATCH / "turn.csv"
        line = [servers.CAPSTAN_BENCH, "--port", self.server.port, "--workload", "set", "--keys", self.options.keys,
                "--value-size", self.options.value_size, "--clients", self.options.clients, "--pipeline",
                self.options.pipeline, "--seconds", seconds, "--seed", seed, "--csv", table, "--json"]
        generator = subprocess.Popen([str(word) for word in line], stdout=subprocess.PIPE, text=True)
        try:
            while True:
                try:
                    output, _ = generator.communicate(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    self.rss.append(self.server.memory()[0])
        finally:
            generator.kill()
        self.summaries.append(json.loads(output))
        with open(table, newline="") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        self.seconds += rows[:seconds]  # what comes after is the last replies

    def figures(self):
        """All figures by name. What a server writes during the others' turns is its own work, too."""
        written = self.server.written_bytes() - self.written_before
        rates = [row["operations"] for row in self.seconds]
        width = min(WINDOW_S, len(rates))
        windows = [sum(rates[i:i + width]) / width for i in range(len(rates) - width + 1)]
        operations = sum(s["operations"] for s in self.summaries)
        early = self.rss[len(self.rss) // 10]
        return {
            "SETs per second": operations / sum(s["seconds"] for s in self.summaries),
            f"worst {width} s, per second": min(windows),
            f"best {width} s, per second": max(windows),
            "worst / best": min(windows) / max(windows),
            "p99.9, ms": max(s["p999_us"] for s in self.summaries) / 1000,
            "slowest, ms": max(s["max_us"] for s in self.summaries) / 1000,
            "errors": sum(s["errors"] + s["lost"] for s in self.summaries),
            "bytes written to disk per byte of data set": written / (operations * (KEY_BYTES + self.options.value_size)),
            "RSS after a tenth of the time, MiB": early / servers.MIB,
            "RSS at the end, MiB": self.rss[-1] / servers.MIB,
            "largest RSS, MiB": max(self.rss) / servers.MIB,
            "disk at the end, MiB": self.server.disk_bytes() / servers.MIB,
        }


def limit_of(options):
    """Bytes."""
    return int(options.memory_fraction * options.keys * (KEY_BYTES + options.value_size))


def starters(options):
    """label → a function that starts the server."""
    if options.memory_fraction is None:
        return {"redis": lambda: servers.redis("everysec"), "capstan": lambda: servers.capstan("everysec")}
    limit = servers.limited_to(limit_of(options))
    print(f"memory limit: {limit_of(options) / servers.MIB:.0f} MiB by {limit.description}", file=sys.stderr)
    cache = options.cache_memory or str(limit_of(options) // 2)
    return {"capstan": lambda: servers.capstan("everysec", "--cache-memory", cache, limit=limit)}


def contest(options):
    """label → Contestant, after all its turns, and its figures."""
    done = {}

    def finish(label, contestant):
        done[label] = (contestant, contestant.figures())
        contestant.server.discard()

    start = starters(options)
    per_turn = options.seconds // options.slices
    if options.slices == 1:
        for label, starter in start.items():
            contestant = Contestant(starter(), options)
            contestant.turn(per_turn, seed=1)
            finish(label, contestant)
        return done
    contestants = {label: Contestant(starter(), options) for label, starter in start.items()}
    for number in range(options.slices):
        for contestant in contestants.values():
            contestant.turn(per_turn, seed=number + 1)
    for label, contestant in contestants.items():
        finish(label, contestant)
    return done


def aims(figures):
    capstan = figures["capstan"]
    found = [("worst 10 s not under half of the best", capstan["worst / best"] >= 0.5),
             ("p99.9 under 20 ms", capstan["p99.9, ms"] < 20), ("no error", capstan["errors"] == 0)]
    if "redis" in figures:
        ratio = capstan["SETs per second"] / figures["redis"]["SETs per second"]
        found.append((f"1.5 × Redis (is {ratio:.2f} ×)", ratio >= 1.5))
    else:
        grown = capstan["RSS at the end, MiB"] / capstan["RSS after a tenth of the time, MiB"]
        found.append((f"no growth of memory (is {grown:.2f} × that after a tenth of the time)", grown <= 1.1))
    return found


def report(done, options):
    name = "sustained" if options.memory_fraction is None else "sustained-limited"
    figures = {label: result for label, (_, result) in done.items()}
    limit = ""
    if options.memory_fraction is not None:
        applied = done["capstan"][0].server.limit.description
        limit = (f", memory limited to {options.memory_fraction} × the data, {limit_of(options) / servers.MIB:.0f} MiB, by "
                 f"{applied}")
    text = ["# Sustained random SETs", "",
            f"{options.keys:,} keys with values of {options.value_size} bytes, {options.seconds} s per server in "
            f"{options.slices} turn(s), {options.clients} clients, pipeline {options.pipeline}, durability everysec{limit}; "
            f"{servers.machine()}.", "", "| | " + " | ".join(figures) + " |", "|---|" + "---:|" * len(figures)]
    for figure in figures["capstan"]:
        values = [result[figure] for result in figures.values()]
        text.append(f"| {figure} | " + " | ".join(f"{v:,.0f}" if v >= 1000 else f"{v:.2f}" for v in values) + " |")
    text += ["", "| aim | met |", "|---|---|"] + [f"| {aim} | {'yes' if met else 'NO'} |" for aim, met in aims(figures)]
    text += ["", f"![throughput]({name}.svg)", "", f"![memory]({name}-memory.svg)"]
    (options.out / f"{name}.md").write_text("\n".join(text) + "\n")
    (options.out / f"{name}.json").write_text(json.dumps(
        {label: {"figures": result, "turns": contestant.summaries, "rss": contestant.rss}
         for label, (contestant, result) in done.items()}, indent=1))
    with open(options.out / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["server", "second", "operations", "errors", "p50_us", "p99_us", "p999_us", "max_us"])
        for label, (contestant, _) in done.items():
            for second, row in enumerate(contestant.seconds):
                writer.writerow([label, second] + list(row.values())[1:])
    (options.out / f"{name}.svg").write_text(svg.lines(
        "Random SETs over time", "seconds", "per second",
        {label: list(enumerate(row["operations"] for row in c.seconds)) for label, (c, _) in done.items()}))
    (options.out / f"{name}-memory.svg").write_text(svg.lines(
        "Resident memory over time", "seconds", "MiB",
        {label: list(enumerate(rss / servers.MIB for rss in c.rss)) for label, (c, _) in done.items()}))
    print((options.out / f"{name}.md").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--value-size", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=600, help="per server")
    parser.add_argument("--slices", type=int, default=1, help="turns that --seconds are divided into")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--memory-fraction", type=float, help="of the data, as the limit of Capstan's memory")
    parser.add_argument("--cache-memory", help="with --memory-fraction: instead of half of the limit")
    parser.add_argument("--out", type=pathlib.Path, default=servers.ROOT / "bench/results")
    options = parser.parse_args()
    if options.seconds // options.slices < 2:
        parser.error("a turn needs at least 2 seconds")
    options.out.mkdir(parents=True, exist_ok=True)
    done = contest(options)
    report(done, options)
    return 1 if any(result["errors"] for _, result in done.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
