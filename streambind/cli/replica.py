"""`streambind replica`: read models held against their source, mended, and made anew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from streambind.cli.output import FAILED, count, err, json_option, print_json, write
from streambind.cli.replica_difference import difference_document, show_difference
from streambind.cli.replicas import log_of, replica_of
from streambind.cli.target import ask_database, database_named, resolve
from streambind.outbound.publication import publications_of
from streambind.replicas.diff import topic_difference
from streambind.replicas.rebuild import Rebuild

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
@_LIMIT
@_SKIP
@json_option
def diff(target: str, binding: str, cls: str | None, limit: int, skip_unreadable: bool, as_json: bool) -> None:
    """Compare a replica with what its topic says.

    The topic's events are folded into a table beside it, as far as the group has gone, and the rows compared while
    the group stands still for a moment. Services may go on meanwhile.

    Exit code 0 if no row differs, 1 if one does, 3 if the broker or the database does not answer.
    """
    resolved = resolve(target)
    found = replica_of(resolved, binding, cls)
    database = resolved.database()
    ask_database(database, lambda: None)
    with resolved.brokers() as brokers, database_named(database), _bar() as progress:
        log = log_of(brokers, resolved, found)
        difference, folded = topic_difference(
            database, found, log, skip_unreadable=skip_unreadable, limit=limit, progress=progress
        )
    is_cut = any(log.starts.values())
    if as_json:
        print_json(difference_document(found, difference, folded, is_cut=is_cut))
    else:
        show_difference(found, difference, folded, is_cut=is_cut)
    if not difference.is_none:
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

    Exit code 0 if the table was swapped, or with --dry-run could be; 1 if the old one has rows that the new one
    has not (see --force); 3 if the broker or the database does not answer.
    """
    resolved = resolve(target)
    found = replica_of(resolved, binding, cls)
    database = resolved.database()
    ask_database(database, lambda: None)
    work = Rebuild(database, found, published=bool(publications_of(found.plan.mark.declared_on)))
    if abandon:
        with database_named(database):
            write("{}", "dropped the new table" if work.abandon() else "there is no unfinished rebuild")
        return
    with resolved.brokers() as brokers, database_named(database), _bar() as progress:
        log = log_of(brokers, resolved, found)
        done = work.run(
            log,
            restart=restart,
            force=force,
            dry_run=dry_run,
            skip_unreadable=skip_unreadable,
            limit=limit,
            progress=progress,
        )
    is_cut = any(log.starts.values())
    if as_json:
        document = difference_document(found, done.difference, done.folded, is_cut=is_cut)
        print_json({**document, "swapped": done.swapped})
    else:
        show_difference(found, done.difference, done.folded, is_cut=is_cut)
        if done.swapped:
            write("[green bold]swapped[/]  the old table is kept until `streambind replica confirm`")
        elif not dry_run:
            write("[red bold]not swapped[/]  {} would be gone (--force)", count(done.difference.extra, "row"))
    if not done.swapped and not (dry_run and (force or not done.difference.extra)):
        raise SystemExit(FAILED)


@replica.command()
@click.argument("target")
@click.argument("binding")
@_CLASS
def confirm(target: str, binding: str, cls: str | None) -> None:
    """Drop the table that a rebuild has replaced."""
    resolved = resolve(target)
    found = replica_of(resolved, binding, cls)
    database = resolved.database()
    ask_database(database, lambda: None)
    work = Rebuild(database, found, published=bool(publications_of(found.plan.mark.declared_on)))
    with database_named(database):
        write("{}", "dropped the old table" if work.confirm() else "no old table is kept")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Shows on a terminal how many messages are folded."""
    with click.progressbar(length=1, label="messages", file=sys.stderr, hidden=not err.is_terminal) as bar:

        def show(done: int, of: int) -> None:
            bar.length = max(of, done, 1)
            bar.update(done - bar.pos)

        yield show
