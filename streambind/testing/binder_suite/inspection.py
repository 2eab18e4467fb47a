"""Looking from outside: destinations, committed offsets, messages without a group; and a broker that is away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streambind.binding.outcome import Sent
from streambind.errors import BrokerError, BrokerUnavailableError, LifecycleError
from streambind.message import Message
from streambind.testing.binder_suite.bench import TIMEOUT_MS, Bench
from streambind.testing.binder_suite.in_thread import InThread
from streambind.testing.binder_suite.input import done_after


class TestDescribe:
    def test_it_tells_partitions_starts_and_ends(self, bench: Bench) -> None:
        bench.needs("admin")
        destination = bench.destination(partitions=3)
        bench.send(destination, b"1", b"2", partition=1)
        info = bench.main.describe(destination, TIMEOUT_MS)
        assert info is not None
        assert (info.name, info.partitions) == (destination, 3)
        assert dict(info.starts) == {0: 0, 1: 0, 2: 0}
        assert dict(info.ends) == {0: 0, 1: 2, 2: 0}

    def test_it_knows_retention(self, bench: Bench) -> None:
        bench.needs("admin", "retention")
        destination = bench.destination()
        bench.send(destination, b"0", b"1", b"2")
        bench.harness.delete_records(destination, 0, 2)
        info = bench.main.describe(destination, TIMEOUT_MS)
        assert info is not None
        assert (dict(info.starts), dict(info.ends)) == ({0: 2}, {0: 3})

    def test_a_destination_that_does_not_exist_is_none_and_stays_away(self, bench: Bench) -> None:
        bench.needs("admin")
        name = bench.harness.fresh_name("missing")
        assert bench.main.describe(name, TIMEOUT_MS) is None
        assert bench.main.describe(name, TIMEOUT_MS) is None


class TestCommitted:
    def test_partitions_without_a_report_are_absent(self, bench: Bench) -> None:
        bench.needs("groups")
        destination = bench.destination(partitions=2)
        group = bench.group()
        assert dict(bench.main.committed(group, destination, TIMEOUT_MS)) == {}
        it = bench.input(destination, group=group)
        bench.send(destination, b"1", b"2", partition=1)
        bench.handled(it, [b"1", b"2"])
        bench.committed(group, destination, {1: 2})

    def test_only_what_is_done_is_reported(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        gate = bench.gate()
        it = bench.input(destination, done_after(gate), group=group)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        bench.time_passes()
        bench.committed(group, destination, {})
        gate.set()
        bench.committed(group, destination, {0: 1})


class TestCommit:
    def test_a_group_without_members_goes_on_where_it_is_told(self, bench: Bench) -> None:
        bench.needs("groups")
        destination = bench.destination(partitions=2)
        group = bench.group()
        bench.send(destination, b"0", b"1", b"2", partition=1)
        bench.main.commit(group, destination, {1: 2}, TIMEOUT_MS)
        assert dict(bench.main.committed(group, destination, TIMEOUT_MS)) == {1: 2}
        it = bench.input(destination, group=group)
        bench.handled(it, [b"2"])
        it.unbind()
        bench.committed(group, destination, {1: 3})
        bench.main.commit(group, destination, {1: 0}, TIMEOUT_MS)
        bench.committed(group, destination, {1: 0})

    def test_a_group_at_work_is_left_alone(self, bench: Bench) -> None:
        bench.needs("groups")
        destination = bench.destination()
        group = bench.group()
        it = bench.input(destination, group=group)
        bench.ready(it, destination)
        bench.send(destination, b"0", b"1")
        bench.handled(it, [b"0", b"1"])
        bench.committed(group, destination, {0: 2})
        if bench.main.owners(group, destination, TIMEOUT_MS) is None:
            pytest.skip("the broker cannot tell who holds a partition")
        with pytest.raises(LifecycleError):
            bench.main.commit(group, destination, {0: 0}, TIMEOUT_MS)
        assert dict(bench.main.committed(group, destination, TIMEOUT_MS)) == {0: 2}


class TestOwners:
    def test_a_partition_is_held_by_its_member_until_that_leaves(self, bench: Bench) -> None:
        bench.needs("groups", "partitions")
        destination = bench.destination(partitions=2)
        group = bench.group()
        assert not bench.main.owners(group, destination, TIMEOUT_MS)
        it = bench.input(destination, group=group)
        bench.ready(it, destination, range(2))
        if bench.main.owners(group, destination, TIMEOUT_MS) is None:
            pytest.skip("the broker cannot tell who holds a partition")
        bench.eventually(
            lambda: set(bench.main.owners(group, destination, TIMEOUT_MS) or {}) == {0, 1},
            lambda: f"owners: {bench.main.owners(group, destination, TIMEOUT_MS)}",
        )
        it.unbind()
        bench.eventually(
            lambda: bench.main.owners(group, destination, TIMEOUT_MS) == {},
            lambda: f"owners: {bench.main.owners(group, destination, TIMEOUT_MS)}",
        )


class TestOffsetsAt:
    def test_it_is_the_first_message_that_is_not_older(self, bench: Bench) -> None:
        bench.needs("times")
        destination = bench.destination(partitions=2)
        bench.send(destination, b"0", b"1", b"2", partition=0)
        times = [m.timestamp_ms or 0 for m in bench.main.read(destination, {0: 0}, TIMEOUT_MS)]
        first = times.index(times[-1])
        assert bench.main.offsets_at(destination, times[-1], TIMEOUT_MS) == {0: first, 1: 0}

    def test_where_all_are_older_it_is_the_end(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"0", b"1")
        last = bench.main.read(destination, {0: 1}, TIMEOUT_MS)[0].timestamp_ms or 0
        assert bench.main.offsets_at(destination, last + 1, TIMEOUT_MS) == {0: 2}


class TestRead:
    def test_it_reads_from_the_given_offsets_to_the_ends(self, bench: Bench) -> None:
        destination = bench.destination(partitions=3)
        for partition in range(3):
            bench.send(destination, b"0", b"1", b"2", partition=partition)
        messages = bench.main.read(destination, {0: 0, 2: 2}, TIMEOUT_MS)
        found = sorted((m.partition, m.offset, m.payload) for m in messages)
        assert found == [(0, 0, b"0"), (0, 1, b"1"), (0, 2, b"2"), (2, 2, b"2")]

    def test_messages_are_whole_and_in_order(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, Message(None, b"k", raw_headers=[("h", b"1"), ("h", None)]), b"2", b"3")
        messages = bench.main.read(destination, {0: 0}, TIMEOUT_MS)
        assert [m.payload for m in messages] == [None, b"2", b"3"]
        first = messages[0]
        assert (first.destination, first.partition, first.key) == (destination, 0, b"k")
        assert list(first.raw_headers) == [("h", b"1"), ("h", None)]
        assert first.timestamp_ms is not None

    def test_at_the_end_there_is_nothing_to_wait_for(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"1")
        assert list(bench.main.read(destination, {0: 1}, TIMEOUT_MS)) == []

    def test_calling_again_reads_on(self, bench: Bench) -> None:
        destination = bench.destination()
        payloads = [b"%d" % n for n in range(12_000)]
        for at in range(0, len(payloads), 2000):
            bench.send(destination, *payloads[at : at + 2000])
        found: list[bytes | None] = []
        while messages := bench.main.read(destination, {0: len(found)}, TIMEOUT_MS):
            found += [m.payload for m in messages]
        assert found == payloads

    def test_it_leaves_groups_alone(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.ready(it, destination)
        bench.send(destination, b"1")
        assert len(bench.main.read(destination, {0: 0}, TIMEOUT_MS)) == 1
        bench.handled(it, [b"1"])

    def test_a_destination_that_does_not_exist_is_an_error(self, bench: Bench) -> None:
        with pytest.raises(BrokerError):
            bench.main.read(bench.harness.fresh_name("missing"), {0: 0}, 2000)


class TestBrokerAway:
    def test_an_input_goes_on_when_it_is_back(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        it = bench.input(destination, group=group)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        bench.break_broker()
        bench.heal_broker()
        bench.send(destination, b"2")
        bench.handled(it, [b"1", b"2"])
        bench.committed(group, destination, {0: 2})

    def test_what_was_done_meanwhile_is_reported_later(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        gate = bench.gate()
        it = bench.input(destination, done_after(gate), group=group)
        bench.send(destination, b"1")
        bench.eventually(lambda: it.active, "nothing is delivered")
        bench.break_broker()
        gate.set()
        bench.eventually(lambda: it.done, "the delivery does not end")
        bench.heal_broker()
        bench.committed(group, destination, {0: 1})

    def test_questions_raise_within_their_time(self, bench: Bench) -> None:
        destination = bench.destination()
        group = bench.group()
        bench.break_broker()
        questions: list[Callable[[], object]] = [
            lambda: bench.main.describe(destination, 500),
            lambda: bench.main.committed(group, destination, 500),
            lambda: bench.main.read(destination, {0: 0}, 500),
        ]
        for question in questions:
            with InThread(question) as asking, pytest.raises(BrokerUnavailableError):
                asking.result(bench)

    def test_an_input_is_refused_for_now_or_works_later(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.send(destination, b"1")
        bench.break_broker()
        with InThread(lambda: bench.input(destination)) as binding:
            try:
                it = binding.result(bench)
            except BrokerUnavailableError:
                bench.heal_broker()
                it = bench.input(destination)
        bench.heal_broker()
        bench.handled(it, [b"1"])

    def test_an_output_is_refused_for_now_or_works_later(self, bench: Bench) -> None:
        destination = bench.destination()
        bench.break_broker()
        with InThread(lambda: bench.output(destination)) as binding:
            try:
                output = binding.result(bench)
            except BrokerUnavailableError:
                bench.heal_broker()
                output = bench.output(destination)
        bench.heal_broker()
        assert output.send([Message(b"1")]) == [Sent(0, 0)]

    def test_the_state_of_an_input_can_be_seen(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.ready(it, destination)
        bench.break_broker()
        with InThread(it.binding.partitions) as asking:
            asking.result(bench)

    def test_making_and_closing_a_binder_needs_no_broker(self, bench: Bench) -> None:
        bench.break_broker()
        bench.binder().close(1000)

    def test_an_input_can_be_unbound(self, bench: Bench) -> None:
        destination = bench.destination()
        it = bench.input(destination)
        bench.send(destination, b"1")
        bench.handled(it, [b"1"])
        bench.break_broker()
        it.unbind(timeout_ms=1000)
        assert list(it.binding.partitions()) == []


class TestBinderType:
    def test_nobody_gets_dead_letters_without_asking(self, bench: Bench) -> None:
        it = bench.harness.binder_type
        defaults = it.consumer_properties()
        assert it.dead_letter_destination("destination", "group", defaults) is None
        assert it.dead_letter_destination("destination", None, defaults) is None

    def test_its_properties_all_have_defaults(self, bench: Bench) -> None:
        it = bench.harness.binder_type
        for model in (it.binder_properties, it.consumer_properties, it.producer_properties):
            assert model() == model.model_validate({})
