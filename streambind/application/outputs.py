"""The outputs of an application: how each encodes, and who sends for it: the relay, or a sender of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from functools import partial

from streambind.binding.binder import ProducerBinding, ProducerTarget
from streambind.binding.binding import BindingState, DirectProducer, OutputBinding
from streambind.binding.factory import BinderFactory, binder_types
from streambind.binding.fencing import bind_fenced
from streambind.configuration import BindingProperties, Configuration, Finding, Severity
from streambind.configuration.properties import Fencing, Publish
from streambind.conversion import converter_for
from streambind.errors import ConfigurationError, LifecycleError, StreambindError
from streambind.outbound.key_expression import KeyExpression
from streambind.outbound.outgoing import Outgoing, OutputPlan
from streambind.outbound.sender import OnError, QueuedSender, report_unsent, send_error
from streambind.outbound.wire_message import direct_message

QUEUE_CAPACITY = 10_000


def plan_outputs(
    outputs: Mapping[str, BindingProperties], configuration: Configuration, time_zone: tzinfo
) -> tuple[dict[str, OutputPlan], list[Finding]]:
    """What the writing side needs of each output; a content type without converter is a finding, and so is what is
    no expression for keys."""
    plans: dict[str, OutputPlan] = {}
    findings: list[Finding] = []
    for name, properties in outputs.items():
        key = f"bindings.{name}.content-type"
        try:
            encoder = converter_for(properties.content_type).encoder(time_zone)
            binder = configuration.binder_name(name)
            key = f"{configuration.binder(binder).type_name}.bindings.{name}.producer.message-key-expression"
            key_of = _key_expression(name, configuration)
        except ConfigurationError as error:
            findings.append(Finding(Severity.ERROR, str(error), configuration.origin_of(key)))
            continue
        plans[name] = OutputPlan(
            binding=name,
            destination=properties.destination or name,
            encoder=encoder,
            content_type=properties.content_type,
            publish=properties.producer.publish,
            deletes=properties.producer.deletes,
            key_of=key_of,
            max_rounds=configuration.properties.events.max_rounds,
        )
        findings += _unfenced(name, properties, configuration)
    return plans, findings


def _unfenced(name: str, properties: BindingProperties, configuration: Configuration) -> list[Finding]:
    """An output whose foreign consumers could end with an old value."""
    relayed = properties.producer.publish is Publish.OUTBOX
    fenced = configuration.properties.outbox.fencing is Fencing.TRANSACTIONAL
    if fenced or not relayed or not properties.producer.foreign_consumers:
        return []
    text = (
        f"binding {name}: a relay that lost its lease may send an older value after a newer one, and "
        "foreignConsumers would keep it: set streambind.outbox.fencing: transactional"
    )
    key = f"bindings.{name}.producer.foreign-consumers"
    return [Finding(Severity.WARNING, text, configuration.origin_of(key))]


def _key_expression(name: str, configuration: Configuration) -> KeyExpression | None:
    """
    Raises:
        ConfigurationError: it is no expression; names the column.
    """
    binder = configuration.binder(configuration.binder_name(name))
    found = binder_types().get(binder.type_name)
    text = None if found is None else found.message_key_expression(binder.producer(name))
    return None if text is None else KeyExpression(text)


class Outputs:
    """The output bindings of a started application. Thread-safe.

    An output whose events go through the outbox has a producer without a time limit, for the relay; a second
    one for direct sends is bound when somebody first sends directly.
    """

    def __init__(
        self,
        plans: Mapping[str, OutputPlan],
        configuration: Configuration,
        binders: BinderFactory,
        on_publish_error: OnError | None,
    ) -> None:
        self.plans = plans
        self._configuration = configuration
        self._binders = binders
        self._on_publish_error = on_publish_error
        self._senders: dict[str, QueuedSender] = {}
        self._direct: dict[str, DirectProducer] = {}
        self._lock = threading.Lock()
        self._stopped = False
        self.bindings = {name: self._binding(plan) for name, plan in plans.items()}

    def relay_producer(self, destination: str) -> ProducerBinding | None:
        """The producer of an output to the destination; None if there is none.

        Raises:
            BrokerUnavailableError: the output is not bound.
        """
        output = self._output_to(destination)
        return None if output is None else output.producer()

    def fenced_producer(self, destination: str, fence: str) -> ProducerBinding | None:
        """A new producer with a fence, for who asks to unbind; None if there is no output to the destination.

        Raises:
            BrokerError: the broker is away or refuses.
            ConfigurationError: the broker has no fences.
        """
        output = self._output_to(destination)
        if output is None:
            return None
        target = self._target(self.plans[output.name], None)
        return bind_fenced(self._binders.binder(output.binder), target, fence)

    def sender(self, name: str) -> QueuedSender:
        """The sender for direct messages of an output, made on first use.

        Raises:
            LifecycleError: the application has been stopped.
        """
        with self._lock:
            if self._stopped:
                raise LifecycleError(f"binding {name}: the application has been stopped; start it before sending")
            if name not in self._senders:
                plan = self.plans[name]
                self._senders[name] = QueuedSender(
                    self._direct_producer(plan),
                    name,
                    destination=plan.destination,
                    capacity=QUEUE_CAPACITY,
                    timeout_ms=self._properties(name).producer.send_timeout_ms,
                    on_error=self._on_publish_error,
                )
            return self._senders[name]

    def unsent(self) -> dict[str, int]:
        """By output, how many direct messages have no outcome yet."""
        with self._lock:
            senders = dict(self._senders)
        return {name: sender.waiting for name, sender in senders.items()}

    def send_after_commit(self, messages: Sequence[Outgoing]) -> None:
        """Queue what a commit has released, in order; never raises: what cannot be queued goes to
        `on_publish_error` and the log."""
        for outgoing in messages:
            message = direct_message(outgoing)
            try:
                sender = self.sender(outgoing.binding)
            except StreambindError as error:
                report_unsent([message], send_error(error), self._on_publish_error)
            else:
                sender.post(message)

    def auto_startup(self) -> list[str]:
        """The names of the bindings that start with the application."""
        return [name for name in self.bindings if self._properties(name).producer.auto_startup]

    def relayed(self) -> list[str]:
        """The names of the bindings whose messages go through the outbox."""
        return [name for name, plan in self.plans.items() if plan.publish is Publish.OUTBOX]

    def stop(self, timeout_ms: int) -> None:
        """Let the senders end within the time, all at once, then their producers."""
        with self._lock:
            self._stopped = True
            senders, direct = list(self._senders.values()), list(self._direct.values())
        _at_once([partial(sender.stop, timeout_ms) for sender in senders])
        for producer in direct:
            producer.unbind(timeout_ms)

    def _output_to(self, destination: str) -> OutputBinding | None:
        """The outputs whose events go through the outbox all lead to one broker; others count if there is none,
        for rows that were written when they did."""
        every = [binding for binding in self.bindings.values() if binding.destination == destination]
        candidates = [b for b in every if self.plans[b.name].publish is Publish.OUTBOX] or every
        bound = [binding for binding in candidates if binding.state is BindingState.RUNNING]
        return (bound or candidates)[0] if candidates else None

    def _properties(self, name: str) -> BindingProperties:
        return self._configuration.properties.bindings[name]

    def _binding(self, plan: OutputPlan) -> OutputBinding:
        waits = plan.publish is Publish.OUTBOX
        timeout_ms = None if waits else self._properties(plan.binding).producer.send_timeout_ms
        return self._bound_with(plan, timeout_ms)

    def _direct_producer(self, plan: OutputPlan) -> DirectProducer:
        if plan.publish is Publish.OUTBOX:
            binding = self._bound_with(plan, self._properties(plan.binding).producer.send_timeout_ms)
        else:
            binding = self.bindings[plan.binding]
        producer = DirectProducer(binding)
        self._direct[plan.binding] = producer
        return producer

    def _bound_with(self, plan: OutputPlan, timeout_ms: int | None) -> OutputBinding:
        binder_name = self._configuration.binder_name(plan.binding)
        target = self._target(plan, timeout_ms)

        def bind() -> ProducerBinding:
            producer = self._binders.binder(binder_name).bind_producer(target)
            plan.max_payload_bytes = producer.max_payload_bytes()
            return producer

        return OutputBinding(plan.binding, bind, destination=plan.destination, binder=binder_name)

    def _target(self, plan: OutputPlan, timeout_ms: int | None) -> ProducerTarget:
        binder_name = self._configuration.binder_name(plan.binding)
        return ProducerTarget(
            binding=plan.binding,
            destination=plan.destination,
            properties=self._properties(plan.binding).producer,
            extended=self._configuration.binder(binder_name).producer(plan.binding),
            timeout_ms=timeout_ms,
        )


def _at_once(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work, name="streambind-stop") for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
