"""Reads the *.cases files.

    # a comment
    == title of a case               every case begins with empty databases and new connections
    needs: lpush hset                only run where the server under test knows these commands
    protocols: 2                     default: 2 and 3
    SET k "a b\\x00"                  a command; quoting as redis-cli's
    [2] GET k                        the same on a second connection
    @near2 TTL k                     how the reply is compared (see normalise.py); several may stand together
    !gone k                          a step that the driver does (see engine.py)

Words beginning with $ stand for what differs between runs or would be long:
    $rep(x,1000)  $now+10  $nowms-5  $id1 (client id of connection 1)  $addr1 (its address)  $port
"""

import glob
import os
import re
import time
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Step:
    line: int
    text: str
    connection: int
    normalisers: list
    words: list  # of bytes, placeholders not yet replaced
    is_action: bool


@dataclass
class Case:
    file: str
    title: str
    needs: list = field(default_factory=list)
    protocols: tuple = (2, 3)
    steps: list = field(default_factory=list)
    values: dict = field(default_factory=dict)  # the times that $now and $nowms stand for in this run

    @property
    def name(self):
        return self.file + ": " + self.title


ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "a": b"\a", "b": b"\b"}
TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def unquote(text):
    out = bytearray()
    position = 0
    while position < len(text):
        char = text[position]
        if char != "\\":
            out += char.encode("utf-8")
            position += 1
        elif text[position + 1] == "x":
            out.append(int(text[position + 2 : position + 4], 16))
            position += 4
        else:
            following = text[position + 1]
            out += ESCAPES.get(following, following.encode("utf-8"))
            position += 2
    return bytes(out)


def split_words(text):
    words = []
    for quoted, bare in TOKEN.findall(text):
        words.append(bare.encode("utf-8") if bare else unquote(quoted))
    return words


def parse_step(number, text):
    rest, connection, normalisers = text, 1, []
    match = re.match(r"\[(\d+)\]\s*", rest)
    if match:
        connection = int(match.group(1))
        rest = rest[match.end() :]
    while rest.startswith("@"):
        name, _, rest = rest[1:].partition(" ")
        normalisers.append(name)
        rest = rest.lstrip()
    is_action = rest.startswith("!")
    words = split_words(rest[1:] if is_action else rest)
    if not words:
        raise ValueError("line %d: no command in %r" % (number, text))
    return Step(number, text, connection, normalisers, words, is_action)


def parse_file(path):
    cases = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("== "):
                cases.append(Case(os.path.basename(path)[: -len(".cases")], line[3:]))
            elif line.startswith("needs:"):
                cases[-1].needs += line.split()[1:]
            elif line.startswith("protocols:"):
                cases[-1].protocols = tuple(int(word) for word in line.split()[1:])
            else:
                cases[-1].steps.append(parse_step(number, line))
    return cases


def all_cases():
    cases = []
    for path in sorted(glob.glob(os.path.join(HERE, "*.cases"))):
        cases += parse_file(path)
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases have one name: %s" % [n for n in names if names.count(n) > 1]
    return cases


def substitute(word, values):
    """Replaces the placeholders; `values` maps id1, addr1, port … to bytes of this server's run."""
    if not word.startswith(b"$"):
        return word
    text = word.decode("utf-8")
    match = re.fullmatch(r"\$rep\((.*),(\d+)\)", text)
    if match:
        return unquote(match.group(1)) * int(match.group(2))
    match = re.fullmatch(r"\$(nowms|now)([+-]\d+)?", text)
    if match:
        return str(values[match.group(1)] + int(match.group(2) or 0)).encode()
    if text[1:] in values:
        return values[text[1:]]
    return word


def time_values():
    now_ms = int(time.time() * 1000)
    return {"now": now_ms // 1000, "nowms": now_ms}


@dataclass
class Difference:
    """A declared difference: commands and replies are glob patterns on the shown text."""

    command: str
    reply: str
    reason: str
    used: int = 0


def read_differences():
    """differences.txt: `command | reply of ours | reason`, one per line."""
    differences = []
    with open(os.path.join(HERE, "differences.txt"), encoding="utf-8") as lines:
        for line in lines:
            line = line.strip()
            if line and not line.startswith("#"):
                command, reply, reason = (part.strip() for part in line.split(" | ", 2))
                differences.append(Difference(command, reply, reason))
    return differences
