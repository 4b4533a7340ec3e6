"""Replicas that lack what the others' logs have cut, or that have lost their disks, become like the others by themselves."""

import os
import re
import shutil

from cluster import APPLIED, local, outcome
from cluster_load import Book
from harness import wait_for


def lose_disk(node):
    """Kill −9, and everything that it knew is gone."""
    node.kill()
    shutil.rmtree(node.directory)
    os.makedirs(node.directory)


def fill(node, count, bytes_each, keys):
    value = "x" * bytes_each
    with node.connect() as client:
        for first in range(0, count, 200):
            commands = [["SET", "k%d" % (n % keys), "%d:%s" % (n, value)] for n in range(first, first + 200)]
            while commands:  # leadership may move meanwhile
                replies = client.pipeline(commands)
                commands = [command for command, reply in zip(commands, replies) if outcome(reply) != APPLIED]


def wait_until_it_counts(cluster, node):
    """It votes: with it and one other, a majority of three, everything is served."""
    wait_for(lambda: votes(node), "%s is a voter" % node, 60.0)
    for other in cluster.others(node):
        other.kill()
        cluster.insist(node, "SET", "counts", other.name, timeout=60.0)
        other.start()
        cluster.wait_converged(60.0)


def votes(node):
    """It has said so since its latest start."""
    return "cluster: this node votes" in node.log().rsplit("ready to accept connections", 1)[-1]


def test_a_disk_is_lost(context):
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    follower = cluster.others(leader)[0]
    fill(leader, 20_000, 100, keys=10_000)
    with leader.connect() as client:
        client.call("SET", "expiring", "1", "EX", "1000")
        client.call("SETRANGE", "long", "300000", "end")  # several chunks
        client.call("SELECT", "5")
        client.call("INCR", "counter")
    lose_disk(follower)
    follower.start()
    cluster.wait_converged(60.0)
    ttl = wait_for(lambda: follower.ask(*local("TTL", "expiring")), "the TTL is there").value
    assert 0 < ttl <= 1000, ttl
    wait_until_it_counts(cluster, follower)


def test_the_leaders_disk_is_lost(context):
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    fill(leader, 2_000, 100, keys=1_000)
    lose_disk(leader)
    cluster.insist(cluster.others(leader)[0], "SET", "meanwhile", "1")
    leader.start()
    cluster.wait_converged(60.0)
    wait_until_it_counts(cluster, leader)


def test_all_disks_are_lost_one_after_the_other(context):
    """In the end none of the founders' disks is left; also a start of all of them then finds one cluster."""
    cluster = context.cluster()
    with Book(cluster.nodes) as book:
        for node in cluster.nodes:
            book.wait_for_more(200)
            lose_disk(node)
            node.start()
            wait_for(lambda disk=node: votes(disk), "%s is a voter again" % node, 60.0)
        book.wait_for_more(200)
    book.check(cluster)
    cluster.kill_all()
    cluster.start()
    cluster.wait_for_leader()
    book.check(cluster)
    cluster.wait_converged(60.0)


def test_a_follower_behind_the_log(context):
    """What it lacks was cut by all others: it is rebuilt, while the cluster serves."""
    cluster = context.cluster(directives={"shards": 64})  # each keeps 1 MiB of its log
    leader = cluster.wait_for_leader()
    follower, other = cluster.others(leader)
    fill(other, 400, 1000, keys=200)
    cluster.wait_converged(30.0)
    follower.kill()
    fill(other, 20_000, 8_000, keys=4_000)
    with Book([leader, other]) as book:
        follower.start()
        wait_for(lambda: "rebuilt, " in follower.log(), "some shard is rebuilt", 60.0)
        book.wait_for_more(300)
    book.check(cluster)
    cluster.wait_converged(120.0)


def test_a_rebuild_is_interrupted(context):
    """By a crash of either side: it starts over."""
    context.require_deep()
    cluster = context.cluster(directives={"shards": 64})
    leader = cluster.wait_for_leader()
    follower = cluster.others(leader)[0]
    fill(leader, 20_000, 4_500, keys=20_000)
    lose_disk(follower)
    follower.start()
    begun = "rebuilding this replica"
    wait_for(lambda: begun in follower.log(), "the rebuild has begun", 30.0)
    follower.crash()
    wait_for(lambda: follower.log().count(begun) >= 2, "it has begun again", 30.0)
    source = cluster.wait_for_leader()
    if source is not follower:
        source.kill()
        source.start()
    cluster.wait_converged(120.0)
    wait_until_it_counts(cluster, follower)


def test_followers_are_not_idle_while_others_write(context):
    """Only a shard that nobody changes is flushed for the sake of a quick start."""
    context.require_deep()
    cluster = context.cluster()
    leader = cluster.wait_for_leader()
    with Book(cluster.nodes) as book:
        wait_for(lambda: info(leader, "uptime_in_seconds") >= 25, "the cluster has been up for a while", 60.0)
        flushes = {node.name: info(node, "rdb_saves") for node in cluster.nodes}
        book.wait_for_more(10)
    assert max(flushes.values()) <= 2, flushes


def info(node, field):
    return int(re.search(r"^%s:(\d+)" % field, node.call("INFO").value.decode(), re.M)[1])
