"""Mutants that send, or answer questions, wrongly."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from streambind.binders.memory import MemoryBinder, broker
from streambind.binders.memory.broker import MemoryBroker
from streambind.binders.memory.log import PartitionLog
from streambind.binders.memory.producer import MemoryProducerBinding
from streambind.binding.binder import DestinationInfo
from streambind.binding.key_order import HELD_BACK, KeyOrder
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import BrokerUnavailableError
from streambind.message import Message
from tests.conformance.mutants.registry import around, mutant

Results = list[Sent | Failed | Unknown]


def _sent(patch: pytest.MonkeyPatch, change: Callable[[Message], Message]) -> None:
    def send(original: Any, output: MemoryProducerBinding, messages: Sequence[Message]) -> Any:
        return original(output, [change(message) for message in messages])

    around(patch, MemoryProducerBinding, "send", send)


def _copy(message: Message, **fields: Any) -> Message:
    own = {
        "payload": message.payload,
        "key": message.key,
        "raw_headers": message.raw_headers,
        "partition": message.partition,
    }
    return Message(**(own | fields))


@mutant("TestDelivery.test_a_tombstone_and_an_empty_payload_are_kept_apart")
def sends_tombstones_as_empty_payloads(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, payload=m.payload or b""))


@mutant("TestDelivery.test_a_tombstone_and_an_empty_payload_are_kept_apart")
def sends_empty_payloads_as_tombstones(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, payload=m.payload or None))


@mutant("TestDelivery.test_a_missing_key_and_an_empty_key_are_kept_apart")
def sends_empty_keys_as_none(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, key=m.key or None))


@mutant("TestDelivery.test_headers_travel_raw")
def keeps_headers_in_a_dict(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, raw_headers=list(dict(m.raw_headers).items())))


@mutant("TestDelivery.test_headers_travel_raw")
def sorts_headers(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, raw_headers=sorted(m.raw_headers, key=lambda header: header[0])))


@mutant("TestDelivery.test_headers_travel_raw")
def drops_null_headers(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, raw_headers=[(name, value or b"") for name, value in m.raw_headers]))


@mutant("TestDelivery.test_timestamps_are_milliseconds")
def has_timestamps_in_seconds(patch: pytest.MonkeyPatch) -> None:
    def append(original: Any, log: PartitionLog, message: Message, now_ms: int) -> Any:
        return original(log, message, now_ms // 1000)

    around(patch, PartitionLog, "append", append)


@mutant("TestDelivery.test_every_message_arrives_once_and_in_order")
def sends_backwards(patch: pytest.MonkeyPatch) -> None:
    def send(original: Any, output: MemoryProducerBinding, messages: Sequence[Message]) -> Any:
        return original(output, messages[::-1])[::-1]

    around(patch, MemoryProducerBinding, "send", send)


@mutant("TestResults.test_a_key_has_the_partition_that_a_java_producer_picks")
def picks_partitions_by_crc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(broker, "partition_of", lambda key, partitions: zlib.crc32(key) % partitions)


@mutant("TestDelivery.test_messages_of_a_key_keep_their_order")
def picks_partitions_in_turn(patch: pytest.MonkeyPatch) -> None:
    def pick(original: Any, it: MemoryBroker, message: Message, partitions: int) -> int:
        return next(it._numbers) % partitions

    around(patch, MemoryBroker, "_partition", pick)


@mutant("TestResults.test_a_partition_may_be_picked")
def ignores_the_picked_partition(patch: pytest.MonkeyPatch) -> None:
    _sent(patch, lambda m: _copy(m, partition=None))


def _results(patch: pytest.MonkeyPatch, change: Callable[[Results], Results]) -> None:
    def send(original: Any, output: MemoryProducerBinding, messages: Sequence[Message]) -> Results:
        return change(original(output, messages))

    around(patch, MemoryProducerBinding, "send", send)


@mutant("TestResults.test_each_says_where_its_message_is")
def mixes_up_results(patch: pytest.MonkeyPatch) -> None:
    _results(patch, lambda results: results[::-1])


@mutant("TestResults.test_a_message_that_is_too_large_fails_alone_and_for_good")
def takes_every_failure_for_temporary(patch: pytest.MonkeyPatch) -> None:
    _results(patch, lambda results: [replace(r, permanent=False) if isinstance(r, Failed) else r for r in results])


@mutant("TestResults.test_a_message_that_is_too_large_fails_alone_and_for_good")
def lets_one_failure_fail_all(patch: pytest.MonkeyPatch) -> None:
    _results(patch, lambda results: next(([r] * len(results) for r in results if isinstance(r, Failed)), results))


@mutant("TestResults.test_a_partition_that_does_not_exist_fails_for_good")
def hides_failures(patch: pytest.MonkeyPatch) -> None:
    _results(patch, lambda results: [Sent(0, 0) if isinstance(r, Failed) else r for r in results])


@mutant("TestResults.test_what_is_refused_holds_back_what_follows_in_its_key")
def sends_what_follows_a_refused_message(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(KeyOrder, "holds_back", lambda order, key: False)


@mutant("TestResults.test_what_is_refused_holds_back_what_follows_in_its_key")
def says_held_back_of_what_it_sends(patch: pytest.MonkeyPatch) -> None:
    order = KeyOrder()

    def append(original: Any, it: MemoryBroker, destination: str, message: Message, *rest: Any) -> Any:
        result = it._stored(destination, message, 0)
        held_back = order.holds_back(message.key)
        if not isinstance(result, Sent):
            order.stop(message.key)
        return HELD_BACK if held_back else result

    around(patch, MemoryBroker, "_append", append)


@mutant("TestResults.test_what_is_refused_holds_back_what_follows_in_its_key")
def holds_back_every_key(patch: pytest.MonkeyPatch) -> None:
    around(patch, KeyOrder, "holds_back", lambda original, order, key: bool(order._stopped))


@mutant("TestResults.test_a_partition_that_does_not_exist_fails_for_good")
def holds_back_messages_without_a_key(patch: pytest.MonkeyPatch) -> None:
    around(patch, KeyOrder, "stop", lambda original, order, key: order._stopped.add(key))


@mutant("TestResults.test_a_payload_of_the_largest_size_passes")
def overstates_the_largest_payload(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryProducerBinding, "max_payload_bytes", lambda original, output: original(output) + 1)


@mutant("TestOutage.test_nothing_succeeds_and_the_time_is_kept")
def succeeds_with_the_broker_down(patch: pytest.MonkeyPatch) -> None:
    _results(patch, lambda results: [Sent(0, 0) if isinstance(r, Unknown) else r for r in results])


@mutant("TestOutage.test_nothing_succeeds_and_the_time_is_kept")
def takes_an_outage_for_permanent(patch: pytest.MonkeyPatch) -> None:
    away = Failed(BrokerUnavailableError("away"), permanent=True)
    _results(patch, lambda results: [away if isinstance(r, Unknown) else r for r in results])


def _patience(patch: pytest.MonkeyPatch, change: Callable[[float | None], float | None]) -> None:
    def wait(original: Any, it: MemoryBroker, timeout_s: float | None, cancelled: Callable[[], bool]) -> Any:
        return original(it, change(timeout_s), cancelled)

    around(patch, MemoryBroker, "wait_until_up", wait)


@mutant("TestOutage.test_nothing_succeeds_and_the_time_is_kept")
def waits_for_the_broker_for_ever(patch: pytest.MonkeyPatch) -> None:
    _patience(patch, lambda timeout_s: None)


@mutant("TestOutage.test_a_sender_without_limit_waits_for_the_broker")
def gives_up_at_once(patch: pytest.MonkeyPatch) -> None:
    _patience(patch, lambda timeout_s: 0.0)


@mutant("TestOutage.test_purge_makes_running_sends_return")
def purges_nothing(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryBroker, "interrupt", lambda original, it: None)


@mutant("TestUnbinding.test_nothing_can_be_sent_afterwards")
def sends_after_unbind(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryProducerBinding, "unbind", lambda original, output, timeout_ms: None)


@mutant("TestUnbinding.test_nothing_can_be_sent_after_a_purge")
def sends_after_a_purge(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryProducerBinding, "purge", lambda original, output: None)


@mutant("TestDescribe.test_a_destination_that_does_not_exist_is_none_and_stays_away")
def makes_what_it_describes(patch: pytest.MonkeyPatch) -> None:
    def describe(original: Any, binder: MemoryBinder, destination: str, timeout_ms: int) -> Any:
        binder._connected().create(destination)
        return original(binder, destination, timeout_ms)

    around(patch, MemoryBinder, "describe", describe)


@mutant("TestDescribe.test_it_knows_retention")
def thinks_that_logs_start_at_0(patch: pytest.MonkeyPatch) -> None:
    def describe(original: Any, it: MemoryBroker, destination: str) -> DestinationInfo | None:
        info: DestinationInfo | None = original(it, destination)
        return info and replace(info, starts=dict.fromkeys(info.starts, 0))

    around(patch, MemoryBroker, "describe", describe)


@mutant("TestRead.test_it_reads_from_the_given_offsets_to_the_ends")
def reads_from_the_beginning(patch: pytest.MonkeyPatch) -> None:
    def read(original: Any, binder: MemoryBinder, destination: str, starts: Mapping[int, int], ms: int) -> Any:
        return original(binder, destination, dict.fromkeys(starts, 0), ms)

    around(patch, MemoryBinder, "read", read)


@mutant("TestBrokerAway.test_questions_raise_within_their_time")
def answers_from_memory_when_the_broker_is_away(patch: pytest.MonkeyPatch) -> None:
    around(patch, MemoryBroker, "check_up", lambda original, it: None)


@mutant("TestBrokerAway.test_an_input_goes_on_when_it_is_back")
def does_not_come_back_after_an_outage(patch: pytest.MonkeyPatch) -> None:
    def down(original: Any, it: MemoryBroker) -> None:
        original(it)
        patch.setattr(it, "fetch", lambda lane, position, limit: [])

    around(patch, MemoryBroker, "go_down", down)
