"""Is a history of concurrent commands linearizable? The search of Wing and Gong (1993) with Lowe's memory of what was
tried (2017): commands are put one after the other wherever their times allow, until every reply fits or none does.

A history is a list of Operations. Commands of keys that nothing connects are checked apart, which keeps searches short
(Herlihy and Wing 1990: linearizability is local). An operation whose reply never came may have taken effect at any time
after it began, or never.
"""

import bisect
from dataclasses import dataclass

NEVER = float("inf")


@dataclass(frozen=True)
class Operation:
    client: int
    begin: float
    end: float  # NEVER: no reply came
    command: tuple  # of str and bytes; of a transaction "MULTI" and its commands
    reply: object = None  # Reply.plain(); None also for a null


def keys_of(command):
    verb = command[0]
    if verb == "MULTI":
        return tuple(key for each in command[1:] for key in keys_of(each))
    if verb == "MSET":
        return command[1::2]
    return command[1:] if verb in ("MGET", "DEL") else command[1:2]


def apply(state, command):
    """(state after, reply) of a command; a state is a tuple of (key, value) in order of the keys."""
    if command[0] == "MULTI":
        replies = []
        for each in command[1:]:
            state, reply = apply(state, each)
            replies.append(reply)
        return state, replies
    values = dict(state)
    verb, key = command[0], command[1]
    old = values.get(key)
    if verb == "GET":
        return state, old
    if verb == "MGET":
        return state, [values.get(each) for each in command[1:]]
    if verb == "SET" and len(command) == 5:  # SET key new IFEQ old
        if old != command[4]:
            return state, None
        values[key], reply = command[2], b"OK"
    elif verb == "SET":
        values[key], reply = command[2], b"OK"
    elif verb == "MSET":
        values.update(zip(command[1::2], command[2::2]))
        reply = b"OK"
    elif verb == "INCR":
        reply = int(old or 0) + 1
        values[key] = b"%d" % reply
    elif verb == "APPEND":
        values[key] = (old or b"") + command[2]
        reply = len(values[key])
    elif verb == "DEL":
        reply = sum(values.pop(each, None) is not None for each in command[1:])
    else:
        raise ValueError("no model of %s" % verb)
    return tuple(sorted(values.items())), reply


def partitions(history):
    """Lists of operations whose keys are connected by some command."""
    leader = {}

    def find(key):
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for operation in history:
        first, *others = keys_of(operation.command)
        for key in others:
            leader[find(key)] = find(first)
    groups = {}
    for operation in history:
        groups.setdefault(find(keys_of(operation.command)[0]), []).append(operation)
    return list(groups.values())


class _Event:
    __slots__ = ("number", "is_call", "match", "before", "after")

    def __init__(self, number, is_call):
        self.number = number
        self.is_call = is_call
        self.match = None  # of a call its return, if one came
        self.before = self.after = None


def _events(operations):
    """A linked list of calls and returns in order of time, behind a head; a return comes before a call of its time."""
    order = []
    for number, operation in enumerate(operations):
        call = _Event(number, True)
        order.append((operation.begin, 1, number, call))
        if operation.end != NEVER:
            call.match = _Event(number, False)
            order.append((operation.end, 0, number, call.match))
    head = last = _Event(-1, False)
    for _, _, _, event in sorted(order, key=lambda entry: entry[:3]):
        last.after, event.before = event, last
        last = event
    return head


def _unlink(call):
    """Takes a call and its return out of the list."""
    for event in filter(None, (call, call.match)):
        event.before.after = event.after
        if event.after:
            event.after.before = event.before


def _link(call):
    """Undoes _unlink(), the last one first."""
    for event in filter(None, (call.match, call)):
        event.before.after = event
        if event.after:
            event.after.before = event


def _has_twin(head, event, operations):
    """Whether a call before this one is the same command without a reply: then that one stands for both."""
    earlier = head.after
    while earlier is not event:
        twin = operations[earlier.number]
        if twin.end == NEVER and twin.command == operations[event.number].command:
            return True
        earlier = earlier.after
    return False


def _is_idle(operations, trail, command, outcome):
    """Whether the last choice is a command without a reply that this one makes as if it had never been."""
    if not trail or operations[trail[-1][0].number].end != NEVER:
        return False
    return apply(trail[-1][1], command) == outcome


def _fits(operations, initial):
    """Whether some order of the operations explains their replies."""
    head = _events(operations)
    answered = sum(operation.end != NEVER for operation in operations)
    state, placed, tried, trail = initial, 0, {(0, initial)}, []
    # What had no reply is tried only where nothing fits that had one: else it would be put anywhere it does no harm.
    event, unanswered = head.after, False
    while answered:
        if event and event.is_call:
            chosen, operation = None, operations[event.number]
            if (operation.end == NEVER) == unanswered and not (unanswered and _has_twin(head, event, operations)):
                after, reply = apply(state, operation.command)
                fits = after != state if unanswered else reply == operation.reply
                if fits and not _is_idle(operations, trail, operation.command, (after, reply)):
                    chosen = (placed | 1 << event.number, after)
            if chosen and chosen not in tried:
                tried.add(chosen)
                trail.append((event, state))
                placed, state = chosen
                answered -= not unanswered
                _unlink(event)
                event, unanswered = head.after, False
            else:
                event = event.after
        elif not unanswered:
            event, unanswered = head.after, True
        elif not trail:
            return False
        else:
            # A reply that no order so far explains (or nothing is left to try): the last choice was wrong.
            event, state = trail.pop()
            placed &= ~(1 << event.number)
            unanswered = operations[event.number].end == NEVER
            answered += not unanswered
            _link(event)
            event = event.after
    return True


def check(history, initial=()):
    """None if the history is linearizable, else the operations of a part that is not, in order of their begins."""
    for operations in partitions(history):
        operations = sorted(operations, key=lambda operation: operation.begin)
        keys = {key for operation in operations for key in keys_of(operation.command)}
        if not _fits(operations, tuple(sorted(entry for entry in initial if entry[0] in keys))):
            return operations
    return None


def shortest(operations):
    """Of what cannot be explained, the shortest beginning that cannot."""
    ends = sorted(operation.end for operation in operations if operation.end != NEVER)

    def until(end):
        known = [operation for operation in operations if operation.begin <= end]
        return [o if o.end <= end else Operation(o.client, o.begin, NEVER, o.command) for o in known]

    first = bisect.bisect_left(ends, True, key=lambda end: check(until(end)) is not None)
    return until(ends[first])


def _words(command):
    shown = ["(%s)" % _words(word) if isinstance(word, tuple) else word for word in command]
    return " ".join(word if isinstance(word, str) else repr(word)[1:] for word in shown)


def show(operations, limit=40):
    lines = []
    for operation in operations[:limit]:
        end = "      never" if operation.end == NEVER else "%11.6f" % operation.end
        reply = "?" if operation.end == NEVER else operation.reply
        words = _words(operation.command)
        lines.append("%11.6f %s  client %d  %s → %s" % (operation.begin, end, operation.client, words, reply))
    if len(operations) > limit:
        lines.append("… %d more" % (len(operations) - limit))
    return "\n".join(lines)
