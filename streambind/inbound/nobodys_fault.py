"""Whether an error is no message's fault: database or broker in the way, or tables that are not as they should be,
wherever in a handler it came from."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from streambind.errors import BrokerError, CaptureError, LifecycleError, OutboxFullError, SchemaError, SendError
from streambind.persistence.failures import is_database_trouble, is_statement_timeout


def is_nobodys_fault(error: BaseException) -> bool:
    """True if the message should be handled again once the trouble is over. A handler may have wrapped the error:
    the chain of causes is searched. One whose statements take longer than they may is tried within the budget,
    like any that fails."""
    if is_database_trouble(error):
        return not is_statement_timeout(error)
    return any(_is_trouble(link) for link in _chain(error))


def is_defect(error: BaseException) -> bool:
    """True if neither a database, a broker, a network nor the application's end is in the way: somebody's code is
    wrong, and its traceback belongs into the log."""
    outside = (SQLAlchemyError, OSError, SendError, BrokerError, CaptureError, LifecycleError)
    return not any(isinstance(link, outside) for link in _chain(error))


def _is_trouble(error: BaseException) -> bool:
    if isinstance(error, SendError | BrokerError):
        return not error.permanent
    return isinstance(error, OutboxFullError | SchemaError)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
