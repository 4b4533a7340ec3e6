"""Nodes on loopback, with a proxy for every ordered pair of them: the first node of a pair is told the proxy's port as
the second one's. So one direction of a connection can be cut, delayed or made lossy without the other.

What goes over the wire may be looked at (`tap`).

A cut holds back what is sent in that direction, the news that a connection was closed included, until it is healed;
connections cannot be made while either direction is cut. That is how a network behaves that loses every packet.
"""

import asyncio
import contextlib
import random
import socket
import threading

HOST = "127.0.0.1"
CHUNK = 65536
CHUNKS_UNDER_WAY = 64
# What a lost packet costs a connection: the time until it is sent again.
RETRANSMISSION_S = 0.2

_random = random.SystemRandom()
_taken = set()


def stable_port():
    """A free port that no outgoing connection gets by chance while its server is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as limits:
        first, last = (int(word) for word in limits.read().split())
    for attempt in range(10000):
        port = _random.randrange(10000, 60000)
        if port in _taken or (first <= port <= last and attempt < 5000):
            continue
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        _taken.add(port)
        return port
    raise AssertionError("no free port")


class Proxies:
    """A network of named nodes. `cuts` are pairs (from, to): what the one sends does not reach the other."""

    kind = "proxies"

    def __init__(self, names):
        self.names = list(names)
        self.cuts = set()
        self.percent = 0
        self.delay_ms = 0
        self.tap = None  # is called with each piece, in the proxies' thread
        self._ports = {name: stable_port() for name in self.names}
        self._peer_ports = {name: stable_port() for name in self.names}
        self._proxy_ports = {}
        self._changed = asyncio.Event()
        self._tasks = set()  # a loop alone does not keep its tasks alive
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self._run(self._listen())
        except BaseException:
            self.close()
            raise

    def _run(self, task):
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(30.0)

    # -- where nodes are -----------------------------------------------------------------------------------------

    def host(self, name):
        del name
        return HOST

    def port(self, name):
        return self._ports[name]

    def peer_port(self, viewer, name):
        return self._proxy_ports.get((viewer, name)) or self._peer_ports[name]

    def wrap(self, name):
        del name
        return []

    # -- what is wrong with the network --------------------------------------------------------------------------

    def cut(self, pairs):
        """Exactly these directions are cut from now on."""

        async def change():
            self.cuts = set(pairs)
            self._changed.set()
            self._changed = asyncio.Event()

        self._run(change())

    def can(self, what):
        return what in ("loss", "delay")

    def loss(self, percent):
        """So many of the pieces between nodes come late, as if they had been lost and sent again."""
        self.percent = percent

    def delay(self, milliseconds):
        """All that nodes send to each other takes so much longer."""
        self.delay_ms = milliseconds

    def close(self):
        async def cancel():
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._run(cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # -- the proxies, in a thread of their own -------------------------------------------------------------------

    def _go(self, body):
        task = self._loop.create_task(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _listen(self):
        for pair in [(source, target) for source in self.names for target in self.names if source != target]:
            listener = socket.create_server((HOST, stable_port()))
            self._proxy_ports[pair] = listener.getsockname()[1]
            listener.setblocking(False)
            self._go(self._accept(listener, pair))

    async def _accept(self, listener, pair):
        with listener:
            while True:
                connection, _ = await self._loop.sock_accept(listener)
                self._go(self._serve(connection, *pair))

    async def _serve(self, connection, source, target):
        there, back = (source, target), (target, source)
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            if there in self.cuts or back in self.cuts:
                await self._open_again(there, back)
                return  # the attempts that were made while it was cut have failed
            try:
                peer_reader, peer_writer = await asyncio.open_connection(HOST, self._peer_ports[target])
            except OSError:
                return
            with contextlib.closing(peer_writer.transport):
                await asyncio.gather(
                    self._carry(reader, peer_writer, there, back), self._carry(peer_reader, writer, back, there)
                )
        finally:
            writer.transport.abort()

    async def _open_again(self, *ways):
        while not self.cuts.isdisjoint(ways):
            await self._changed.wait()

    async def _carry(self, reader, writer, way, back):
        """Carries what comes in one direction, until either end is closed and the other end may know."""
        pieces = asyncio.Queue(CHUNKS_UNDER_WAY)
        feeding = self._go(self._feed(reader, pieces))
        try:
            while True:
                due, data = await pieces.get()
                await self._wait_until(due)
                await self._open_again(way)
                if not data:
                    break
                if self.tap:
                    self.tap(data)
                try:
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    await self._open_again(back)
                    break
        finally:
            feeding.cancel()
            writer.close()

    async def _feed(self, reader, pieces):
        data = b"the first"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            late = RETRANSMISSION_S if _random.random() * 100 < self.percent else 0.0
            await pieces.put((self._loop.time() + self.delay_ms / 1000 + late, data))

    async def _wait_until(self, due):
        while (early := due - self._loop.time()) > 0:
            await asyncio.sleep(early)
