#!/usr/bin/python3
"""Runs the black-box suites against a server: one line per test, `N passed, N failed` at the end."""

import argparse
import fnmatch
import importlib
import os
import random
import shutil
import signal
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from certificates import Authority  # noqa: E402
from cluster import Cluster  # noqa: E402
from entry_tree import Tree  # noqa: E402
from harness import Server, Skip, is_redis  # noqa: E402

SUITES = [
    "selfcheck",
    "compare",
    "differential",
    "consistency",
    "once",
    "topology",
    "clients",
    "pubsub",
    "concurrency",
    "sharded",
    "durability",
    "linearizable",
    "cluster_network",
    "cluster",
    "cluster_partitions",
    "cluster_clients",
    "cluster_histories",
    "cluster_recency",
    "cluster_rebuild",
    "cluster_placement",
    "cluster_tls",
    "malformed",
    "lifecycle",
    "entry",
    "faults",
    "scale",
]

MAX_DETAIL = 6000  # characters of a failure that are printed
TEST_DEADLINE_S = {False: 180, True: 3600}  # by --deep; a test that hangs is a test that fails


class Context:
    """What a test gets: the programs, the seed, and servers that end with the test (or with its suite)."""

    def __init__(self, options):
        self.program = options.server
        self.reference = options.reference
        self.deep = options.deep
        self.seed = options.seed
        self.build = options.build
        self.is_redis = is_redis(options.server)
        self.random = random.Random(options.seed)
        self.notes = []
        self._test_servers = []
        self._suite_servers = []
        self._in_test = False

    def server(self, directives=(), program=None, start=True, **more):
        """A server under test, started unless told otherwise; closed when the test ends."""
        return self._keep(Server(program or self.program, directives, start=False, **more), start)

    def reference_server(self, directives=(), **more):
        return self.server(directives, program=self.reference, **more)

    def _keep(self, server, start):
        (self._test_servers if self._in_test else self._suite_servers).append(server)
        if start:
            server.start()
        return server

    def cluster(self, nodes=3, directives=(), start=True, **more):
        """A cluster of the program under test, with a leader if it is started; closed when the test ends."""
        self.require_capstan()
        return self._keep(Cluster(self.program, nodes, directives, start=False, **more), start)

    def authority(self, name):
        """A certificate authority; closed when the test ends."""
        return self._keep(Authority(name), False)

    def tree(self):
        """The script ./capstan in a tree of its own; what it started ends with the test."""
        self.require_capstan()
        return self._keep(Tree(self.program), False)

    def require_deep(self):
        """For tests that are long and of a kind with others."""
        if not self.deep:
            raise Skip("with --deep")

    def require_capstan(self):
        if self.is_redis:
            raise Skip("only for capstan-server")

    def note(self, text):
        """A line for the summary at the end."""
        self.notes.append(text)

    def begin_test(self, name):
        self._in_test = True
        self.random = random.Random("%s %s" % (self.seed, name))

    def end_test(self):
        self._in_test = False
        logs = [server.end_of_log() for server in self._test_servers]
        for server in self._test_servers:
            server.close()
        self._test_servers.clear()
        return logs

    def end_suite(self):
        for server in self._suite_servers:
            server.close()
        self._suite_servers.clear()


def tests_of(module, context):
    """A suite's tests: what its `tests` generates, or its functions named test_…, in the file's order."""
    if hasattr(module, "tests"):
        yield from module.tests(context)
    for name, function in list(vars(module).items()):
        if name.startswith("test_") and callable(function):
            yield name[len("test_") :], function


class Runner:
    def __init__(self, options):
        self.options = options
        self.context = Context(options)
        self.passed, self.failed, self.skipped = [], [], []

    def selected(self, name):
        patterns = self.options.only
        if any(fnmatch.fnmatchcase(name, pattern + "*") for pattern in self.options.skip):
            return False
        return not patterns or any(fnmatch.fnmatchcase(name, pattern + "*") for pattern in patterns)

    def run_suite(self, suite):
        prefix = suite + "/"
        relevant = [p for p in self.options.only if p.startswith(prefix) or prefix.startswith(p) or "*" in p]
        if self.options.only and not relevant:
            return
        module = importlib.import_module("suites." + suite)
        try:
            if hasattr(module, "setup"):
                module.setup(self.context)
            for name, function in tests_of(module, self.context):
                if self.selected(prefix + name):
                    self.run_test(prefix + name, function)
        except Exception:  # a suite that cannot start is a failure of its own
            self.report("FAIL", prefix + "setup", 0, traceback.format_exc())
            self.failed.append(prefix + "setup")
        finally:
            self.context.end_suite()

    def run_test(self, name, function):
        started = time.monotonic()
        self.context.begin_test(name)
        outcome, detail = "ok", ""
        signal.alarm(TEST_DEADLINE_S[self.options.deep])
        try:
            function(self.context)
        except Skip as reason:
            outcome, detail = "skip", str(reason)
        except AssertionError as failure:
            outcome = "FAIL"
            detail = str(failure) if str(failure) else traceback.format_exc()
            if os.environ.get("REDIS_TESTS_TRACE"):
                detail = traceback.format_exc()
        except Exception:
            outcome, detail = "FAIL", traceback.format_exc()
        finally:
            signal.alarm(0)
            logs = self.context.end_test()
        if outcome == "FAIL":
            if len(detail) > MAX_DETAIL:
                detail = detail[:MAX_DETAIL] + "… (%d characters)" % len(detail)
            detail += "".join("\n-- end of a server's log --\n" + log for log in logs if log)
        {"ok": self.passed, "FAIL": self.failed, "skip": self.skipped}[outcome].append(name)
        self.report(outcome, name, time.monotonic() - started, detail)

    def report(self, outcome, name, seconds, detail):
        line = "%-4s %s (%.2f s)" % (outcome, name, seconds)
        if outcome == "skip":
            line += ": " + detail
        print(line)
        if outcome == "FAIL":
            print("     " + detail.rstrip().replace("\n", "\n     "))
        sys.stdout.flush()

    def run(self):
        print("server %s, reference %s, seed %d" % (self.options.server, self.options.reference, self.options.seed))
        started = time.monotonic()
        for suite in SUITES:
            self.run_suite(suite)
        for note in self.context.notes:
            print("note " + note)
        if self.failed:
            print("failed (seed %d):\n  %s" % (self.options.seed, "\n  ".join(self.failed)))
        print("%d skipped, %.0f s" % (len(self.skipped), time.monotonic() - started))
        print("%d passed, %d failed" % (len(self.passed), len(self.failed)))
        return 1 if self.failed or not self.passed else 0


def too_slow(*_):
    raise AssertionError("not done in time:\n" + "".join(traceback.format_stack(limit=12)))


def main():
    root = os.path.dirname(HERE)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=os.path.join(root, "build/release/bin/capstan-server"))
    parser.add_argument("--reference", default="redis-server", help="the redis-server to compare with")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="suite, suite/test, prefix or glob")
    parser.add_argument("--skip", action="append", default=[], metavar="NAME", help="the same, left out")
    parser.add_argument("--deep", action="store_true", help="longer random runs")
    # The ordinary run is the same every time; --deep draws a new seed.
    parser.add_argument("--seed", type=int)
    parser.add_argument("--build", default=os.path.join(root, "build/release"), help="where redis-tests-hiredis is")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32) if options.deep else 12
    if os.sep in options.server:
        options.server = os.path.abspath(options.server)
    options.build = os.path.abspath(options.build)
    sys.setswitchinterval(0.0005)  # several clients are threads of this process; none may starve
    for program in (options.server, options.reference):
        if not shutil.which(program):
            parser.error("there is no program " + program)
    signal.signal(signal.SIGALRM, too_slow)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers and directories are cleared away
    sys.exit(Runner(options).run())


if __name__ == "__main__":
    main()
