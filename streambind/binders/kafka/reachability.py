"""Whether anybody listens where the brokers should be: asked before the client, which would only time out."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

from streambind.errors import BrokerUnavailableError

_PER_BROKER_S = 2.0


def require_listener(bootstrap_servers: str, timeout_s: float) -> None:
    """Return as soon as one of the addresses accepts a connection.

    Raises:
        BrokerUnavailableError: none does; names each one and what it answered.
    """
    deadline = time.monotonic() + timeout_s
    answers = []
    for host, port in _addresses(bootstrap_servers):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            socket.create_connection((host, port), timeout=min(left, _PER_BROKER_S)).close()
        except OSError as exc:
            answers.append(f"{host}:{port} ({exc.strerror or exc})")
        else:
            return
    raise BrokerUnavailableError(
        f"no Kafka broker answers at {', '.join(answers) or bootstrap_servers}; start it, or correct "
        f"the address (kafka.binder.brokers)"
    )


def _addresses(bootstrap_servers: str) -> Iterable[tuple[str, int]]:
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition("//")[2].rpartition(":")
        yield host.strip("[]"), int(port)
