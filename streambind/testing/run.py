"""An application on the broker of a test, for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType

from sqlalchemy import Connection

from streambind.application import StreamApplication
from streambind.errors import LifecycleError
from streambind.testing.bookkeeping import Leftovers, forget, remember
from streambind.testing.stand_in import StandIn


class Guests:
    """The applications of one test, and how they come to its broker and go again."""

    def __init__(self, broker: StandIn, leftovers: Leftovers) -> None:
        self.applications: list[StreamApplication] = []
        self._broker = broker
        self._leftovers = leftovers
        self._leave = contextlib.ExitStack()

    @contextlib.contextmanager
    def prepared(self, application: StreamApplication) -> Iterator[StreamApplication]:
        """On the broker, not started; stopped at the end if it runs then."""
        with self._on_broker(application):
            self._work(application, self._beginning(application))
            yield application

    @contextlib.contextmanager
    def running(self, application: StreamApplication) -> Iterator[StreamApplication]:
        """Started, on threads and an event loop of its own."""
        with self._on_broker(application):
            self._work(application, self._beginning(application))
            with application:
                yield application
            self._work(application, self._remember(application))

    @contextlib.asynccontextmanager
    async def running_on_loop(self, application: StreamApplication) -> AsyncIterator[StreamApplication]:
        """Started, on the running event loop."""
        with self._on_broker(application):
            await self._work_on_loop(application, self._beginning(application))
            async with application.lifespan():
                yield application
            await self._work_on_loop(application, self._remember(application))

    def close(self) -> None:
        """Stop what still runs."""
        self._leave.close()

    @contextlib.contextmanager
    def _on_broker(self, application: StreamApplication) -> Iterator[None]:
        if application.is_running:
            raise LifecycleError(
                "this application runs already, on a broker that the test did not choose: "
                "stop it before streams.run() or streams.prepare(), which put it on the test's broker"
            )
        before = application.use_binders(self._broker.types())

        def leave() -> None:
            application.stop()
            application.use_binders(before)

        # Should the block never end, the test's end ends it.
        with contextlib.ExitStack() as stack:
            stack.callback(leave)
            self._leave.callback(stack.close)
            yield

    def _beginning(self, application: StreamApplication) -> Callable[[Connection], None] | None:
        """What is to be done in the database before the application's first start in this test."""
        database = application.database
        known = [a.database.engine for a in self.applications if a.database is not None]
        if application not in self.applications:
            self.applications.append(application)
        if database is None or database.engine in known:
            return None
        return lambda connection: forget(connection, database, self._leftovers)

    def _remember(self, application: StreamApplication) -> Callable[[Connection], None] | None:
        database = application.database
        if database is None:
            return None
        return lambda connection: remember(connection, database, self._leftovers)

    @staticmethod
    def _work(application: StreamApplication, work: Callable[[Connection], None] | None) -> None:
        database = application.database
        if work is None or database is None:
            return
        database.run(work)
        if database.is_async:
            # An event loop of its own has been started for this, and the connection belongs to it.
            database.dispose()
            database.loop.close()

    @staticmethod
    async def _work_on_loop(application: StreamApplication, work: Callable[[Connection], None] | None) -> None:
        """On the running loop, to which an asynchronous engine's connections belong."""
        if work is None or application.database is None:
            return
        if not application.database.is_async:
            application.database.run(work)
            return
        async with application.async_sessions() as session, session.begin():
            connection = await session.connection()
            await connection.run_sync(work)


class Run:
    """What `Streams.run` returns: enter it once, with `with` or `async with`."""

    def __init__(
        self,
        block: AbstractContextManager[StreamApplication],
        async_block: AbstractAsyncContextManager[StreamApplication],
    ) -> None:
        self._block = block
        self._async_block = async_block

    def __enter__(self) -> StreamApplication:
        return self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, traceback)

    async def __aenter__(self) -> StreamApplication:
        return await self._async_block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._async_block.__aexit__(kind, error, traceback)
