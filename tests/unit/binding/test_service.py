"""Bindings and their service, over handles that do nothing but remember."""

from __future__ import annotations

import threading

import pytest

from streambind.binding.binding import BindingState, DirectProducer
from streambind.binding.outcome import Failed, Sent
from streambind.errors import BrokerUnavailableError, ConfigurationError, DestinationError, LifecycleError
from streambind.message import Message
from streambind.testing.eventually import eventually
from tests.unit.binding.handles import Consumer, Producer, happened, input_of, outages, output_of, service_of


def test_outputs_start_first_and_inputs_stop_first() -> None:
    service = service_of([output_of("out-a"), output_of("out-b")], [input_of("in-c"), input_of("in-d")])

    service.start(["out-a", "out-b", "in-c", "in-d"])
    service.stop_inputs(1000)
    service.stop_outputs(1000)

    assert happened == [
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

    binding = input_of("in-c", bind)
    service = service_of([], [binding])

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

    outputs = [output_of("out-a", away), output_of("out-b", away)]
    service = service_of(outputs, [], retry_interval_s=3600)

    service.start(["out-a", "out-b"])

    assert tries == ["tried"]
    assert [output.state for output in outputs] == [BindingState.WAITING, BindingState.WAITING]
    service.stop_inputs(1000)


def test_a_start_that_is_refused_for_good_is_raised() -> None:
    def refuse() -> Consumer:
        raise DestinationError("topic categoryChanged does not exist and may not be created")

    service = service_of([output_of("out-a")], [input_of("in-c", refuse)])

    with pytest.raises(DestinationError, match="categoryChanged"):
        service.start(["out-a", "in-c"])


def test_a_broker_that_is_away_is_fatal_with_a_retry_interval_of_zero() -> None:
    def away() -> Consumer:
        raise BrokerUnavailableError("no answer")

    service = service_of([], [input_of("in-c", away)], retry_interval_s=0)

    with pytest.raises(BrokerUnavailableError, match="no answer"):
        service.start(["in-c"])


def test_only_named_bindings_start() -> None:
    service = service_of([output_of("out-a")], [input_of("in-c")])

    service.start(["out-a"])

    assert happened == ["bind out-a"]


def test_a_pause_survives_a_restart_and_resume_ends_it() -> None:
    binding = input_of("in-c")
    binding.pause()

    binding.start()
    paused = binding.state
    binding.resume()

    assert paused is BindingState.PAUSED
    assert binding.state is BindingState.RUNNING
    assert happened == ["bind in-c", "pause in-c", "resume in-c"]


def test_start_and_stop_are_idempotent() -> None:
    binding = input_of("in-c")

    binding.start()
    binding.start()
    binding.stop(1000)
    binding.stop(1000)

    assert happened == ["bind in-c", "unbind in-c"]
    assert binding.state is BindingState.STOPPED


def test_the_status_shows_the_binder_s_last_error() -> None:
    binding = input_of("in-c")
    binding.start()

    assert binding.status().last_error == "one message failed"


def test_an_input_whose_broker_has_gone_waits_until_it_is_back() -> None:
    binding = input_of("in-c")
    binding.start()
    outages["in-c"] = "the broker is away"
    assert (binding.status().state, binding.status().last_error) == (BindingState.WAITING, "the broker is away")
    binding.pause()
    assert binding.status().state is BindingState.PAUSED
    binding.resume()
    del outages["in-c"]
    assert (binding.status().state, binding.status().last_error) == (BindingState.RUNNING, "one message failed")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    service = service_of([output_of("out-a")], [input_of("in-c")])

    with pytest.raises(ConfigurationError, match=r"'in-d'.*in use: in-c, out-a"):
        service.binding("in-d")


def test_a_direct_producer_binds_when_it_is_first_used() -> None:
    binding = output_of("out-a")
    producer = DirectProducer(binding)

    before = list(happened)
    results = producer.send([Message(b"1"), Message(b"2")])

    assert before == []
    assert results == [Sent(0, 0), Sent(0, 1)]


def test_a_direct_producer_fails_sends_while_the_broker_is_away() -> None:
    def away() -> Producer:
        raise BrokerUnavailableError("no answer")

    [result] = DirectProducer(output_of("out-a", away)).send([Message(b"1")])

    assert isinstance(result, Failed)
    assert not result.permanent


def test_a_direct_producer_that_was_stopped_refuses_sends() -> None:
    producer = DirectProducer(output_of("out-a"))
    producer.unbind(1000)

    with pytest.raises(LifecycleError, match="out-a"):
        producer.send([Message(b"1")])


def test_a_binding_that_somebody_stops_stays_stopped() -> None:
    tried = threading.Semaphore(0)

    def away() -> Producer:
        tried.release()
        raise BrokerUnavailableError("no answer")

    stopped, other = input_of("in-c"), output_of("out-a", away)
    service = service_of([other], [stopped])
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

    binding = input_of("in-c", bind)
    service = service_of([output_of("out-a")], [binding])
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

    service = service_of([], [input_of("in-c", bind)])
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

    service = service_of([output_of("out-a", away), output_of("out-b")], [input_of("in-c")])
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
