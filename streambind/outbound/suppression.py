"""The block in which a session changes published classes without events."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from streambind.errors import CaptureError
from streambind.outbound.captured_session import captured_session
from streambind.outbound.permits import connections_of, enter, leave, permits_of


class Suppression:
    """What `suppress_events` returns: enter it with `with`, for an AsyncSession rather with `async with`.

    Changes made before the block are flushed at its beginning, with their events; those made inside it at its
    end, without. A plain `with` cannot flush an AsyncSession: there, it raises CaptureError where something is
    left to flush. If the block raises, nothing is flushed.
    """

    def __init__(self, session: Session, asynchronous: AsyncSession | None) -> None:
        self._session = session
        self._asynchronous = asynchronous
        self._permits = permits_of(session)
        self._connections: list[Connection] = []
        self._listens = False

    def __enter__(self) -> None:
        self._flush("begins")
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush("ends")
        finally:
            self._end()

    async def __aenter__(self) -> None:
        if self._asynchronous is not None:
            await self._asynchronous.flush()
        self._begin()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._asynchronous is not None:
                await self._asynchronous.flush()
        finally:
            self._end()

    def _flush(self, moment: str) -> None:
        session = self._session
        if self._asynchronous is None:
            session.flush()
        elif session.new or session.dirty or session.deleted:
            raise CaptureError(
                f"suppress_events {moment} while the AsyncSession has unflushed changes, and cannot await their "
                "flush: write `async with suppress_events(session):`, or await session.flush() first"
            )

    def _begin(self) -> None:
        self._permits.suppressed += 1
        captured = captured_session(self._session)
        if captured is not None:
            captured.changes.read_back.forget()  # Nobody sees what becomes of rows inside the block.
            return  # Its connections are known.
        for connection in connections_of(self._session):
            self._connected(self._session, None, connection)
        event.listen(self._session, "after_begin", self._connected)
        self._listens = True

    def _end(self) -> None:
        self._permits.suppressed -= 1
        if self._listens:
            event.remove(self._session, "after_begin", self._connected)
            self._listens = False
        for connection in self._connections:
            if not self._permits.suppressed:
                leave(connection, self._permits)
        self._connections.clear()

    def _connected(self, session: Session, _: SessionTransaction | Any, connection: Connection) -> None:
        self._connections.append(connection)
        enter(connection, self._permits)
