"""A receipt in threads and in coroutines."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest

from streambind.errors import SendError, SendUnconfirmed
from streambind.outbound.receipt import Confirmation, Receipt


def _receipt(timeout_ms: int = 60_000) -> Receipt:
    return Receipt("out-x", "x", timeout_ms=timeout_ms)


def test_the_place_in_the_log_once_confirmed() -> None:
    receipt = _receipt()
    assert not receipt.done()

    receipt.confirm(3, 17)

    assert receipt.done()
    assert receipt.result() == Confirmation("out-x", "x", 3, 17)
    assert receipt.result(timeout=0) == receipt.result()


def test_the_failure_is_raised_every_time() -> None:
    receipt = _receipt()
    receipt.fail(SendError("refused"))

    for _ in range(2):
        with pytest.raises(SendError, match="refused"):
            receipt.result()


def test_the_first_outcome_stays() -> None:
    receipt = _receipt()
    receipt.confirm(0, 1)
    receipt.fail(SendError("late"))

    assert receipt.result().offset == 1


def test_a_callers_timeout_leaves_the_message_on_its_way() -> None:
    receipt = _receipt()

    with pytest.raises(TimeoutError, match=r"binding out-x.*\bx\b"):
        receipt.result(timeout=0.01)

    receipt.confirm(0, 5)
    assert receipt.result().offset == 5


def test_without_a_report_the_send_timeout_ends_it() -> None:
    receipt = _receipt(timeout_ms=20)

    with pytest.raises(SendUnconfirmed, match=r"binding out-x.*destination x.*20 ms.*may still arrive"):
        receipt.result()

    receipt.confirm(0, 5)
    with pytest.raises(SendUnconfirmed):
        receipt.result()


def test_done_notices_the_deadline() -> None:
    receipt = _receipt(timeout_ms=0)

    assert receipt.done()
    with pytest.raises(SendUnconfirmed):
        receipt.result(timeout=5)


def test_a_thread_that_waits_is_woken() -> None:
    receipt, got = _receipt(), []
    waiting = threading.Thread(target=lambda: got.append(receipt.result()))
    waiting.start()

    receipt.confirm(0, 9)
    waiting.join(10)

    assert got == [Confirmation("out-x", "x", 0, 9)]


def test_a_coroutine_awaits_what_another_thread_confirms() -> None:
    receipt = _receipt()

    async def main() -> list[Confirmation]:
        first, second = asyncio.ensure_future(_await(receipt)), asyncio.ensure_future(_await(receipt))
        await asyncio.sleep(0)
        confirming = threading.Thread(target=receipt.confirm, args=(1, 2))
        confirming.start()
        return [await first, await second, await receipt]

    assert asyncio.run(main()) == [Confirmation("out-x", "x", 1, 2)] * 3


def test_a_coroutine_gets_the_failure_and_the_deadline() -> None:
    async def main() -> None:
        failed = _receipt()
        failed.fail(SendError("refused"))
        with pytest.raises(SendError, match="refused"):
            await failed
        with pytest.raises(SendUnconfirmed):
            await _receipt(timeout_ms=10)

    asyncio.run(main())


def test_a_cancelled_await_does_not_end_the_receipt() -> None:
    receipt = _receipt()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(receipt), 0.01)

    asyncio.run(main())
    receipt.confirm(0, 3)

    assert receipt.result().offset == 3


def test_a_failure_that_nobody_asked_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    receipt = _receipt()
    receipt.fail(SendError("binding out-x: refused"))
    with caplog.at_level(logging.ERROR, "streambind.sender"):
        del receipt
        gc.collect()

    assert "nobody asked" in caplog.text
    assert "binding out-x: refused" in caplog.text


def test_nothing_is_logged_for_what_was_asked_for_or_went_well(caplog: pytest.LogCaptureFixture) -> None:
    asked, fine, pending = _receipt(), _receipt(), _receipt()
    asked.fail(SendError("refused"))
    with pytest.raises(SendError):
        asked.result()
    fine.confirm(0, 0)

    del asked, fine, pending
    gc.collect()

    assert caplog.text == ""


async def _await(receipt: Receipt) -> Confirmation:
    return await receipt
