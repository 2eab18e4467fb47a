"""Fenced outputs: who has bound a fence last is the only one that can send."""

from __future__ import annotations

import pytest

from streambind.binding.outcome import Failed, Sent
from streambind.errors import FencedError, LifecycleError
from streambind.message import Message
from streambind.testing.binder_suite.bench import Bench


class TestFencing:
    def test_a_fenced_output_sends_as_any_other(self, bench: Bench) -> None:
        bench.needs("fencing")
        destination = bench.destination()
        it = bench.input(destination)
        output = bench.output(destination, fence=bench.harness.fresh_name("fence"))
        for number in range(3):
            results = output.send([Message(b"%d-a" % number, b"k"), Message(b"%d-b" % number, b"k")])
            assert [type(result) for result in results] == [Sent, Sent]
        bench.handled(it, [b"0-a", b"0-b", b"1-a", b"1-b", b"2-a", b"2-b"])
        assert output.send([]) == []

    def test_each_says_where_its_message_is(self, bench: Bench) -> None:
        bench.needs("fencing")
        destination = bench.destination(partitions=4)
        it = bench.input(destination)
        output = bench.output(destination, fence=bench.harness.fresh_name("fence"))
        messages = [Message(b"%d" % n, b"%d" % (n % 7)) for n in range(100)]
        results = [result for result in output.send(messages) if isinstance(result, Sent)]
        bench.eventually(lambda: len(it.done) == 100, lambda: f"{len(it.done)} of 100 messages done")
        where = {(m.partition, m.offset): m.payload for m in it.done}
        assert [where[result.partition, result.offset] for result in results] == [m.payload for m in messages]

    def test_who_binds_the_fence_shuts_out_who_had_it(self, bench: Bench) -> None:
        bench.needs("fencing", "shut-out")
        destination, fence = bench.destination(), bench.harness.fresh_name("fence")
        it = bench.input(destination)
        old = bench.output(destination, fence=fence)
        old.send([Message(b"1")])
        new = bench.output(destination, fence=fence, binder=bench.binder())
        for _ in range(2):
            with pytest.raises(FencedError):
                old.send([Message(b"from the past")])
        new.send([Message(b"2")])
        bench.handled(it, [b"1", b"2"])

    def test_one_that_has_never_sent_is_shut_out_too(self, bench: Bench) -> None:
        bench.needs("fencing", "shut-out")
        destination, fence = bench.destination(), bench.harness.fresh_name("fence")
        it = bench.input(destination)
        old = bench.output(destination, fence=fence)
        new = bench.output(destination, fence=fence)
        with pytest.raises(FencedError):
            old.send([Message(b"from the past")])
        new.send([Message(b"1")])
        bench.handled(it, [b"1"])

    def test_other_fences_and_outputs_without_one_go_on(self, bench: Bench) -> None:
        bench.needs("fencing")
        destination = bench.destination()
        it = bench.input(destination)
        one = bench.output(destination, fence=bench.harness.fresh_name("fence"))
        none = bench.output(destination)
        other = bench.output(destination, fence=bench.harness.fresh_name("fence"))
        for output, payload in ((none, b"1"), (other, b"2"), (one, b"3")):
            assert [type(result) for result in output.send([Message(payload)])] == [Sent]
        bench.handled(it, [b"1", b"2", b"3"])

    def test_a_message_that_is_too_large_fails_alone_and_for_good(self, bench: Bench) -> None:
        bench.needs("fencing")
        output = bench.output(bench.destination(), fence=bench.harness.fresh_name("fence"))
        limit = output.max_payload_bytes()
        if limit is None:
            pytest.skip("the destination accepts payloads of any size")
        small, large, last = output.send([Message(b"1"), Message(bytes(limit + 1)), Message(b"2")])
        assert isinstance(large, Failed)
        assert large.permanent
        assert isinstance(small, Sent)
        assert isinstance(last, Sent)
        assert isinstance(output.send([Message(bytes(limit))])[0], Sent)

    def test_after_a_purge_nothing_can_be_sent(self, bench: Bench) -> None:
        bench.needs("fencing")
        destination, fence = bench.destination(), bench.harness.fresh_name("fence")
        output = bench.output(destination, fence=fence)
        output.purge()
        output.purge()
        with pytest.raises(LifecycleError):
            output.send([Message(b"1")])
        output.unbind(5000)
        assert [type(r) for r in bench.output(destination, fence=fence).send([Message(b"2")])] == [Sent]
