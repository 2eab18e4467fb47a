"""What must be asked before a partition can start, on a thread that may wait: the poll thread never does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streambind.back_off import BackOff
from streambind.binders.kafka.admin import KafkaAdmin
from streambind.binders.kafka.client_settings import StartPolicy
from streambind.binders.kafka.identity import TopicIdentities
from streambind.binding.binder import Identity, Lane, Positions
from streambind.binding.lost_position import outside_log, replaced
from streambind.errors import PositionLostError, StreambindError

LOG = logging.getLogger("streambind.binders.kafka")

REQUEST_TIMEOUT_S = 5.0
COMPARE_INTERVAL_S = 30.0
_FIRST_BACK_OFF_S = 0.05
_MAX_BACK_OFF_S = 2.0
_LOOK_TIMEOUT_S = 1.0

Source = Literal["stored", "committed", "earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a partition starts, and who said so; or why it cannot."""

    offset: int
    source: Source
    lost: PositionLostError | None = None


class Inquiries:
    """Finds out where partitions start: the stored position, else the group's committed offset, else the policy.

    `found` and `failed` are called from this object's thread; what fails is asked again, with back-off, until it
    is answered or forgotten.
    """

    def __init__(
        self,
        binding: str,
        admin: KafkaAdmin,
        *,
        group: str,
        policy: StartPolicy,
        positions: Positions | None,
        identities: TopicIdentities,
        found: Callable[[Mapping[Lane, Start]], None],
        failed: Callable[[Collection[Lane], str], None],
        reached: Callable[[], None],
        remade: Callable[[Collection[str]], None],
        present: Callable[[Collection[str]], None],
        resting: Callable[[], Mapping[Lane, int | None]],
        moved: Callable[[Collection[Lane]], None],
    ) -> None:
        self._binding = binding
        self._admin = admin
        self._group = group
        self._policy = policy
        self._positions = positions
        self._found = found
        self._failed = failed
        self._reached = reached
        self._remade = remade
        self._present = present
        self._resting = resting
        self._moved = moved
        self._compare_at = time.monotonic() + COMPARE_INTERVAL_S
        self._watching = False
        self._identities = identities
        self._untold: set[str] = set()
        self._asked = threading.Condition()
        self._waiting: dict[Lane, bool] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"streambind-{binding}-starts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask(self, lanes: Collection[Lane], *, anew: bool = False) -> None:
        """Find out where these start. `anew`: what comes next is no longer there. A stored position is held
        against the log then, of others the policy decides."""
        with self._asked:
            self._waiting.update(dict.fromkeys(lanes, anew))
            self._asked.notify()

    def forget(self, lanes: Collection[Lane]) -> None:
        with self._asked:
            for lane in lanes:
                self._waiting.pop(lane, None)

    def watch(self) -> None:
        """The broker seems to be away: say when it can be reached again."""
        with self._asked:
            self._watching = True
            self._asked.notify()

    def stop(self) -> None:
        with self._asked:
            self._stopping = True
            self._waiting.clear()
            self._asked.notify()

    def join(self, deadline: float) -> None:
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        back_off = BackOff(first_s=_FIRST_BACK_OFF_S, longest_s=_MAX_BACK_OFF_S)
        while True:
            with self._asked:
                self._asked.wait_for(
                    lambda: self._waiting or self._watching or self._stopping,
                    timeout=max(0.0, self._compare_at - time.monotonic()),
                )
                if self._stopping:
                    return
                asked = dict(self._waiting)
            answered, is_there = self._answer(asked), self._look()
            if answered and is_there and self._compare():
                back_off.succeed()
                continue
            with self._asked:
                self._asked.wait_for(lambda: self._stopping, timeout=back_off.fail())

    def _answer(self, asked: Mapping[Lane, bool]) -> bool:
        if not asked:
            return True
        try:
            starts = self._starts(asked)
        except Exception as exc:  # noqa: BLE001 - a database's or a broker's trouble: ask again later
            self._failed(asked, describe_failure(exc))
            return False
        with self._asked:
            starts = {lane: start for lane, start in starts.items() if lane in self._waiting}
            for lane in starts:
                del self._waiting[lane]
        self._identities.begun(starts)
        self._log(starts)
        self._found(starts)
        return True

    def _look(self) -> bool:
        if not self._watching:
            return True
        try:
            self._admin.reachable(_LOOK_TIMEOUT_S)
        except StreambindError:
            return False
        self._watching = False
        self._reached()
        return True

    def _compare(self) -> bool:
        if time.monotonic() < self._compare_at:
            return True
        self._compare_at = time.monotonic() + COMPARE_INTERVAL_S
        try:
            remade = self._identities.remade(self._identities.known(), REQUEST_TIMEOUT_S)
        except StreambindError:
            return False
        self._present(self._identities.present())
        if remade:
            self._remade(remade)
        return self._compare_positions()

    def _compare_positions(self) -> bool:
        """Notice stored positions that were moved by hand (where messages come, the next delivery does), and tell
        whether the topics are compacted by now."""
        resting = self._resting() if self._positions is not None else {}
        if self._positions is None or not resting:
            return True
        try:
            stored = self._positions.read([*resting])
            self._positions.identify([*resting], self._told(resting))
        except Exception as exc:  # noqa: BLE001 - the database's trouble: whoever delivers says it
            LOG.debug("binding %s: positions cannot be compared: %s", self._binding, describe_failure(exc))
            return False
        still = self._resting()
        moved = [
            lane
            for lane, at in resting.items()
            if lane in still and still[lane] == at and lane in stored and stored[lane] != at
        ]
        if moved:
            self._moved(moved)
        return True

    def _starts(self, asked: Mapping[Lane, bool]) -> dict[Lane, Start]:
        lanes = sorted(asked, key=lambda lane: (lane.destination, lane.partition))
        remade = self._identities.remade({lane.destination for lane in lanes}, REQUEST_TIMEOUT_S)
        if remade:
            self._remade(remade)
        starts = self._stored(lanes, asked)
        unknown = [lane for lane in lanes if lane not in starts]
        anew = {lane for lane in unknown if self._identities.begins_anew(lane) or asked[lane]}
        fresh = self._from_the_broker([lane for lane in unknown if lane not in anew])
        fresh.update(self._by_policy([lane for lane in unknown if lane not in fresh]))
        if self._positions is not None and (offered := {k: s for k, s in fresh.items() if s.lost is None}):
            first = {lane: (s.offset, s.source) for lane, s in offered.items()}
            adopted = self._positions.adopt(first, self._told(offered))
            fresh.update({lane: Start(adopted[lane], s.source) for lane, s in offered.items()})
        return {**starts, **fresh}

    def _stored(self, lanes: Sequence[Lane], asked: Mapping[Lane, bool]) -> dict[Lane, Start]:
        """Those that have a position in the database, as far as the topic is still the one that it belongs to."""
        if self._positions is None:
            return {}
        stored = self._positions.read(lanes)
        identities = self._told(stored)
        of = self._positions.identify([*stored], identities)
        doubted = [lane for lane in stored if asked[lane]]
        begins = self._admin.offsets.starts(doubted, REQUEST_TIMEOUT_S)
        ends = self._admin.offsets.ends(doubted, REQUEST_TIMEOUT_S)
        starts = {}
        for lane, offset in stored.items():
            lost: PositionLostError | None = None
            was, now = of.get(lane, Identity()), identities[lane.destination]
            if not was.may_be(now):
                lost = replaced(self._binding, self._group, lane, offset, was=was, now=now)
            elif lane in begins:
                lost = outside_log(self._binding, self._group, lane, offset, start=begins[lane], end=ends[lane])
            starts[lane] = Start(offset, "stored", lost)
        return starts

    def _told(self, lanes: Iterable[Lane]) -> dict[str, Identity]:
        """The identities of their topics; says once of each if the broker has none to tell."""
        names = {lane.destination for lane in lanes}
        identities = {name: self._identities.identity(name, REQUEST_TIMEOUT_S) for name in sorted(names)}
        for name in sorted(name for name, it in identities.items() if not it.is_known):
            if name not in self._untold:
                self._untold.add(name)
                LOG.warning(
                    "binding %s: the broker does not tell which topic %s is: if it is deleted and made anew, "
                    "stored positions are taken for the new one's",
                    *(self._binding, name),
                )
        return identities

    def _from_the_broker(self, lanes: Collection[Lane]) -> dict[Lane, Start]:
        committed = self._admin.offsets.committed(self._group, lanes, REQUEST_TIMEOUT_S)
        return {lane: Start(offset, "committed") for lane, offset in committed.items()}

    def _by_policy(self, lanes: Collection[Lane]) -> dict[Lane, Start]:
        if not lanes:
            return {}
        if self._policy == "none":
            lost = PositionLostError(
                f"binding {self._binding}: group {self._group} has no offset that the broker still holds, and "
                f"auto.offset.reset is none; set startOffset, or reset the group's offsets"
            )
            return {lane: Start(-1, "earliest", lost) for lane in lanes}
        latest = {lane for lane in lanes if self._policy == "latest" and not self._identities.is_new(lane)}
        starts = self._admin.offsets.starts([lane for lane in lanes if lane not in latest], REQUEST_TIMEOUT_S)
        ends = self._admin.offsets.ends(latest, REQUEST_TIMEOUT_S)
        return {
            **{lane: Start(offset, "earliest") for lane, offset in starts.items()},
            **{lane: Start(offset, "latest") for lane, offset in ends.items()},
        }

    def _log(self, starts: Mapping[Lane, Start]) -> None:
        for lane, start in starts.items():
            if start.lost is None:
                LOG.info(
                    "binding %s: %s[%d] starts at %d (%s)",
                    *(self._binding, lane.destination, lane.partition, start.offset, start.source),
                )


def describe_failure(exc: BaseException) -> str:
    """One line for people."""
    return str(exc) if isinstance(exc, StreambindError) else f"{type(exc).__name__}: {exc}"
