"""Groups of the embedded broker have a life from their first member to their last."""

from __future__ import annotations

import struct

import pytest

from streambind.binders.kafka.embedded_groups import Groups
from streambind.binders.kafka.embedded_wire import (
    FETCH,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    SYNC_GROUP,
    Conversation,
    Request,
)
from tests.unit.binders.kafka.test_embedded_wire import Topics, header, text


def _name(groups: Groups, api: int, connection: object, *, session_ms: int = 60_000, version: int = 3) -> str:
    """The group's name as the broker gets it."""
    frame = header(api, version) + text("g") + struct.pack(">i", session_ms) + b"rest"
    changed = groups.renamed(frame, Request.of(frame), connection)
    body = Request.of(changed).body
    (size,) = struct.unpack_from(">h", changed, body)
    assert changed[:body] == frame[:body]
    assert changed[body + 2 + size :] == struct.pack(">i", session_ms) + b"rest"
    return changed[body + 2 : body + 2 + size].decode()


def test_all_members_of_one_life_share_a_name_and_the_next_life_has_another() -> None:
    groups = Groups()
    first = _name(groups, JOIN_GROUP, "a")
    assert _name(groups, JOIN_GROUP, "b") == first
    assert {_name(groups, api, "a") for api in (SYNC_GROUP, HEARTBEAT)} == {first}
    assert _name(groups, LEAVE_GROUP, "a") == first
    assert _name(groups, JOIN_GROUP, "c") == first  # b is still there.
    assert {_name(groups, LEAVE_GROUP, member) for member in "bc"} == {first}
    second = _name(groups, JOIN_GROUP, "d")
    assert second != first
    assert _name(groups, HEARTBEAT, "d") == second


def test_who_is_silent_for_its_session_holds_up_no_new_life() -> None:
    groups = Groups()
    first = _name(groups, JOIN_GROUP, "killed", session_ms=0)
    assert _name(groups, JOIN_GROUP, "a", session_ms=60_000) != first


@pytest.mark.parametrize(("api", "version"), [(JOIN_GROUP, 6), (HEARTBEAT, 4), (FETCH, 4)])
def test_what_it_cannot_read_is_left_alone(api: int, version: int) -> None:
    assert _name(Groups(), api, "a", version=version) == "g"


def test_only_requests_for_membership_are_renamed() -> None:
    conversation = Conversation(Topics().make, rename_group=Groups().renamed)
    for api in (8, 9, 10):  # Offsets to commit and to fetch, and who coordinates, go by the group's own name.
        frame = header(api, 1) + text("g")
        assert conversation.request(frame) == (frame, None)
    join = header(JOIN_GROUP, 3) + text("g") + struct.pack(">i", 1000)
    assert conversation.request(join) == (join.replace(text("g"), text("g#1")), None)
