"""The event loop that coroutines run on: work, time limits, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from streambind.errors import LifecycleError
from streambind.event_loop import EventLoop, await_result
from streambind.testing.eventually import eventually


def test_work_runs_on_a_loop_of_its_own_and_may_await() -> None:
    loop = EventLoop()
    assert loop.call(lambda: await_result(asyncio.sleep(0, "slept"))) == "slept"
    assert loop.is_own
    loop.close()
    assert not loop.is_own


def test_work_that_takes_too_long_goes_on_without_the_caller() -> None:
    loop, gate = EventLoop(), asyncio.Event()
    with pytest.raises(TimeoutError):
        loop.call(lambda: await_result(gate.wait()), timeout_s=0.01)
    loop.cancel(5)
    loop.close()


def test_what_still_runs_is_cancelled_and_gives_back_what_it_holds() -> None:
    loop, begun, given_back = EventLoop(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        try:
            await_result(asyncio.Event().wait())
        finally:
            await_result(asyncio.sleep(0))
            given_back.set()

    with ThreadPoolExecutor() as pool:
        called = pool.submit(loop.call, work)
        assert begun.wait(10)
        loop.cancel(10)
        assert given_back.is_set()
        with pytest.raises(LifecycleError, match="was cancelled"):
            called.result(10)
    loop.close()


def test_work_of_the_hosts_loop_that_is_not_ours_is_left_alone() -> None:
    async def main() -> bool:
        loop = EventLoop()
        loop.adopt(asyncio.get_running_loop())
        begun, ended = asyncio.Event(), asyncio.Event()
        theirs = asyncio.ensure_future(ended.wait())

        def work() -> None:
            begun.set()
            await_result(asyncio.Event().wait())

        called = asyncio.ensure_future(asyncio.to_thread(loop.call, work))
        await begun.wait()
        await asyncio.to_thread(loop.cancel, 10)
        with pytest.raises(LifecycleError):
            await called
        loop.close()
        ended.set()
        return await theirs

    assert asyncio.run(main())


def test_a_coroutine_that_blocks_the_loop_does_not_hold_up_its_end(caplog: pytest.LogCaptureFixture) -> None:
    loop, gate, begun = EventLoop(), threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        gate.wait()

    with ThreadPoolExecutor() as pool:
        called = pool.submit(loop.call, block)
        assert begun.wait(10)
        loop.cancel(0.05)
        with caplog.at_level(logging.WARNING):
            loop.close(0.05)
        assert "a coroutine blocks the event loop" in caplog.text
        gate.set()
        eventually(called.done, 10, "the work never ended")
