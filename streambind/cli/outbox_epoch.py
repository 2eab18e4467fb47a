"""`streambind outbox new-epoch`: what a restored source tells its consumers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from streambind.cli.outbox_view import ask_outbox, key_text, owners
from streambind.cli.output import count, json_option, print_json, write
from streambind.cli.plan import planned_bindings
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database, resolve
from streambind.errors import ConfigurationError, LifecycleError
from streambind.message import Message
from streambind.origin import MAX_EPOCH
from streambind.outbound.epoch import Travelled, raise_epoch, source_of, travelled
from streambind.outbound.wire_message import Source

_LOOKED_AT = 500
"""Messages at the end of each partition."""

_SHOWN = 5


@click.command("new-epoch")
@click.argument("target")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--to", "to", type=click.IntRange(min=2, max=MAX_EPOCH), help="This epoch; without it the next one.")
@click.option("--without-broker", is_flag=True, help="Do not look at what the topics hold.")
@json_option
def new_epoch(target: str, dry_run: bool, to: int | None, without_broker: bool, as_json: bool) -> None:
    """Begin a new epoch after the database was restored.

    A restored database gives numbers again that consumers have applied already, and they would pass the new
    events over. Under a new epoch they follow. Stop the services that write to the database before you restore
    it, run this, then start them.

    The next epoch is one above that of the database and of what the topics hold of its events: after a second
    restore of the same backup the database alone does not know it.

    \b
    Examples:
      streambind outbox new-epoch config/category --dry-run
      streambind outbox new-epoch config/category

    Exit code 3 if the broker or the database does not answer.
    """
    resolved = resolve(target)
    database = resolved.database()
    source = ask_database(database, lambda: source_of(database))
    found = Travelled(0, 0, ()) if without_broker else _look(resolved, source)
    epoch = to if to is not None else max(source.epoch, found.epoch) + 1
    if epoch > MAX_EPOCH:
        raise ConfigurationError(
            f"the topics hold events of this source with epoch {found.epoch}, after which none follows: no "
            "database of yours has given it; choose one with --to, consumers refuse what leaves others out"
        )
    if epoch <= source.epoch:
        raise ConfigurationError(f"the epoch is {source.epoch} already; choose a higher one than {epoch}")
    relays = list(owners(ask_outbox(resolved)))
    if not as_json:
        _tell(source, found, relays)
    if not dry_run and not raise_epoch(database, source, epoch):
        raise LifecycleError("the epoch was raised by somebody else just now: look again with --dry-run")
    if as_json:
        print_json(_document(source, found, relays, epoch, dry_run=dry_run))
    else:
        write("epoch {} would follow {}" if dry_run else "epoch {} follows {}", epoch, source.epoch)


def _look(target: Target, source: Source) -> Travelled:
    outputs = [binding for binding in planned_bindings(target) if not binding.is_input]
    places = sorted({(binding.binder, name) for binding in outputs for name in binding.destinations})
    with target.brokers() as brokers:
        messages = [message for binder, name in places for message in _ends(brokers, binder, name)]
    return travelled(target.database(), source, messages)


def _ends(brokers: Brokers, binder: str, destination: str) -> Iterator[Message]:
    info = brokers.ask(binder, lambda b: b.describe(destination, BROKER_TIMEOUT_MS))
    if info is None:
        return
    for partition, end in info.ends.items():
        start = max(info.starts.get(partition, 0), end - _LOOKED_AT)
        while start < end:
            at = {partition: start}
            read = brokers.ask(binder, lambda b, at=at: b.read(destination, at, BROKER_TIMEOUT_MS))  # type: ignore[misc]
            if not read:
                break
            yield from read
            start = (read[-1].offset or 0) + 1


def _tell(source: Source, found: Travelled, relays: Sequence[str]) -> None:
    if found.events:
        told = count(found.events, "event")
        write("looked at {} of source {} at the ends of its topics", told, source.source_id)
    if found.ahead:
        write(
            "[yellow]{} there with numbers that the database has not given: it was restored[/]",
            count(len(found.ahead), "key"),
        )
        for destination, key, there, here in found.ahead[:_SHOWN]:
            write("  {} key {}: number {} there, {} here", destination, key_text(key), there, here)
    elif found.events:
        write("no number there that the database has not given: nothing speaks of a restore")
    for owner in relays:
        write(
            "[yellow]relay {} is at work: what was committed since the restore may have been sent under the old "
            "epoch, and is passed over then; `streambind verify` shows it[/]",
            owner,
        )


def _document(
    source: Source, found: Travelled, relays: Sequence[str], epoch: int, *, dry_run: bool
) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "source": source.source_id,
        "before": source.epoch,
        "epoch": epoch,
        "events_seen": found.events,
        "ahead": [
            {"destination": destination, "key": key_text(key), "number_there": there, "number_here": here}
            for destination, key, there, here in found.ahead
        ],
        "relays": list(relays),
    }
