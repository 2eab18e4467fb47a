"""An input binding put together: its listeners, how their effects are kept, and what delivers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streambind.binding.binder import ConsumerBinding, Deliver, Positions
from streambind.binding.outcome import Outcome
from streambind.configuration.destinations import destinations_of, replay_destinations_of
from streambind.configuration.finding import Finding, Severity
from streambind.configuration.parking_properties import ParkingProperties
from streambind.configuration.properties import BindingProperties, ConsumerProperties, OnError
from streambind.errors import ConfigurationError
from streambind.event_loop import EventLoop
from streambind.inbound.accompanied import AccompaniedConsumer
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.delivery import Delivery
from streambind.inbound.delivery_broker import BrokerEffects
from streambind.inbound.delivery_positions import DatabaseEffects
from streambind.inbound.dispatcher import Dispatcher
from streambind.inbound.error_policy import ErrorPolicy
from streambind.inbound.guard import SequenceGuard
from streambind.inbound.handling import Handling
from streambind.inbound.history import History
from streambind.inbound.inbox import Inbox
from streambind.inbound.limits import Limits
from streambind.inbound.listener import ListenerMark
from streambind.inbound.mass_failure import MassFailure
from streambind.inbound.mistakes import mistakes
from streambind.inbound.parked_back_off import ParkedBackOff
from streambind.inbound.parked_fate import ParkedFate
from streambind.inbound.parked_keys import ParkedKeys
from streambind.inbound.parked_queues import ParkedQueues
from streambind.inbound.parked_retry import ParkedRetry
from streambind.inbound.plan import Planner
from streambind.inbound.positions import DatabasePositions
from streambind.inbound.replayed import delivers_replays
from streambind.inbound.replica import plan_replica
from streambind.inbound.replica_plan import ReplicaPlan
from streambind.inbound.replicates import ReplicaMark
from streambind.inbound.retry import Budget
from streambind.inbound.retry_worker import RetryWorker
from streambind.inbound.statistics import DeliveryStatistics
from streambind.inbound.surroundings import Surroundings
from streambind.message import Batch
from streambind.persistence.database import Database
from streambind.read_ahead import Reader

_REPLICA_BATCH = 2_000
"""What a backlog brings of a row several times is written once, and a transaction costs what it costs."""


@dataclass(slots=True)
class InputPlan:
    """What a binder needs to know to bind an input, and what health wants to know of it.

    `budget` and `policy` say what becomes of failing messages. `positions` is there if the database is the
    authority for what is done: then the broker's own offsets are a report only; so is `worker`, which tries parked
    keys again, whatever `consumer.on-error` says by now. `batch`, `joins` and `readers` are as in
    `ConsumerTarget`.
    """

    deliver: Deliver
    positions: Positions | None
    worker: RetryWorker | None
    statistics: DeliveryStatistics
    commit_times: CommitTimes
    budget: Budget
    policy: ErrorPolicy
    replicas: Sequence[ReplicaPlan] = ()
    batch: int | None = None
    joins: bool = False
    readers: tuple[Reader, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    @staticmethod
    def build(
        binding: str,
        properties: BindingProperties,
        *,
        listeners: Sequence[ListenerMark] = (),
        replicas: Sequence[ReplicaMark] = (),
        surroundings: Surroundings,
    ) -> InputPlan:
        """Plan the listeners and replicas, at least one of them, of an input binding. A message goes to the
        replicas first. Opens nothing.

        Raises:
            ConfigurationError: with all findings, if one of them is an error.
        """
        limits = Limits.of(properties.consumer)
        planner = Planner(content_type=properties.content_type, time_zone=surroundings.time_zone, limits=limits)
        shared = len(replicas) + len(listeners) > 1
        plans = [
            *(plan_replica(mark, planner, shared=shared, surroundings=surroundings) for mark in replicas),
            *(planner.plan(mark, shared=shared) for mark in listeners),
        ]
        ready = [plan for plan in plans if plan is not None]
        findings = [*planner.findings, *mistakes(binding, properties, ready, surroundings)]
        if any(finding.severity is Severity.ERROR for finding in findings):
            raise ConfigurationError(f"binding {binding} cannot be planned: {findings[0].text}", findings)
        statistics, commit_times = DeliveryStatistics(), CommitTimes()
        dispatcher = Dispatcher(binding, ready, statistics, limits=limits)
        budget = Budget.of(properties.consumer)
        kept = _kept(dispatcher, binding, properties, surroundings, statistics, budget)
        policy = _policy(properties, surroundings, may_park=kept is not None)
        delivery = Delivery(
            binding,
            _broker_effects(dispatcher, surroundings) if kept is None else kept.effects,
            budget=budget,
            policy=policy,
            dead_letters=surroundings.dead_letters,
            parking=None if kept is None else kept.effects,
            statistics=statistics,
            commit_times=commit_times,
        )
        deliver = _on_loop(surroundings.loop, delivery.deliver) if dispatcher.is_async else delivery.deliver
        if kept is None and (replays := replay_destinations_of(binding, properties)):
            deliver = delivers_replays(deliver, replays)
        positions, worker = (None, None) if kept is None else (kept.positions, kept.worker)
        copies = [plan.replica for plan in ready if plan.replica is not None]
        copies_only = len(copies) == len(ready)
        return InputPlan(
            deliver,
            positions,
            worker,
            statistics,
            commit_times,
            budget,
            policy,
            replicas=copies,
            batch=_REPLICA_BATCH if dispatcher.is_batch and copies_only else None,
            # A list that a listener gets is of one partition.
            joins=positions is not None and (copies_only or not dispatcher.is_batch),
            # What handlers do takes so much longer than reading that it does not pay.
            readers=(*kept.readers, *dispatcher.readers) if kept is not None and dispatcher.readers else (),
            findings=findings,
        )

    def accompany(self, consumer: ConsumerBinding) -> ConsumerBinding:
        """The binder's handle, with the worker at its side if there is one, which starts now."""
        return consumer if self.worker is None else AccompaniedConsumer(consumer, self.worker)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The parts of an input whose positions are in the database."""

    effects: DatabaseEffects
    positions: DatabasePositions
    worker: RetryWorker
    readers: tuple[Reader, ...]


def _kept(
    dispatcher: Dispatcher,
    binding: str,
    properties: BindingProperties,
    surroundings: Surroundings,
    statistics: DeliveryStatistics,
    budget: Budget,
) -> _Kept | None:
    """One listener with a session makes the mode the database's, for all listeners of the binding."""
    database, group = surroundings.database, properties.group
    if not dispatcher.wants_session or database is None or group is None:
        return None
    trusts, parking = properties.consumer.sequence == "trust", properties.consumer.parking
    positions = DatabasePositions(database, group)
    guard = SequenceGuard(database, group) if trusts else None
    inbox = _inbox(properties.consumer, database, group)
    handling = Handling(
        dispatcher,
        database,
        replies=surroundings.replies,
        inbox=inbox,
        commit_after_ms=properties.consumer.commit_after_ms,
    )
    mass_failure, back_off = MassFailure(parking), ParkedBackOff(parking)
    queues = ParkedQueues(database, group, destinations_of(binding, properties))
    fate = ParkedFate(
        binding,
        queues,
        positions=positions,
        guard=guard,
        back_off=back_off,
        budget=budget,
        policy=_policy(properties, surroundings, may_park=True),
        mass_failure=mass_failure,
        dead_letters=surroundings.dead_letters,
        statistics=statistics,
    )
    retry = ParkedRetry(
        binding,
        handling,
        database,
        queues=queues,
        positions=positions,
        guard=guard,
        back_off=back_off,
        fate=fate,
        mass_failure=mass_failure,
        statistics=statistics,
        on_commit=surroundings.on_commit,
    )
    worker = RetryWorker(
        binding,
        retry,
        poll_interval_ms=parking.poll_interval_ms,
        mass_failure=mass_failure,
        upkeep=_upkeep(inbox, _history(parking, database, group, destinations_of(binding, properties))),
    )
    effects = DatabaseEffects(
        handling,
        database,
        positions=positions,
        parked=ParkedKeys(database, group, parking, numbered=trusts),
        mass_failure=mass_failure,
        guard=guard,
        dead_letters=surroundings.dead_letters,
        statistics=statistics,
        on_commit=surroundings.on_commit,
        on_parked=worker.wake,
    )
    return _Kept(effects, positions, worker, () if guard is None else (guard,))


def _upkeep(*remembered: Inbox | History | None) -> Callable[[], None]:
    def purge() -> None:
        for each in remembered:
            if each is not None:
                each.purge()

    return purge


def _history(
    parking: ParkingProperties, database: Database, group: str, destinations: Sequence[str]
) -> History | None:
    if parking.history_retention_ms is None:
        return None
    return History(database, group, destinations, retention_ms=parking.history_retention_ms)


def _inbox(consumer: ConsumerProperties, database: Database, group: str) -> Inbox | None:
    if consumer.dedupe is None:
        return None
    return Inbox(
        database, group, consumer.dedupe, retention_ms=consumer.dedupe_retention_ms, limits=Limits.of(consumer)
    )


def _broker_effects(dispatcher: Dispatcher, surroundings: Surroundings) -> BrokerEffects:
    return BrokerEffects(dispatcher, replies=surroundings.replies, dead_letters=surroundings.dead_letters)


def _policy(properties: BindingProperties, surroundings: Surroundings, *, may_park: bool) -> ErrorPolicy:
    default = properties.consumer.on_error
    if default is None:
        has_letters = surroundings.dead_letters is not None
        default = OnError.DLQ if has_letters else OnError.PARK if may_park else OnError.STOP
    return ErrorPolicy(default, properties.consumer.on_error_of)


def _on_loop(loop: EventLoop, deliver: Deliver) -> Deliver:
    """One hop to the event loop per batch; inside, coroutines are awaited where they are called."""

    def deliver_on_loop(batch: Batch) -> Outcome:
        return loop.call(lambda: deliver(batch))

    return deliver_on_loop
