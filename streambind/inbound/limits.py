"""How much a message may hold before anything of it is decoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streambind.configuration.properties import ConsumerProperties
from streambind.errors import DecodeError
from streambind.message import RawHeaders


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one binding. What exceeds them is never decoded, and fails like anything that cannot be: it comes through
    once the property that the error names is raised. Payloads of listeners that take `Message` are not limited."""

    payload_bytes: int
    headers: int
    header_bytes: int

    @staticmethod
    def of(properties: ConsumerProperties) -> Limits:
        return Limits(properties.max_payload_bytes, properties.max_headers, properties.max_header_bytes)

    def are_exceeded(self, payloads: Iterable[bytes | None]) -> bool:
        """Whether one of these payloads is too large."""
        return max(map(len, filter(None, payloads)), default=0) > self.payload_bytes

    def check_payload(self, payload: bytes) -> None:
        """
        Raises:
            DecodeError: it is too large.
        """
        if len(payload) > self.payload_bytes:
            raise DecodeError(
                f"the payload has {len(payload)} bytes: more than consumer.max-payload-bytes "
                f"({self.payload_bytes}) are not decoded"
            )

    def check_headers(self, headers: RawHeaders) -> None:
        """
        Raises:
            DecodeError: there are too many, or they are too large.
        """
        if len(headers) > self.headers:
            raise DecodeError(
                f"the message has {len(headers)} headers: more than consumer.max-headers ({self.headers}) are not "
                "decoded"
            )
        size = sum(len(name.encode()) + len(value or b"") for name, value in headers)
        if size > self.header_bytes:
            raise DecodeError(
                f"the message has {size} bytes of headers: more than consumer.max-header-bytes "
                f"({self.header_bytes}) are not decoded"
            )
