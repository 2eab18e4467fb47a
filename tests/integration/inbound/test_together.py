"""What several partitions have waiting is handled in one transaction, or each of them by itself."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from streambind.binding.outcome import Apart, Outcome, Seek
from streambind.errors import PermanentError
from streambind.failpoints import FailpointError
from streambind.inbound import delivery_positions
from streambind.joint_batch import JointBatch
from tests.integration.inbound.parking import parked_offsets
from tests.integration.inbound.service import DESTINATION, Effect, Event, Service, drain, event, keep
from tests.unit.inbound.batches import ListBatch, Record, numbered, record

APART = Outcome(0, Apart())


def of(key: str, *numbers: int) -> list[Record]:
    return [numbered(event(key, n), key, n) for n in numbers]


def batch(partition: int, *records: Record, start: int = 0) -> ListBatch:
    return ListBatch(records, start, DESTINATION, partition)


def joint(*parts: ListBatch) -> JointBatch:
    return JointBatch(parts)


def test_all_of_it_is_one_transaction(service: Service) -> None:
    plan = service.keeping()

    assert plan.deliver(joint(batch(0, *of("a", 1, 2)), batch(1, *of("b", 1)))) == Outcome(3)

    assert service.effects() == [("a", 1), ("a", 2), ("b", 1)]
    assert (service.position(0), service.position(1)) == (2, 1)
    assert service.guarded() == {b"a": (1, 2), b"b": (1, 1)}
    assert service.commits == 1
    assert plan.statistics.figures().handled == 3


def test_they_go_on_from_where_each_of_them_stands(service: Service) -> None:
    plan = service.keeping()
    plan.deliver(batch(0, *of("a", 1, 2)))

    assert plan.deliver(joint(batch(0, *of("a", 3), start=2), batch(1, *of("b", 1)))) == Outcome(2)
    assert plan.deliver(joint(batch(1, *of("b", 2), start=1), batch(0, *of("a", 4), start=3))) == Outcome(2)

    assert service.effects() == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("a", 4)]
    assert (service.position(0), service.position(1)) == (4, 2)


def test_what_came_before_is_passed_over(service: Service) -> None:
    plan = service.keeping()
    plan.deliver(joint(batch(0, *of("a", 1)), batch(1, *of("b", 1))))

    assert plan.deliver(joint(batch(0, *of("a", 1, 2), start=1), batch(1, *of("b", 1), start=1))) == Outcome(3)

    assert service.effects() == [("a", 1), ("b", 1), ("a", 2)]
    assert plan.statistics.figures().duplicates == 2


def test_a_failure_leaves_nothing_of_it_and_each_is_delivered_by_itself(service: Service) -> None:
    def fail_at_two(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 2:
            raise PermanentError("two")

    plan = service.plan(service.listener(fail_at_two), on_error="skip")
    good, bad = batch(0, *of("a", 1)), batch(1, *of("b", 1, 2, 3))

    assert plan.deliver(joint(good, bad)) == APART
    assert service.effects() == []
    assert (service.position(0), service.position(1)) == (0, 0)

    assert plan.deliver(good) == Outcome(1)
    assert plan.deliver(bad).done == 2
    assert service.effects() == [("a", 1), ("b", 1)]


def test_after_a_failure_they_are_not_tried_together_for_a_while(service: Service) -> None:
    calls: list[int] = []

    def fail_at_two(event: Event, session: Session) -> None:
        calls.append(event.number)
        if event.number == 2:
            raise PermanentError("two")

    plan = service.plan(service.listener(fail_at_two), on_error="skip")
    both = joint(batch(0, *of("a", 1, 2)), batch(1, *of("b", 1)))

    assert plan.deliver(both) == APART
    assert plan.deliver(both) == APART
    assert calls == [1, 2]


def test_a_lane_that_waits_for_another_try_is_delivered_by_itself(service: Service) -> None:
    failures = [ValueError("not yet")]

    def fail_once(event: Event, session: Session) -> None:
        if failures:
            raise failures.pop()

    plan = service.plan(service.listener(fail_once))
    plan.deliver(batch(0, *of("a", 1)))

    assert plan.deliver(joint(batch(0, *of("a", 1)), batch(1, *of("b", 1)))) == APART
    assert service.position(1) == 0


def test_who_is_fenced_in_one_partition_changes_nothing_in_another(service: Service) -> None:
    zombie, owner = service.keeping(), service.keeping()
    owner.deliver(batch(0, *of("a", 1, 2)))

    assert zombie.deliver(joint(batch(0, *of("a", 1)), batch(1, *of("b", 1)))) == APART
    assert zombie.deliver(batch(0, *of("a", 1))) == Outcome(0, Seek(2))
    assert zombie.deliver(batch(1, *of("b", 1))) == Outcome(1)
    assert service.effects() == [("a", 1), ("a", 2), ("b", 1)]


def test_a_gap_is_for_its_partition_to_judge(service: Service) -> None:
    plan = service.keeping()
    plan.deliver(batch(0, *of("a", 1)))

    assert plan.deliver(joint(batch(0, *of("a", 3), start=1), batch(1, *of("b", 1)))) == APART
    assert service.effects() == [("a", 1)]


def test_the_first_number_known_of_a_key_is_for_its_partition_to_judge(service: Service) -> None:
    plan = service.keeping(adopt=(5, "latest"))

    assert plan.deliver(joint(batch(0, *of("a", 4), start=5), batch(1, *of("b", 1), start=5))) == APART
    assert plan.deliver(batch(0, *of("a", 4), start=5)) == Outcome(1)
    assert service.effects() == [("a", 4)]


def test_messages_of_parked_keys_wait_in_their_own_partition(service: Service) -> None:
    def fail_at_two(event: Event, session: Session) -> None:
        keep(event, session)
        if event.number == 2:
            raise PermanentError("two")

    plan = service.plan(service.listener(fail_at_two), on_error="park", max_attempts=1)
    drain(plan, batch(0, *of("a", 1, 2)))
    drain(plan, batch(1, *of("c", 1, 2)))

    parts = batch(0, *of("b", 1), *of("c", 3), start=2), batch(1, *of("a", 3), *of("d", 1), start=2)
    assert plan.deliver(joint(*parts)) == Outcome(4)

    assert service.effects() == [("a", 1), ("c", 1), ("b", 1), ("d", 1)]
    assert parked_offsets(service) == [(0, 1), (1, 1), (0, 3), (1, 2)]
    assert (service.position(0), service.position(1)) == (4, 4)
    assert plan.statistics.figures().parked == 4


def test_a_key_in_two_partitions_keeps_its_order(service: Service) -> None:
    plan = service.keeping()

    assert plan.deliver(joint(batch(0, *of("a", 1, 2)), batch(1, *of("a", 3)))) == Outcome(3)
    assert service.effects() == [("a", 1), ("a", 2), ("a", 3)]


def test_a_key_in_two_partitions_is_not_applied_out_of_order(service: Service) -> None:
    plan = service.keeping()

    assert plan.deliver(joint(batch(0, *of("a", 2, 3)), batch(1, *of("a", 1)))) == APART
    assert service.effects() == []


def test_messages_without_numbers_travel_with_the_others(service: Service) -> None:
    plan = service.keeping()

    assert plan.deliver(joint(batch(0, record(event("a", 7))), batch(1, *of("b", 1)))) == Outcome(2)
    assert service.effects() == [("a", 7), ("b", 1)]


@pytest.mark.parametrize("point", ["delivery.after_position", "delivery.before_commit", "delivery.after_commit"])
def test_a_crash_anywhere_leaves_all_or_nothing(
    service: Service, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = batch(0, *of("a", 1)), batch(1, *of("b", 1))

    def failpoint(name: str) -> None:
        if name == point:
            raise FailpointError(name)

    with monkeypatch.context() as patched:
        patched.setattr(delivery_positions, "failpoint", failpoint)
        with pytest.raises(FailpointError, match=point):
            service.keeping().deliver(joint(*parts))

    again = service.keeping()  # The process has started again.
    is_committed = point == "delivery.after_commit"
    assert len(service.effects()) == (2 if is_committed else 0)
    for part in parts:
        assert again.deliver(part) == (Outcome(0, Seek(1)) if is_committed else Outcome(1))
    assert service.effects() == [("a", 1), ("b", 1)]


def test_who_commits_behind_our_back_is_stopped_in_every_partition(service: Service) -> None:
    def commit_all(event: Event, session: Session) -> None:
        session.add(Effect(key=event.key, number=event.number))
        session.flush()
        session.connection().commit()

    plan = service.plan(service.listener(commit_all))
    first, second = batch(0, *of("a", 1)), batch(1, *of("b", 1))

    assert plan.deliver(joint(first, second)) == APART
    assert "Stop" in repr(plan.deliver(first))
    assert "Stop" in repr(plan.deliver(second))
