"""`streambind replica`: read models held against their source, mended, and made anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click

from streambind.cli.failures import half_done
from streambind.cli.output import FAILED, err, json_option, print_json, write
from streambind.cli.replica_difference import Mending, difference_document, show_difference, show_swap
from streambind.cli.replicas import log_of, replica_of, require_table, source_of
from streambind.cli.target import Target, ask_database, database_named, resolve
from streambind.outbound.publication import publications_of
from streambind.persistence.database import Database
from streambind.replicas.comparison import Difference
from streambind.replicas.diff import topic_difference
from streambind.replicas.rebuild import Rebuild
from streambind.replicas.repair import Repaired
from streambind.replicas.repair import repair as mend
from streambind.replicas.repair_doubts import doubts
from streambind.replicas.replica import Replica
from streambind.replicas.source import Source
from streambind.replicas.source_diff import SourceDiff, SourceDifference

_CLASS = click.option("--class", "cls", metavar="NAME", help="The replica's class, where the binding has several.")
_LIMIT = click.option("--limit", default=20, show_default=True, help="Keys to show of each kind.")
_SKIP = click.option(
    "--skip-unreadable", is_flag=True, help="Leave out messages that the replica cannot read, and count them."
)


@click.group()
def replica() -> None:
    """Hold read models against their source, mend them, make them anew.

    TARGET of every command is the application that keeps the replica,
    module:attribute; BINDING its input.
    """


@replica.command()
@click.argument("target")
@click.argument("binding")
@_CLASS
@click.option(
    "--source",
    metavar="APPLICATION",
    help="Compare with the rows of the application that publishes.",
)
@_LIMIT
@_SKIP
@json_option
def diff(
    target: str,
    binding: str,
    cls: str | None,
    source: str | None,
    limit: int,
    skip_unreadable: bool,
    as_json: bool,
) -> None:
    """Compare a replica with what its topic says, or with the rows of its source.

    Of the topic, the events are folded into a table beside the replica, as far as the group has gone, and the rows
    compared while the group stands still for a moment. With --source, module:attribute, the rows of the source's
    database are compared; what is on its way does not count. Services may go on meanwhile.

    \b
    Examples:
      streambind replica diff lecture.app:stream in-categoryChanged
      streambind replica diff lecture.app:stream in-categoryChanged \\
          --source category.app:stream

    Exit code 0 if no row differs, 1 if one does, 3 if a broker or a database does not answer.
    """
    resolved, found, database = _asked(target, binding, cls)
    require_table(database, found)
    if source is not None:
        with database_named(database):
            difference, more = _source_difference(database, found, source_of(source, found), limit)
    else:
        with resolved.brokers() as brokers, database_named(database), _bar() as progress:
            log = log_of(brokers, resolved, found)
            difference, folded = topic_difference(
                database, found, log, skip_unreadable=skip_unreadable, limit=limit, progress=progress
            )
            more = {"unreadable": folded.unreadable, "is_cut": any(log.starts.values())}
    if as_json:
        print_json(difference_document(found, difference, **more))
    else:
        show_difference(found, difference, **more)
    if not difference.is_none:
        raise SystemExit(FAILED)


@replica.command()
@click.argument("target")
@click.argument("binding")
@_CLASS
@click.option("--source", metavar="APPLICATION", required=True, help="The application that publishes.")
@click.option("--keep-extra", is_flag=True, help="Delete no row that the source does not have.")
@click.option("--force", is_flag=True, help="Delete more than a tenth of the table, or all of it.")
@_LIMIT
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@json_option
def repair(
    target: str,
    binding: str,
    cls: str | None,
    source: str,
    keep_extra: bool,
    force: bool,
    limit: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Mend a replica: what differs from the source's rows is sent again, what the source does not have is deleted.

    Rows are sent through the outbox of the source, as `streambind snapshot` sends them, and arrive as any change.
    Nothing is done if the source has sent the group no event, while others have; nor, but with --keep-extra, while
    rows of the source cannot be read, where several bindings fill the same columns, or, but with --force, if more
    than a tenth of the table would be deleted.

    \b
    Example:
      streambind replica repair lecture.app:stream in-categoryChanged \\
          --source category.app:stream --dry-run

    Exit code 0 if nothing is left to be done but to wait for what was sent, 1 if rows would have to be mended
    (--dry-run), were kept (--keep-extra) or nothing was done, 3 if a database does not answer.
    """
    _, found, database = _asked(target, binding, cls)
    require_table(database, found)
    origin = source_of(source, found)
    with database_named(database):
        seen = _compared(database, found, origin, limit)
        if keep_extra:
            seen = replace(seen, extra=())
        refused = list(doubts(database, found, origin, seen, force=force)) if dry_run else []
        with half_done(lambda: None if dry_run else "the same command mends what is left"):
            done = Repaired(0, 0) if dry_run else mend(database, found, origin, seen, force=force)
    kept = seen.difference.extra - len(seen.extra)
    mending = Mending(len(seen.refs), len(seen.extra), done.sent, done.removed, kept, refused, dry_run)
    more: dict[str, Any] = {"unreadable": seen.unreadable, "moving": seen.moving}
    if as_json:
        print_json({**difference_document(found, seen.difference, **more), **mending.document()})
    else:
        show_difference(found, seen.difference, **more)
        mending.show()
    if (dry_run and not seen.difference.is_none) or kept:
        raise SystemExit(FAILED)


@replica.command()
@click.argument("target")
@click.argument("binding")
@_CLASS
@_LIMIT
@_SKIP
@click.option("--dry-run", is_flag=True, help="Make the new table and compare; do not swap.")
@click.option("--force", is_flag=True, help="Swap although the old table has rows that the new one has not.")
@click.option("--restart", is_flag=True, help="Begin anew, although a rebuild is unfinished.")
@click.option("--abandon", is_flag=True, help="Drop the new table of an unfinished rebuild.")
@json_option
def rebuild(
    target: str,
    binding: str,
    cls: str | None,
    limit: int,
    skip_unreadable: bool,
    dry_run: bool,
    force: bool,
    restart: bool,
    abandon: bool,
    as_json: bool,
) -> None:
    """Make a replica's table anew from its topic, and let it take the old one's place.

    The new table is filled beside the old one, while services go on. When it is where the group is, both are
    compared and swapped in one transaction, in which the group and whoever uses the table wait. The old table is
    kept until `streambind replica confirm`. Interrupted at any point, it goes on when it is called again.

    If the topic has lost its beginning, run `streambind snapshot` at the source first.

    \b
    Examples:
      streambind replica rebuild lecture.app:stream in-categoryChanged --dry-run
      streambind replica rebuild lecture.app:stream in-categoryChanged

    Exit code 0 if the table was swapped, or with --dry-run could be; 1 if the old one has rows that the new one
    has not (see --force); 3 if the broker or the database does not answer.
    """
    resolved, found, database = _asked(target, binding, cls)
    work = Rebuild(database, found, published=bool(publications_of(found.plan.mark.declared_on)))
    if abandon:
        with database_named(database):
            dropped = work.abandon()
        _say_dropped(found, "the new table", dropped, nothing="there is no unfinished rebuild", as_json=as_json)
        return
    require_table(database, found)
    with resolved.brokers() as brokers, database_named(database), _bar() as progress:
        log = log_of(brokers, resolved, found)
        with half_done(lambda: "the same command goes on, --restart begins anew, --abandon drops the new table"):
            done = work.run(
                log,
                restart=restart,
                force=force,
                dry_run=dry_run,
                skip_unreadable=skip_unreadable,
                limit=limit,
                progress=progress,
            )
    more: dict[str, Any] = {"unreadable": done.folded.unreadable, "is_cut": any(log.starts.values())}
    would_swap = dry_run and (force or not done.difference.extra)
    swap = {"swapped": done.swapped, "would_swap": would_swap, "dry_run": dry_run}
    if as_json:
        print_json({**difference_document(found, done.difference, **more), **swap})
    else:
        show_difference(found, done.difference, **more)
        show_swap(done.difference, **swap)
    if not done.swapped and not would_swap:
        raise SystemExit(FAILED)


@replica.command()
@click.argument("target")
@click.argument("binding")
@_CLASS
@json_option
def confirm(target: str, binding: str, cls: str | None, as_json: bool) -> None:
    """Drop the table that a rebuild has replaced.

    \b
    Example:
      streambind replica confirm lecture.app:stream in-categoryChanged
    """
    _, found, database = _asked(target, binding, cls)
    work = Rebuild(database, found, published=bool(publications_of(found.plan.mark.declared_on)))
    with database_named(database):
        dropped = work.confirm()
    _say_dropped(found, "the old table", dropped, nothing="no old table is kept", as_json=as_json)


def _say_dropped(found: Replica, what: str, dropped: bool, *, nothing: str, as_json: bool) -> None:
    if as_json:
        print_json({"replica": found.name, "table": found.plan.table.name, "dropped": dropped})
    else:
        write("{}", f"dropped {what}" if dropped else nothing)


def _asked(target: str, binding: str, cls: str | None) -> tuple[Target, Replica, Database]:
    resolved = resolve(target)
    found = replica_of(resolved, binding, cls)
    database = resolved.database()
    ask_database(database, lambda: None)
    return resolved, found, database


def _compared(database: Database, found: Replica, source: Source, limit: int) -> SourceDifference:
    with _bar() as progress:
        return SourceDiff(database, found, source).run(limit=limit, progress=lambda rows: progress(rows, rows))


def _source_difference(
    database: Database, found: Replica, source: Source, limit: int
) -> tuple[Difference, dict[str, Any]]:
    seen = _compared(database, found, source, limit)
    return seen.difference, {"unreadable": seen.unreadable, "moving": seen.moving}


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how many messages are folded; all of them, once the work is done."""
    with click.progressbar(length=1, label="messages", file=sys.stderr, hidden=not err.is_terminal) as bar:

        def show(done: int, of: int) -> None:
            bar.length = max(of, done, 1)
            bar.update(done - bar.pos)

        yield show
        bar.update((bar.length or 0) - bar.pos)
