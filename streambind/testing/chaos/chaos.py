"""`Chaos`: what the fixture `chaos` gives to a test."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from sqlalchemy import make_url

from streambind.binders.kafka import EmbeddedBroker
from streambind.testing.chaos.drain import Drain
from streambind.testing.chaos.faults import (
    BreakAtCommit,
    Crash,
    Cut,
    Fault,
    Freeze,
    Hold,
    Kill,
    RebalanceStorm,
    StealLeases,
    start_if_dead,
)
from streambind.testing.chaos.history import History, Kind, Violation, violations
from streambind.testing.chaos.observed import ObservedDatabase
from streambind.testing.chaos.program import Program, Target, command_of
from streambind.testing.chaos.proxy import Proxy
from streambind.testing.chaos.report import BrokenPromises, Report
from streambind.testing.chaos.schedule import Plan, Schedule
from streambind.testing.chaos.watch import Bounds, Watch
from streambind.testing.eventually import eventually

BEGIN_S = 120.0
DRAIN_S = 180.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_FENCED = b"by another owner"
_RESTART_AFTER_S = 0.5
_GAPS = 10
"""How many are shown."""
_KILLS, _FREEZES = 4, 2
"""For each time that the other kinds of fault come once: there are several programs."""


class Chaos:
    """Services and writers in processes of their own, and faults that happen to them, to what they talk to and to
    the connections between. One run each; used from the test's thread. Everything is on this machine."""

    def __init__(
        self, name: str, plan: Plan, folder: Path, *, told: Callable[[Report], None], partitions: int = 4
    ) -> None:
        """`told` gets the report of a run, whatever it says."""
        self.plan = plan
        self._name = name
        self._folder = folder
        self._told = told
        self._partitions = partitions
        self._services: list[Program] = []
        self._writers: list[Program] = []
        self._databases: dict[str, tuple[ObservedDatabase, str]] = {}
        self._brokers: str | None = None
        self._faults: list[Fault] = []
        self._restarts: dict[str, list[str]] = {}
        self._ended_at: dict[str, float] = {}
        self._close = contextlib.ExitStack()

    def service(
        self, name: str, target: Target, *, environment: Mapping[str, str] | None = None, instances: int = 1
    ) -> None:
        """A program that listens, relays or both, `instances` times: killed, frozen and started again until all is
        drained. `environment` is added to that of the test run."""
        self._services += self._programs(name, target, environment, instances)

    def writer(
        self, name: str, target: Target, *, environment: Mapping[str, str] | None = None, instances: int = 1
    ) -> None:
        """The same for a program that commits changes until SIGTERM: it is stopped before the drain. One that ends
        by itself with exit code 0 has written all it wants to."""
        self._writers += self._programs(name, target, environment, instances)

    def database(self, name: str, url: str, *, schema: str | None = None) -> str:
        """A database of the services, whose outbox and positions are watched and whose leases are stolen. Returns
        the URL for the services: it leads through a proxy that breaks connections, where there are any.

        Raises:
            ValueError: the server is on another machine.
        """
        if url not in self._databases:
            parsed = make_url(url)
            observed = ObservedDatabase(url, schema=schema)
            self._close.callback(observed.close)
            if parsed.host is not None and parsed.port is not None:
                if parsed.host not in _LOOPBACK:
                    raise ValueError(f"chaos breaks connections on this machine only, not to {observed.name}")
                proxy = self.proxy(name, parsed.port)
                self._faults.append(BreakAtCommit(name, proxy))
                url_for_services = parsed.set(host="127.0.0.1", port=proxy.port)
            else:
                url_for_services = parsed
            self._databases[url] = observed, url_for_services.render_as_string(hide_password=False)
        return self._databases[url][1]

    def broker(self, address: str | None = None) -> str:
        """The broker of the services: that at `address`, else one inside the test's process, which goes away and
        comes back. Returns its address.

        To break connections to a broker of your own, make a `proxy` first, and have the broker advertise its port.
        """
        if address is None:
            embedded = self._close.enter_context(EmbeddedBroker(default_partitions=self._partitions))
            self._faults.append(Crash("broker", embedded.go_away, embedded.come_back))
            address = embedded.address
        self._brokers = address
        return address

    def server(self, name: str, *, crash: Callable[[], None], restart: Callable[[], object]) -> None:
        """A server that may be broken: `crash` ends it as a power cut would, `restart` brings it back on the same
        address with its data, and returns when it serves."""
        self._faults.append(Crash(name, crash, restart))

    def proxy(self, name: str, target: int | None = None) -> Proxy:
        """A door in front of a port of this machine, which is cut and held shut."""
        proxy = Proxy(target)
        self._close.callback(proxy.close)
        self._faults += [Cut(name, proxy), Hold(name, proxy)]
        return proxy

    def run(
        self,
        history: Callable[[], History],
        *,
        only: Collection[str] | None = None,
        bounds: Bounds | None = None,
        drain_s: float = DRAIN_S,
    ) -> Report:
        """Start everything, wait until events flow, let faults happen for the time of the plan, mend what is
        broken, stop the writers, wait until all is drained, stop the services, and compare what `history` then
        says.

        `only` names the kinds of fault that are wanted: `kill`, `freeze`, `steal-leases`, `rebalance-storm`,
        `crash-*`, `cut-*`, `hold-*`, `break-at-commit-*`, by their beginnings.

        Raises:
            BrokenPromises: with the report.
            AssertionError: without any fault no event was handled, or a program does not stop.
        """
        if self._brokers is None:
            raise ValueError(
                "say where the broker is before run(): chaos.broker(), or chaos.broker('localhost:9092')"
            )
        programs = [*self._services, *self._writers]
        databases = [observed for observed, _ in self._databases.values()]
        watch = Watch(databases, programs, bounds=bounds or Bounds())
        faults = [
            f for f in self._all_faults(programs, databases) if only is None or f.kind.startswith(tuple(only))
        ]
        schedule = Schedule(faults, self.plan, ended=watch.fault_ended)
        with contextlib.closing(Drain(databases, self._brokers)) as drain:
            for program in programs:
                program.start()
            watch.start()
            try:
                self._begin(watch)
                schedule.run(self._keep_running)
                self._stop(self._writers)
                began = time.monotonic()
                lag = drain.wait(drain_s, self._keep_services)
                drained_s = time.monotonic() - began
            finally:
                watch.stop()
            self._stop(self._services)
            told, wire, seen = history(), drain.wire(), watch.seen
        found = [*violations(told), *seen.violations, *(Violation(Kind.GAP, gap) for gap in wire.gaps[:_GAPS])]
        if lag is not None:
            text = "\n".join([f"not drained within {drain_s:g} s: {lag}", *(p.tail() for p in self._services)])
            found.append(Violation(Kind.STANDSTILL, text))
        report = Report(
            name=self._name,
            seed=self.plan.seed,
            seconds=self.plan.seconds,
            faults=dict(schedule.counts),
            restarts=self._restarts,
            events=len(told.committed),
            effects=None if told.effects is None else len(told.effects),
            parked=len(told.parked),
            records=wire.records,
            duplicates=wire.duplicates,
            fenced=sum(program.log.read_bytes().count(_FENCED) for program in self._services),
            recoveries_s=seen.recoveries_s,
            drained_s=drained_s,
            memory_mb=seen.memory_mb,
            backlog=seen.backlog,
            parked_keys=seen.parked_keys,
            violations=found,
        )
        self._told(report)
        if found:
            raise BrokenPromises(report)
        return report

    def close(self) -> None:
        """Kill what still runs and close the proxies; the logs go where pytest shows them if the test fails.
        Called by the fixture."""
        for program in (*self._services, *self._writers):
            program.kill()
            sys.stdout.write(program.tail() + "\n")
        self._close.close()

    def _begin(self, watch: Watch) -> None:
        """Until events flow: faults before that would only hit programs that are starting."""
        eventually(
            lambda: self._keep_running() or watch.has_moved.is_set(),  # type: ignore[func-returns-value]
            BEGIN_S,
            lambda: "\n".join(["no event was handled", *(p.tail() for p in (*self._writers, *self._services))]),
        )

    def _programs(
        self, name: str, target: Target, environment: Mapping[str, str] | None, instances: int
    ) -> list[Program]:
        # What the test can import, its programs can.
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        given = {**os.environ, "PYTHONPATH": path, **(environment or {})}
        names = [name] if instances == 1 else [f"{name}-{number + 1}" for number in range(instances)]
        return [Program(each, command_of(target), given, log=self._folder / f"{each}.log") for each in names]

    def _all_faults(self, programs: list[Program], databases: list[ObservedDatabase]) -> list[Fault]:
        assert self._brokers is not None
        faults: list[Fault] = [*[Kill(programs)] * _KILLS, *[Freeze(programs)] * _FREEZES, *self._faults]
        if databases:
            faults += [StealLeases(databases), RebalanceStorm(databases, self._brokers)]
        return faults

    def _keep_running(self) -> None:
        self._keep_services()
        for writer in self._writers:
            if writer.exit_code != 0:
                self._keep(writer)

    def _keep_services(self) -> None:
        for service in self._services:
            self._keep(service)

    def _keep(self, program: Program) -> None:
        """Start again what ended by itself, as a supervisor would; those that were killed are started by the
        fault."""
        code = program.exit_code
        if code is None or code == -9:
            return
        ended_at = self._ended_at.setdefault(program.name, time.monotonic())
        if time.monotonic() - ended_at > _RESTART_AFTER_S:
            del self._ended_at[program.name]
            self._restarts.setdefault(program.name, []).append(program.ending())
            start_if_dead(program)

    def _stop(self, programs: list[Program]) -> None:
        for program in programs:
            program.ask_to_stop()
        for program in programs:
            program.wait_until_stopped()
