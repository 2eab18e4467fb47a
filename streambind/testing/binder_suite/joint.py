"""Batches of several partitions at once, where a binder makes any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streambind.binding.outcome import Apart, Outcome
from streambind.joint_batch import parts_of
from streambind.message import Batch
from streambind.testing.binder_suite.bench import Bench
from streambind.testing.binder_suite.input import Decide, all_done

Payloads = Mapping[int, Sequence[bytes]]

_PAYLOADS: Payloads = {partition: [b"%d/%d" % (partition, n) for n in range(20)] for partition in range(3)}


class TestJointBatches:
    def test_each_partition_is_handled_in_its_order(self, bench: Bench) -> None:
        _handled(bench, all_done, _PAYLOADS)

    def test_what_is_to_be_delivered_apart_comes_again_by_itself(self, bench: Bench) -> None:
        _handled(bench, lambda batch: Outcome(0, Apart()) if _is_joint(batch) else all_done(batch), _PAYLOADS)

    def test_an_undone_rest_comes_by_itself(self, bench: Bench) -> None:
        rests: set[int] = set()
        joint: list[list[int]] = []

        def decide(batch: Batch) -> Outcome:
            partitions = [part.partition for part in parts_of(batch)]
            if len(partitions) > 1:
                joint.extend([partitions] if rests.intersection(partitions) else [])
                return Outcome(0, Apart())
            done = (len(batch) + 1) // 2
            (rests.add if done < len(batch) else rests.discard)(partitions[0])
            return Outcome(done)

        _handled(bench, decide, _PAYLOADS)
        assert joint == []

    def test_it_holds_no_more_messages_than_a_batch_may(self, bench: Bench) -> None:
        sizes: list[int] = []

        def decide(batch: Batch) -> Outcome:
            sizes.extend([len(batch)] if _is_joint(batch) else [])
            return all_done(batch)

        _handled(bench, decide, _PAYLOADS, limit=50)
        assert max(sizes, default=0) <= 50

    def test_nobody_gets_any_who_did_not_ask(self, bench: Bench) -> None:
        joint: list[Batch] = []

        def decide(batch: Batch) -> Outcome:
            joint.extend([batch] if _is_joint(batch) else [])
            return all_done(batch)

        _handled(bench, decide, _PAYLOADS, joins=False)
        assert joint == []


def _is_joint(batch: Batch) -> bool:
    return len(parts_of(batch)) > 1


def _handled(
    bench: Bench, decide: Decide, payloads: Payloads, *, joins: bool = True, limit: int | None = None
) -> None:
    """Let all partitions have messages while the first delivery stands still; they must be done once each, in
    their order."""
    destination = bench.destination(partitions=len(payloads))
    is_filled = bench.gate()

    def wait_and_decide(batch: Batch) -> Outcome:
        is_filled.wait()
        return decide(batch)

    it = bench.input(destination, wait_and_decide, joins=joins, limit=limit)
    for partition, each in payloads.items():
        bench.send(destination, *each, partition=partition)
    bench.eventually(lambda: it.seen, "nothing was delivered")
    is_filled.set()
    count = sum(map(len, payloads.values()))
    bench.eventually(lambda: len(it.done) >= count, lambda: f"{len(it.done)} of {count} messages are done")
    done = {p: [m.payload for m in it.done if m.partition == p] for p in payloads}
    assert done == payloads
