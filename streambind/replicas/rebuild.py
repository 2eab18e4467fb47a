"""A replica's table made anew from the log, beside the old one, which it replaces in one transaction.

What is there says how far it is, so that any step can be the last one: the new table exists while it is filled,
the kept one from the swap until somebody confirms it. While the swap's transaction runs, the group's positions and
the table are locked: no delivery is in the middle of anything, all that the group has done is in both tables, and
whoever waits finds the new rows under the name. Nothing else changes for the group, nor for other listeners of its
binding: positions and guard stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from streambind.errors import ConfigurationError, LifecycleError
from streambind.failpoints import failpoint
from streambind.persistence.database import Database
from streambind.persistence.failures import is_duplicate_table, is_undefined_table
from streambind.persistence.shadow_table import Disturbed
from streambind.replicas.comparison import Comparison, Difference
from streambind.replicas.fold import Fold, FoldTakenAway, Log
from streambind.replicas.fold_writer import Folded
from streambind.replicas.replica import Replica


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`difference`: of the old table from the new one. `swapped`: whether the new one has taken its place."""

    difference: Difference
    folded: Folded
    swapped: bool


_TRIES = 10
_NO_LOG = Log({}, {}, lambda *_: ())


class _Kept(Exception):
    """The transaction of a swap that shall not be."""


class Rebuild:
    """The rebuild of one replica. `published`: whether changes of its class are published.

    Raises:
        ConfigurationError: the table cannot be made from the log alone.
    """

    def __init__(
        self,
        database: Database,
        replica: Replica,
        *,
        published: bool,
    ) -> None:
        self._database = database
        self._replica = replica
        self._shadow = database.dialect.shadow_of(replica.plan.table)
        for text in _reasons(replica, published=published):
            raise ConfigurationError(f"replica {replica.name} cannot be rebuilt: {text}")
        self._new = replica.plan.table.to_metadata(MetaData(), name=self._shadow.name)

    def run(
        self,
        log: Log,
        *,
        restart: bool,
        force: bool,
        dry_run: bool,
        skip_unreadable: bool,
        limit: int,
        progress: Callable[[int, int], None],
    ) -> Rebuilt:
        """Make the new table, or go on with it; fill it; compare; swap. Not swapped, and left for the next try:
        with `dry_run`, and without `force` where the old table has rows that the new one has not.

        Raises:
            LifecycleError: a table is still kept; or the log cannot be folded; or somebody else rebuilds it too.
        """
        fold = self._fold(log, skip_unreadable=skip_unreadable)
        with self._rivals_told(fold):
            return self._run(fold, restart=restart, force=force, dry_run=dry_run, limit=limit, progress=progress)

    def _run(
        self,
        fold: Fold,
        *,
        restart: bool,
        force: bool,
        dry_run: bool,
        limit: int,
        progress: Callable[[int, int], None],
    ) -> Rebuilt:
        self._database.run(lambda connection: self._prepare(connection, fold, restart=restart))
        failpoint("rebuild.after_create")
        fold.catch_up(progress)
        if not dry_run:
            self._database.run(self._shadow.make_room)
        comparison = Comparison(self._database.dialect, self._replica, self._new)
        rebuilt: list[Rebuilt] = []

        def work(connection: Connection) -> None:
            self._shadow.lock(connection)
            difference = comparison.difference(connection, limit=limit)
            swaps = not dry_run and (force or not difference.extra)
            rebuilt.append(Rebuilt(difference, fold.folded, swaps))
            if not swaps:
                raise _Kept
            self._shadow.swap(connection, rows=difference.found)
            fold.forget(connection)
            failpoint("rebuild.before_swap")

        with suppress(_Kept):
            self._meet(lambda: fold.meet(work, progress))
        if rebuilt[-1].swapped:
            failpoint("rebuild.after_swap")
        done = rebuilt[-1]
        self._database.run(lambda connection: self._shadow.settle(connection, swapped=done.swapped))
        return done

    @contextmanager
    def _rivals_told(self, fold: Fold) -> Iterator[None]:
        """Say so where tables or positions come and go because another rebuild of the replica is at work."""
        try:
            yield
        except (FoldTakenAway, DBAPIError) as error:
            if isinstance(error, DBAPIError) and not self._is_by_rival(error):
                raise
            swapped = self._database.run(lambda connection: self._is_swapped(connection, fold))
            became = "has swapped the tables" if swapped else "was given up or begun anew just now"
            then = "look at the table, then `streambind replica confirm`" if swapped else "let one of them end"
            raise LifecycleError(
                f"replica {self._replica.name}: another rebuild of it is at work, and {became}: {then}"
            ) from error

    def _is_by_rival(self, error: DBAPIError) -> bool:
        names = (self._shadow.name, self._shadow.kept_name)
        comes_or_goes = is_undefined_table(error) or is_duplicate_table(error)
        return comes_or_goes and any(name in str(error.orig) for name in names)

    def _is_swapped(self, connection: Connection, fold: Fold) -> bool:
        swapped = self._shadow.is_replaced(connection)
        if swapped:
            fold.forget(connection)  # What this one has begun again.
        return swapped

    def _meet(self, meet: Callable[[], None]) -> None:
        """Meet the group for the swap; again, while others write to the table."""
        for _ in range(_TRIES):
            with suppress(Disturbed):
                return meet()
        raise LifecycleError(
            f"replica {self._replica.name}: others write to its table all the time; try again later"
        )

    def confirm(self) -> bool:
        """Drop the table that was replaced; False if there is none."""
        return self._database.run(self._shadow.drop_kept)

    def abandon(self) -> bool:
        """Drop the new table, which has not replaced anything; False if there is none."""
        return self._database.run(lambda connection: self._drop_shadow(connection, self._fold(_NO_LOG)))

    def _fold(self, log: Log, *, skip_unreadable: bool = False) -> Fold:
        return Fold(self._database, self._replica, self._new, log, skip_unreadable=skip_unreadable)

    def _prepare(self, connection: Connection, fold: Fold, *, restart: bool) -> None:
        if self._shadow.is_replaced(connection):
            kept = self._shadow.kept_name
            raise LifecycleError(
                f"replica {self._replica.name} was rebuilt before, and {kept} holds its old rows: confirm first "
                "(streambind replica confirm)"
            )
        for text in self._shadow.obstacles(connection):
            raise ConfigurationError(f"replica {self._replica.name}: its table cannot be swapped: {text}")
        if self._shadow.is_made(connection):
            if not restart and self._can_go_on(connection, fold):
                return
            self._shadow.drop(connection)
        fold.forget(connection)
        self._shadow.make(connection)

    def _can_go_on(self, connection: Connection, fold: Fold) -> bool:
        """Whether the same code has begun to fill the new table, and it still has the table's columns."""
        return fold.has_begun(connection) and self._shadow.is_like_table(connection)

    def _drop_shadow(self, connection: Connection, fold: Fold) -> bool:
        if self._shadow.is_replaced(connection):
            return False
        fold.forget(connection)
        return self._shadow.drop(connection)


def _reasons(replica: Replica, *, published: bool) -> list[str]:
    found = []
    if published:
        found.append("it is published in turn, and nobody would be told of the new rows; use replica repair")
    if not replica.owns_all:
        found.append("its events do not fill all columns, and the others would be lost; use replica repair")
    return found
