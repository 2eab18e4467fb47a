"""Every exception that streambind raises.

Catch `StreambindError` to catch them all::

    StreambindError
    ├── ConfigurationError            a file, an environment variable or a declaration is wrong
    ├── LifecycleError                called at the wrong time: before start, after stop, after a fork
    ├── CaptureError                  a change of a published entity cannot become an event
    │   ├── UncapturedChangeError     ... because nothing captures it
    │   └── OutboxFullError           ... because too many wait to be sent
    ├── ConversionError               a payload and its bytes do not fit together
    │   ├── EncodeError
    │   │   └── PayloadTooLargeError
    │   └── DecodeError
    ├── SendError                     a message did not reach the broker
    │   └── SendUnconfirmed           ... or nobody knows whether it did
    ├── BrokerError                   the broker refused or is away
    │   ├── BrokerUnavailableError    ... for now: worth another try
    │   ├── DestinationError          a destination is missing, too small or forbidden
    │   ├── FencedError               another binding has the fence: bind again before sending
    │   └── PositionLostError         the position is outside what the broker still holds
    │       └── DestinationReplacedError  ... because the destination, or the broker, is another one now
    ├── DeliveryError                 a message cannot be handled; its partition stops
    │   ├── SequenceGapError          a predecessor is missing
    │   ├── SequenceForkError         the source's history has two versions
    │   ├── UnfinishedBatchError      a handler has ended its batch's transaction by itself
    │   └── ParkingLimitError         as much is parked as the binding may park
    ├── CircleError                   listeners answer each other without an end
    ├── DatabaseUnavailableError      the database is away for now: worth another try
    ├── SchemaError                   streambind's tables are missing or of another version
    └── HandlerError                  what a listener may raise to choose its fate
        ├── RetriableError            try again within the binding's budget
        └── PermanentError            trying again is pointless
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streambind.configuration.finding import Finding


class StreambindError(Exception):
    """Base of every exception that streambind raises."""


class ConfigurationError(StreambindError):
    """The configuration, or the code held against it, is wrong; carries all findings at once.

    `findings` holds errors and warnings in the order of files and lines.
    """

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class LifecycleError(StreambindError):
    """An operation was called at a time when it cannot work; the message names the right one."""


class CaptureError(StreambindError):
    """A change of a published entity cannot become an event; the transaction must not commit."""


class UncapturedChangeError(CaptureError):
    """A published entity would change without an event; the message names the remedy."""


class OutboxFullError(CaptureError):
    """As many events wait to be sent as may wait; the transaction may be tried again later."""


class ConversionError(StreambindError):
    """A payload and its bytes do not fit together."""


class EncodeError(ConversionError):
    """A payload cannot become bytes; raised in the caller's hands, before anything is stored."""


class PayloadTooLargeError(EncodeError):
    """An encoded payload exceeds the size that its destination accepts."""


class DecodeError(ConversionError):
    """The bytes of a message are not what the listener's annotation asks for."""


class SendError(StreambindError):
    """A message did not reach the broker; `permanent` says whether trying again is pointless."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class SendUnconfirmed(SendError):
    """No report came in time: the message may still arrive, or may have arrived."""


class BrokerError(StreambindError):
    """The broker refused a request; `permanent` says whether trying again is pointless."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class BrokerUnavailableError(BrokerError):
    """The broker cannot be reached or is not ready; worth another try later."""


class DestinationError(BrokerError):
    """A destination is missing, has too few partitions, or may not be used."""

    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message, permanent=permanent)


class FencedError(BrokerError):
    """A fenced output is shut out: its fence was bound elsewhere, or the broker took it away. Whoever still has
    something to send binds it again, and asks first what is still to be sent."""


class PositionLostError(BrokerError):
    """The position to go on from lies outside what the broker still holds: messages were lost to retention,
    or the log was cut. The message says how many, and what mends it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


class DestinationReplacedError(PositionLostError):
    """The destination was deleted and made anew, or another broker answers at the address: the position to go
    on from means nothing there."""


class DeliveryError(StreambindError):
    """A message cannot be handled and may not be passed over; its partition stops."""


class SequenceGapError(DeliveryError):
    """An event's predecessor has not been applied: number n+2 came after n."""


class SequenceForkError(DeliveryError):
    """A sequence number came again with another event: the source's history has two versions."""


class UnfinishedBatchError(DeliveryError):
    """A handler has ended the transaction of its batch: effects of some messages are kept, the position is not."""


class ParkingLimitError(DeliveryError):
    """As many keys are parked, or messages behind one of them, as the binding may park."""


class CircleError(StreambindError):
    """Listeners that publish lead to each other's messages without an end; trying again is pointless."""


class DatabaseUnavailableError(StreambindError):
    """The database cannot be reached or is in the way; worth another try later."""


class SchemaError(StreambindError):
    """streambind's tables are missing or of another version; the message names the command that mends it."""


class HandlerError(StreambindError):
    """Base of what a listener may raise to choose what happens to its message."""


class RetriableError(HandlerError):
    """The message may succeed later: try again within the binding's budget."""


class PermanentError(HandlerError):
    """The message cannot succeed as things are: it is not tried again where it stands, but at once parked,
    dead-lettered or whatever `consumer.on-error` says."""
