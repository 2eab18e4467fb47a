"""PostgreSQL's shadow of a table: made LIKE it, and given what LIKE leaves out."""

from __future__ import annotations

from sqlalchemy import Connection, text

from streambind.persistence.shadow_table import ShadowTable

LOCK_WAIT_MS = 5_000
"""For how long a swap waits for those who use the table: the group and all new readers wait with it."""


class PostgresShadow(ShadowTable):
    """DDL is part of the transaction."""

    def obstacles(self, connection: Connection) -> list[str]:
        oid = self._oid(connection)
        return [told for query, told in _OBSTACLES if connection.scalar(query, {"oid": oid})]

    def make(self, connection: Connection) -> None:
        here, there = self._quoted(connection, self._table.name), self._quoted(connection, self.name)
        connection.exec_driver_sql(f"CREATE TABLE {there} (LIKE {here} INCLUDING ALL)")
        for key in connection.execute(_FOREIGN_KEYS, {"oid": self._oid(connection)}).all():
            definition = str(key.definition)
            if key.is_to_itself:
                definition = definition.replace(f" REFERENCES {key.target}(", f" REFERENCES {there}(", 1)
            connection.exec_driver_sql(f"ALTER TABLE {there} ADD {definition}")

    def lock(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        here = self._quoted(connection, self._table.name)
        connection.exec_driver_sql(f"LOCK TABLE {here} IN ACCESS EXCLUSIVE MODE")

    def swap(self, connection: Connection, *, rows: int) -> None:
        # A table is not altered while constraints wait to be held against its rows.
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        self._hand_over(connection)
        super().swap(connection, rows=rows)

    def _hand_over(self, connection: Connection) -> None:
        """Owner, grants and sequences: else nobody else could use the new table, nor the old one be dropped."""
        of = {"oid": self._oid(connection)}
        there = self._quoted(connection, self.name)
        owner = connection.execute(_OWNER, of).scalar_one()
        connection.exec_driver_sql(f"ALTER TABLE {there} OWNER TO {owner}")
        for privilege, grantee, may_grant in connection.execute(_GRANTS, of).all():
            option = " WITH GRANT OPTION" if may_grant else ""
            connection.exec_driver_sql(f"GRANT {privilege} ON {there} TO {grantee}{option}")
        for sequence, column in connection.execute(_SEQUENCES, of).all():
            connection.exec_driver_sql(f"ALTER SEQUENCE {sequence} OWNED BY {there}.{column}")

    def _oid(self, connection: Connection) -> int:
        query = text("SELECT CAST(to_regclass(:name) AS oid)")
        name = self._quoted(connection, self._table.name)
        return int(connection.execute(query, {"name": name}).scalar_one())


_OBSTACLES = [
    (
        text("SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = :oid AND conrelid <> :oid LIMIT 1"),
        "other tables refer to it",
    ),
    (text("SELECT 1 FROM pg_trigger WHERE tgrelid = :oid AND NOT tgisinternal LIMIT 1"), "it has triggers"),
    (
        text(
            "SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid WHERE d.refobjid = :oid "
            "AND d.classid = CAST('pg_rewrite' AS regclass) LIMIT 1"
        ),
        "views read it",
    ),
    (
        text("SELECT 1 FROM pg_class WHERE oid = :oid AND (relkind <> 'r' OR relrowsecurity OR relhassubclass)"),
        "it is partitioned, inherited from or has row security",
    ),
    (
        text("SELECT 1 FROM pg_publication_rel WHERE prrelid = :oid LIMIT 1"),
        "a publication of PostgreSQL sends it",
    ),
]
_FOREIGN_KEYS = text(
    "SELECT pg_get_constraintdef(oid) AS definition, CAST(CAST(confrelid AS regclass) AS text) AS target, "
    "confrelid = conrelid AS is_to_itself FROM pg_constraint WHERE contype = 'f' AND conrelid = :oid"
)
_OWNER = text("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = :oid")
_GRANTS = text(
    "SELECT g.privilege, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END, "
    "g.is_grantable FROM ("
    "SELECT a.privilege_type AS privilege, a.grantee, a.is_grantable "
    "FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = :oid "
    "UNION ALL SELECT a.privilege_type || ' (' || quote_ident(t.attname) || ')', a.grantee, a.is_grantable "
    "FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = :oid AND NOT t.attisdropped) g"
)
_SEQUENCES = text(
    "SELECT CAST(CAST(s.oid AS regclass) AS text), quote_ident(a.attname) FROM pg_depend d "
    "JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' "
    "JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
    "WHERE d.refobjid = :oid AND d.deptype = 'a'"
)
