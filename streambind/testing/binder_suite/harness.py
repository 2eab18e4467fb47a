"""What the author of a binder tells the suite about it."""

from __future__ import annotations

from uuid import uuid4

from streambind.binding.binder import Binder
from streambind.binding.binder_type import BinderType
from streambind.configuration.properties import Properties


class BinderHarness:
    """Subclass it, answer what has no answer here, and return it from a fixture named `harness`.

    What the broker can do is read from the binder's `capabilities`; what the harness itself can do to the
    broker, it says in `abilities`, and implements the methods that belong to them:

    - `outages`: `break_broker`, `heal_broker`: in between nobody reaches it; nothing that it holds is lost;
    - `retention`: `delete_records`;
    - `holes`: `leave_hole`;
    - `replacement`: `make_anew`;
    - `compaction`: `make_compacted`;
    - `times`: nothing to implement: the broker finds messages by their time;
    - `shut-out`: nothing to implement: the broker itself shuts a fenced output out, not only its client;
    - `java-partitions`: nothing to implement: a key's partition is the one that a Java Kafka producer picks.
    """

    binder_type: BinderType
    abilities: frozenset[str] = frozenset()
    within_s: float = 10.0
    """How long a test waits for what should happen; a rebalance must fit in."""
    send_timeout_ms: int = 2000
    """How long a first send takes at most, connecting included; shorter than `within_s`."""
    max_batch: int | None = None
    """The most messages that a batch may hold with `consumer_properties()`; None if nothing bounds it."""

    def binder(self) -> Binder:
        """A new binder on the one broker; the suite closes it."""
        raise NotImplementedError

    def create(self, destination: str, partitions: int) -> None:
        """Make a destination that does not exist yet."""
        raise NotImplementedError

    def fresh_name(self, prefix: str) -> str:
        """A name that nobody has used on this broker."""
        return f"{prefix}-{uuid4().hex[:12]}"

    def consumer_properties(self, **settings: object) -> Properties:
        """The binder's own consumer properties; `settings` are Spring's names (`startOffset`)."""
        return self.binder_type.consumer_properties.model_validate(settings)

    def producer_properties(self) -> Properties:
        return self.binder_type.producer_properties.model_validate({})

    def break_broker(self) -> None:
        raise NotImplementedError

    def heal_broker(self) -> None:
        """Called after every test that broke the broker, also when it is up already."""
        raise NotImplementedError

    def delete_records(self, destination: str, partition: int, before: int) -> None:
        """Make the broker forget the partition's messages before an offset; return when it has."""
        raise NotImplementedError

    def make_anew(self, destination: str) -> None:
        """Delete the destination and make it again with one partition; return when it can be used."""
        raise NotImplementedError

    def make_compacted(self, destination: str) -> None:
        """From now on the broker may drop a message of the destination that a later one of its key follows."""
        raise NotImplementedError

    def leave_hole(self, destination: str, partition: int) -> None:
        """Use up at least one offset of the partition without a message (a transaction marker does)."""
        raise NotImplementedError
