"""Runs cases on two servers at once and compares each reply.

Steps of the driver's own (`!name …`):
    !noreply COMMAND …   sends a command that must not be answered: an answer would be taken for the next one's
    !raw BYTES           sends bytes as they are, and compares one reply
    !closed              the server has closed the connection
    !gone KEY            waits until KEY has expired
    !scan [words…]       SCAN words… from cursor 0 to its end; the sets of keys are compared
    !read                compares one more reply (a push, or the reply of a command sent with !send)
    !send COMMAND …      sends a command and does not wait for its reply
    !until N COMMAND …   repeats a command until it answers the integer N
    !settled             waits until no background save is under way
    !silent              nothing has arrived that was not asked for
"""

import fnmatch

from compare.cases import substitute, time_values
from compare.normalise import equal
from harness import ServerFailed, info, wait_for
from resp import Closed, Malformed, Reply, show

REPLY_DEADLINE_S = 8.0
CLOSED = Reply("closed", None, b"(closed)")


class Side:
    """One of the two servers during a case."""

    def __init__(self, server, protocol, case):
        self.server = server
        self.protocol = protocol
        self.wanted = {word for step in case.steps for word in step.words}
        self.values = dict(case.values, port=str(server.port).encode())
        self.connections = {}

    def connection(self, number):
        if number not in self.connections:
            connection = self.server.connect(self.protocol, timeout=REPLY_DEADLINE_S)
            self.connections[number] = connection
            if b"$id%d" % number in self.wanted:
                self.values["id%d" % number] = str(connection.call("CLIENT", "ID").value).encode()
        return self.connections[number]

    def close(self):
        for connection in self.connections.values():
            connection.close()

    def words(self, step):
        return [self.word(word) for word in step.words]

    def word(self, word):
        if word.startswith(b"$id") and word[3:].isdigit():
            self.connection(int(word[3:]))
        if word.startswith(b"$addr") and word[5:].isdigit():
            return self.connection(int(word[5:])).address.encode()
        return substitute(word, self.values)

    def reply(self, step):
        """Does one step; the reply to compare."""
        try:
            if step.is_action:
                return self.act(step)
            return self.connection(step.connection).call(*self.words(step))
        except (Closed, ConnectionError):
            if not self.server.is_running():
                raise ServerFailed("the server ended:\n" + self.server.log()[-3000:]) from None
            return CLOSED

    def act(self, step):
        action, *words = self.words(step)
        connection = self.connection(step.connection)
        return getattr(self, "do_" + action.decode())(connection, *words)

    def do_noreply(self, connection, *words):
        connection.send(*words)
        return Reply("+", b"sent", b"sent")

    do_send = do_noreply

    def do_raw(self, connection, data):
        connection.send_raw(data)
        return connection.read()

    def do_read(self, connection):
        return connection.read()

    def do_closed(self, connection):
        return CLOSED if connection.is_closed() else Reply("open", None, b"(open)")

    def do_until(self, connection, number, *words):
        wait_for(lambda: connection.call(*words).value == int(number), "%r answers %r" % (words, number))
        return Reply("+", b"reached", b"reached")

    def do_settled(self, connection):
        wait_for(
            lambda: info(connection, "persistence").get("rdb_bgsave_in_progress", "0") == "0", "BGSAVE comes to its end"
        )
        return Reply("+", b"settled", b"settled")

    def do_silent(self, connection):
        try:
            return connection.read(timeout=0.05)
        except TimeoutError:
            return Reply("silent", None, b"(silent)")

    def do_gone(self, connection, key):
        wait_for(lambda: connection.call("EXISTS", key).value == 0, "%r expires" % key)
        return Reply("+", b"gone", b"gone")

    def do_scan(self, connection, *words):
        cursor, found = b"0", set()
        for _ in range(100000):
            reply = connection.call("SCAN", cursor, *words)
            if reply.is_error:
                return reply
            cursor = reply.value[0].value
            found.update(item.value for item in reply.value[1].value)
            if cursor == b"0":
                return Reply("keys", sorted(found), repr(sorted(found)).encode())
        raise AssertionError("SCAN does not come to its end")


def display(reply):
    return str(reply.value)[:400] if reply.kind == "keys" else show(reply, 400)


class Comparison:
    """The two servers, the declared differences, and the counts for the summary."""

    def __init__(self, server, reference, differences):
        self.server = server
        self.reference = reference
        self.differences = differences
        self.compared = 0

    def declared(self, text, ours, reference):
        """A declared difference that fits; `same` as its reply pattern would hide nothing, so it needs one."""
        for difference in self.differences:
            if fnmatch.fnmatchcase(text.lower(), difference.command.lower()) and fnmatch.fnmatchcase(
                display(ours), difference.reply
            ):
                difference.used += 1
                return True
        return False

    def make_clean(self, server):
        """Empties the server; starts it anew where a case before has left it stopped, locked or paused."""
        try:
            if server.is_running() and not server.call("FLUSHALL").is_error:
                return
        except (OSError, Closed):
            pass
        if server.is_running():
            server.kill()
        server.start()
        server.call("FLUSHALL")

    def check(self, case):
        """Fails if anything differs, in any of the case's protocols."""
        mismatches = [line for protocol in case.protocols for line in self.run(case, protocol)]
        if mismatches:
            raise AssertionError("%d replies differ\n" % len(mismatches) + "\n".join(mismatches[:40]))

    def run(self, case, protocol):
        """A list of mismatches, as text."""
        for server in (self.server, self.reference):
            self.make_clean(server)
        case.values = time_values()
        sides = [Side(self.server, protocol, case), Side(self.reference, protocol, case)]
        mismatches = []
        try:
            for step in case.steps:
                ours, reference = (side.reply(step) for side in sides)
                self.compared += 1
                if equal(ours, reference, step.normalisers) or self.declared(step.text, ours, reference):
                    continue
                mismatches.append(
                    "RESP%d %s.cases:%d %s\n    got      %s\n    expected %s"
                    % (protocol, case.file, step.line, step.text, display(ours), display(reference))
                )
        except (TimeoutError, ServerFailed, AssertionError, OSError, Malformed) as failure:
            mismatches.append("RESP%d %s.cases:%d %s\n    %s" % (protocol, case.file, step.line, step.text, failure))
        finally:
            for side in sides:
                side.close()
        return mismatches
