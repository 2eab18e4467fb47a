"""`streambind verify`: whether a group has applied everything that a source has committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

from streambind.cli.output import FAILED, count, json_option, print_json, print_table, write
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, ask_database, resolve
from streambind.errors import ConfigurationError, DestinationError
from streambind.event_loop import EventLoop
from streambind.message import Message
from streambind.persistence.database import Database
from streambind.verification.group import GroupKeys
from streambind.verification.source import SourceKeys
from streambind.verification.verdict import MEANINGS, WAITING, WRONG, State
from streambind.verification.verify import Example, Log, Report
from streambind.verification.verify import verify as hold_against
from streambind.visible import visible


@click.command()
@click.argument("target")
@click.argument("binding")
@click.option(
    "--source",
    required=True,
    metavar="TARGET|URL",
    help="The service that publishes: its configuration or module:attribute, or a SQLAlchemy URL.",
)
@click.option("--limit", default=20, show_default=True, help="Keys to show of each state.")
@click.option("--settled", is_flag=True, help="Exit with 1 also if something is still on its way.")
@json_option
def verify(target: str, binding: str, source: str, limit: int, settled: bool, as_json: bool) -> None:
    """Prove that BINDING of TARGET has applied everything that a source has committed.

    Holds the number of each key at the source against the number that the group applied last, in both databases,
    and looks for what lies between: in the outbox, on the topic, among the parked. Services may go on meanwhile.

    \b
    Examples:
      streambind verify config/lecture in-categoryChanged \\
          --source config/category

    Exit code 0 if every key is applied or on its way, 1 if one is missing, forked, ahead, undone or unseen, 3 if
    a database or the broker does not answer.
    """
    resolved = resolve(target)
    planned = _input(resolved, binding)
    group_database, source_database = resolved.database(), _source(source)
    for database in (group_database, source_database):
        ask_database(database, lambda: None)
    with resolved.brokers() as brokers:
        reports = {
            destination: hold_against(
                SourceKeys(source_database, destination),
                lambda source_id, name=destination: GroupKeys(  # type: ignore[misc]
                    group_database, planned.group or "", name, source_id
                ),
                _log(brokers, planned.binder, destination),
                limit=limit,
            )
            for destination in planned.destinations
        }
    if as_json:
        print_json({name: _document(report) for name, report in reports.items()})
    else:
        for destination, report in reports.items():
            _show(planned, destination, report)
    fails = WRONG | WAITING if settled else WRONG
    if any(report.counts[state] for report in reports.values() for state in fails):
        raise SystemExit(FAILED)


def _input(target: Target, name: str) -> PlannedBinding:
    known = [each for each in planned_bindings(target) if each.is_input and not each.is_pattern and each.group]
    for each in known:
        if each.name != target.configuration.find_binding(name):
            continue
        if target.configuration.properties.bindings[each.name].consumer.sequence == "ignore":
            raise ConfigurationError(f"{name} has consumer.sequence: ignore: it keeps no numbers to compare")
        if each.positions is False:
            break
        return each
    names = ", ".join(each.name for each in known if each.positions is not False)
    raise ConfigurationError(
        f"{name} is no input that keeps numbers in a database: its listeners take no Session, or it has no group; "
        f"such inputs are: {names or 'none'}"
    )


def _source(text: str) -> Database:
    """
    Raises:
        ConfigurationError: it is neither a URL nor a target with a database.
    """
    if "://" not in text:
        return resolve(text).database()
    database = Database.from_url(text, loop=EventLoop())
    click.get_current_context().call_on_close(database.dispose)
    return database


def _log(brokers: Brokers, binder: str, destination: str) -> Log:
    begins: dict[int, int] = {}

    def ends() -> Mapping[int, int]:
        info = brokers.ask(binder, lambda b: b.describe(destination, BROKER_TIMEOUT_MS))
        if info is None:
            raise DestinationError(f"no destination {destination} at the broker")
        begins.update(info.starts)
        return info.ends

    def read(starts: Mapping[int, int], until: Mapping[int, int]) -> Iterator[Message]:
        for partition, start in starts.items():
            at = max(start, begins.get(partition, 0))
            while at < until[partition]:
                where = {partition: at}
                found = brokers.ask(
                    binder,
                    lambda b, where=where: b.read(destination, where, BROKER_TIMEOUT_MS),  # type: ignore[misc]
                )
                if not found:
                    break  # only a transaction's marker is left
                yield from found
                at = (found[-1].offset or 0) + 1

    return Log(ends, read)


def _show(planned: PlannedBinding, destination: str, report: Report) -> None:
    wrong = sum(report.counts[state] for state in WRONG)
    colour, word = ("red", "not proven") if wrong else ("green", "proven")
    write(
        f"[{colour} bold]{{}}[/]  {{}}: {{}} of source {{}} (epoch {{}}) in group {{}}",
        *(
            word,
            destination,
            count(report.keys, "key"),
            report.source.source_id,
            report.source.epoch,
            planned.group,
        ),
    )
    rows = [(str(state), report.counts[state], MEANINGS.get(state, "")) for state in State if report.counts[state]]
    print_table(("state", "keys", "meaning"), rows, empty="the source has committed nothing to it yet")
    examples = [(state, each) for state in State for each in report.examples.get(state, ())]
    if examples:
        write("")
        columns = ("key", "state", "committed", "applied", "missing")
        print_table(columns, [_row(state, each) for state, each in examples], empty="")


def _row(state: State, example: Example) -> list[object]:
    guarded = example.guarded
    applied = "nothing" if guarded is None else f"{guarded.seq} (epoch {guarded.epoch})"
    return [visible(example.key), str(state), example.given.seq or "nothing", applied, _ranges(example)]


def _ranges(example: Example) -> str:
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in example.verdict.missing)


def _document(report: Report) -> dict[str, object]:
    return {
        "source_id": report.source.source_id,
        "epoch": report.source.epoch,
        "keys": report.keys,
        "proven": not any(report.counts[state] for state in WRONG),
        "counts": {str(state): report.counts[state] for state in State},
        "examples": [
            {
                "key": example.key.decode(errors="backslashreplace"),
                "state": str(state),
                "committed": example.given.seq,
                "applied": None if example.guarded is None else example.guarded.seq,
                "applied_epoch": None if example.guarded is None else example.guarded.epoch,
                "missing": example.verdict.missing,
            }
            for state in State
            for example in report.examples.get(state, ())
        ],
    }
