#!/usr/bin/python3
"""Prints what redis-server answers to the comparison cases, as a reference to develop against.

    redis-tests/transcript.py [--server PROGRAM] [--protocol 3] [file or part of a title …]
"""

import argparse

from compare.cases import all_cases, time_values
from compare.engine import Side, display
from harness import Server
from suites.compare import DIRECTIVES


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="redis-server")
    parser.add_argument("--protocol", type=int, default=2)
    parser.add_argument("parts", nargs="*")
    options = parser.parse_args()
    with Server(options.server, DIRECTIVES) as server:
        for case in all_cases():
            if options.parts and not any(part in case.name for part in options.parts):
                continue
            print("\n== " + case.name)
            server.call("FLUSHALL")
            case.values = time_values()
            side = Side(server, options.protocol, case)
            for step in case.steps:
                print("%-60s %s" % (step.text, display(side.reply(step))))
            side.close()


if __name__ == "__main__":
    main()
