"""Messages that were replayed to a group through a destination of its own: told by headers, and seen by listeners
as they came first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from streambind.batch_view import BatchView
from streambind.binding.binder import Deliver
from streambind.binding.outcome import Outcome
from streambind.inbound.letter_headers import REPLAY, REPLAY_BY, REPLAY_CAME_FROM, REPLAY_COUNT, REPLAY_LETTER
from streambind.inbound.replay import LetterPlace
from streambind.message import Batch, Message, RawHeaders


@dataclass(frozen=True, slots=True)
class ReplayMark:
    """What the headers of a replayed message tell: which `letter` it was, where the message `came_from` at first,
    how often it has been replayed, and by whom."""

    letter: LetterPlace
    came_from: LetterPlace
    count: int
    by: str

    def put_on(self, headers: RawHeaders) -> list[tuple[str, bytes | None]]:
        """The headers with this mark, and no other."""
        return [
            *((name, value) for name, value in headers if not name.startswith(REPLAY)),
            (REPLAY_LETTER, _written(self.letter)),
            (REPLAY_CAME_FROM, _written(self.came_from)),
            (REPLAY_COUNT, b"%d" % self.count),
            (REPLAY_BY, self.by.encode(errors="replace")),
        ]


def replay_mark(headers: RawHeaders) -> ReplayMark | None:
    """The mark that the headers carry; None if there is none that can be read."""
    letter, came_from = _read(_text(headers, REPLAY_LETTER)), _read(_text(headers, REPLAY_CAME_FROM))
    count = _text(headers, REPLAY_COUNT)
    if letter is None or came_from is None or not _is_number(count):
        return None
    return ReplayMark(letter, came_from, int(count), _text(headers, REPLAY_BY))


def delivers_replays(deliver: Deliver, replays: Mapping[str, str]) -> Deliver:
    """`deliver`, for a binding that gets the replays of its destinations, the keys, through others, the values.
    Marks elsewhere, and those of other destinations, mean nothing: anyone could have written them."""
    sources = {through: source for source, through in replays.items()}

    def deliver_all(batch: Batch) -> Outcome:
        source = sources.get(batch.destination)
        return deliver(batch if source is None else cast(Batch, _ReplayedBatch(batch, source)))

    return deliver_all


class _ReplayedBatch(BatchView):
    """A batch whose messages name the places that they came from first."""

    def __init__(self, batch: Batch, source: str) -> None:
        super().__init__(batch)
        self._source = source

    def message(self, i: int) -> Message:
        message = self._batch.message(i)
        mark = replay_mark(message.raw_headers)
        if mark is not None and mark.came_from[0] == self._source:
            message.destination, message.partition, message.offset, message.timestamp_ms = mark.came_from
        return message


def _written(place: LetterPlace) -> bytes:
    return "/".join(map(str, place)).encode()


def _text(headers: RawHeaders, name: str) -> str:
    value = next((value for found, value in reversed(headers) if found == name), None)
    return (value or b"").decode(errors="replace")


def _read(text: str) -> LetterPlace | None:
    destination, *numbers = text.rsplit("/", 3)
    if not destination or len(numbers) != 3 or not all(map(_is_number, numbers)):
        return None
    partition, offset, timestamp_ms = map(int, numbers)
    return (destination, partition, offset, timestamp_ms) if partition < 2**31 else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
