"""The application's way to an output binding outside a database transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streambind.configuration.names import did_you_mean
from streambind.errors import CaptureError, ConfigurationError, EncodeError, PayloadTooLargeError
from streambind.headers import name_fault
from streambind.message import Message
from streambind.outbound.keys import key_bytes
from streambind.outbound.outgoing import OutputPlan, led_to, outgoing
from streambind.outbound.receipt import Receipt
from streambind.outbound.sender import QueuedSender
from streambind.outbound.wire_message import direct_message
from streambind.route import Cause


class StreamBridge:
    """Sends at once, without an outbox: a message of a crashed process is lost, one that was not confirmed may
    arrive all the same. Messages of one binding and key arrive in the order of the calls, unless the broker
    refuses one that was within the limits when it was sent.

    `plans` are the application's output bindings by name; `sender` gives a binding's sender, and raises
    LifecycleError while the application does not run. Thread-safe.
    """

    def __init__(self, plans: Mapping[str, OutputPlan], sender: Callable[[str], QueuedSender]) -> None:
        self._plans = plans
        self._sender = sender

    def send(
        self,
        binding: str,
        payload: object,
        *,
        key: object = None,
        headers: Mapping[str, object] | None = None,
        cause: Cause | None = None,
    ) -> Receipt:
        """Encode the payload by the binding's content type and send it; the receipt tells what became of it.

        None is a tombstone. A Message is sent as it is, with its own key and headers. `cause` is what a listener
        answers with it.

        Raises:
            ConfigurationError: no output binding has this name.
            EncodeError: payload, key or headers cannot be encoded.
            PayloadTooLargeError: the destination does not accept a payload of this size.
            LifecycleError: the application does not run.
            SendError: too many messages wait for the broker already.
            CircleError: listeners answer each other without an end.
        """
        plan = self._plan(binding)
        sender = self._sender(binding)
        if isinstance(payload, Message):
            return sender.submit(_checked(plan, payload, key, headers))
        try:
            record_key = key_bytes(key)
        except CaptureError as error:
            raise EncodeError(f"binding {binding}: {error}") from error
        message = outgoing(plan, payload, key=record_key, headers=headers)
        return sender.submit(direct_message(message if cause is None else led_to(plan, message, cause.route())))

    def makes_keys(self, binding: str) -> bool:
        """Whether an output makes keys for messages that have none (`messageKeyExpression`)."""
        plan = self._plans.get(binding)
        return plan is not None and plan.key_of is not None

    def _plan(self, binding: str) -> OutputPlan:
        plan = self._plans.get(binding)
        if plan is not None:
            return plan
        hint = did_you_mean(binding, self._plans) or "."
        known = ", ".join(sorted(self._plans)) or "none"
        raise ConfigurationError(
            f"no output binding {binding!r}{hint} Output bindings of this application: {known}. "
            f"A new one is configured under spring.cloud.stream.bindings.{binding}"
        )


def _checked(plan: OutputPlan, message: Message, key: object, headers: Mapping[str, object] | None) -> Message:
    if key is not None or headers is not None:
        raise EncodeError(
            f"binding {plan.binding}: a Message is sent as it is: put key and headers into the Message itself"
        )
    for name, _ in message.raw_headers:
        if (fault := name_fault(name)) is not None:
            raise EncodeError(f"binding {plan.binding}: {name!r} cannot be a header's name: {fault}")
    limit, size = plan.max_payload_bytes, len(message.payload or b"")
    if limit is not None and size > limit:
        raise PayloadTooLargeError(
            f"binding {plan.binding}: a payload of {size} bytes exceeds the {limit} bytes that "
            f"{plan.destination} accepts"
        )
    return message
