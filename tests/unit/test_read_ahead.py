"""Batches read before their turn comes."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Generator
from typing import Any

import pytest

from streambind.batch_view import BatchView
from streambind.message import Batch
from streambind.read_ahead import ReadAhead, Reader, found_ahead
from tests.unit.inbound.batches import ListBatch, batch_of

WITHIN_S = 5.0


class Keys:
    """Reads a payload at each step."""

    def __init__(self, fails_at: int | None = None, error: BaseException | None = None) -> None:
        self.read: list[int] = []
        self._fails_at = fails_at
        self._error = error or ValueError("unreadable")

    def read_ahead(self, batch: Batch) -> Generator[None, None, list[bytes | None]]:
        payloads = []
        for i in range(len(batch)):
            if i == self._fails_at:
                raise self._error
            self.read.append(i)
            payloads.append(batch.payload(i))
            yield
        return payloads


def ahead(*readers: Reader) -> ListBatch:
    batch = batch_of(0, 1, 2)
    batch.ahead = ReadAhead(batch, readers)
    return batch


def test_nothing_is_found_in_a_batch_that_was_not_read_ahead() -> None:
    reader = Keys()
    assert found_ahead(batch_of(0, 1), reader) is None
    assert reader.read == []


def test_each_step_reads_a_little() -> None:
    reader = Keys()
    batch = ahead(reader)
    assert batch.ahead is not None
    assert batch.ahead.step()
    assert reader.read == [0]
    assert [batch.ahead.step() for _ in range(4)] == [True, True, False, False]
    assert found_ahead(batch, reader) == [b"0", b"1", b"2"]


def test_who_asks_reads_what_is_left() -> None:
    first, second = Keys(), Keys()
    batch = ahead(first, second)
    assert batch.ahead is not None
    batch.ahead.step()
    assert found_ahead(batch, second) == [b"0", b"1", b"2"]
    assert first.read == second.read == [0, 1, 2]
    assert found_ahead(batch, first) == [b"0", b"1", b"2"]
    assert not batch.ahead.step()


@pytest.mark.parametrize("error", [ValueError("unreadable"), SystemExit(3)])
def test_a_reader_that_raises_finds_nothing_and_others_do(error: BaseException) -> None:
    fails, reader = Keys(1, error), Keys()
    batch = ahead(fails, reader)
    assert found_ahead(batch, fails) is None
    assert found_ahead(batch, reader) == [b"0", b"1", b"2"]
    assert fails.read == [0]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_what_was_begun_may_be_forgotten() -> None:
    batch = ahead(Keys())
    assert batch.ahead is not None
    batch.ahead.step()
    batch.ahead = None
    gc.collect()


def test_what_nobody_wants_is_not_read() -> None:
    reader = Keys()
    batch = ahead(reader)
    assert batch.ahead is not None
    batch.ahead.step()
    batch.ahead.drop()
    assert not batch.ahead.step()
    assert reader.read == [0]


def test_what_nobody_wants_is_not_held() -> None:
    """Nor until the garbage collector looks, which may be long where nothing comes."""
    batch = ahead(Keys())
    reading, held = batch.ahead, weakref.ref(batch)
    assert reading is not None
    reading.step()
    gc.disable()
    try:
        reading.drop()
        reading.step()
        del batch
        assert held() is None
    finally:
        gc.enable()


def test_a_batch_that_is_seen_differently_was_not_read_ahead() -> None:
    reader = Keys()
    view: Any = BatchView(ahead(reader))
    assert found_ahead(view, reader) is None


def test_one_thread_at_a_time_reads() -> None:
    inside, go_on = threading.Event(), threading.Event()
    threads = []

    class Slow(Keys):
        def read_ahead(self, batch: Batch) -> Generator[None, None, list[bytes | None]]:
            threads.append(threading.get_ident())
            inside.set()
            assert go_on.wait(WITHIN_S)
            return (yield from super().read_ahead(batch))

    reader = Slow()
    batch = ahead(reader)
    assert batch.ahead is not None
    stepping = threading.Thread(target=batch.ahead.step)
    stepping.start()
    assert inside.wait(WITHIN_S)
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(found_ahead(batch, reader)))
    asking.start()
    asking.join(0.05)
    assert found == []
    go_on.set()
    asking.join(WITHIN_S)
    stepping.join(WITHIN_S)
    assert found == [[b"0", b"1", b"2"]]
    assert reader.read == [0, 1, 2]
    assert threads == [stepping.ident]
