"""The guard on the engine: a published table is not changed without an event, whoever sends the statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, ExecutionContext, Table, event
from sqlalchemy.orm import Mapper

from streambind.errors import UncapturedChangeError
from streambind.outbound.dml_text import LONGEST_REMEMBERED, DmlText, Written
from streambind.outbound.permits import at_work
from streambind.outbound.published_tables import PublishedTables

CAPTURED = "streambind_captured"
"""Execution option of a statement whose rows become events: the one table that it may write to."""


class StatementGuard:
    """Looks at every SQL text before it is sent: ORM, Core, `text()`, driver SQL, common table expressions.

    It lets through what a flush of a captured session writes for its objects, what is captured by its rows, and
    everything of a session inside `suppress_events`. It does not see: a raw driver cursor, COPY, triggers and
    functions of the database, and other engines.
    """

    def __init__(self, tables: PublishedTables) -> None:
        self._tables = tables
        self._by_name: dict[str, list[Table]] = {}
        for table in tables:
            self._by_name.setdefault(table.name.lower(), []).append(table)
        self._text = DmlText(self._by_name)

    def attach(self, engine: Engine) -> None:
        """Look at every statement of the engine from now on."""
        event.listen(engine, "before_cursor_execute", self._before_cursor_execute)

    def detach(self, engine: Engine) -> None:
        """Look no longer."""
        event.remove(engine, "before_cursor_execute", self._before_cursor_execute)

    def _before_cursor_execute(
        self,
        connection: Connection,
        cursor: Any,
        statement: str,
        parameters: Any,
        context: ExecutionContext | None,
        executemany: bool,
    ) -> None:
        options = {} if context is None else context.execution_options
        compiled = getattr(context, "compiled", None)
        if len(statement) > LONGEST_REMEMBERED and compiled is not None and "schema_translate_map" not in options:
            # An INSERT with its VALUES repeated a thousand times says nothing that it does not say with one.
            statement = str(compiled.string)
        written = self._text.written(statement)
        if not written or self._is_by_flush(connection, options):
            return
        if any(permits.suppressed for permits in at_work(connection)):
            return
        meant = [(part, self._table(part, connection, options)) for part in written]
        changed = [table for _, table in meant if table is not None and self._tables.mappers(table)]
        if changed and not self._is_seen(changed, connection, options):
            captured = options.get(CAPTURED)
            raise self._refusal(next((table for table in changed if table is not captured), changed[0]))
        for part, table in meant:
            along = None if table is None or not part.removes else self._tables.goes_with(table)
            if table is not None and along is not None and not self._is_of_flush(connection, options):
                raise self._refusal_of_cascade(table, along)

    def _is_seen(self, tables: list[Table], connection: Connection, options: Any) -> bool:
        if options.get(CAPTURED) is tables[0]:
            return len(tables) == 1
        return self._is_by_flush(connection, options)

    def _is_by_flush(self, connection: Connection, options: Any) -> bool:
        """Whether a flush itself sends the statement: capture sees what it does, whatever tables it writes to."""
        return self._is_of_flush(connection, options) and self._tables.is_of_unit_of_work(
            options.get("compiled_cache")
        )

    def _is_of_flush(self, connection: Connection, options: Any) -> bool:
        return options.get("compiled_cache") is not None and any(p.writes for p in at_work(connection))

    def _table(self, part: Written, connection: Connection, options: Any) -> Table | None:
        """The published table that a text means, None if it means another one of the same name."""
        default = (connection.dialect.default_schema_name or "").lower()
        translated = options.get("schema_translate_map") or {}
        for table in self._by_name[part.name]:
            schema = (translated.get(table.schema, table.schema) or default).lower()
            if schema == (part.schema or default):
                return table
            # Without a schema, the search path decides; unless a table without one is known, it is this one.
            if part.schema is None and table.name not in table.metadata.tables:
                return table
        return None

    def _refusal_of_cascade(self, table: Table, mapper: Mapper[Any]) -> UncapturedChangeError:
        return UncapturedChangeError(
            f"this statement deletes rows of {table.fullname}, and the database deletes rows of "
            f"{mapper.class_.__name__}, which is published, with them (ON DELETE CASCADE): their events would be "
            "lost. Delete objects in a session, which loads and deletes the others too; if no event is meant, "
            "write `with suppress_events(session):` and use that session"
        )

    def _refusal(self, table: Table) -> UncapturedChangeError:
        mapper = self._tables.mappers(table)[0]
        return UncapturedChangeError(
            f"this statement changes {table.fullname}, the table of {mapper.class_.__name__}, which is published: "
            "its events would be lost. Change objects in a session, or use session.execute() with insert, update "
            "or delete, which is captured; bulk_save_objects, bulk_*_mappings, text, driver SQL and statements on "
            "a connection are not. If no event is meant, write `with suppress_events(session):` and use that "
            "session"
        )
