"""What is asked of a broker beside polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import Any, Never

from streambind.binders.kafka.inquiries import Inquiries
from streambind.binding.binder import Lane
from streambind.errors import BrokerError


class Admin:
    """Of a broker that answers."""

    def reachable(self, timeout_s: float) -> None:
        pass


class Refused:
    """The identities of topics of which one may not be looked at."""

    def remade(self, destinations: Collection[str], timeout_s: float) -> Never:
        raise BrokerError("not authorized", permanent=True)


def test_a_broker_that_is_back_is_noticed_though_a_start_cannot_be_found() -> None:
    failed, reached = threading.Event(), threading.Event()
    given: Any = {"admin": Admin(), "identities": Refused()}
    inquiries = Inquiries(
        "in-x",
        group="group",
        policy="earliest",
        positions=None,
        found=lambda _: None,
        failed=lambda *_: failed.set(),
        reached=reached.set,
        remade=lambda _: None,
        present=lambda _: None,
        resting=dict,
        moved=lambda _: None,
        **given,
    )
    inquiries.start()
    try:
        inquiries.ask([Lane("x", 0)])
        assert failed.wait(5)
        inquiries.watch()
        assert reached.wait(5)
    finally:
        inquiries.stop()
        inquiries.join(time.monotonic() + 5)
