"""Parked messages as people work with them: looked at, tried again, left out, changed; all of it written down."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, insert, select, update

from streambind.binding.binder import Lane
from streambind.errors import LifecycleError, SequenceForkError, SequenceGapError
from streambind.inbound.failure import MessageFailed, Overtaken
from streambind.inbound.guard import Examination, SequenceGuard
from streambind.inbound.parked_batch import ParkedBatch
from streambind.inbound.parked_listing import EVERYTHING, ParkedFilter, ParkedListing, StoredMessage
from streambind.inbound.parked_queues import ParkedKey, ParkedMessage, ParkedQueues, Queue
from streambind.inbound.positions import DatabasePositions
from streambind.message import RawHeaders
from streambind.persistence.database import Database
from streambind.persistence.key_chunks import key_chunks
from streambind.persistence.stored_headers import store_headers

_SKIPPED_AT_ONCE = 100


class ParkedMessages:
    """The parked messages of one group. `numbered`: whether messages' numbers count. `actor` is who does it."""

    def __init__(
        self, database: Database, group: str, destinations: Sequence[str], *, numbered: bool, actor: str
    ) -> None:
        self._database = database
        self._group = group
        self._actor = actor
        self._queues = ParkedQueues(database, group, destinations)
        self._listing = ParkedListing(database, group, destinations)
        self._positions = DatabasePositions(database, group)
        self._guard = SequenceGuard(database, group) if numbered else None

    def messages(self, wanted: ParkedFilter = EVERYTHING, *, whole: bool = True) -> Iterator[StoredMessage]:
        """Those that are asked for, as `ParkedListing` lists them."""
        return self._listing.messages(wanted, whole=whole)

    def retry(self, queues: Iterable[Queue], *, accept_gaps: Collection[int] = ()) -> int:
        """Have these keys tried again from now on, with all their attempts; returns how many were parked still.
        `accept_gaps`: messages whose predecessors will never come, and count as passed over.

        Raises:
            LifecycleError: a key was written by somebody else just now.
        """

        def work(connection: Connection) -> int:
            return sum(self._retry(connection, queue, accept_gaps=accept_gaps) for queue in sorted(queues))

        try:
            return self._database.run_bounded(work)
        except Overtaken as overtaken:
            raise LifecycleError("a key was written by somebody else just now: try again") from overtaken

    def skip(
        self,
        queue: Queue,
        ids: Collection[int],
        *,
        force: bool = False,
        progress: Callable[[int], object] = lambda _: None,
    ) -> int:
        """Leave out messages of a key, first ones first: their numbers count as done, so that what waits behind
        them follows. Returns how many were left out; others were handled meanwhile. `force`: these only, in
        whatever order they wait; one whose predecessor is missing goes without its number, and is still missing
        to its successors. Many go in several transactions: nobody waits long for the key. `progress` is told of
        each how many went.

        Raises:
            LifecycleError: a message that waits before them is not among them, or has not come yet; those before
                it are left out.
        """
        done = 0

        def left_out(some: Collection[int]) -> set[int]:
            nonlocal done
            gone = self._database.run_bounded(lambda connection: self._skip(connection, queue, some, force=force))
            done += len(gone)
            progress(len(gone))
            return gone

        try:
            if force:
                order = self._database.run_bounded(
                    lambda connection: self._order(connection, queue, frozenset(ids))
                )
                for start in range(0, len(order), _SKIPPED_AT_ONCE):
                    left_out(order[start : start + _SKIPPED_AT_ONCE])
            else:
                rest = set(ids)
                while gone := left_out(rest):
                    rest -= gone
            return done
        except MessageFailed as failed:
            raise LifecycleError(f"it cannot be left out: {failed.error} (--force)") from failed
        except Overtaken as overtaken:
            raise LifecycleError("its key was written by somebody else just now: try again") from overtaken

    def edit(self, stored: StoredMessage, *, payload: bytes | None, headers: RawHeaders | None) -> None:
        """Change the payload and, unless None, the headers of a message where it waits; its place in the queue
        stays what it was when it came.

        Raises:
            LifecycleError: it waits no longer.
        """

        def work(connection: Connection) -> None:
            message = self._database.tables.parked
            values: dict[str, object] = {"payload": payload}
            if headers is not None:
                values["headers"] = store_headers(headers)
            changed = self._claimed(connection, stored.queue) is not None and connection.execute(
                update(message).where(message.c.id == stored.message.id).values(**values)
            )
            if not changed or changed.rowcount != 1:
                raise LifecycleError(f"parked/{stored.message.id} waits no longer: it was handled just now")
            self._write_down(connection, "edit", stored.queue, stored.message)

        self._database.run_bounded(work)

    def _retry(self, connection: Connection, queue: Queue, *, accept_gaps: Collection[int]) -> int:
        parked = self._claimed(connection, queue)
        if parked is None:
            return 0
        head = self._queues.first(connection, parked) if accept_gaps else None
        if head is not None and self._guard is not None:
            for message in self._queues.firsts(connection, parked, head):
                if message.id in accept_gaps:
                    self._accept_gap(connection, self._guard, ParkedBatch(message))
        self._queues.wake(connection, queue)
        self._write_down(connection, "retry", queue, None)
        return 1

    def _accept_gap(self, connection: Connection, guard: SequenceGuard, batch: ParkedBatch) -> None:
        try:
            self._examined(connection, guard, batch)
        except MessageFailed as failed:
            if isinstance(failed.error, SequenceGapError):
                guard.accept_gap(connection, batch, 0)

    def _order(self, connection: Connection, queue: Queue, ids: Collection[int]) -> list[int]:
        parked = self._claimed(connection, queue)
        return [] if parked is None else self._queues.order(connection, parked, among=ids)

    def _skip(self, connection: Connection, queue: Queue, ids: Collection[int], *, force: bool) -> set[int]:
        """Returns which were left out, some of the first."""
        gone: set[int] = set()
        parked = self._claimed(connection, queue)
        while parked is not None and len(gone) < min(len(ids), _SKIPPED_AT_ONCE):
            head = self._queues.first(connection, parked)
            message = self._queues.first(connection, parked, among=ids) if force else head
            if head is None or message is None:
                break
            if message.id not in ids:
                if gone or not self._waits(connection, ids):
                    break  # The next transaction begins with it, if there is one.
                raise LifecycleError(
                    f"parked/{message.id} waits before it, and its key's order is kept: leave that one out too "
                    "(--force)"
                )
            try:
                self._pass_over(connection, ParkedBatch(message), force=force)
            except MessageFailed:
                if gone:
                    break
                raise
            self._write_down(connection, "skip", queue, message)
            take_out = self._queues.done if message == head else self._queues.take_out
            if not take_out(connection, parked, message):
                raise LifecycleError(f"parked/{message.id} was handled just now")
            gone.add(message.id)
            parked = self._claimed(connection, queue)
        return gone

    def _pass_over(self, connection: Connection, batch: ParkedBatch, *, force: bool) -> None:
        if self._guard is None:
            return
        try:
            found = self._examined(connection, self._guard, batch)
        except MessageFailed as failed:
            if force and isinstance(failed.error, SequenceGapError | SequenceForkError):
                return  # Nothing follows it.
            raise
        self._guard.record(connection, batch.destination, found, passed_over=True)

    def _examined(self, connection: Connection, guard: SequenceGuard, batch: ParkedBatch) -> Examination:
        lane = Lane(batch.destination, batch.partition)
        return guard.examine(
            connection, batch, (0,), past=lambda: self._positions.past(connection, lane), passing_over=True
        )

    def _waits(self, connection: Connection, ids: Collection[int]) -> bool:
        message = self._database.tables.parked.c
        return any(
            connection.scalar(select(message.id).where(message.id.in_(some)).limit(1)) is not None
            for some in key_chunks([*ids])
        )

    def _claimed(self, connection: Connection, queue: Queue) -> ParkedKey | None:
        return self._queues.claim_again(connection, queue)

    def _write_down(
        self, connection: Connection, action: str, queue: Queue, message: ParkedMessage | None
    ) -> None:
        connection.execute(
            insert(self._database.tables.audit).values(
                at_ms=self._database.dialect.now_ms,
                actor=self._actor,
                action=action,
                group_name=self._group,
                destination=queue[0],
                key=queue[1],
                partition=None if message is None else message.partition,
                offset=None if message is None else message.offset,
            )
        )
