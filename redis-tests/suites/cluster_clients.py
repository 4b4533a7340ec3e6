"""Client programs and libraries on a cluster, unchanged: plain ones on any node, and those that know Redis Cluster."""

import logging
import os
import subprocess

import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException

from harness import wait_for

from suites.clients import NODE, install_node_packages, run

shared = {}


def setup(context):
    if not context.is_redis:
        shared["cluster"] = context.cluster()
    logging.getLogger("redis.cluster").setLevel(logging.CRITICAL + 1)  # it logs each node that is down


def empty_cluster(context):
    context.require_capstan()
    shared["cluster"].insist(shared["cluster"].nodes[0], "FLUSHALL")
    return shared["cluster"]


# -- redis-cli -------------------------------------------------------------------------------------------------------


def cli(node, *words, stdin=b"", wanted=None):
    command = ["redis-cli", "-h", node.host, "-p", str(node.port), *words]
    code, out, err = run(command, input=stdin)
    assert code == 0, "%s: code %d\n%s%s" % (command, code, out, err)
    assert wanted is None or out == wanted, "%s printed %r" % (command, out)
    return out


def test_redis_cli(context):
    """Plain and with -c: no node sends it elsewhere."""
    cluster = empty_cluster(context)
    for number, node in enumerate(cluster.nodes):
        for options in ([], ["-c"], ["-c", "-3"]):
            cli(node, *options, "SET", "k", "a value", wanted="OK\n")
            cli(node, *options, "GET", "k", wanted="a value\n")
        cli(node, "-c", "--no-raw", "INCR", "n", wanted="(integer) %d\n" % (number + 1))
        cli(node, "-c", stdin=b"MULTI\nSET m 1\nINCR m\nEXEC\nREADONLY\n", wanted="OK\nQUEUED\nQUEUED\nOK\n2\nOK\n")
        assert set(cli(node, "--scan").split()) == {"k", "n", "m"}
    stream = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$1\r\nv\r\n" % (len(str(n)) + 1, n) for n in range(20000))
    out = cli(cluster.others(cluster.wait_for_leader())[0], "--pipe", stdin=stream)
    assert "errors: 0, replies: 20000" in out, out


def test_redis_cli_cluster_commands(context):
    cluster = empty_cluster(context)
    cluster.insist(cluster.nodes[0], "SET", "k", "v")
    for node in cluster.nodes:
        place = "%s:%d" % (node.host, node.port)
        code, out, err = run(["redis-cli", "--cluster", "check", place])
        assert code == 0 and "[OK] All nodes agree about slots configuration." in out, out + err
        assert "[OK] All 16384 slots covered." in out and "2 additional replica(s)" in out, out
        code, out, err = run(["redis-cli", "--cluster", "info", place])
        assert code == 0 and "keys in 1 masters." in out, out + err
        code, out, err = run(["redis-cli", "--cluster", "call", place, "GET", "k"])
        assert code == 0 and out.count(": v") == 3, out + err


# -- redis-benchmark -------------------------------------------------------------------------------------------------


def benchmark(node, *words):
    command = ["redis-benchmark", "-h", node.host, "-p", str(node.port), "-n", "3000", "-c", "20", "--csv", *words]
    code, out, err = run(command, timeout=120)
    assert code == 0 and "rror" not in out + err and "fetch server CONFIG" not in out + err, out + err
    rows = {line.split('","')[0].strip('"') for line in out.strip().split("\n") if line.startswith('"')}
    return rows - {"test"}


def test_redis_benchmark(context):
    cluster = empty_cluster(context)
    wanted = {"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"}
    for node in cluster.nodes:
        for options in ("", "-P 16", "--threads 2 -P 4", "-r 1000 -d 500 -P 16"):
            assert benchmark(node, *options.split(), "-t", "ping,set,get,incr,mset") == wanted, options


def test_redis_benchmark_cluster(context):
    """It wants at least two masters, so several shards with leaders on several nodes."""
    context.require_capstan()
    cluster = context.cluster(directives={"shards": "4"})

    def masters(node):
        """Those that lead a shard, as the node knows them: with slots at the end of their lines."""
        lines = node.call("CLUSTER", "NODES").value.decode().splitlines()
        return sum(len(line.split()) > 8 for line in lines)

    wait_for(lambda: all(masters(node) > 1 for node in cluster.nodes), "leaders are spread over the nodes", 30.0)
    for node in cluster.nodes:
        for options in ("", "-P 16", "--threads 2"):
            assert benchmark(node, "--cluster", *options.split(), "-t", "set,get,incr") == {"SET", "GET", "INCR"}


# -- redis-py --------------------------------------------------------------------------------------------------------


class CopyableCluster(RedisCluster):
    """When it has lost a node, redis-py 4.3 copies its connections' options, of which it is one itself, and cannot."""

    def __deepcopy__(self, memo):
        return self


def redis_cluster(cluster, **more):
    nodes = [ClusterNode(node.host, node.port) for node in cluster.nodes]
    return CopyableCluster(startup_nodes=nodes, socket_timeout=5, decode_responses=True, **more)


def test_redis_py_cluster(context):
    cluster = empty_cluster(context)
    leader = cluster.wait_for_leader()
    client = redis_cluster(cluster)
    assert [(node.host, node.port) for node in client.get_primaries()] == [(leader.host, leader.port)]
    assert len(client.get_replicas()) == 2 and client.ping(target_nodes=RedisCluster.ALL_NODES)
    assert client.set("k", "v", ex=100) and client.get("k") == "v" and 90 < client.ttl("k") <= 100
    assert client.incr("n", 41) == 41 and client.incrby("n", 1) == 42
    assert client.mset({"{t}a": 1, "{t}b": 2}) and client.mget("{t}a", "{t}none", "{t}b") == ["1", None, "2"]
    assert client.mset_nonatomic({"x": 1, "y": 2}) and client.mget_nonatomic("x", "none", "y") == ["1", None, "2"]
    with client.pipeline() as pipe:
        for number in range(500):
            pipe.set("p%d" % number, number).get("p%d" % number)
        assert pipe.execute() == [value for number in range(500) for value in (True, str(number))]
    assert client.delete("x", "y", "none") == 2 and client.exists("k", "x") == 1
    assert set(client.scan_iter("p1*", count=100)) == {"p%d" % n for n in range(500) if str(n).startswith("1")}
    assert client.keyslot("foo") == client.cluster_keyslot("foo") == 12182
    assert client.cluster_info(target_nodes=RedisCluster.RANDOM)["cluster_state"] == "ok"
    client.close()


def test_redis_py_cluster_reads_at_replicas(context):
    cluster = empty_cluster(context)
    client = redis_cluster(cluster, read_from_replicas=True)
    client.set("k", "v")
    cluster.wait_converged()
    assert [client.get("k") for _ in range(12)] == ["v"] * 12
    client.close()


def test_redis_py_cluster_over_a_kill(context):
    cluster = context.cluster()
    client = redis_cluster(cluster)
    client.set("k", "before")
    leader = cluster.wait_for_leader()
    leader.kill()

    def again():
        try:
            return client.set("k", "after")
        except (redis.RedisError, RedisClusterException, IndexError):
            # redis-py 4.3 may know a new leader by its old role, and then misses a primary in its list; it goes on all
            # the same.
            return False

    wait_for(again, "redis-py's cluster client has found the new leader", 60.0)
    assert client.get("k") == "after"
    client.close()


def test_redis_py_on_a_follower(context):
    """The plain client, which knows nothing of clusters."""
    cluster = empty_cluster(context)
    for node in cluster.nodes:
        client = redis.Redis(node.host, node.port, socket_timeout=20, decode_responses=True)
        with client.pipeline() as pipe:
            assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
            pipe.watch("a")
            client.set("a", 10)
            pipe.multi()
            pipe.incr("a")
            try:
                pipe.execute()
                raise AssertionError("the transaction went through")
            except redis.WatchError:
                pass
        assert client.transaction(lambda pipe: pipe.multi() or pipe.incr("a"), "a") == [11]
        client.close()


# -- Node ------------------------------------------------------------------------------------------------------------


def run_node(cluster, script, fault=None):
    """Runs a program that says "restart" where it wants the fault."""
    install_node_packages()
    command = ["node", os.path.join(NODE, script), *["%s:%d" % (node.host, node.port) for node in cluster.nodes]]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = []
    try:
        for line in process.stdout:
            output.append(line.decode().rstrip())
            if output[-1] == "restart":
                fault()
                process.stdin.write(b"restarted\n")
                process.stdin.flush()
        errors = process.stderr.read().decode()
        assert process.wait(30) == 0 and output[-1:] == ["done"], "\n".join(output) + "\n" + errors
        assert ("restart" in output) == (fault is not None)
    finally:
        process.kill()
        process.wait()


def kill_the_leader(cluster):
    cluster.wait_for_leader().kill()
    cluster.wait_for_leader()


def test_ioredis_cluster(context):
    context.require_capstan()
    cluster = context.cluster()
    run_node(cluster, "ioredis_cluster.mjs", lambda: kill_the_leader(cluster))


def test_node_redis_cluster(context):
    run_node(empty_cluster(context), "node_redis_cluster.mjs")
