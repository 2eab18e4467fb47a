"""What is done to failed messages, one transaction after the other, at a rate, or for show."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from streambind.cli.dlq_desk import Desk, Taken
from streambind.cli.output import FAILED, count, err, json_option, print_json, write, write_error
from streambind.errors import LifecycleError
from streambind.inbound.letter import Letter
from streambind.inbound.parked_listing import StoredMessage
from streambind.inbound.parked_messages import ParkedMessages
from streambind.inbound.parked_queues import Queue
from streambind.inbound.replay import Replay
from streambind.message import RawHeaders

T = TypeVar("T")


_WORDS = {
    "keys": ("parked key", "handed to the running service to be tried again; `dlq ls` shows what remains"),
    "replayed": ("letter", "replayed"),
    "skipped": ("message", "left out"),
    "edited": ("message", "changed"),
    "known": ("letter", "dealt with before"),
    "foreign": ("letter", "left alone: not this binding's, or not saying where it came from"),
    "superseded": ("letter", "left alone: later events of the key are done, which it would undo (--force)"),
    "looping": ("letter", "left alone: replayed too often already (--force)"),
    "full": ("letter", "left alone: as much is parked as may be (consumer.parking.*)"),
}


class Deeds:
    """Counts in `done` what was done, or would be in a dry run; `refused` tells what could not be."""

    def __init__(self, *, dry_run: bool, rate: float | None) -> None:
        self.dry_run = dry_run
        self.done: Counter[str] = Counter()
        self.refused: list[str] = []
        self._pause_s = 0.0 if rate is None else 1 / rate
        self._next_at = time.monotonic()

    @property
    def is_undecided(self) -> bool:
        """Whether something was left alone that needs a decision."""
        return bool(self.refused) or any(self.done[each] for each in ("superseded", "looping", "full", "foreign"))

    def lines(self) -> Iterator[str]:
        """What was done, for people."""
        before = "would be: " if self.dry_run else ""
        for name, (noun, what) in _WORDS.items():
            if self.done[name]:
                yield f"{before}{count(self.done[name], noun)} {what}"
        if not +self.done:
            yield "nothing to do"

    def document(self) -> dict[str, Any]:
        """The same for machines."""
        return {"dry_run": self.dry_run, **{name: self.done[name] for name in _WORDS}, "refused": self.refused}

    def retry(self, taken: Taken, *, force: bool, accept_gaps: bool) -> None:
        """Parked keys first; then letters, in the order in which their messages came."""
        desk = taken.desk
        if desk.stored is not None:
            for queue in progressing(sorted(taken.parked), f"retrying keys of {desk.name}"):
                self._wait()
                ids = taken.parked[queue] if accept_gaps else ()
                self.done["keys"] += 1 if self.dry_run else desk.stored.retry([queue], accept_gaps=ids)
        if taken.letters:
            self.replay(desk.require_replay(), taken.letters, f"replaying letters of {desk.name}", force=force)

    def replay(self, replay: Replay, letters: Sequence[Letter], label: str, *, force: bool) -> None:
        """In the order in which the messages came, those of a key together."""
        by_key: dict[object, list[Letter]] = {}
        for letter in sorted(letters, key=_came):
            came = letter.message
            alone = None if came.key is not None else (came.partition, came.offset)
            by_key.setdefault((came.destination, came.key, alone), []).append(letter)
        for together in progressing(list(by_key.values()), label):
            self._wait(len(together))
            self.done.update(replay.replay(together, force=force, dry_run=self.dry_run))

    def skip(self, taken: Taken, *, force: bool) -> None:
        desk = taken.desk
        for queue, ids in progressing(list(taken.parked.items()), f"leaving out of {desk.name}"):
            self._wait()
            if desk.stored is not None:
                if self.dry_run:
                    self.done["skipped"] += len(ids)
                else:
                    self._skip_parked(desk.stored, queue, ids, force=force)
        for letter in progressing(taken.letters, "leaving out letters"):
            self._wait()
            is_new = self.dry_run or desk.require_replay().skip(letter)
            self.done["skipped" if is_new else "known"] += 1

    def _skip_parked(self, stored: ParkedMessages, queue: Queue, ids: Sequence[int], *, force: bool) -> None:
        try:
            stored.skip(queue, ids, force=force, progress=lambda gone: self.done.update(skipped=gone))
        except LifecycleError as error:
            self.refused.append(str(error))  # The others are left out all the same.

    def edit(self, desk: Desk, stored: StoredMessage, payload: bytes, headers: RawHeaders | None) -> None:
        if desk.stored is not None and not self.dry_run:
            desk.stored.edit(stored, payload=payload, headers=headers)
        self.done["edited"] += 1

    def _wait(self, number: int = 1) -> None:
        if not self.dry_run and self._pause_s:
            time.sleep(max(0.0, self._next_at - time.monotonic()))
            self._next_at = max(self._next_at, time.monotonic()) + self._pause_s * number


@contextmanager
def reported(deeds: Deeds, as_json: bool) -> Iterator[Deeds]:
    """Say what was done, also when it ends in the middle; exit code 1 if something needs a decision."""
    try:
        yield deeds
    except BaseException:
        if +deeds.done:
            write_error(f"it ended in the middle; until then: {'; '.join(deeds.lines())}")
        raise
    if as_json:
        print_json(deeds.document())
    else:
        for text in deeds.lines():
            write("{}", text)
    for text in deeds.refused:
        write_error(text)
    if deeds.is_undecided:
        raise SystemExit(FAILED)


def progressing(items: Sequence[T], label: str) -> Iterator[T]:
    """The items, with a bar on a terminal if there are many."""
    if len(items) < 100 or not err.is_terminal:
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar


def _came(letter: Letter) -> tuple[str, int, int]:
    came = letter.message
    return (came.destination or "", came.partition or 0, came.offset or 0)


def changing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of what changes something."""
    for option in (
        json_option,
        click.option("--by", metavar="NAME", help="Who does it; without it user@host."),
        click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many per second."),
        click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing."),
    ):
        command = option(command)
    return command
