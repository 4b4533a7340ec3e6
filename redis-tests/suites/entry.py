"""The entry points: `./capstan up`, and what can be done to the nodes that it starts."""

import contextlib
import os
import re
import socket

from entry_tree import NODES
from harness import wait_for
from resp import Connection


@contextlib.contextmanager
def listening(port):
    """Somebody else has the port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def test_a_single_node(context):
    here = context.tree()
    said = here.succeeds("up", "--single")
    port = int(re.search(r"redis-cli -p (\d+)", said)[1])
    with Connection(port) as client:
        assert client.call("SET", "k", "v").raw == b"+OK\r\n"
    assert here.nodes() == {"data": ("127.0.0.1:%d" % port, str(here.pids()[0]), "running", "leader")}
    again = here.succeeds("up", "--single")
    assert "already running" in again and said in again, again
    here.succeeds("down")
    assert here.pids() == [] and here.state("data") == "down"
    here.refuses("down")
    port = int(re.search(r"redis-cli -p (\d+)", here.succeeds("up", "--single"))[1])
    with Connection(port) as client:
        assert client.call("GET", "k").value == b"v"


def test_data_of_one_node_and_of_three_are_not_mixed(context):
    here = context.tree()
    os.makedirs(here.path("data/shards"))
    assert "up --single" in here.refuses("up")
    os.rename(here.path("data"), here.path("data.single"))
    os.makedirs(here.path("data/n1/shards"))
    assert "`./capstan up` goes on" in here.refuses("up", "--single")
    assert here.pids() == []


def test_what_is_not_there_is_refused(context):
    here = context.tree()
    for words in (["kill"], ["pause", "4"], ["start", "x"], ["kill", "1"], ["up", "2"], ["down"]):
        said = here.refuses(*words)
        assert said.startswith("capstan: "), said
    assert here.refuses("fly").startswith("usage:")


def test_a_port_that_is_taken(context):
    """Whatever the port is for: nothing is started, and the message says which one it is."""
    here = context.tree()
    for port in (here.ports["n3"], here.peer_ports["n2"]):
        with listening(port):
            assert "port %d" % port in here.refuses("up")
        assert here.pids() == []


def test_one_node_that_does_not_start_stops_the_others(context):
    here = context.tree()
    here.edit("conf/three-nodes/n3.conf", lambda text: text + "nosuchdirective 1\n")
    said = here.refuses("up")
    assert "nosuchdirective" in said and "n3" in said, said
    assert here.pids() == []


def test_three_nodes(context):
    """What is written to one is read from another; they stop, and start again with what they had."""
    here = context.tree()
    said = here.succeeds("up")
    assert "redis-cli -p %d" % here.ports["n1"] in said and "./capstan down" in said, said
    wait_for(here.leader, "one node leads, the others follow")
    assert {state for _, _, state, _ in here.nodes().values()} == {"running"}
    assert here.call("n1", "SET", "k", "v").raw == b"+OK\r\n"
    assert here.call("n3", "GET", "k").value == b"v"
    assert "already running" in here.succeeds("up")
    here.succeeds("down")
    assert here.pids() == []
    here.succeeds("up")
    assert here.call("n2", "GET", "k").value == b"v"


def loses(context, command, state):
    """The leader goes; the others elect another one and go on; it comes back and has what was written meanwhile."""
    here = context.tree()
    here.succeeds("up")
    lost = wait_for(here.leader, "one node leads, the others follow")
    here.succeeds(command, lost)
    assert here.state(lost) == state
    here.refuses("pause", lost)
    other = next(name for name in NODES if name != lost)
    wait_for(lambda: here.accepts(other, "SET", "k", "v"), "the others elect a leader", 30.0)
    assert wait_for(here.leader, "the others follow it", 30.0) != lost
    here.succeeds("start", lost[1:])
    assert here.state(lost) == "running"
    here.refuses("start", lost)
    wait_for(lambda: here.call(lost, "GET", "k").value == b"v", "it serves what was written meanwhile", 30.0)
    wait_for(here.leader, "all of them agree again", 30.0)


def test_the_leader_is_killed(context):
    loses(context, "kill", "down")


def test_the_leader_is_paused(context):
    loses(context, "pause", "paused")


def test_paused_nodes_stop_and_come_up_with_the_others(context):
    here = context.tree()
    here.succeeds("up")
    here.succeeds("pause", "2")
    here.succeeds("kill", "3")
    here.succeeds("up")
    assert {state for _, _, state, _ in here.nodes().values()} == {"running"}
    here.succeeds("pause", "2")
    here.succeeds("down")
    assert here.pids() == []
