"""Why a replica should not be mended by what a comparison with its source has found."""

from __future__ import annotations

from collections.abc import Iterator

from streambind.inbound.replica_rivals import rivals_of
from streambind.persistence.database import Database
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source
from streambind.replicas.source_diff import SourceDifference
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys

_FEW = 10
_SHARE = 10


def doubts(
    database: Database, replica: Replica, source: Source, found: SourceDifference, *, force: bool
) -> Iterator[str]:
    """What speaks against it, each with its remedy. With `force` the share of the rows that are to be deleted does
    not: more than a tenth of the table, if that is more than ten, or all of them.

    Raises:
        SQLAlchemyError: a database is away.
    """
    identity = SourceKeys(source.database, source.destination).identity()
    if GroupKeys(database, replica.group, source.destination, identity.source_id).knows_others_only():
        yield (
            f"group {replica.group} has had events of {source.destination}, but none from this source's database "
            f"({identity.source_id}): name the source whose rows these are"
        )
    if not found.extra:
        return
    if found.unreadable:
        yield (
            f"{found.unreadable} rows of the source cannot be read, and their copies look like rows that it does "
            "not have: mend that first, or delete nothing (--keep-extra)"
        )
    if rivals := sorted(rivals_of(replica.plan.mark)):
        yield (
            f"{', '.join(rivals)} fills the same columns, so that rows which this source does not have may be of "
            "another one: delete nothing (--keep-extra)"
        )
    rows = found.difference.found
    if not force and len(found.extra) > max(min(_FEW, rows - 1), rows // _SHARE):
        yield (
            f"{len(found.extra)} of {rows} rows would be deleted: see that this is the right source, and that it "
            "is whole; then --force, or delete nothing (--keep-extra)"
        )
