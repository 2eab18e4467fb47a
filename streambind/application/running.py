"""The parts of a started application, in the order in which they start and, reversed, stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from streambind.application.blueprint import Blueprint
from streambind.application.dead_letters import LetterProducers
from streambind.application.inputs import Inputs
from streambind.application.outputs import Outputs
from streambind.binding.binder import ProducerBinding
from streambind.binding.binder_type import BinderType
from streambind.binding.factory import BinderFactory
from streambind.binding.service import BindingService
from streambind.configuration.masking import shown_url
from streambind.configuration.properties import Fencing
from streambind.errors import ConfigurationError, DatabaseUnavailableError
from streambind.inbound.letter_producer import LetterProducer
from streambind.outbound.outgoing import Outgoing
from streambind.outbound.relay import Relay
from streambind.outbound.sender import OnError, QueuedSender
from streambind.outbound.wake_others import Listener, Notifier
from streambind.persistence.failures import describe, is_database_trouble
from streambind.persistence.notifications import can_listen, can_notify
from streambind.persistence.schema import prepare_tables

log = logging.getLogger("streambind")

_RELAY_LEAST_MS = 100
"""Also after a handler that has used up all the time: the statement under way ends, and the leases are let go."""
_RELAY_SHARE = 0.5
"""Of the time that is left after the inputs have stopped, the relay may use this much for draining."""
_NOTIFIER_SHARE = 0.1
"""And the last NOTIFY this much of the rest."""
_CANCELLED_WITHIN_S = 0.5
"""What coroutines that are still at work get to give back what they hold."""


class Running:
    """One start of an application, and the `links.Parts` that its plans lead to. `start` and `stop` are called
    once each, from one thread at a time."""

    def __init__(
        self,
        blueprint: Blueprint,
        types: Mapping[str, BinderType],
        *,
        owner: str,
        on_publish_error: OnError | None,
        relay_only: bool,
    ) -> None:
        configuration = blueprint.configuration
        self._blueprint = blueprint
        self._relay_only = relay_only
        self._tables_ready = threading.Event()
        self._tables_lock = threading.Lock()
        self._binders = BinderFactory(configuration, types)
        self.outputs = Outputs(blueprint.outputs, configuration, self._binders, on_publish_error)
        self.dead_letters = LetterProducers(blueprint.letter_routes, configuration, self._binders)
        self.inputs = Inputs(blueprint, self._binders, self.require_tables)
        properties = configuration.properties
        self.bindings = BindingService(
            list(self.outputs.bindings.values()),
            list(self.inputs.bindings.values()),
            retry_interval_s=properties.binding_retry_interval_s,
        )
        self.relay: Relay | None = None
        if blueprint.database is not None and blueprint.has_outbox and (properties.outbox.relay or relay_only):
            is_fenced = properties.outbox.fencing is Fencing.TRANSACTIONAL
            fenced = self._fenced_producer if is_fenced else None
            self.relay = Relay(blueprint.database, self._relay_producer, properties.outbox, owner, fenced=fenced)
        elif relay_only:
            raise ConfigurationError(
                "there is nothing to relay: no database (set streambind.datasource.url, or name the application "
                "as module:attribute), or neither an output whose producer.publish is outbox nor an input with "
                "dead letters"
            )
        self._notifier: Notifier | None = None
        self._listener: Listener | None = None
        if blueprint.database is not None and blueprint.has_outbox and properties.outbox.notify:
            if can_notify(blueprint.database):
                self._notifier = Notifier(blueprint.database)
            if self.relay is not None and can_listen(blueprint.database):
                self._listener = Listener(blueprint.database, self.relay.wake)
            elif self.relay is not None and can_notify(blueprint.database):
                log.info(
                    "relay: commits of other processes are found by polling: the driver %s cannot listen; "
                    "psycopg and asyncpg can",
                    blueprint.database.engine.dialect.driver,
                )

    def start(self) -> None:
        """
        Raises:
            StreambindError: tables are missing, or a binding was refused for good.
        """
        try:
            self.require_tables()
        except DatabaseUnavailableError as error:
            log.warning("%s; what needs it waits", error)
        if self._relay_only:
            self.bindings.start(self.outputs.relayed())
        else:
            self.bindings.start([*self.outputs.auto_startup(), *self.inputs.auto_startup()])
        if self.relay is not None:
            self.relay.start()
        if self._listener is not None:
            self._listener.start()
        if self._notifier is not None:
            self._notifier.start()

    def stop(self, deadline: float) -> None:
        """Inputs first; then the relay sends what their handlers have committed; outputs last. `deadline` is a
        time.monotonic(); what is not sent by then stays in the outbox."""
        self.bindings.stop_inputs(_left_ms(deadline))
        if _left_ms(deadline) == 0:
            # A coroutine that hangs holds locks which the relay may be waiting for.
            self._blueprint.loop.cancel(_CANCELLED_WITHIN_S)
        if self._listener is not None:
            self._listener.stop(_left_ms(deadline))
        if self.relay is not None:
            self.relay.stop(max(_RELAY_LEAST_MS, round(_left_ms(deadline) * _RELAY_SHARE)))
        if self._notifier is not None:
            self._notifier.stop(round(_left_ms(deadline) * _NOTIFIER_SHARE))
        self.outputs.stop(_left_ms(deadline))
        self.bindings.stop_outputs(_left_ms(deadline))
        self.dead_letters.close(_left_ms(deadline))
        self._binders.close(_left_ms(deadline))
        loop, database = self._blueprint.loop, self._blueprint.database
        loop.cancel(_CANCELLED_WITHIN_S)
        if database is not None and database.is_async and loop.is_own:
            with suppress(TimeoutError):
                database.dispose(_CANCELLED_WITHIN_S)  # Its connections belong to the loop, which ends now.

    def wake(self) -> None:
        if self.relay is not None:
            self.relay.wake()
        if self._notifier is not None and (self.relay is None or not self.relay.has_all_shards):
            self._notifier.wake()

    def send_after_commit(self, messages: Sequence[Outgoing]) -> None:
        self.outputs.send_after_commit(messages)

    def sender(self, output: str) -> QueuedSender:
        return self.outputs.sender(output)

    def dead_letter_producer(self, name: str, destination: str) -> ProducerBinding:
        return self.dead_letters.direct(name, destination)

    def require_tables(self) -> None:
        """Make sure, once, that streambind's tables are there, if they are needed.

        Raises:
            DatabaseUnavailableError: the database is away.
            SchemaError: the tables are missing, or of another version.
        """
        if self._tables_ready.is_set():
            return
        with self._tables_lock:
            database = self._blueprint.database
            if database is not None and self._blueprint.needs_tables:
                try:
                    prepare_tables(database)
                except Exception as error:
                    if not is_database_trouble(error):
                        raise
                    raise DatabaseUnavailableError(
                        f"the database {shown_url(database.engine.url)} is away: {describe(error)}"
                    ) from error
            self._tables_ready.set()

    def _relay_producer(self, destination: str) -> ProducerBinding | None:
        """An output's of the application, else that of dead letters."""
        own, letters = self.outputs.relay_producer(destination), self.dead_letters.relay(destination)
        return LetterProducer(own) if own is not None and letters is not None else own or letters

    def _fenced_producer(self, destination: str, fence: str) -> ProducerBinding | None:
        """The same with a fence, new each time."""
        own = self.outputs.fenced_producer(destination, fence)
        if own is None:
            return self.dead_letters.fenced(destination, fence)
        return own if self.dead_letters.relay(destination) is None else LetterProducer(own)


def _left_ms(deadline: float) -> int:
    return max(0, round((deadline - time.monotonic()) * 1000))
