"""A TCP door with a fixed number in front of a broker whose own port cannot be chosen."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from streambind.binders.kafka.embedded_wire import Conversation

_HOST = "127.0.0.1"
_BUFFER = 256 * 1024


class Forwarder:
    """Listens on `port` (0: any free one) and passes frames both ways, through a conversation per connection.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, target: int, port: int, converse: Callable[[], Conversation]) -> None:
        self._target = target
        self._converse = converse
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._pipes: set[threading.Thread] = set()
        self._open = True
        self._listener = socket.create_server((_HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"streambind-embedded-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    def close_door(self) -> None:
        """Break every connection, and refuse new ones."""
        with self._lock:
            self._open = False
            ends, self._ends = self._ends, set()
        for end in ends:
            _shut(end)

    def open_door(self) -> None:
        with self._lock:
            self._open = True

    def close(self) -> None:
        self.close_door()
        _shut(self._listener)
        self._thread.join(5)
        with self._lock:
            pipes = [*self._pipes]
        for pipe in pipes:
            pipe.join(5)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            if not self._open:
                _shut(client)
                return
            try:
                broker = socket.create_connection((_HOST, self._target), timeout=5)
            except OSError:
                _shut(client)
                return
            broker.settimeout(None)
            self._ends |= {client, broker}
            for end in (client, broker):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, broker, self._converse())
            for way in (link.requests, link.responses):
                pipe = threading.Thread(
                    target=self._run, args=(way, client, broker), name=f"{self._thread.name}-pipe", daemon=True
                )
                self._pipes.add(pipe)
                pipe.start()

    def _run(self, way: Callable[[], None], client: socket.socket, broker: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError, struct.error):
            way()
        with self._lock:
            self._ends -= {client, broker}
            self._pipes.discard(threading.current_thread())
        _shut(client)
        _shut(broker)


class _Link:
    """One client's connection and the broker's side of it."""

    def __init__(self, client: socket.socket, broker: socket.socket, conversation: Conversation) -> None:
        self._client = client
        self._broker = broker
        self._conversation = conversation
        self._answering = threading.Lock()

    def requests(self) -> None:
        for frame in _frames(self._client):
            onward, answer = self._conversation.request(frame)
            if onward is not None:
                _send(self._broker, onward)
            if answer is not None:
                with self._answering:
                    _send(self._client, answer)

    def responses(self) -> None:
        for frame in _frames(self._broker):
            answer = self._conversation.response(frame)
            with self._answering:
                _send(self._client, answer)


def _frames(end: socket.socket) -> Iterator[bytes]:
    """What arrives, without the lengths, until the other side closes."""
    with end.makefile("rb", buffering=_BUFFER) as opened:
        stream = cast(BinaryIO, opened)
        while len(length := stream.read(4)) == 4:
            size = int.from_bytes(length, "big")
            frame = stream.read(size)
            if len(frame) < size:
                return
            yield frame


def _send(end: socket.socket, frame: bytes) -> None:
    end.sendall(struct.pack(">i", len(frame)) + frame)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
