"""StreamApplication: configuration, declarations and a database become running bindings."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from streambind.application.blueprint import Blueprint
from streambind.application.collector import spare_collector
from streambind.application.links import Links
from streambind.application.running import Running
from streambind.application.sessions import asynchronous_sessions, required, synchronous_sessions
from streambind.application.signals import ended_by_signals
from streambind.binding.binder_type import BinderType
from streambind.binding.binding import BindingStatus, InputBinding, OutputBinding
from streambind.binding.factory import binder_types
from streambind.configuration import Configuration, Finding
from streambind.configuration.arguments import is_setting
from streambind.errors import LifecycleError
from streambind.event_loop import EventLoop
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.statistics import Figures
from streambind.message import Message
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.relay_state import RelayState
from streambind.persistence.database import AnySessions, Database

log = logging.getLogger("streambind")


class StreamApplication:
    """Bindings, listeners, published entities and their database, as one thing to start and stop.

    `location` is a folder with `application.yaml` or a file. `database` is the sessionmaker (or
    async_sessionmaker) of the service; without it `streambind.datasource.url` makes one. Marks are collected
    from `include`: modules, classes, functions or objects. `arguments` are `--key=value` overrides; None takes
    those of the command line that begin with `--spring.` or `--streambind.`.

    Building validates everything and attaches capture to the sessionmaker; no thread, loop or connection exists
    before `start()`. An application that is built and never started writes its events to the outbox, for a
    relay elsewhere to send.

    `on_publish_error` is told of messages that `producer.publish: after-commit` could not send, also while
    nothing runs, and on whichever thread notices.

    Raises:
        ConfigurationError: with every finding at once.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        database: AnySessions | None = None,
        include: Iterable[object] = (),
        arguments: Sequence[str] | None = None,
        overrides: Mapping[str, object] | None = None,
        on_publish_error: Callable[[Message, Exception], None] | None = None,
    ) -> None:
        self._loop = EventLoop()
        self._links = Links(on_publish_error)
        self._running: Running | None = None
        self._blueprint = Blueprint(
            location,
            loop=self._loop,
            links=self._links,
            database=database,
            include=include,
            arguments=[*filter(is_setting, sys.argv[1:])] if arguments is None else arguments,
            overrides=overrides or {},
        )
        self._on_publish_error = on_publish_error
        self._binder_types: Mapping[str, BinderType] = binder_types()
        self._lock = threading.RLock()

    @property
    def bridge(self) -> StreamBridge:
        """The way to an output binding outside a database transaction."""
        return self._blueprint.bridge

    @property
    def configuration(self) -> Configuration:
        return self._blueprint.configuration

    @property
    def blueprint(self) -> Blueprint:
        """What was made of configuration and code, whether the application runs or not."""
        return self._blueprint

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The warnings that building found."""
        return self._blueprint.findings

    @property
    def database(self) -> Database | None:
        """The service's database; None if the application uses none."""
        return self._blueprint.database

    @property
    def engine(self) -> Engine:
        """The engine of the service's database; of an asynchronous one the synchronous inside.

        Raises:
            ConfigurationError: the application has no database.
        """
        return required(self.database).engine

    @property
    def sessions(self) -> sessionmaker[Session]:
        """The service's sessionmaker, whose commits publish.

        Raises:
            ConfigurationError: the application has no database, or an asynchronous one.
        """
        return synchronous_sessions(self.database)

    @property
    def async_sessions(self) -> async_sessionmaker[Any]:
        """The service's async_sessionmaker, whose commits publish.

        Raises:
            ConfigurationError: the application has no database, or a synchronous one.
        """
        return asynchronous_sessions(self.database)

    @property
    def is_running(self) -> bool:
        """Whether it runs in this process."""
        return self._here() is not None

    @property
    def relay(self) -> RelayState | None:
        """How the relay fares; None where this application runs none."""
        running = self._here()
        return None if running is None or running.relay is None else running.relay.state

    def status(self) -> list[BindingStatus]:
        """Every binding in use. Asks neither broker nor database."""
        running = self._here()
        return [] if running is None else running.bindings.status()

    def figures(self, binding: str) -> Figures | None:
        """What the deliveries of an input have done since it was started."""
        running = self._here()
        return None if running is None else running.inputs.figures(binding)

    def commit_times(self, binding: str) -> CommitTimes | None:
        """When what an input has in hand was committed."""
        running = self._here()
        return None if running is None else running.inputs.commit_times(binding)

    def parks(self, binding: str) -> bool:
        """Whether an input keeps its positions in the database: what it parks waits there too."""
        plan = self._blueprint.input_plans.get(binding)
        return plan is not None and plan.worker is not None

    def unsent(self) -> Mapping[str, int]:
        """Direct messages (the bridge's, and of `publish: after-commit`) without an outcome yet, by output."""
        running = self._here()
        return {} if running is None else running.outputs.unsent()

    def binding(self, name: str) -> InputBinding | OutputBinding:
        """A binding, to stop, start, pause or resume it.

        Raises:
            LifecycleError: the application does not run.
            ConfigurationError: it has no such binding.
        """
        self._links.refuse_fork()
        running = self._running
        if running is None:
            raise LifecycleError("the application does not run: call start(), or use it as a context manager")
        return running.bindings.binding(name)

    def use_binders(self, types: Mapping[str, BinderType]) -> Mapping[str, BinderType]:
        """Take other binders under the configured names, from the next start on; returns those before: for tests.

        Raises:
            LifecycleError: the application runs.
        """
        with self._lock:
            if self._running is not None:
                raise LifecycleError("stop the application before giving it other binders")
            before, self._binder_types = self._binder_types, types
            return before

    def start(self, *, relay_only: bool = False) -> None:
        """Start the relay and all bindings: outputs first, inputs last. A broker or database that is away does
        not stop it: what needs it waits, visibly, and is tried again.

        `relay_only` starts the relay, whatever `streambind.outbox.relay` says, and the outputs that it sends
        through; no listener.

        Raises:
            LifecycleError: it runs already, or was started before a fork.
            StreambindError: a start was refused for good; nothing runs then.
        """
        with self._lock:
            self._links.refuse_fork()
            if self._running is not None:
                raise LifecycleError("the application runs already")
            for finding in () if relay_only else self.findings:
                log.warning("%s", finding)
            running = Running(
                self._blueprint,
                self._binder_types,
                owner=f"{os.getpid()}-{uuid.uuid4().hex[:12]}",
                on_publish_error=self._on_publish_error,
                relay_only=relay_only,
            )
            self._running = running
            self._links.connect(running)
            try:
                running.start()
            except BaseException:
                self._stop(running, self.configuration.properties.shutdown_timeout_ms)
                raise

    def stop(self, timeout_ms: int | None = None) -> None:
        """Drain and stop: inputs first, then the relay and the senders, then outputs; within
        `streambind.shutdown-timeout` altogether. Idempotent. Never on the thread of the running event loop.

        Raises:
            LifecycleError: called from the event loop, or in a process forked after the start.
        """
        if self._loop.is_current():
            raise LifecycleError(
                "stop() would block the event loop that it waits for: use `async with stream.lifespan()`, "
                "or await asyncio.to_thread(stream.stop)"
            )
        with self._lock:
            self._links.refuse_fork()
            running = self._running
            if running is not None:
                default_ms = self.configuration.properties.shutdown_timeout_ms
                self._stop(running, default_ms if timeout_ms is None else timeout_ms)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncGenerator[None, None]:
        """Run while a web application runs: `FastAPI(lifespan=stream.lifespan)`. Coroutines run on its loop."""
        self._loop.adopt(asyncio.get_running_loop())
        with closing(self._loop):
            await asyncio.to_thread(self.start)
            try:
                yield
            finally:
                await asyncio.to_thread(self.stop)

    def run(self, *, relay_only: bool = False) -> None:
        """Run until SIGTERM or SIGINT, then drain; a second signal ends the process at once. On the main thread
        only: signals go there. `relay_only` as in `start`."""
        with ended_by_signals() as stop:
            self.start(relay_only=relay_only)
            spare_collector()
            try:
                stop.wait()
            finally:
                self.stop()

    def _stop(self, running: Running, timeout_ms: int) -> None:
        try:
            running.stop(time.monotonic() + timeout_ms / 1000)
        finally:
            self._links.disconnect()
            self._running = None
            self._loop.close()

    def _here(self) -> Running | None:
        """What runs in this process: nothing of it survives a fork."""
        return None if self._links.is_forked else self._running
