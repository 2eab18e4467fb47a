"""`streambind positions reset`: letting a group go on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import click

from streambind.binding.binder import Lane as Place
from streambind.cli.failures import half_done
from streambind.cli.output import count, json_option, print_json, write
from streambind.cli.plan import PlannedBinding, inputs_with_group
from streambind.cli.progress import Lane, Progress, measured
from streambind.cli.target import BROKER_TIMEOUT_MS, Brokers, Target, database_named, resolve
from streambind.errors import DestinationError, LifecycleError
from streambind.inbound.stored_positions import Reset, StoredPosition, reset_position, same_place
from streambind.persistence.database import Database

_UNTOLD = (
    "the broker cannot tell whether an instance works on these partitions: make sure that none does, "
    "then use --force"
)


@dataclass(frozen=True)
class Move:
    """What is to become of one partition's position. `word`: what was asked for. `holder`: who works on it."""

    lane: Lane
    offset: int
    word: str
    holder: str | None = None

    @property
    def name(self) -> str:
        return f"{self.lane.destination}[{self.lane.partition}]"

    @property
    def skips(self) -> bool:
        before = self.lane.done_to
        return self.lane.lost is not None or (before is not None and self.offset > before)

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
            number = before - self.offset
            again = f"{count(number, 'message')} {'comes' if number == 1 else 'come'} again"
            return f"{again}; numbers applied already are passed over" if lane.by_database else again
        return "stays"

    def from_where_it_is(self, found: StoredPosition | None) -> Move:
        """The same move of a position that has moved since it was looked at."""
        if found is None or same_place(found, self.lane.position):
            return self
        # What was the end may have been passed: nobody asks for messages to come again.
        offset = max(self.offset, found.offset) if self.word == "latest" else self.offset
        end = max(self.lane.end, found.offset) if self.lane.lost is None else self.lane.end
        return replace(self, lane=replace(self.lane, position=found, end=end), offset=offset)


@click.command()
@click.argument("target")
@click.argument("binding")
@click.option(
    "--to", "to", required=True, help="earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z."
)
@click.option("--partition", type=int, multiple=True, help="Only this one, or these; else all.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--force", is_flag=True, help="Although an instance works on the partition.")
@json_option
def reset(
    target: str, binding: str, to: str, partition: tuple[int, ...], dry_run: bool, force: bool, as_json: bool
) -> None:
    """Let BINDING go on elsewhere: the remedy of a lost position.

    What is left out is never handled: of each key the next number is applied although others are missing. What
    comes again and was applied already is passed over by its number.

    Stop the instances first. With --force a position in the database is moved while they work: what they have in
    hand is done before, then they go on at the new position, with their next message or within half a minute. A
    position at the broker can only be moved while none runs, and what comes again is handled again.

    \b
    Examples:
      streambind positions reset config/lecture in-a --to earliest --dry-run
      streambind positions reset config/lecture in-a --to 1500 --partition 3

    Exit code 1 if a position moved meanwhile or an instance works on it, 3 if the broker or the database does not
    answer.
    """
    resolved = resolve(target)
    (planned,) = inputs_with_group(resolved, binding)
    (measure,) = measured(resolved, [planned])
    with resolved.brokers() as brokers:
        moves = _moves(brokers, measure, to, partition)
        held = _held(brokers, planned, [move.lane for move in moves])
    moves = [replace(m, holder=(held or {}).get((m.lane.destination, m.lane.partition))) for m in moves]
    done: list[Move] = []
    obstacle = _obstacle(measure, held, force=force)
    try:
        if not as_json:
            _show(moves)
        if not dry_run:
            if obstacle is not None:
                raise LifecycleError(obstacle)
            with half_done(lambda: None if as_json or not done else f"moved by then: {_names(done)}"):
                for move in _moved(resolved, planned, moves, force=force, by_database=measure.by_database):
                    done.append(move)
    finally:
        if as_json:
            print_json(_document(measure, moves, done, held, dry_run=dry_run))
    if as_json:
        return
    if dry_run and obstacle is not None:
        write("[red bold]would be refused[/]  {}", obstacle)
    if not dry_run:
        _show_done(moves, done)


def _obstacle(measure: Progress, held: dict[tuple[str, int], str] | None, *, force: bool) -> str | None:
    """Why nothing may be moved: an instance works on a partition, or nobody can tell, and `force` does not say
    that it may be."""
    if force and (measure.by_database or not held):
        return None
    if held is None:
        return _UNTOLD
    if not held:
        return None
    who = f"instances of group {measure.binding.group} work on these partitions: stop them"
    if not measure.by_database:
        return f"{who}; a position at the broker can only be moved while none runs"
    return (
        f"{who}, or use --force: what they have in hand is done before the position moves, then they go on there"
    )


def _moved(
    target: Target, planned: PlannedBinding, moves: Sequence[Move], *, force: bool, by_database: bool
) -> Iterator[Move]:
    """Move the positions; each of these once it has moved.

    Raises:
        LifecycleError: one moved meanwhile.
    """
    if not by_database:
        yield from _reported(target, planned, moves)
        return
    database, group = target.database(), planned.group or ""
    done: list[Move] = []
    with database_named(database):
        for move in moves:
            if (moved := _carried_out(database, group, move, force=force)) is not None:
                done.append(moved)
                yield moved
    if len(done) < len(moves):
        raise LifecycleError(
            f"moved: {_names(done) or 'nothing'}; the other positions moved meanwhile: "
            "an instance works on them. Look with `streambind positions show`, and try again"
        )


def _names(moves: Sequence[Move]) -> str:
    return ", ".join(move.name for move in moves)


def _carried_out(database: Database, group: str, move: Move, *, force: bool) -> Move | None:
    """The move as it was made; None if the position was elsewhere, and `force` does not say that it may be."""
    made: list[Move] = []

    def to(found: StoredPosition | None) -> Reset | None:
        if not force and not same_place(found, move.lane.position):
            return None
        now = move.from_where_it_is(found)
        made.append(now)
        word = "latest" if now.offset == now.lane.end else "offset"
        return Reset(now.offset, word, now.lane.identity, now.skips)

    place = Place(move.lane.destination, move.lane.partition)
    return made[-1] if reset_position(database, group, place, to) else None


def _reported(target: Target, planned: PlannedBinding, moves: Sequence[Move]) -> Iterator[Move]:
    """Move what the group has reported to the broker."""
    by_destination: dict[str, list[Move]] = {}
    for move in moves:
        by_destination.setdefault(move.lane.destination, []).append(move)
    group = planned.group or ""
    with target.brokers() as brokers:
        for name, each in by_destination.items():
            offsets = {move.lane.partition: move.offset for move in each}
            brokers.ask(planned.binder, lambda b, n=name, o=offsets: b.commit(group, n, o, BROKER_TIMEOUT_MS))  # type: ignore[misc]
            yield from each


def _moves(brokers: Brokers, measure: Progress, to: str, partitions: tuple[int, ...]) -> list[Move]:
    lanes = [lane for lane in measure.lanes if not partitions or lane.partition in partitions]
    if not lanes or set(partitions) - {lane.partition for lane in lanes}:
        missing = ", ".join(measure.missing) or ", ".join(measure.binding.destinations)
        raise DestinationError(f"nothing to reset: {missing} does not exist, or has no such partition")
    return [Move(lane, _goal(brokers, measure.binding, lane, to), to) for lane in lanes]


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


def _show(moves: Sequence[Move]) -> None:
    for move in moves:
        holder = f" (held by {move.holder})" if move.holder else ""
        write("{}: {} -> {}: {}{}", move.name, move.lane.done_to, move.offset, move.says, holder)


def _show_done(moves: Sequence[Move], done: Sequence[Move]) -> None:
    for before, move in zip(moves, done, strict=True):
        if not same_place(before.lane.position, move.lane.position):
            write("{} was at {} by then: {}", move.name, move.lane.done_to, move.says)
    write("moved {}", count(len(done), "position"))
    if any(move.holder for move in done):
        write("instances at work go on there with their next message, or within half a minute")


def _document(
    measure: Progress,
    moves: Sequence[Move],
    done: Sequence[Move],
    held: dict[tuple[str, int], str] | None,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    made = {move.name: move for move in done}
    return {
        "binding": measure.binding.name,
        "group": measure.binding.group,
        "positions_in": "database" if measure.by_database else "broker",
        "dry_run": dry_run,
        "holders_known": held is not None,
        "partitions": [
            {
                "destination": move.lane.destination,
                "partition": move.lane.partition,
                "position": move.lane.done_to,
                "to": move.offset,
                "effect": move.says,
                "held_by": move.holder,
                "moved": move.name in made,
            }
            for move in (made.get(each.name, each) for each in moves)
        ],
    }
