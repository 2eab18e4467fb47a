"""The `sb-origin` header: which database an event comes from, and its number among the events of its key."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

_FORMAT = "1"

MAX_SOURCE_LENGTH = 36
"""A UUID's text."""

MAX_EPOCH = 2**31 - 1

_MAX_BYTES = 1_100
"""Of an origin, with a destination of 249 characters. Anyone may write more, and what was read is remembered."""


class Source(NamedTuple):
    """What the events of one source to one destination have in common, in one epoch: many events, one object."""

    source_id: str
    epoch: int
    destination: str


class Origin(NamedTuple):
    """`1/<source-id>/<epoch>/<destination>/<seq>`; the first 1 is the format's version.

    `seq` counts the events of one key to one destination, dense from 1. `epoch` starts at 1 and is raised
    after a restore of the source's database.
    """

    source_id: str
    epoch: int
    destination: str
    seq: int

    def __str__(self) -> str:
        return f"{_FORMAT}/{self.source_id}/{self.epoch}/{self.destination}/{self.seq}"

    @staticmethod
    def parse(text: str) -> Origin | None:
        """The origin in a header's text; None for anything that is not one."""
        read = read_origin(text.encode(errors="surrogatepass"))
        return None if read is None else Origin(*read[0], read[1])


def read_origin(data: bytes) -> tuple[Source, int] | None:
    """The source and the number in a header's value; None for anything that is not an origin. A record may carry
    any bytes: source, epoch and number of an origin fit their columns."""
    if len(data) > _MAX_BYTES:
        return None
    chain, _, seq = data.rpartition(b"/")
    source = _source(chain)
    return None if source is None or not _is_count(seq) else (source, int(seq))


@lru_cache(maxsize=256)
def _source(data: bytes) -> Source | None:
    try:
        version, source_id, epoch, destination = data.decode().split("/")
    except ValueError:
        return None
    if version != _FORMAT or not destination or not _is_count(epoch.encode()):
        return None
    if not _is_source(source_id) or int(epoch) > MAX_EPOCH:
        return None
    return Source(source_id, int(epoch), destination)


def _is_source(text: str) -> bool:
    return 0 < len(text) <= MAX_SOURCE_LENGTH and text.isascii() and text.isprintable()


def _is_count(digits: bytes) -> bool:
    """A positive number that fits a 64-bit column."""
    return digits.isdigit() and len(digits) <= 18 and not digits.startswith(b"0")
