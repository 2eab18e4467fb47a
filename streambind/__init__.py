"""Declarative Kafka bindings: entity changes out, read models in step."""

from streambind.application import StreamApplication
from streambind.errors import PermanentError, RetriableError, StreambindError
from streambind.event import EntityEvent, JobType
from streambind.inbound.listener import Header, send_to, stream_listener
from streambind.inbound.replicates import replicates
from streambind.message import Message
from streambind.outbound.publish import publish, suppress_events
from streambind.outbound.publishes import publishes
from streambind.outbound.receipt import Receipt

__all__ = [
    "EntityEvent",
    "Header",
    "JobType",
    "Message",
    "PermanentError",
    "Receipt",
    "RetriableError",
    "StreamApplication",
    "StreambindError",
    "publish",
    "publishes",
    "replicates",
    "send_to",
    "stream_listener",
    "suppress_events",
]
