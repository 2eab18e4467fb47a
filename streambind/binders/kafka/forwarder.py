"""A TCP door with a fixed number in front of a broker whose own port cannot be chosen."""

from __future__ import annotations

import contextlib
import socket
import threading

_HOST = "127.0.0.1"
_CHUNK = 256 * 1024


class Forwarder:
    """Listens on `port` (0: any free one) and passes bytes both ways.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._pairs: set[socket.socket] = set()
        self._open = True
        self._listener = socket.create_server((_HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"streambind-embedded-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    def close_door(self) -> None:
        with self._lock:
            self._open = False
            pairs, self._pairs = self._pairs, set()
        for end in pairs:
            _shut(end)

    def open_door(self) -> None:
        with self._lock:
            self._open = True

    def close(self) -> None:
        self.close_door()
        _shut(self._listener)
        self._thread.join(5)

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
            self._pairs |= {client, broker}
        for end in (client, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((client, broker), (broker, client)):
            name = f"streambind-embedded-{self.port}-pipe"
            threading.Thread(target=self._pass_on, args=(source, sink), name=name, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        with self._lock:
            self._pairs -= {source, sink}
        _shut(source)
        _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
