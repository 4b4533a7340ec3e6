"""What `@name` before a command means: how two replies are compared where Redis itself is not deterministic.

@nearN       integers (anywhere in the reply, also in bulk strings) may differ by N
@unordered   the order of an array's elements does not count
@deep        neither does the order in any array, set or map within it
@pairs       a map, or a flat array of pairs: the order of the pairs does not count
@type        only the type of the reply is compared
@shape       the types, recursively, and the number of elements
@digits      every run of digits in a string counts as one
@client      lines of CLIENT LIST: what is measured or numbered does not count, fields and states do
@slowlog     entries of SLOWLOG GET: numbers, times and addresses do not count
@latency     LATENCY HISTOGRAM: the buckets do not count
"""

import re

from resp import Reply, show


def ordered_by_text(items):
    return sorted(items, key=lambda item: show(item, 1 << 30))


def unordered(reply):
    if not isinstance(reply.value, list) or reply.kind == "%":
        return reply
    return Reply(reply.kind, ordered_by_text(reply.value))


def deep(reply):
    if not isinstance(reply.value, list):
        return reply
    if reply.kind == "%":
        return pairs(Reply("%", [deep(item) for item in reply.value]))
    return Reply(reply.kind, ordered_by_text([deep(item) for item in reply.value]))


def pairs(reply):
    if not isinstance(reply.value, list):
        return reply
    couples = list(zip(reply.value[::2], reply.value[1::2]))
    couples.sort(key=lambda couple: show(couple[0], 1 << 30))
    return Reply(reply.kind, [item for couple in couples for item in couple])


def type_only(reply):
    return Reply(reply.kind, None)


def shape(reply):
    if not isinstance(reply.value, list):
        return type_only(reply)
    return Reply(reply.kind, [shape(item) for item in reply.value])


def digits(reply):
    if isinstance(reply.value, list):
        return Reply(reply.kind, [digits(item) for item in reply.value])
    if isinstance(reply.value, bytes):
        return Reply(reply.kind, re.sub(rb"\d+", b"N", reply.value))
    return reply


MEASURED = (
    "id addr laddr fd age idle qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events".split()
)


def client(reply):
    if isinstance(reply.value, list):
        return Reply(reply.kind, [client(item) for item in reply.value])
    if not isinstance(reply.value, bytes):
        return reply
    text = reply.value.decode()
    for field in MEASURED:
        text = re.sub(r"\b(?<!-)%s=\S*" % field, field + "=…", text)
    return Reply(reply.kind, text.encode())


def slowlog(reply):
    if not isinstance(reply.value, list):
        return reply
    entries = []
    for entry in reply.value:
        number, stamp, duration, words, address, name = entry.value
        entries.append(Reply(entry.kind, [shape(number), shape(stamp), shape(duration), words, shape(address), name]))
    return Reply(reply.kind, entries)


def latency(reply):
    """name → { calls, histogram_usec → { bucket → calls } }, the outer order as well as the buckets left out."""
    if not isinstance(reply.value, list):
        return reply
    commands = []
    for item in pairs(reply).value:
        commands.append(Reply(item.kind, item.value[:3]) if isinstance(item.value, list) else item)
    return Reply(reply.kind, commands)


FUNCTIONS = {
    "unordered": unordered,
    "deep": deep,
    "pairs": pairs,
    "type": type_only,
    "shape": shape,
    "digits": digits,
    "client": client,
    "slowlog": slowlog,
    "latency": latency,
}


def as_number(reply):
    if reply.kind == ":":
        return reply.value
    if reply.kind in "$+" and reply.value is not None and re.fullmatch(rb"-?\d+", reply.value):
        return int(reply.value)
    return None


def near(left, right, tolerance):
    if left.kind != right.kind:
        return False
    if isinstance(left.value, list) and isinstance(right.value, list):
        return len(left.value) == len(right.value) and all(
            near(a, b, tolerance) for a, b in zip(left.value, right.value)
        )
    numbers = as_number(left), as_number(right)
    if None in numbers:
        return left == right
    # A sign is never a matter of tolerance: −1 and −2 mean something of their own.
    return (numbers[0] < 0) == (numbers[1] < 0) and abs(numbers[0] - numbers[1]) <= tolerance


def equal(left, right, names):
    """True when two replies are the same under these normalisers; byte for byte when there are none."""
    if not names:
        return left.raw == right.raw
    tolerance = None
    for name in names:
        if name.startswith("near"):
            tolerance = int(name[len("near") :])
        else:
            left, right = FUNCTIONS[name](left), FUNCTIONS[name](right)
    return left == right if tolerance is None else near(left, right, tolerance)
