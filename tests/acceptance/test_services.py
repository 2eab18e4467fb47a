"""What the tests' own processes promise to the tests."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.services import ServiceProcess


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"HTTP"])
def test_a_service_that_dies_over_its_answer_does_not_answer(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def die() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        service = ServiceProcess("dying", [], {}, log=tmp_path / "log", port=server.getsockname()[1])
        with ThreadPoolExecutor() as pool:
            dead = pool.submit(die)
            with pytest.raises(OSError):  # noqa: PT011 - any of them says that nobody answers
                service.call("GET", "/")
            dead.result()
