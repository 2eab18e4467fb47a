"""The proxy between services and servers: what it passes on, and what it breaks."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from streambind.testing.chaos.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(1024):
                client.sendall(data)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=answer, args=(client,))
            answering.append(thread)
            thread.start()

    answering: list[threading.Thread] = []
    serving = threading.Thread(target=serve)
    serving.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (serving, *answering):
        thread.join(10)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    made = Proxy(echo)
    yield made
    made.close()


def _connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def test_bytes_pass_both_ways(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"


def test_a_cut_breaks_connections_and_new_ones_are_welcome(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        assert proxy.cut() == 1
        assert client.recv(10) == b""
    with _connect(proxy) as client:
        client.sendall(b"two")
        assert client.recv(10) == b"two"


def test_what_is_held_comes_when_it_is_let_go(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        proxy.hold()
        client.sendall(b"late")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
        proxy.let_go()
        client.settimeout(10)
        assert client.recv(10) == b"late"


def test_a_server_that_is_away_ends_the_connection() -> None:
    proxy = Proxy()
    with _connect(proxy) as client:
        assert client.recv(10) == b""
    proxy.close()


def test_closing_breaks_what_is_held(proxy: Proxy) -> None:
    with _connect(proxy) as client:
        proxy.hold()
        client.sendall(b"never")
        proxy.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""


@pytest.mark.parametrize(("passed_on", "left"), [(True, [1, 2, 3]), (False, [1, 3])])
def test_a_connection_breaks_at_a_commit_that_the_server_has_got_or_has_not(
    postgres_url: str, passed_on: bool, left: list[int]
) -> None:
    url = make_url(postgres_url)
    proxy = Proxy(url.port)
    engine = create_engine(url.set(port=proxy.port))

    def write(number: int) -> None:
        with engine.begin() as connection:
            connection.execute(text(f"INSERT INTO t VALUES ({number})"))

    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as direct:
        direct.execute("CREATE TABLE t (i int)")
        write(1)
        proxy.break_at_commit(passed_on=passed_on)
        with pytest.raises(OperationalError):
            write(2)
        assert proxy.commits_broken == 1
        write(3)
        engine.dispose()
        proxy.close()
        assert [row[0] for row in direct.execute("SELECT i FROM t ORDER BY i")] == left


def test_a_commit_that_is_spared_again_goes_through(postgres_url: str) -> None:
    url = make_url(postgres_url)
    proxy = Proxy(url.port)
    engine = create_engine(url.set(port=proxy.port))
    proxy.break_at_commit(passed_on=False)
    proxy.spare_commits()
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    assert proxy.commits_broken == 0
    engine.dispose()
    proxy.close()
