"""Statements that change many rows at once: their RETURNING tells which rows, and what became of them. Where they
have none, rows are locked first, and read again afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection, Delete, Insert, Update, select
from sqlalchemy.orm import Mapper, ORMExecuteState

from streambind.errors import CaptureError, UncapturedChangeError
from streambind.event import JobType
from streambind.outbound.bulk_rows import BulkRows
from streambind.outbound.captured_result import CapturedResult, primary_keys, without_last
from streambind.outbound.event_ids import event_ids
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.permits import permits_of
from streambind.outbound.plans import Change, MapperPlan, Plans, primary_key_names
from streambind.outbound.published_tables import PublishedTables
from streambind.outbound.statement_guard import CAPTURED
from streambind.persistence.dialects import dialect_of

Rows = list[tuple[Any, ...]]

_JOBS: dict[type, JobType] = {Insert: JobType.INSERT, Update: JobType.UPDATE, Delete: JobType.DELETE}


def bulk_statement(state: ORMExecuteState, plans: Plans, tables: PublishedTables) -> BulkStatement | None:
    """What is to be captured of a statement of `session.execute`, None if nothing is.

    Raises:
        UncapturedChangeError: the statement changes published rows, but which ones cannot be known.
    """
    statement = state.statement
    if not isinstance(statement, Insert | Update | Delete) or CAPTURED in state.execution_options:
        return None
    mappers = tables.mappers(statement.table)
    return BulkStatement(state, plans, mappers) if mappers else None


class BulkStatement:
    """One `insert()`, `update()` or `delete()` on a published table; `executed` says whether rows may be changed.

    Every row that the statement touches becomes an event: one that it sets to what it was already, too, since
    the database does not tell. Events are made from columns only; relationships cannot be loaded for them.
    """

    def __init__(self, state: ORMExecuteState, plans: Plans, mappers: Sequence[Mapper[Any]]) -> None:
        self._state = state
        self._statement = cast(Any, state.statement)
        self._plans = plans
        self._job = next(job for kind, job in _JOBS.items() if isinstance(state.statement, kind))
        self.mapper = mappers[0]
        self.executed = False
        self._primary_key = primary_key_names(self.mapper)
        self._refuse_upsert()
        self._rows = BulkRows(mappers, self._statement.table, f"this bulk {self._job}")
        self._options = {CAPTURED: self._rows.table}

    def execute(self) -> tuple[Any, list[Outgoing]]:
        """Run the statement; returns the caller's result and the messages of its rows.

        Raises:
            UncapturedChangeError: it may change keys, and the old ones cannot be known.
            CaptureError: an event cannot be made.
            EncodeError: an event cannot be encoded, or is too large.
        """
        parameters, assigned = self._state.parameters, self._assigned()
        several = isinstance(parameters, list)
        by_keys = several and self._job is JobType.UPDATE and self._state.is_orm_statement
        if by_keys:
            assigned -= set(self._primary_key)
        self._refuse_keys(assigned)
        if by_keys:
            result, rows = self._execute_by_keys(parameters)
        elif several and self._job is not JobType.INSERT:
            result, rows = self._execute_one_by_one(parameters)
        elif self._returns_rows():
            result, rows = self._execute_once()
        else:
            result, rows = self._execute_on_locked_rows()
        self.executed = True
        return result, list(self._messages(rows, assigned))

    def _execute_once(self) -> tuple[Any, Rows]:
        labels = self._rows.labels
        returning = self._statement.returning(*labels)
        # Of several sets of parameters, the first may be through when the second fails; here and below.
        self.executed = isinstance(self._state.parameters, list)
        result = self._state.invoke_statement(returning, execution_options=self._options)
        if len(self._statement.exported_columns):
            return without_last(result, len(labels))
        rows = [tuple(row) for row in result]
        inserted = primary_keys(self._primary_key, self._rows.keys(rows)) if self._job is JobType.INSERT else ()
        return CapturedResult(len(rows), inserted), rows

    def _execute_by_keys(self, parameters: Any) -> tuple[Any, Rows]:
        """The ORM's bulk UPDATE by primary key: it returns no rows, but its parameters name them."""
        if not all(set(self._primary_key) <= set(each) for each in parameters):
            raise self._refusal("needs the primary key in every set of parameters, by the attributes' names")
        self._state.session._autoflush()
        # The unit of work sends it, without the options that other statements are told by.
        permits = permits_of(self._state.session)
        permits.by_keys = self.executed = True
        try:
            result = self._state.invoke_statement()
        finally:
            permits.by_keys = False
        keys = [tuple(each[name] for name in self._primary_key) for each in parameters]
        return result, self._rows.read(self._connection(), keys)

    def _execute_on_locked_rows(self) -> tuple[Any, Rows]:
        """UPDATE or DELETE where it returns no rows: of exactly those that it would have found."""
        self._refuse_what_no_select_finds()
        statement, state = self._statement, self._state
        entity: Any = statement.entity_description["expr"] if state.is_orm_statement else statement.table
        rows = self._locked(entity)
        self.executed = True
        result: Any = state.invoke_statement(
            statement.where(self._rows.with_keys(entity, list(rows))), execution_options=self._options
        )
        if self._job is JobType.UPDATE:
            return result, self._rows.read(self._connection(), list(rows))
        if result.rowcount not in (-1, len(rows)):
            raise CaptureError(
                f"a bulk DELETE of {self.mapper.class_.__name__} deleted {result.rowcount} of the {len(rows)} "
                "rows that it had locked: what else it looks at was changed meanwhile; roll back and try again"
            )
        return result, list(rows.values())

    def _locked(self, entity: Any) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """The rows that the statement finds, by primary key."""
        state = self._state
        query = select(*self._rows.labels).select_from(entity).where(*self._statement._where_criteria)
        found = state.session.execute(
            dialect_of(self._connection().dialect.name).locked(query.options(*self._statement._with_options)),
            state.parameters,
            execution_options=state.local_execution_options,
            bind_arguments=state.bind_arguments,
        )
        rows = [tuple(row) for row in found]
        return dict(zip(self._rows.keys(rows), rows, strict=True))

    def _execute_one_by_one(self, parameters: Any) -> tuple[Any, Rows]:
        """Core's UPDATE or DELETE with several sets of parameters: drivers return no rows for them together."""
        state = self._state
        rows: Rows = []
        self.executed = True
        if not self._returns_rows():
            # Each is captured by itself.
            results = [
                state.session.execute(
                    self._statement,
                    each,
                    execution_options=state.local_execution_options,
                    bind_arguments=state.bind_arguments,
                )
                for each in parameters
            ]
            return CapturedResult(sum(cast(Any, result).rowcount for result in results)), rows
        returning = self._statement.returning(*self._rows.labels)
        for each in parameters:
            result = state.session.execute(
                returning,
                each,
                execution_options=state.local_execution_options.union(self._options),
                bind_arguments=state.bind_arguments,
            )
            rows.extend(tuple(row) for row in result)
        return CapturedResult(len(rows)), rows

    def _returns_rows(self) -> bool:
        """Whether the database has RETURNING for such statements. MariaDB has it for INSERT, and for a DELETE that
        looks at no other table; MySQL for none."""
        dialect = self._connection().dialect
        if self._job is JobType.INSERT:
            return dialect.insert_returning
        return dialect.update_returning and dialect.delete_returning

    def _connection(self) -> Connection:
        return self._state.session.connection(bind_arguments={"mapper": self.mapper})

    def _messages(self, rows: Rows, assigned: set[str]) -> Iterator[Outgoing]:
        ids = event_ids(len(rows))
        for row in rows:
            found = self._rows.entity(row)
            if found is None:
                continue
            mapper, entity = found
            plan = self._plans.of(mapper)
            if assigned and plan.own_keys:
                self._refuse_own_keys(plan, row, assigned)
            yield from plan.messages(Change(self._job, entity), ids)

    def _assigned(self) -> set[str]:
        """The attributes that an UPDATE sets."""
        if self._job is not JobType.UPDATE:
            return set()
        keys: set[Any] = {*(self._statement._values or ())}
        # SQLAlchemy 2.0 keeps those of ordered_values() apart.
        keys.update(key for key, _ in getattr(self._statement, "_ordered_values", None) or ())
        parameters = self._state.parameters or {}
        for each in parameters if isinstance(parameters, list) else [parameters]:
            keys.update(each)
        return self._rows.names(keys)

    def _refuse_upsert(self) -> None:
        statement = self._statement
        if self._job is not JobType.INSERT:
            return
        if getattr(statement, "_post_values_clause", None) is not None or statement._prefixes:
            raise self._refusal(
                "is an upsert: it does not tell inserted rows from updated and untouched ones. Use "
                "session.merge(), or select the rows that exist and insert the others"
            )

    def _refuse_what_no_select_finds(self) -> None:
        if self._job is JobType.INSERT:
            raise self._refusal(
                "cannot be captured on this database, where it returns no rows. Add objects to the session"
            )
        limited = any(name.endswith("_limit") for name in self._statement.dialect_kwargs)
        if limited or self._statement._prefixes:
            raise self._refusal(
                "has a LIMIT or a prefix. Select the keys first, or load the objects and change them"
            )

    def _refuse_keys(self, assigned: set[str]) -> None:
        if changed := sorted(assigned & set(self._primary_key)):
            raise self._refusal(
                f"sets {', '.join(changed)}, the primary key, and the old keys cannot be known afterwards. Load "
                "the objects and change them"
            )

    def _refuse_own_keys(self, plan: MapperPlan, row: tuple[Any, ...], assigned: set[str]) -> None:
        """A key of `key=` is the old one too if it can be taken without what the statement sets."""
        found = self._rows.entity(row, without=assigned)
        for publication in plan.publications:
            if found is None or not publication.has_own_key:
                continue
            try:
                publication.key(found[1])
            except CaptureError as error:
                raise self._refusal(
                    f"sets {', '.join(sorted(assigned))}, of which the key for {publication.output.binding} is "
                    "made, and the old keys cannot be known afterwards. Load the objects and change them"
                ) from error

    def _refusal(self, why: str) -> UncapturedChangeError:
        return UncapturedChangeError(
            f"a bulk {self._job} of {self.mapper.class_.__name__}, which is published, {why}; or, if no event is "
            "meant, write `with suppress_events(session):`"
        )
