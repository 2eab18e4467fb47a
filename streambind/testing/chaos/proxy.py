"""A TCP door in front of a server on this machine, which can be cut, held shut, or broken at a COMMIT."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable

_HOST = "127.0.0.1"
_BUFFER = 64 * 1024
_CONNECT_S = 5.0
_COMMIT = re.compile(rb"COMMIT;?\x00|\x07\x00\x00\x00\x03COMMIT", re.IGNORECASE)
"""As it stands in PostgreSQL's messages, as text closed by a zero byte, and in MySQL's."""


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
        self._at_commit: bool | None = None
        self._commits_broken = 0
        self._listener = socket.create_server((_HOST, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"streambind-proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"{_HOST}:{self.port}"

    @property
    def commits_broken(self) -> int:
        """At how many COMMITs a connection was broken."""
        return self._commits_broken

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

    def break_at_commit(self, *, passed_on: bool) -> None:
        """Break the connection of the next COMMIT: either it is passed on, and its answer is not, or it is not
        passed on. The client cannot know which. PostgreSQL's or MySQL's protocol, without TLS."""
        self._at_commit = passed_on

    def spare_commits(self) -> None:
        """Unless it has come to pass, it shall not."""
        self._at_commit = None

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

    def on_commit(self) -> bool | None:
        """What is to be done with the connection of a COMMIT that was just seen: None is nothing. One of them is
        hit, however many come at once."""
        with self._lock:
            passed_on, self._at_commit = self._at_commit, None
            if passed_on is not None:
                self._commits_broken += 1
            return passed_on

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
            if _COMMIT.search(data):
                passed_on = self._proxy.on_commit()
                if passed_on is False:
                    return
                self._loses_answer = passed_on is True  # Before the server can answer.
            self._server.sendall(data)

    def _answers(self) -> None:
        while data := self._server.recv(_BUFFER):
            self._proxy.wait_until_open()
            if self._loses_answer:
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
