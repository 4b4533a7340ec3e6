"""Replies compared with a real redis-server, side by side, byte for byte, in RESP2 and RESP3."""

from compare.cases import all_cases, read_differences
from compare.engine import Comparison
from harness import Skip, command_names

DIRECTIVES = {"enable-debug-command": "yes", "slowlog-log-slower-than": "-1"}
shared = {}


def setup(context):
    server = context.server(DIRECTIVES)
    reference = context.reference_server(DIRECTIVES)
    shared["differences"] = read_differences()
    shared["comparison"] = Comparison(server, reference, shared["differences"])
    with server.connect() as client, reference.connect() as reference_client:
        shared["commands"] = command_names(client)
        shared["reference_commands"] = command_names(reference_client)


def run_case(case):
    def run(context):
        missing = [name for name in case.needs if name not in shared["commands"]]
        if missing:
            raise Skip("the server has no " + ", ".join(missing))
        mismatches = []
        for protocol in case.protocols:
            mismatches += shared["comparison"].run(case, protocol)
        if mismatches:
            raise AssertionError("%d replies differ\n" % len(mismatches) + "\n".join(mismatches[:40]))

    return run


def tests(context):
    for case in all_cases():
        yield case.name, run_case(case)
