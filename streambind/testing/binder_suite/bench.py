"""The work bench of one test: binders, bindings and messages, all cleared away at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from streambind.binding.binder import (
    Binder,
    ConsumerTarget,
    Lane,
    Positions,
    ProducerBinding,
    ProducerTarget,
)
from streambind.binding.outcome import Sent
from streambind.configuration.properties import ConsumerProperties, ProducerProperties
from streambind.errors import BrokerUnavailableError
from streambind.message import Message
from streambind.testing.binder_suite.harness import BinderHarness
from streambind.testing.binder_suite.input import Decide, Input, Running, all_done
from streambind.testing.eventually import eventually

TIMEOUT_MS = 10_000
QUESTION_MS = 2000


class Bench:
    """Made from a harness; `close` clears away and fails if a rule that always holds was broken. `main` is the
    binder that is used unless a test asks for another one."""

    def __init__(self, harness: BinderHarness) -> None:
        self.harness = harness
        self._running = Running()
        self.main = harness.binder()
        self._binders = [self.main]
        self._inputs: list[Input] = []
        self._outputs: dict[str, ProducerBinding] = {}
        self._gates: list[threading.Event] = []
        self._broken = False

    def binder(self) -> Binder:
        """One more binder, as another process would have."""
        self._binders.append(self.harness.binder())
        return self._binders[-1]

    def needs(self, *names: str) -> None:
        """Skip the test unless the binder or the harness offers all of these."""
        capabilities = self.main.capabilities
        for name in names:
            offered = getattr(capabilities, name, None)
            if not (offered if offered is not None else name in self.harness.abilities):
                pytest.skip(f"the binder under test does not offer: {name}")

    def destination(self, partitions: int = 1) -> str:
        """A destination of this test's own."""
        if partitions > 1:
            self.needs("partitions")
        name = self.harness.fresh_name("suite")
        self.harness.create(name, partitions)
        return name

    def group(self) -> str:
        return self.harness.fresh_name("group")

    def gate(self) -> threading.Event:
        """An event for handlers to wait for; set at the end of the test in any case."""
        self._gates.append(threading.Event())
        return self._gates[-1]

    def input(
        self,
        destinations: str | Sequence[str],
        decide: Decide = all_done,
        *,
        group: str | None = None,
        anonymous: bool = False,
        concurrency: int = 1,
        positions: Positions | None = None,
        binder: Binder | None = None,
        moves: bool = False,
        joins: bool = False,
        limit: int | None = None,
        **settings: object,
    ) -> Input:
        """Bind an input; `group` None is a group of its own. `settings` are the binder's consumer properties."""
        names = (destinations,) if isinstance(destinations, str) else tuple(destinations)
        group = None if anonymous else group or self.group()
        it = Input(group or self.harness.fresh_name("anonymous"), decide, self._running, moves=moves)
        target = ConsumerTarget(
            binding=f"in-{names[0]}",
            destinations=names,
            group=group,
            properties=ConsumerProperties(concurrency=concurrency),
            extended=self.harness.consumer_properties(**settings),
            positions=positions,
            batch=limit,
            joins=joins,
            readers=(it.reader,),
        )
        it.binding = (binder or self.main).bind_consumer(target, it)
        self._inputs.append(it)
        return it

    def ready(self, it: Input, destination: str, partitions: Iterable[int] = (0,)) -> None:
        """Wait until exactly these partitions of the destination are assigned and their positions known."""
        wanted = {Lane(destination, partition) for partition in partitions}
        self.eventually(
            lambda: {lane for lane in it.ready() if lane.destination == destination} == wanted,
            lambda: (
                f"assigned are {it.binding.partitions()}, expected {sorted(lane.partition for lane in wanted)}"
            ),
        )

    def output(
        self,
        destination: str,
        *,
        timeout_ms: int | None = TIMEOUT_MS,
        fence: str | None = None,
        binder: Binder | None = None,
    ) -> ProducerBinding:
        """Bind an output that waits no longer than `timeout_ms`."""
        target = ProducerTarget(
            binding=f"out-{destination}",
            destination=destination,
            properties=ProducerProperties(),
            extended=self.harness.producer_properties(),
            timeout_ms=timeout_ms,
            fence=fence,
        )
        return (binder or self.main).bind_producer(target)

    def send(self, destination: str, *messages: Message | bytes, partition: int | None = None) -> list[Sent]:
        """Send through an output kept for the test; every message must be Sent. Bytes are a payload."""
        if destination not in self._outputs:
            self._outputs[destination] = self.output(destination)
        batch = [m if isinstance(m, Message) else Message(m, partition=partition) for m in messages]
        results = self._outputs[destination].send(batch)
        sent = [result for result in results if isinstance(result, Sent)]
        assert len(sent) == len(results) == len(batch), f"not everything was sent: {results}"
        return sent

    def eventually(self, condition: Callable[[], object], describe: Callable[[], str] | str) -> None:
        eventually(condition, self.harness.within_s, describe)

    def handled(self, it: Input, payloads: Sequence[bytes | None]) -> None:
        """Wait until as many messages are done, then these must be the ones, in this order."""
        self.eventually(
            lambda: len(it.done) >= len(payloads),
            lambda: f"{len(it.done)} of {len(payloads)} messages done; {self._state(it)}",
        )
        assert it.payloads() == list(payloads)

    def committed(self, group: str, destination: str, offsets: Mapping[int, int]) -> None:
        """Wait until the broker knows these offsets of the group, and no others."""
        self.needs("groups")
        seen: list[object] = [None]

        def as_expected() -> bool:
            try:
                seen[0] = dict(self.main.committed(group, destination, QUESTION_MS))
            except BrokerUnavailableError as away:  # worth another try
                seen[0] = away
            return seen[0] == dict(offsets)

        self.eventually(as_expected, lambda: f"committed are {seen[0]}, expected {offsets}")

    def time_passes(self, rounds: int = 5) -> None:
        """Let messages of another destination go through the broker, one after the other: long enough for a
        binding to deliver what it should not."""
        destination = self.destination()
        witness = self.input(destination)
        self.ready(witness, destination)
        for number in range(1, rounds + 1):
            self.send(destination, b"round")
            self.handled(witness, [b"round"] * number)
        witness.unbind()

    def break_broker(self) -> None:
        self.needs("outages")
        self._broken = True
        self.harness.break_broker()

    def heal_broker(self) -> None:
        self.harness.heal_broker()

    def close(self) -> None:
        """Clear away.

        Raises:
            AssertionError: a rule that holds in every test was broken.
        """
        for gate in self._gates:
            gate.set()
        if self._broken:
            self.harness.heal_broker()
        with ThreadPoolExecutor() as pool:  # members of one group leave faster together
            list(pool.map(Input.unbind, self._inputs))
        for binder in self._binders:
            binder.close(TIMEOUT_MS)
        violations = [violation for it in self._inputs for violation in it.violations]
        assert not violations, "\n".join(violations[:20])

    @staticmethod
    def _state(it: Input) -> str:
        return f"partitions: {it.binding.partitions()}, last error: {it.binding.last_error()}"
