"""`publish(session, ...)` and `suppress_events(session)`: events of one's own, and none at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from streambind.configuration.properties import Publish
from streambind.errors import CaptureError, UncapturedChangeError
from streambind.outbound.captured_session import captured_session
from streambind.outbound.keys import key_bytes
from streambind.outbound.outgoing import outgoing
from streambind.outbound.permits import is_suppressed
from streambind.outbound.suppression import Suppression


def publish(
    session: Session | AsyncSession,
    binding: str,
    payload: object,
    *,
    key: str | bytes | int | None = None,
    headers: Mapping[str, object] | None = None,
) -> None:
    """Publish a message of one's own with the session's transaction: in the same outbox and, with a key, in the
    same order as the entity events of that key. None is a tombstone.

    The payload is encoded now. The message is written with the next flush, before the events of that flush, or
    with the commit; it is gone with a rollback of the transaction or of the savepoint that it was published in.
    Nothing is awaited: the same call serves an AsyncSession. Inside `suppress_events` it does nothing.

    Raises:
        UncapturedChangeError: no application captures the session.
        CaptureError: there is no such output binding, it sends outside transactions, or the key is too long.
        EncodeError: the payload or a header cannot be encoded, or the payload is too large.
    """
    synchronous = _synchronous(session)
    if is_suppressed(synchronous):
        return
    captured = captured_session(synchronous)
    if captured is None:
        raise UncapturedChangeError(
            f"publish() to {binding}: this session belongs to no streambind application. Use a session of the "
            "application's sessionmaker (`stream.sessions`, or the one that StreamApplication(database=...) was "
            "given), and build the application first; without a database transaction, use stream.bridge.send()"
        )
    plan = captured.output(binding)
    if plan.publish is Publish.DIRECT:
        raise CaptureError(
            f"publish() to {binding}, whose producer.publish is direct: use stream.bridge.send(), "
            "or set outbox or after-commit"
        )
    captured.publish(synchronous, outgoing(plan, payload, key=key_bytes(key), headers=headers))


def suppress_events(session: Session | AsyncSession) -> Suppression:
    """No events of this session inside the block: `with suppress_events(session):`, and for an AsyncSession
    `async with`. Blocks may be nested; other sessions go on publishing.

    For imports, repairs and whatever the read models must not hear of: they are not told later either.
    """
    found = _looked_up(session)
    return Suppression(_synchronous(session), found if isinstance(found, AsyncSession) else None)


def _synchronous(session: Session | AsyncSession) -> Session:
    found = _looked_up(session)
    return found.sync_session if isinstance(found, AsyncSession) else found


def _looked_up(session: Any) -> Session | AsyncSession:
    """A scoped session stands for the session of its scope."""
    found: Session | AsyncSession = (
        session() if isinstance(session, scoped_session | async_scoped_session) else session
    )
    return found
