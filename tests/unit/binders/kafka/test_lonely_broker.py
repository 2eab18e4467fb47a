"""A broker that answers, and says that no broker is at work: so does one that is starting."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading

import pytest

from streambind.binders.kafka.admin import KafkaAdmin
from streambind.errors import BrokerUnavailableError
from streambind.testing.eventually import eventually

_TIMEOUT_S = 5.0
_WITHIN_S = 60.0
_METADATA, _VERSIONS = 3, 18
_UNSUPPORTED_VERSION, _UNKNOWN_TOPIC = 35, 3


class LonelyBroker:
    """Speaks as much of Kafka's protocol as an administrative client needs to ask for metadata."""

    def __init__(self) -> None:
        self.at_work = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as requests:
            while length := requests.read(4):
                request = requests.read(struct.unpack(">i", length)[0])
                kind, version, number = struct.unpack(">hhi", request[:8])
                answer = self._versions(version) if kind == _VERSIONS else self._metadata(request)
                client.sendall(struct.pack(">ii", len(answer) + 4, number) + answer)

    def _versions(self, version: int) -> bytes:
        error = _UNSUPPORTED_VERSION if version else 0
        return struct.pack(">hi", error, 2) + struct.pack(">hhhhhh", _VERSIONS, 0, 0, _METADATA, 0, 8)

    def _metadata(self, request: bytes) -> bytes:
        brokers = struct.pack(">i", 0)
        if self.at_work:
            brokers = struct.pack(">ii", 1, 1) + _text("127.0.0.1") + struct.pack(">ih", self._port, -1)
        return (
            struct.pack(">i", 0)
            + brokers
            + _text("a-cluster")
            + struct.pack(">i", 1)
            + self._topics(request)
            + struct.pack(">i", -(2**31))
        )

    def _topics(self, request: bytes) -> bytes:
        client_id = struct.unpack(">h", request[8:10])[0]
        rest = request[10 + client_id :]
        if struct.unpack(">i", rest[:4])[0] != 1:
            return struct.pack(">i", 0)
        name = rest[6 : 6 + struct.unpack(">h", rest[4:6])[0]].decode()
        return struct.pack(">ih", 1, _UNKNOWN_TOPIC) + _text(name) + struct.pack(">?ii", False, 0, -(2**31))


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _asks_twice() -> None:
    """In a process of its own: what this is about is its end."""
    broker = LonelyBroker()
    admin = KafkaAdmin({"bootstrap.servers": broker.address})
    assert admin.cluster_id(_TIMEOUT_S) == "a-cluster"
    broker.at_work = False
    with pytest.raises(BrokerUnavailableError, match="no broker of the cluster is at work"):
        admin.cluster_id(_TIMEOUT_S)
    # The client may have let go of the only address that it knew, and says that instead.
    with pytest.raises(BrokerUnavailableError):
        admin.reachable(_TIMEOUT_S)
    broker.at_work = True
    eventually(lambda: _is_reachable(admin), _WITHIN_S, "the broker is at work again, and nobody notices")


def _is_reachable(admin: KafkaAdmin) -> bool:
    try:
        admin.reachable(_TIMEOUT_S)
    except BrokerUnavailableError:
        return False
    return True


def test_a_cluster_without_brokers_is_away_and_does_not_end_the_process() -> None:
    program = f"from {__name__} import _asks_twice; _asks_twice()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
