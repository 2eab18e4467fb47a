"""What listeners answer, planned before anything runs; and what they listen to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from streambind.inbound.replies import Reply
from streambind.outbound.bridge import StreamBridge
from streambind.outbound.publish import publish


@dataclass(frozen=True)
class PlannedReplies:
    """What `@send_to` returns: in the handler's transaction where there is one, else by the stream bridge."""

    bridge: StreamBridge

    def publish(self, session: Session, reply: Reply) -> None:
        publish(session, reply.binding, reply.payload, key=self._key(reply))  # type: ignore[arg-type]

    def send(self, replies: Sequence[Reply]) -> None:
        receipts = [
            self.bridge.send(reply.binding, reply.payload, key=self._key(reply), cause=reply.cause)
            for reply in replies
        ]
        for receipt in receipts:
            receipt.result()

    def _key(self, reply: Reply) -> object:
        if reply.key is not None or self.bridge.makes_keys(reply.binding):
            return reply.key
        return reply.inherited_key
