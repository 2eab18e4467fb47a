"""A TCP door in front of a server on this machine, which can be cut, held shut, or lose the answer to one
COMMIT."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

_HOST = "127.0.0.1"
_BUFFER = 64 * 1024
_CONNECT_S = 5.0
_COMMIT = re.compile(rb"COMMIT;?\x00", re.IGNORECASE)
"""PostgreSQL's protocol carries the statement as text, closed by a zero byte."""


class Proxy:
    """Listens on `port` of 127.0.0.1 (0: any free one) and passes bytes on to `target`, a port of 127.0.0.1 as
    well, which may be set later. Methods may be called from any thread.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, target: int | None = None, *, port: int = 0) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._open = threading.Event()
        self._open.set()
        self._closed = False
        self._on_commit = threading.Event()
        self._answers_lost = 0
        self._listener = socket.create_server((_HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"streambind-proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    @property
    def answers_lost(self) -> int:
        """How many COMMITs were passed on whose answer was not."""
        return self._answers_lost

    def cut(self) -> int:
        """Break every connection; new ones are welcome. Returns how many were broken."""
        with self._lock:
            links = [*self._links]
        for link in links:
            link.close()
        return len(links)

    def hold(self) -> None:
        """Pass nothing on in either direction until `let_go`; connections stay open, as if packets were lost."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    def lose_next_answer_to_commit(self, is_wanted: bool = True) -> None:
        """Pass the next COMMIT on to the server, and break the connection when its answer comes: the server has
        committed, the client cannot know. PostgreSQL's protocol, without TLS."""
        if is_wanted:
            self._on_commit.set()
        else:
            self._on_commit.clear()

    def close(self) -> None:
        """Break everything and listen no longer."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(_CONNECT_S * 2)
        with self._lock:
            links = [*self._links]
        for link in links:
            link.close()
        self._open.set()
        for link in links:
            link.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            if self.target is None:
                raise ConnectionRefusedError
            server = socket.create_connection((_HOST, self.target), timeout=_CONNECT_S)
        except OSError:
            client.close()
            return
        link = _Link(client, server, self)
        with self._lock:
            if not self._closed:
                self._links.add(link)
                link.start()
                return
        link.discard()

    # For the links, on their threads.

    def wait_until_open(self) -> None:
        self._open.wait()

    def takes_commit(self) -> bool:
        """Whether the COMMIT that was just seen is the one whose answer is to be lost: one of them only."""
        with self._lock:
            if not self._on_commit.is_set():
                return False
            self._on_commit.clear()
            return True

    def has_lost_answer(self) -> None:
        with self._lock:
            self._answers_lost += 1

    def forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)


class _Link:
    """One client's connection and the server's side of it; two threads carry the bytes."""

    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self._client = client
        self._server = server
        self._proxy = proxy
        self._loses_answer = False
        self._lock = threading.Lock()
        self._ways_open = 2
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"streambind-proxy-{proxy.port}-link"
        self._threads = [
            threading.Thread(target=self._run, args=(way,), name=name, daemon=True)
            for way in (self._requests, self._answers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Both ways end soon, and with the second one the sockets are closed."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def discard(self) -> None:
        self._client.close()
        self._server.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_CONNECT_S)

    def _requests(self) -> None:
        while data := self._client.recv(_BUFFER):
            self._proxy.wait_until_open()
            if _COMMIT.search(data) and self._proxy.takes_commit():
                self._loses_answer = True  # Before the server can answer.
            self._server.sendall(data)

    def _answers(self) -> None:
        while data := self._server.recv(_BUFFER):
            self._proxy.wait_until_open()
            if self._loses_answer:
                self._proxy.has_lost_answer()
                return
            self._client.sendall(data)

    def _run(self, way: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            way()
        self.close()
        with self._lock:
            self._ways_open -= 1
            is_last = self._ways_open == 0
        if is_last:
            self._proxy.forget(self)
            self.discard()
