"""What a server says of itself and its shards: CAPSTAN; what Redis says of them is compared (compare/cluster.cases)."""

from resp import show


def expect_error(client, wanted, *command):
    reply = client.call(*command)
    assert reply.kind == "-" and reply.value.decode() == wanted, "%s answered %s" % (command, show(reply))


def as_map(reply):
    items = reply.plain()
    return dict(zip([name.decode() for name in items[::2]], items[1::2]))


def test_capstan_of_a_single_node(context):
    context.require_capstan()
    server = context.server({"shards": "3", "io-threads": "2"})
    for protocol in (2, 3):
        with server.connect(protocol) as client:
            assert client.call("CAPSTAN", "NODES").plain() == [], "it is no cluster's"
            shards = [as_map(shard) for shard in client.call("capstan", "shards").value]
            assert [(shard["id"], shard["slots"]) for shard in shards] == [
                (0, b"0-5461"),
                (1, b"5462-10922"),
                (2, b"10923-16383"),
            ], shards
            for shard in shards:
                assert shard["leads"] and shard["leader"] is None and shard["replicas"] == [], shard
                one = as_map(client.call("CAPSTAN", "SHARD", shard["id"]))
                assert {name: one[name] for name in shard} == shard, one
                assert one["serves"] and one["replicas"] == [], one
            assert client.call("CAPSTAN", "SHARD", "0").kind == ("%" if protocol == 3 else "*")


def test_capstan_errors_and_help(context):
    context.require_capstan()
    client = context.server().connect()
    expect_error(client, "ERR wrong number of arguments for 'capstan' command", "CAPSTAN")
    expect_error(client, "ERR unknown subcommand 'NOTHING'. Try CAPSTAN HELP.", "CAPSTAN", "NOTHING")
    expect_error(client, "ERR wrong number of arguments for 'capstan|nodes' command", "CAPSTAN", "NODES", "x")
    expect_error(client, "ERR wrong number of arguments for 'capstan|shard' command", "CAPSTAN", "SHARD")
    expect_error(client, "ERR value is not an integer or out of range", "CAPSTAN", "SHARD", "x")
    for number in ("-1", "1", "9223372036854775807"):
        expect_error(client, "ERR there is no such shard", "CAPSTAN", "SHARD", number)
    lines = client.call("CAPSTAN", "HELP").plain()
    for subcommand in (b"NODES", b"SHARDS", b"SHARD <id>", b"HELP"):
        assert subcommand in lines, lines
