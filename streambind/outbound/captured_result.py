"""What the caller of a captured statement gets: what he would have got, without the columns asked for here."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import IteratorResult, Result
from sqlalchemy.engine.result import SimpleResultMetaData


class CapturedResult(IteratorResult[Any]):
    """The result of a statement without RETURNING: the number of its rows and, of an INSERT, their keys."""

    returns_rows = False

    def __init__(self, rowcount: int, inserted: Sequence[Any] = ()) -> None:
        super().__init__(SimpleResultMetaData([]), iter(()))
        self.rowcount = rowcount
        self.inserted_primary_key_rows = list(inserted)
        # As a cursor's result without rows: asking for one is an error.
        self.close()

    @property
    def inserted_primary_key(self) -> Any:
        """The key of the one row that was inserted."""
        return self.inserted_primary_key_rows[0]


def primary_keys(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Keys with their columns' names."""
    named = namedtuple("PrimaryKey", names, rename=True)  # type: ignore[misc]
    return [named(*row) for row in rows]


def without_last(result: Result[Any], columns: int) -> tuple[Any, list[tuple[Any, ...]]]:
    """The caller's result, without the last columns; and these."""
    frozen = result.freeze()
    own = [tuple(row)[-columns:] for row in frozen()]
    theirs: Any = frozen()
    theirs = theirs.columns(*range(len(theirs.keys()) - columns))
    theirs.rowcount = len(own)
    return theirs, own
