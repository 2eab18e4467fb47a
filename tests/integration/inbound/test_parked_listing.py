"""Parked messages are listed page by page, by filters that the database answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from streambind.errors import PermanentError
from streambind.inbound import parked_listing
from streambind.inbound.parked_keys import ParkedState
from streambind.inbound.parked_listing import EVERYTHING, ParkedFilter, ParkedListing, StoredMessage
from tests.integration.inbound.parking import (
    Poison,
    batch,
    of_key,
    parked_messages,
    parking,
    plain,
    set_key,
    turns,
)
from tests.integration.inbound.service import DESTINATION, GROUP, Service, drain

KEYS = ("a", "b", "c_%")


def park(service: Service, *, per_key: int = 3) -> ParkedListing:
    """So many messages wait behind each key; those of the keys take turns in the log."""
    plan = parking(
        service, Poison(*((key, 1) for key in KEYS), error=lambda: PermanentError("no Such_100% thing"))
    )
    records = [record for n in range(1, per_key + 1) for key in KEYS for record in of_key(key, n)]
    drain(plan, batch(*records))
    return ParkedListing(service.database, GROUP, (DESTINATION,))


def found(listing: ParkedListing, *, whole: bool = False, **wanted: Any) -> list[tuple[str, int]]:
    """Keys and offsets."""
    messages = listing.messages(ParkedFilter(**wanted), whole=whole)
    return [(_key(stored), stored.message.offset) for stored in messages]


def _key(stored: StoredMessage) -> str:
    return (stored.message.record_key or b"").decode()


EACH = [(key, offset) for at, key in enumerate(KEYS) for offset in (at, at + 3, at + 6)]


@pytest.mark.parametrize("page", [1, 2, 3, 4, 9, 10])
def test_each_comes_once_by_key_and_then_as_it_came_whatever_the_size_of_pages(
    any_service: Service, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(parked_listing, "PAGE", page)
    monkeypatch.setattr(parked_listing, "WHOLE_PAGE", page)
    listing = park(any_service)
    assert found(listing) == found(listing, whole=True) == EACH


def test_the_first_of_its_key_is_named_also_where_it_is_not_asked_for(any_service: Service) -> None:
    listing = park(any_service)
    ids = {row.offset: row.id for row in parked_messages(any_service)}
    [late] = listing.messages(ParkedFilter(ids=frozenset([ids[7]])), whole=False)
    assert (late.message.id, late.first) == (ids[7], ids[1])


def test_payloads_and_headers_come_only_where_they_are_asked_for(any_service: Service) -> None:
    listing = park(any_service, per_key=1)
    light = next(listing.messages(EVERYTHING, whole=False)).message
    whole = next(listing.messages(EVERYTHING, whole=True)).message
    assert (light.payload, light.headers) == (None, "[]")
    assert b'"number"' in (whole.payload or b"").replace(b" ", b"")
    assert "sb-origin" in (whole.headers or "")
    assert (light.id, light.record_key, light.offset) == (whole.id, whole.record_key, whole.offset)


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ({"destination": DESTINATION}, KEYS),
        ({"destination": "elsewhere"}, ()),
        ({"key": b"b"}, ("b",)),
        ({"key": b"nobody"}, ()),
        ({"error": "permanenterror: NO such_100%"}, KEYS),
        ({"error": "no_such"}, ()),
        ({"state": ParkedState.RETRY}, ()),
        ({"state": ParkedState.DEAD}, KEYS),
        ({"since_ms": 5_000}, KEYS),
        ({"since_ms": 5_001}, ()),
        ({"before_ms": 5_001, "key": b"a"}, ("a",)),
        ({"before_ms": 5_000}, ()),
    ],
)
def test_the_database_picks(any_service: Service, wanted: dict[str, Any], keys: tuple[str, ...]) -> None:
    listing = park(any_service)
    set_key(any_service, since_ms=5_000, state=ParkedState.DEAD)
    assert found(listing, **wanted) == [each for each in EACH if each[0] in keys]


def test_no_more_is_read_than_is_taken(any_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked_listing, "PAGE", 2)
    listing, pages, run = park(any_service), 0, any_service.database.run

    def counted(work: Callable[[Connection], Any]) -> Any:
        nonlocal pages
        pages += 1
        return run(work)

    monkeypatch.setattr(any_service.database, "run", counted)
    listed = listing.messages(EVERYTHING, whole=False)
    assert pages == 0
    assert [_key(next(listed)) for _ in range(3)] == ["a", "a", "a"]
    assert pages == 2


def test_what_is_handled_between_two_pages_is_left_out(
    any_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked_listing, "PAGE", 1)
    handler = Poison(("a", 1), ("b", 1))
    plan = parking(any_service, handler)
    drain(plan, batch(*plain("a", 1, 2), *plain("b", 1)))
    listed = ParkedListing(any_service.database, GROUP, (DESTINATION,)).messages(EVERYTHING, whole=False)
    assert _key(next(listed)) == "a"
    handler.fix()
    turns(plan)
    assert list(listed) == []
