"""Bindings and their service, over handles that do nothing but remember."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from streambind.binding.binder import PartitionState
from streambind.binding.binding import BindingState, DirectProducer, InputBinding, OutputBinding
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.binding.service import BindingService
from streambind.errors import BrokerUnavailableError, ConfigurationError, DestinationError, LifecycleError
from streambind.message import Message
from streambind.testing.eventually import eventually

events: list[str] = []


services: list[BindingService] = []


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Nothing of a test goes on behind the next one: a service that tries again has a thread."""
    events.clear()
    yield
    while services:
        service = services.pop()
        service.stop_inputs(1000)
        service.stop_outputs(1000)


class Consumer:
    def __init__(self, name: str) -> None:
        self.name = name
        events.append(f"bind {name}")

    def pause(self) -> None:
        events.append(f"pause {self.name}")

    def resume(self) -> None:
        events.append(f"resume {self.name}")

    def partitions(self) -> Sequence[PartitionState]:
        return ()

    def last_error(self) -> str | None:
        return "one message failed"

    def unbind(self, timeout_ms: int) -> None:
        events.append(f"unbind {self.name}")


class Producer:
    def __init__(self, name: str) -> None:
        self.name = name
        events.append(f"bind {name}")

    def send(self, messages: Sequence[Message]) -> list[Sent | Failed | Unknown]:
        return [Sent(0, offset) for offset in range(len(messages))]

    def max_payload_bytes(self) -> int | None:
        return 1000

    def purge(self) -> None:
        events.append(f"purge {self.name}")

    def unbind(self, timeout_ms: int) -> None:
        events.append(f"unbind {self.name}")


def _input(name: str, bind: Callable[[], Consumer] | None = None) -> InputBinding:
    return InputBinding(name, bind or (lambda: Consumer(name)), destination="t", binder="memory", group="CGR-x")


def _output(name: str, bind: Callable[[], Producer] | None = None) -> OutputBinding:
    return OutputBinding(name, bind or (lambda: Producer(name)), destination="t", binder="memory")


def _service(
    outputs: Sequence[OutputBinding], inputs: Sequence[InputBinding], retry_interval_s: float = 0.01
) -> BindingService:
    services.append(BindingService(outputs, inputs, retry_interval_s=retry_interval_s))
    return services[-1]


def test_outputs_start_first_and_inputs_stop_first() -> None:
    service = _service([_output("out-a"), _output("out-b")], [_input("in-c"), _input("in-d")])

    service.start(["out-a", "out-b", "in-c", "in-d"])
    service.stop_inputs(1000)
    service.stop_outputs(1000)

    assert events == [
        *("bind out-a", "bind out-b", "bind in-c", "bind in-d"),
        *("unbind in-d", "unbind in-c", "unbind out-b", "unbind out-a"),
    ]


def test_a_binding_waits_while_the_broker_is_away_and_starts_once_it_is_back() -> None:
    back, bound = threading.Event(), threading.Event()

    def bind() -> Consumer:
        if not back.is_set():
            raise BrokerUnavailableError("localhost:9092 does not answer")
        bound.set()
        return Consumer("in-c")

    binding = _input("in-c", bind)
    service = _service([], [binding])

    service.start(["in-c"])
    waiting = binding.status()
    back.set()

    assert bound.wait(10)
    service.stop_inputs(1000)
    assert waiting.state is BindingState.WAITING
    assert waiting.last_error == "localhost:9092 does not answer"


def test_one_time_out_per_broker_is_enough() -> None:
    tries: list[str] = []

    def away() -> Producer:
        tries.append("tried")
        raise BrokerUnavailableError("no answer")

    outputs = [_output("out-a", away), _output("out-b", away)]
    service = _service(outputs, [], retry_interval_s=3600)

    service.start(["out-a", "out-b"])

    assert tries == ["tried"]
    assert [output.state for output in outputs] == [BindingState.WAITING, BindingState.WAITING]
    service.stop_inputs(1000)


def test_a_start_that_is_refused_for_good_is_raised() -> None:
    def refuse() -> Consumer:
        raise DestinationError("topic categoryChanged does not exist and may not be created")

    service = _service([_output("out-a")], [_input("in-c", refuse)])

    with pytest.raises(DestinationError, match="categoryChanged"):
        service.start(["out-a", "in-c"])


def test_a_broker_that_is_away_is_fatal_with_a_retry_interval_of_zero() -> None:
    def away() -> Consumer:
        raise BrokerUnavailableError("no answer")

    service = _service([], [_input("in-c", away)], retry_interval_s=0)

    with pytest.raises(BrokerUnavailableError, match="no answer"):
        service.start(["in-c"])


def test_only_named_bindings_start() -> None:
    service = _service([_output("out-a")], [_input("in-c")])

    service.start(["out-a"])

    assert events == ["bind out-a"]


def test_a_pause_survives_a_restart_and_resume_ends_it() -> None:
    binding = _input("in-c")
    binding.pause()

    binding.start()
    paused = binding.state
    binding.resume()

    assert paused is BindingState.PAUSED
    assert binding.state is BindingState.RUNNING
    assert events == ["bind in-c", "pause in-c", "resume in-c"]


def test_start_and_stop_are_idempotent() -> None:
    binding = _input("in-c")

    binding.start()
    binding.start()
    binding.stop(1000)
    binding.stop(1000)

    assert events == ["bind in-c", "unbind in-c"]
    assert binding.state is BindingState.STOPPED


def test_the_status_shows_the_binder_s_last_error() -> None:
    binding = _input("in-c")
    binding.start()

    assert binding.status().last_error == "one message failed"


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    service = _service([_output("out-a")], [_input("in-c")])

    with pytest.raises(ConfigurationError, match=r"'in-d'.*in use: in-c, out-a"):
        service.binding("in-d")


def test_a_direct_producer_binds_when_it_is_first_used() -> None:
    binding = _output("out-a")
    producer = DirectProducer(binding)

    before = list(events)
    results = producer.send([Message(b"1"), Message(b"2")])

    assert before == []
    assert results == [Sent(0, 0), Sent(0, 1)]


def test_a_direct_producer_fails_sends_while_the_broker_is_away() -> None:
    def away() -> Producer:
        raise BrokerUnavailableError("no answer")

    [result] = DirectProducer(_output("out-a", away)).send([Message(b"1")])

    assert isinstance(result, Failed)
    assert not result.permanent


def test_a_direct_producer_that_was_stopped_refuses_sends() -> None:
    producer = DirectProducer(_output("out-a"))
    producer.unbind(1000)

    with pytest.raises(LifecycleError, match="out-a"):
        producer.send([Message(b"1")])


def test_a_binding_that_somebody_stops_stays_stopped() -> None:
    tried = threading.Semaphore(0)

    def away() -> Producer:
        tried.release()
        raise BrokerUnavailableError("no answer")

    stopped, other = _input("in-c"), _output("out-a", away)
    service = _service([other], [stopped])
    service.start(["out-a", "in-c"])

    stopped.stop(1000)

    # Two more rounds have come and gone.
    assert all(tried.acquire(timeout=10) for _ in range(3))
    assert stopped.state is BindingState.STOPPED
    service.stop_inputs(1000)


def test_a_binding_that_is_started_by_hand_is_tried_again_too() -> None:
    back, bound = threading.Event(), threading.Event()

    def bind() -> Consumer:
        if not back.is_set():
            raise BrokerUnavailableError("no answer")
        bound.set()
        return Consumer("in-c")

    binding = _input("in-c", bind)
    service = _service([_output("out-a")], [binding])
    service.start(["out-a"])

    binding.start()
    back.set()

    assert bound.wait(10)
    service.stop_inputs(1000)


def test_a_defect_at_a_start_does_not_end_the_tries() -> None:
    bound = threading.Event()
    errors: list[Exception] = [RuntimeError("a defect"), BrokerUnavailableError("no answer")]

    def bind() -> Consumer:
        if errors:
            raise errors.pop()
        bound.set()
        return Consumer("in-c")

    service = _service([], [_input("in-c", bind)])
    service.start(["in-c"])

    assert bound.wait(10)
    service.stop_inputs(1000)


def test_each_binding_that_waits_is_named_and_when_it_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries = 0
    back = threading.Event()

    def away() -> Producer:
        nonlocal tries
        tries += 1
        if back.is_set():
            return Producer("out-a")
        raise BrokerUnavailableError("no broker answers at h:1")

    service = _service([_output("out-a", away), _output("out-b")], [_input("in-c")])
    service.start(["out-a", "out-b", "in-c"])
    eventually(lambda: tries > 3, 5, "it is not tried again")
    back.set()
    eventually(lambda: {status.state for status in service.status()} == {BindingState.RUNNING}, 5, "not all run")
    service.stop_inputs(1000)
    service.stop_outputs(1000)

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    *reasons, summary = told
    assert summary.startswith("waiting: out-a, out-b, in-c; tried again in 0.0")
    assert summary.endswith(" s, later every 0.01 s at least")
    assert reasons == [
        "binding out-a: waiting: no broker answers at h:1",
        "binding out-b: waiting: broker of binder memory is away",
        "binding in-c: waiting: broker of binder memory is away",
    ]
