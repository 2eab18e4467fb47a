"""A relay that has lost its shards and wakes up: with fences nothing of it gets into the log after the new owner's
messages, so that a consumer without the sequence guard ends with the newest value of each key."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from streambind.binders.memory import MemoryBroker
from streambind.errors import BrokerUnavailableError
from streambind.outbound import relay_lanes, relay_loop
from streambind.outbound.relay_outcome import RelayOutcome
from streambind.outbound.relay_way import FencedWay, Job, Readiness
from streambind.persistence.database import Database
from streambind.persistence.tables import SHARDS
from tests.integration.relay.commits import commit_keys, committed
from tests.integration.relay.conftest import StartRelay
from tests.integration.relay.stage import DESTINATION, Producer, Stage
from tests.integration.relay.wire import gaps, missing, overtaken


@pytest.fixture
def stage(
    request: pytest.FixtureRequest,
    database: Database,
    start_relay: StartRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """With fences, unless the test asks for `fencing=False`."""
    with MemoryBroker.fresh():
        stage = Stage(database, start_relay, fencing=getattr(request, "param", True))

        def failpoint(name: str) -> None:
            for host in (stage.first, stage.second):
                if name == "relay.after_ack" and threading.current_thread() is host.thread:
                    host.after_ack.passed()

        monkeypatch.setattr(relay_loop, "failpoint", failpoint)
        yield stage
        for host in (stage.first, stage.second):
            if host.relay is not None:
                host.wake()


def _sleeps_before_it_sends(stage: Stage) -> None:
    """`first` has three events of each key in memory; `second` sends these and newer ones; `first` wakes up."""
    stage.first.before_send.shut()
    commit_keys(stage.database, range(5), rounds=3)
    stage.first.start()
    assert stage.first.before_send.reached.wait(20)
    stage.first.lose_its_leases()
    commit_keys(stage.database, range(5), rounds=2)
    stage.second.start()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_one_that_wakes_up_before_its_send_is_shut_out(stage: Stage) -> None:
    _sleeps_before_it_sends(stage)
    assert overtaken(stage.log()) == gaps(stage.log()) == []
    assert missing(stage.log(), committed(stage.database)) == []
    commit_keys(stage.database, range(5))
    assert stage.settled()
    assert overtaken(stage.log()) == []


@pytest.mark.parametrize("stage", [False], indirect=True, ids=["no fences"])
def test_without_fences_its_old_values_come_last(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_lanes, "_MOST_JOBS", 1)  # else it may have read the newer ones too
    _sleeps_before_it_sends(stage)
    assert overtaken(stage.log()) != []
    assert gaps(stage.log()) == []


def _sleeps_before_it_takes_the_fence(stage: Stage) -> None:
    """`first` has read rows and has no fence yet; `second` sends them; `first` takes the fence from it."""
    stage.first.before_bind.shut()
    commit_keys(stage.database, [1], rounds=3)
    stage.first.start()
    assert stage.first.before_bind.reached.wait(20)
    stage.first.lose_its_leases()
    commit_keys(stage.database, [1], rounds=2)
    stage.second.start()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_rows_that_were_read_before_the_fence_was_taken_are_read_again(stage: Stage) -> None:
    _sleeps_before_it_takes_the_fence(stage)
    assert stage.log() == {b"1": [1, 2, 3, 4, 5]}
    # The owner of the shard was shut out, and takes its fence back.
    commit_keys(stage.database, [1])
    assert stage.settled()
    assert stage.log() == {b"1": [1, 2, 3, 4, 5, 6]}


def test_to_send_what_was_read_before_the_fence_was_taken_leaves_old_values_last(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = FencedWay.prepare

    def hastily(self: FencedWay, job: Job) -> Readiness:
        prepare(self, job)
        return Readiness.READY

    monkeypatch.setattr(FencedWay, "prepare", hastily)
    _sleeps_before_it_takes_the_fence(stage)
    assert overtaken(stage.log()) != []


def _gets_back_what_it_has_sent(stage: Stage) -> None:
    """`second` has sent everything and deleted nothing; `first` takes over, reads the beginning of it and sleeps;
    `second` gets the shard back, and then `first` wakes up."""
    commit_keys(stage.database, [1], rounds=5)
    stage.second.after_ack.shut()
    stage.second.start()
    assert stage.second.after_ack.reached.wait(20)
    stage.second.lose_its_leases()
    stage.first.before_send.shut()
    stage.first.start(batch_size=3)
    assert stage.first.before_send.reached.wait(20)
    stage.first.lose_its_leases()
    stage.second.wake()
    assert stage.drained()
    stage.first.wake()
    assert stage.first.rests()


def test_what_was_sent_in_another_tenure_is_sent_again_and_not_deleted(stage: Stage) -> None:
    _gets_back_what_it_has_sent(stage)
    assert stage.log() == {b"1": [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]}


def test_to_delete_what_was_sent_in_another_tenure_leaves_old_values_last(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RelayOutcome, "within", lambda outcome, _: outcome)
    monkeypatch.setattr(relay_lanes, "_MOST_JOBS", 1)  # else the rest of it may be read too
    _gets_back_what_it_has_sent(stage)
    assert overtaken(stage.log()) != []


def test_a_fence_that_was_lost_is_taken_again_by_who_owns_the_shard(stage: Stage) -> None:
    stage.first.start()
    commit_keys(stage.database, range(40))
    assert stage.drained()
    for shard in range(SHARDS):
        source = stage.first._loop._source
        assert source is not None
        stage.second._bind(DESTINATION, f"{source.source_id}/{DESTINATION}/{shard}")
    commit_keys(stage.database, range(40))
    stage.first._loop.wake()
    assert stage.drained()
    assert stage.log() == {b"%d" % key: [1, 2] for key in range(40)}


def test_a_fence_that_cannot_be_taken_is_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    bind, refusals = stage.first._bind, [BrokerUnavailableError("no coordinator yet")] * 3

    def refuse(destination: str, fence: str) -> Producer:
        if refusals and fence.endswith(("/1", "/3")):
            raise refusals.pop()
        return bind(destination, fence)

    monkeypatch.setattr(stage.first, "_bind", refuse)
    commit_keys(stage.database, range(40), rounds=2)
    stage.first.start()
    assert stage.drained()
    assert refusals == []
    assert overtaken(stage.log()) == []
