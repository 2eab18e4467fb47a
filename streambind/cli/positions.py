"""`streambind positions`: where the groups stand, in the database or at the broker, and moving them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import click

from streambind.binding.binder import Lane as Place
from streambind.cli.output import FAILED, age, count, json_option, print_json, print_table, write
from streambind.cli.plan import PlannedBinding, planned_bindings
from streambind.cli.progress import Lane, Progress, measured
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, database_named, resolve
from streambind.errors import ConfigurationError, DestinationError, LifecycleError
from streambind.inbound.stored_positions import Reset, reset_position

_UNTOLD = (
    "the broker cannot tell whether an instance works on these partitions: make sure that none does, "
    "then use --force"
)


@click.group()
def positions() -> None:
    """Where the groups stand, and moving them.

    Where a listener takes a session, or a replica is kept, the position
    is in the database, else it is what the group has reported to the
    broker.

    TARGET of every command is a configuration folder or file, or
    module:attribute.
    """


@positions.command()
@click.argument("target")
@click.argument("binding", required=False)
@json_option
def show(target: str, binding: str | None, as_json: bool) -> None:
    """Show each position beside what the broker holds, of all inputs with a group or of one BINDING.

    \b
    Example:
      streambind positions show config/lecture

    Exit code 1 if a position means nothing any more, 3 if the broker or the database does not answer.
    """
    resolved = resolve(target)
    inputs = measured(resolved, _inputs(resolved, binding))
    lanes = [(measure, lane) for measure in inputs for lane in measure.lanes]
    if as_json:
        print_json([_document(measure, lane) for measure, lane in lanes])
    else:
        columns = ("binding", "partition", "group", "position", "in", "log", "lag", "moved", "state")
        print_table(columns, [_row(*each) for each in lanes], empty="no input has a group")
        for _, lane in lanes:
            if lane.lost is not None:
                write("\n[red]{}[/]", lane.lost)
    if any(lane.lost for _, lane in lanes):
        raise SystemExit(FAILED)


@dataclass(frozen=True)
class Move:
    """What is to become of one partition's position."""

    lane: Lane
    offset: int
    skips: bool

    @property
    def says(self) -> str:
        before, lane = self.lane.done_to, self.lane
        if before is None:
            return "has no position yet"
        if lane.lost is not None and lane.lost.startswith("DestinationReplacedError"):
            return "leaves out what the replaced destination still held"
        if self.offset > before:
            gone = max(0, min(lane.start, self.offset) - before)
            text = f"leaves out {count(self.offset - before - gone, 'message')}"
            return f"{text}, {gone} more are lost already" if gone else text
        if before > lane.end:
            return "goes on within the log"
        if self.offset < before:
            again = f"comes again to {count(before - self.offset, 'message')}"
            return f"{again}; numbers applied already are passed over" if lane.by_database else again
        return "stays"


@positions.command()
@click.argument("target")
@click.argument("binding")
@click.option(
    "--to", "to", required=True, help="earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z."
)
@click.option("--partition", type=int, multiple=True, help="Only this one, or these; else all.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--force", is_flag=True, help="Although an instance works on the partition.")
def reset(target: str, binding: str, to: str, partition: tuple[int, ...], dry_run: bool, force: bool) -> None:
    """Let BINDING go on elsewhere: the remedy of a lost position.

    What is left out is never handled: of each key the next number is applied although others are missing. What
    comes again and was applied already is passed over by its number. Instances that run notice within half a
    minute, and at their next message; stop them first, or use --force. A position at the broker can only be moved
    while none runs, and what comes again is handled again.

    \b
    Examples:
      streambind positions reset config/lecture in-a --to earliest --dry-run
      streambind positions reset config/lecture in-a --to 1500 --partition 3

    Exit code 1 if a position moved meanwhile or an instance works on it, 3 if the broker or the database does not
    answer.
    """
    resolved = resolve(target)
    (planned,) = _inputs(resolved, binding)
    (measure,) = measured(resolved, [planned])
    with resolved.brokers() as brokers:
        moves = _moves(brokers, measure, to, partition)
        held = {} if force else _held(brokers, planned, [move.lane for move in moves])
    for move in moves:
        lane = f"{move.lane.destination}[{move.lane.partition}]"
        owner = (held or {}).get((move.lane.destination, move.lane.partition))
        write(
            "{}: {} -> {}: {}{}",
            lane,
            move.lane.done_to,
            move.offset,
            move.says,
            f" (held by {owner})" if owner else "",
        )
    if dry_run:
        if held is None:
            write("note: {}", _UNTOLD)
        return
    if held is None:
        raise LifecycleError(_UNTOLD)
    if held:
        raise LifecycleError(
            f"instances of group {planned.group} work on these partitions: stop them, or use --force: their next "
            "transaction is refused then, and they go on at the new position"
        )
    if measure.by_database:
        _carry_out(resolved, planned, moves)
    else:
        _report(resolved, planned, moves)


def _report(target: Target, planned: PlannedBinding, moves: list[Move]) -> None:
    """Move what the group has reported to the broker."""
    by_destination: dict[str, dict[int, int]] = {}
    for move in moves:
        by_destination.setdefault(move.lane.destination, {})[move.lane.partition] = move.offset
    group = planned.group or ""
    with target.brokers() as brokers:
        for name, offsets in by_destination.items():
            brokers.ask(planned.binder, lambda b, n=name, o=offsets: b.commit(group, n, o, BROKER_TIMEOUT_MS))  # type: ignore[misc]
    write("moved {}", count(len(moves), "position"))


def _carry_out(target: Target, planned: PlannedBinding, moves: list[Move]) -> None:
    database = target.database()
    moved = []
    with database_named(database):
        for move in moves:
            lane = Place(move.lane.destination, move.lane.partition)
            word = "latest" if move.offset == move.lane.end else "offset"
            goal = Reset(move.offset, word, move.lane.identity, move.skips)
            if reset_position(database, planned.group or "", lane, seen=move.lane.position, to=goal):
                moved.append(f"{lane.destination}[{lane.partition}]")
    if len(moved) < len(moves):
        raise LifecycleError(
            f"moved: {', '.join(moved) or 'nothing'}; the other positions moved meanwhile: an instance works on "
            "them. Look with `streambind positions show`, and try again"
        )
    write("moved {}", count(len(moved), "position"))


def _inputs(target: Target, name: str | None) -> list[PlannedBinding]:
    inputs = [each for each in planned_bindings(target) if each.is_input and not each.is_pattern and each.group]
    if name is None:
        return inputs
    chosen = [each for each in inputs if each.name == target.configuration.find_binding(name)]
    if not chosen:
        known = ", ".join(each.name for each in inputs)
        raise ConfigurationError(f"{name} is no input with a group; such are: {known or 'none'}")
    return chosen


def _moves(brokers: Brokers, measure: Progress, to: str, partitions: tuple[int, ...]) -> list[Move]:
    lanes = [lane for lane in measure.lanes if not partitions or lane.partition in partitions]
    if not lanes or set(partitions) - {lane.partition for lane in lanes}:
        missing = ", ".join(measure.missing) or ", ".join(measure.binding.destinations)
        raise DestinationError(f"nothing to reset: {missing} does not exist, or has no such partition")
    return [_move(lane, _goal(brokers, measure.binding, lane, to)) for lane in lanes]


def _move(lane: Lane, offset: int) -> Move:
    lost = lane.lost is not None
    return Move(lane, offset, skips=lost or (lane.done_to is not None and offset > lane.done_to))


def _goal(brokers: Brokers, binding: PlannedBinding, lane: Lane, to: str) -> int:
    if to in ("earliest", "latest"):
        return lane.start if to == "earliest" else lane.end
    if to.isascii() and to.isdigit():
        if not lane.start <= int(to) <= lane.end:
            raise DestinationError(
                f"{lane.destination}[{lane.partition}] has {lane.start} to {lane.end}, not {to}; nothing was moved"
            )
        return int(to)
    try:
        moment = datetime.fromisoformat(to)
    except ValueError as error:
        raise click.BadParameter(
            f"{to!r} is neither earliest, latest, an offset nor a time such as 2026-01-31T12:00:00Z",
            param_hint="--to",
        ) from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since_ms = round(moment.timestamp() * 1000)
    offsets = brokers.ask(binding.binder, lambda b: b.offsets_at(lane.destination, since_ms, BROKER_TIMEOUT_MS))
    return offsets[lane.partition]


def _held(brokers: Brokers, binding: PlannedBinding, lanes: list[Lane]) -> dict[tuple[str, int], str] | None:
    """Who works on which of these partitions; None if the broker cannot tell."""
    group = binding.group or ""
    held: dict[tuple[str, int], str] = {}
    for destination in sorted({lane.destination for lane in lanes}):
        name = destination
        owners = brokers.ask(binding.binder, lambda b, name=name: b.owners(group, name, BROKER_TIMEOUT_MS))  # type: ignore[misc]
        if owners is None:
            return None
        wanted = {lane.partition for lane in lanes if lane.destination == destination}
        held |= {(destination, number): who for number, who in owners.items() if number in wanted}
    return held


def _row(measure: Progress, lane: Lane) -> list[object]:
    return [
        measure.binding.name,
        f"{lane.destination}[{lane.partition}]",
        measure.binding.group,
        "none" if lane.done_to is None else lane.done_to,
        "database" if lane.by_database else "broker",
        f"{lane.start}..{lane.end}",
        "unknown" if lane.lag is None else lane.lag,
        None if lane.position is None else f"{age(lane.position.age_ms)} ago",
        "ok" if lane.lost is None else lane.lost.partition(":")[0],
    ]


def _document(measure: Progress, lane: Lane) -> dict[str, object]:
    return {
        "binding": measure.binding.name,
        "group": measure.binding.group,
        "destination": lane.destination,
        "partition": lane.partition,
        "position": lane.done_to,
        "positions_in": "database" if lane.by_database else "broker",
        "start": lane.start,
        "end": lane.end,
        "lag": lane.lag,
        "moved_ms_ago": None if lane.position is None else lane.position.age_ms,
        "lost": lane.lost,
    }
