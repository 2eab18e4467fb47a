"""Sessions that commit inside somebody else's transaction: what they would send waits for the real commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

from streambind.outbound.outgoing import Outgoing

log = logging.getLogger("streambind.capture")

_INFO = "streambind.held"
_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")

Committed = Callable[[Sequence[Outgoing]], None]
"""Told, after a commit, of the messages that it has let go."""

_FOLLOWERS: WeakKeyDictionary[Engine, int] = WeakKeyDictionary()


class Held:
    """What waits on one connection: messages, and the names of the savepoints begun among them.

    Follows the database: a rollback to a savepoint takes what came after its beginning, and everything if the
    savepoint is older than all that waits.
    """

    def __init__(self, committed: Committed) -> None:
        self.committed = committed
        self.committing = False
        self._entries: list[Outgoing | str] = []

    @property
    def messages(self) -> list[Outgoing]:
        """What is left, in order."""
        return [entry for entry in self._entries if not isinstance(entry, str)]

    def add(self, messages: Sequence[Outgoing]) -> None:
        self._entries.extend(messages)

    def begin_savepoint(self, name: str) -> None:
        self._entries.append(name)

    def release_savepoint(self, name: str) -> None:
        if name in self._entries:
            self._entries.remove(name)

    def roll_back_to_savepoint(self, name: str) -> None:
        begun = self._entries.index(name) if name in self._entries else 0
        del self._entries[begun:]


def hold(connection: Connection, messages: Sequence[Outgoing], committed: Committed) -> None:
    """Hand messages over to the transaction that is open on a connection. `committed` is called with what is left
    of them once that transaction is known to be committed: when the connection begins another one, or goes back
    to its pool. SQLAlchemy has no event after a COMMIT: its own comes before, and a COMMIT may fail."""
    held: Held | None = connection.info.get(_INFO)
    if held is None:
        held = connection.info[_INFO] = Held(committed)
    held.add(messages)


def follow(engine: Engine) -> Callable[[], None]:
    """Watch the transactions of an engine for what waits on their connections, until what is returned is called.
    Several applications may work on one engine: it is watched once for all of them."""
    _FOLLOWERS[engine] = _FOLLOWERS.get(engine, 0) + 1
    if _FOLLOWERS[engine] == 1:
        for name, listener in _LISTENERS.items():
            event.listen(engine, name, listener)

    def end() -> None:
        _FOLLOWERS[engine] -= 1
        if _FOLLOWERS[engine] == 0:
            for name, listener in _LISTENERS.items():
                event.remove(engine, name, listener)

    return end


def _savepoint(connection: Connection, _: Any, statement: str, *__: Any) -> None:
    # The text, because SQLAlchemy's event for the beginning of a savepoint does not tell its name.
    if not statement.startswith(_SAVEPOINTS):
        return
    held: Held | None = connection.info.get(_INFO)
    if held is None:
        return
    name = statement.split()[-1]
    if statement.startswith("SAVEPOINT"):
        held.begin_savepoint(name)
    elif statement.startswith("RELEASE"):
        held.release_savepoint(name)
    else:
        held.roll_back_to_savepoint(name)


def _forget(connection: Connection, *_: Any) -> None:
    if not connection.invalidated:  # Else what it held went with it, and asking would hide why.
        connection.info.pop(_INFO, None)


def _commit(connection: Connection, *_: Any) -> None:
    if held := connection.info.get(_INFO):
        held.committing = True


def _handle_error(context: ExceptionContext) -> None:
    """A COMMIT that fails undoes everything; any other statement's failure is the transaction's business."""
    connection = context.connection
    if connection is not None and not connection.invalidated and not connection.closed:
        held: Held | None = connection.info.get(_INFO)
        if held is not None and held.committing:
            _forget(connection)


def _begin(connection: Connection) -> None:
    _tell(connection.info)


def _checkin(_: Any, record: Any) -> None:
    _tell(record.info)


def _tell(info: Any) -> None:
    held: Held | None = info.pop(_INFO, None)
    if held is None or not held.committing:
        return
    try:
        held.committed(held.messages)
    except Exception:
        log.exception("after the commit: the transaction is committed all the same")


_LISTENERS: dict[str, Callable[..., None]] = {
    "before_cursor_execute": _savepoint,
    "rollback": _forget,
    "rollback_twophase": _forget,
    "commit": _commit,
    "commit_twophase": _commit,
    "handle_error": _handle_error,
    "begin": _begin,
    "checkin": _checkin,
}
