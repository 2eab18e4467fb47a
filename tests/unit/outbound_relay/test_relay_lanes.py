"""What reports mean for a destination, and when it is tried again."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from streambind.binding.binder import ProducerBinding
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.errors import BrokerUnavailableError, SendError
from streambind.message import Message
from streambind.outbound.lease import Hold
from streambind.outbound.relay_lanes import Collected, Lanes
from streambind.outbound.relay_way import SharedWay
from tests.unit.outbound_relay.conftest import SOURCE, Bench
from tests.unit.outbound_relay.producer import Result, ScriptedProducer
from tests.unit.outbound_relay.rows import row


def test_a_purge_before_the_send_sends_nothing(bench: Bench) -> None:
    producer, may_bind = ScriptedProducer(), threading.Event()
    asking = threading.Event()

    def bind(destination: str) -> ProducerBinding:
        asking.set()
        may_bind.wait(10)
        return producer

    lanes = Lanes(lambda name: SharedWay(name, bind), bench.reported.release, clock=lambda: bench.now)
    lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))
    assert asking.wait(10)
    lanes.purge()
    may_bind.set()

    assert bench.reported.acquire(timeout=10)
    assert producer.sent == []
    lanes.end()


def test_destinations_are_sent_each_on_its_own(bench: Bench) -> None:
    bench.producers = {"a": ScriptedProducer(), "b": ScriptedProducer()}

    outcomes = bench.send("a", "b")

    assert sorted(outcome.delivered[0].destination for outcome in outcomes) == ["a", "b"]
    assert bench.lanes.idle() == {"a", "b"}
    assert not bench.lanes.is_busy()


@pytest.mark.parametrize("broken", ["{", "[1]", '[["a", 1]]', "7"])
def test_a_row_that_cannot_be_read_is_blocked_and_the_others_are_sent(bench: Bench, broken: str) -> None:
    producer = ScriptedProducer()
    bench.producers = {"a": producer}
    rows = [
        row(b"1", 1, destination="a"),
        row(b"2", 1, destination="a", headers=broken),
        row(b"2", 2, destination="a"),
        row(None, None, destination="a", headers=broken),
        row(None, None, destination="a"),
        row(b"3", 1, destination="a"),
    ]
    bench.lanes.dispatch(rows, SOURCE, Hold(bench.now + 10, {}))

    assert bench.reported.acquire(timeout=10)
    [outcome] = bench.lanes.collect().outcomes
    assert outcome.delivered == (rows[0], rows[4], rows[5])
    assert [blocked.row for blocked in outcome.blocked] == [rows[1], rows[3]]
    assert f"row {rows[1].id} of the outbox cannot be read" in outcome.blocked[0].reason
    assert outcome.trouble is None
    assert [message.key for message in producer.sent] == [b"1", None, b"3"]


def test_a_binder_that_gives_too_few_or_too_many_results_delivers_what_it_answers_for(bench: Bench) -> None:
    class Short(ScriptedProducer):
        def send(self, messages: Sequence[Message]) -> list[Result]:
            return super().send(messages)[:1]

    class Long(ScriptedProducer):
        def send(self, messages: Sequence[Message]) -> list[Result]:
            return [*super().send(messages), Sent(0, 7)]

    bench.producers = {"short": Short(), "long": Long()}
    rows = [row(b"1", destination="short"), row(b"2", destination="short"), row(destination="long")]
    bench.lanes.dispatch(rows, SOURCE, Hold(bench.now + 10, {}))
    for _ in range(2):
        assert bench.reported.acquire(timeout=10)

    outcomes = bench.lanes.collect()[1]
    assert {row for outcome in outcomes for row in outcome.delivered} == {rows[0], rows[2]}
    assert "it gave no result" in bench.lanes.troubles()["short"]
    assert "long" not in bench.lanes.troubles()


def test_a_destination_takes_a_second_job_and_no_third_and_the_shards_of_both_are_busy(bench: Bench) -> None:
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held}
    rows = [row(destination="a", shard=5), row(destination="a", shard=9)]
    bench.lanes.dispatch(rows[:1], SOURCE, Hold(bench.now + 10, {}))

    assert bench.lanes.excluded({}) == frozenset()
    assert bench.lanes.under_way(()) == [rows[0].id]
    assert bench.lanes.under_way({"a"}) == []
    assert not bench.lanes.is_full()
    bench.lanes.dispatch(rows[1:], SOURCE, Hold(bench.now + 10, {}))
    assert bench.lanes.is_full()
    assert bench.lanes.excluded({}) == {"a"}
    assert bench.lanes.busy_shards() == {5, 9}
    assert bench.lanes.troubles() == {}
    bench.now += 6
    assert bench.lanes.troubles() == {"a": "the broker has not confirmed anything for 6 s"}


def test_what_is_behind_a_job_that_got_through_is_sent_without_being_asked_for_again(bench: Bench) -> None:
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held}
    rows = [row(b"1", 1, destination="a"), row(b"1", 2, destination="a")]
    for each in rows:
        bench.lanes.dispatch([each], SOURCE, Hold(bench.now + 10, {}))
    held.release()

    for _ in rows:
        assert bench.reported.acquire(timeout=10)
    assert [outcome.delivered for outcome in bench.lanes.collect().outcomes] == [(rows[0],), (rows[1],)]
    assert len(held.sent) == 2


@pytest.mark.parametrize(
    "result",
    [
        Failed(SendError("not now"), permanent=False),
        Failed(SendError("never", permanent=True), permanent=True),
        Unknown("nobody knows"),
    ],
    ids=["failed", "refused for good", "unknown"],
)
def test_what_is_behind_a_job_that_did_not_get_through_is_not_sent(bench: Bench, result: Result) -> None:
    answers: list[Result] = [result, Sent(0, 0)]
    held = ScriptedProducer(lambda _: answers.pop(0))
    held.hold()
    bench.producers = {"a": held}
    bench.lanes.dispatch([row(b"1", 1, destination="a")], SOURCE, Hold(bench.now + 10, {}))
    bench.lanes.dispatch([row(b"1", 2, destination="a")], SOURCE, Hold(bench.now + 10, {}))
    held.release()

    for _ in range(2):
        assert bench.reported.acquire(timeout=10)
    collected = bench.lanes.collect()
    assert collected.unsent
    assert [outcome.delivered for outcome in collected.outcomes] == [()]
    assert held.batches == [1]
    assert not bench.lanes.is_busy()

    bench.now += 60
    assert [len(outcome.delivered) for outcome in bench.send("a")] == [1]


def test_nothing_is_read_behind_what_was_read_in_another_tenure(bench: Bench) -> None:
    """Its outcome will not count, so that it is sent once more: what follows it has to come after that."""
    held = ScriptedProducer()
    held.hold()
    bench.producers = {"a": held}
    bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {0: 1}))

    assert bench.lanes.excluded({0: 1}) == frozenset()
    assert bench.lanes.excluded({0: 2}) == {"a"}


def test_after_a_failure_it_waits_longer_each_time_and_forgets_that_with_success(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Result] = [*[Failed(SendError("not now"), permanent=False)] * 3, Sent(0, 0)]

    def answer(message: Message) -> Result:
        return answers.pop(0)

    bench.producers = {"a": ScriptedProducer(answer)}
    waits: list[float] = []
    while answers:
        bench.send("a")
        waits += [at - bench.now for at in bench.lanes.held_back().values()]
        bench.now += 60

    assert len(waits) == 3
    for wait, longest in zip(waits, [0.1, 0.2, 0.4], strict=True):
        assert longest / 2 <= wait <= longest
    assert bench.lanes.troubles() == {}
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "destination a" in caplog.text


def test_a_destination_that_is_not_ours_is_asked_for_again_after_half_a_minute(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))
    assert bench.lanes.excluded({}) == {"a"}
    assert bench.lanes.held_back() == {}
    assert not bench.lanes.is_busy()

    bench.producers = {"a": ScriptedProducer()}
    bench.now += 29
    assert bench.lanes.excluded({}) == {"a"}
    bench.now += 1
    assert bench.lanes.excluded({}) == frozenset()
    assert bench.lanes.troubles() == {}
    assert len(bench.send("a")) == 1
    assert len(caplog.records) == 1
    assert "destination a (written for binding out-lecture)" in caplog.text


def test_however_many_destinations_are_not_ours_there_is_no_thread_and_one_line_for_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.active_count()
    for n in range(0, 3000, 30):
        rows = [row(destination=f"d{n + i}") for i in range(30)]
        bench.lanes.dispatch(rows, SOURCE, Hold(bench.now + 10, {}))
        assert len(bench.lanes.excluded({})) == n + 30

    assert threading.active_count() == before
    assert len(bench.lanes.troubles()) == 10
    assert "2990 more" in bench.lanes.troubles()["d0"]
    assert "and 20 more destinations" in caplog.text
    bench.now += 30
    bench.lanes.excluded({})
    assert [len(record.getMessage()) < 1000 for record in caplog.records] == [True, True]
    assert "and 2960 more destinations" in caplog.text


def test_a_lease_that_ran_out_before_the_send_sends_nothing(bench: Bench) -> None:
    producer = ScriptedProducer()
    bench.producers = {"a": producer}
    bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now, {}))

    assert bench.reported.acquire(timeout=10)
    assert bench.lanes.collect() == Collected(frozenset({"a"}), [], unsent=True)
    assert producer.sent == []
    assert bench.lanes.idle() == {"a"}


def test_a_producer_is_asked_for_every_time_because_bindings_start_and_stop(bench: Bench) -> None:
    bench.producers = {"a": BrokerUnavailableError("binding out-a is stopped")}
    bench.send("a")
    assert "out-a is stopped" in bench.lanes.troubles()["a"]

    bench.producers = {"a": ScriptedProducer()}
    bench.now += 1

    assert len(bench.send("a")) == 1
    assert bench.asked == ["a", "a"]


def test_purge_frees_what_is_in_flight_only(bench: Bench) -> None:
    held, idle = ScriptedProducer(), ScriptedProducer()
    held.hold()
    bench.producers = {"a": held, "b": idle}
    bench.send("b")
    bench.lanes.dispatch([row(destination="a")], SOURCE, Hold(bench.now + 10, {}))
    assert held.sending.wait(10)

    bench.lanes.purge()

    assert bench.reported.acquire(timeout=10)
    assert bench.lanes.collect().outcomes[0].trouble == "purged"
    assert held.purged
    assert not idle.purged
