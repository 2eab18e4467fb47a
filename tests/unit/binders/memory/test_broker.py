"""What tests do to the memory broker: share it, renew it, make sends fail, let logs shrink and grow."""

from __future__ import annotations

from streambind.binders.memory import MEMORY, MemoryBroker
from streambind.binding.binder import Binder, Lane, ProducerBinding, ProducerTarget
from streambind.binding.outcome import Failed, Sent, Unknown
from streambind.configuration.properties import ProducerProperties
from streambind.errors import SendError
from streambind.message import Message

LATER = Failed(SendError("later"), permanent=False)


def output(binder: Binder) -> ProducerBinding:
    return binder.bind_producer(
        ProducerTarget("out", "d", ProducerProperties(), MEMORY.producer_properties(), timeout_ms=1000)
    )


def binder_of(name: str) -> Binder:
    return MEMORY.create(MEMORY.binder_properties.model_validate({"name": name}))


def payloads(broker: MemoryBroker) -> list[bytes | None]:
    return [record.payload for record in broker.fetch(Lane("d", 0), 0, 100)]


def test_compaction_leaves_the_last_message_of_each_key() -> None:
    with MemoryBroker.fresh("compacted") as broker:
        keys = [b"a", b"b", None, b"a", None, b"a"]
        output(binder_of("compacted")).send([Message(b"%d" % n, key) for n, key in enumerate(keys)])
        assert broker.identity("d").is_compacted is False
        broker.compact("d")
        assert broker.identity("d").is_compacted is True
        assert sorted(payloads(broker), key=str) == [b"1", b"2", b"4", b"5"]
        assert broker.lag(Lane("d", 0), 0) == 6


def test_binders_of_one_name_share_a_broker_and_others_do_not() -> None:
    with MemoryBroker.fresh("one") as one, MemoryBroker.fresh("other") as other:
        output(binder_of("one")).send([Message(b"1")])
        output(binder_of("one")).send([Message(b"2")])
        assert payloads(one) == [b"1", b"2"]
        assert other.describe("d") is None


def test_a_fresh_broker_makes_place_for_the_one_before() -> None:
    before = MemoryBroker.named("place")
    with MemoryBroker.fresh("place") as fresh:
        assert MemoryBroker.named("place") is fresh is not before
    assert MemoryBroker.named("place") is before


def test_reset_puts_an_empty_broker_in_place() -> None:
    output(binder_of("reset")).send([Message(b"1")])
    assert MemoryBroker.reset("reset").describe("d") is None
    assert MemoryBroker.named("reset").describe("d") is None


def test_a_binder_keeps_the_broker_that_it_has_used() -> None:
    binder = binder_of("kept")
    out = output(binder)
    broker = MemoryBroker.named("kept")
    MemoryBroker.reset("kept")
    out.send([Message(b"1")])
    assert payloads(broker) == [b"1"]
    assert binder.describe("d", 1000) is not None


def test_a_fresh_name_leaves_nothing_behind() -> None:
    with MemoryBroker.fresh("left") as broker:
        pass
    assert MemoryBroker.named("left") is not broker


def test_sends_can_be_made_to_fail_a_number_of_times() -> None:
    with MemoryBroker.fresh("faults") as broker:
        out = output(binder_of("faults"))
        broker.fail_sends(LATER, 2)
        assert out.send([Message(b"1"), Message(b"2"), Message(b"3")]) == [LATER, LATER, Sent(0, 0)]
        assert payloads(broker) == [b"3"]


def test_only_one_key_or_destination_can_be_made_to_fail() -> None:
    with MemoryBroker.fresh("faults") as broker:
        out = output(binder_of("faults"))
        broker.fail_sends(LATER, key=b"k")
        broker.fail_sends(LATER, destination="elsewhere")
        assert out.send([Message(b"1", b"a"), Message(b"2", b"k")]) == [Sent(0, 0), LATER]


def test_a_report_can_be_lost_while_the_message_arrives() -> None:
    with MemoryBroker.fresh("faults") as broker:
        lost = Unknown("no report")
        broker.fail_sends(lost, arrives=True)
        assert output(binder_of("faults")).send([Message(b"1")]) == [lost]
        assert payloads(broker) == [b"1"]


def test_creating_again_adds_partitions_and_never_takes_any() -> None:
    broker = MemoryBroker()
    for asked, present in ((2, 2), (4, 4), (1, 4)):
        broker.create("d", asked)
        info = broker.describe("d")
        assert info is not None
        assert info.partitions == present


def test_messages_without_key_are_spread() -> None:
    broker = MemoryBroker()
    broker.create("d", 3)
    results = broker.append("d", [Message(b"x")] * 6)
    assert sorted(r.partition for r in results if isinstance(r, Sent)) == [0, 0, 1, 1, 2, 2]


def test_headers_count_for_the_size_of_a_message() -> None:
    broker = MemoryBroker(max_message_bytes=10)
    broker.create("d")

    sent, refused = broker.append(
        "d", [Message(b"12345", raw_headers=[("a", b"1234")]), Message(b"12345", raw_headers=[("ab", b"1234")])]
    )

    assert isinstance(sent, Sent)
    assert isinstance(refused, Failed)
    assert refused.permanent


def test_a_headers_name_that_cannot_travel_is_refused() -> None:
    broker = MemoryBroker()
    broker.create("d")

    (refused,) = broker.append("d", [Message(b"", raw_headers=[("\ud800", b"")])])

    assert isinstance(refused, Failed)
    assert refused.permanent
