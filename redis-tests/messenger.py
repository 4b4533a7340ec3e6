#!/usr/bin/python3
"""A process that sends and receives lines, to see what a network lets through: messenger.py host port

It accepts connections on its port and takes commands from its standard input, a line each:
    dial NAME host port     makes a connection, without waiting for it
    send NAME text          sends a line on a connection that it dialed
    answer text             sends a line on every connection that it accepted
    datagrams host port n   sends so many datagrams
and it prints: `ready`, `got text` for each line that comes, `counted n` for the datagrams so far at each line `count`.
"""

import os
import selectors
import socket
import sys


class Messenger:
    def __init__(self, host, port):
        self.ready = selectors.DefaultSelector()
        self.dialed, self.accepted, self.unsent = {}, [], {}
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind((host, port))
        self.counted = 0
        self.begun = ""  # a command whose end has not come
        self.listener = socket.create_server((host, port))
        self.ready.register(self.listener, selectors.EVENT_READ, self.accept)
        self.ready.register(self.datagrams, selectors.EVENT_READ, self.count)
        self.ready.register(sys.stdin, selectors.EVENT_READ, self.commands)

    def run(self):
        print("ready", flush=True)
        while True:
            for key, _ in self.ready.select():
                key.data(key.fileobj)

    def accept(self, listener):
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted.append(connection)
        self.ready.register(connection, selectors.EVENT_READ, self.receive)

    def receive(self, connection):
        try:
            text = connection.recv(1 << 16).decode()
        except BlockingIOError:
            return
        except OSError:
            text = ""
        if not text:
            self.forget(connection)
        for line in text.splitlines():
            print("got " + line, flush=True)

    def forget(self, connection):
        self.ready.unregister(connection)
        self.unsent.pop(connection, None)
        if connection in self.accepted:
            self.accepted.remove(connection)
        connection.close()

    def connected(self, connection):
        """A connection that was dialed can send, or there will be none."""
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.forget(connection)
            return
        connection.sendall(self.unsent.pop(connection))
        self.ready.modify(connection, selectors.EVENT_READ, self.receive)

    def count(self, datagrams):
        datagrams.recv(100)
        self.counted += 1

    def commands(self, standard_input):
        data = os.read(standard_input.fileno(), 1 << 16)
        if not data:
            sys.exit()
        *lines, self.begun = (self.begun + data.decode()).split("\n")
        for line in lines:
            self.command(*line.split())

    def command(self, verb, *words):
        if verb == "dial":
            name, host, port = words
            self.dialed[name] = connection = socket.socket()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect_ex((host, int(port)))
            self.unsent[connection] = b""
            self.ready.register(connection, selectors.EVENT_WRITE, self.connected)
        elif verb == "send":
            connection, text = self.dialed[words[0]], (words[1] + "\n").encode()
            if connection in self.unsent:
                self.unsent[connection] += text
            elif connection.fileno() >= 0:
                connection.send(text)
        elif verb == "answer":
            for connection in self.accepted:
                connection.send((words[0] + "\n").encode())
        elif verb == "datagrams":
            for _ in range(int(words[2])):
                self.datagrams.sendto(b"x", (words[0], int(words[1])))
        elif verb == "count":
            print("counted %d" % self.counted, flush=True)


if __name__ == "__main__":
    Messenger(sys.argv[1], int(sys.argv[2])).run()
