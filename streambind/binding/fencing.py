"""Outputs that only one process at a time may have."""

from __future__ import annotations

from dataclasses import replace

from streambind.binding.binder import Binder, ProducerBinding, ProducerTarget
from streambind.errors import ConfigurationError


def bind_fenced(binder: Binder, target: ProducerTarget, fence: str) -> ProducerBinding:
    """Bind an output with a fence.

    Raises:
        BrokerError: the broker is away or refuses.
        ConfigurationError: this kind of broker has no fences.
    """
    if not binder.capabilities.fencing:
        raise ConfigurationError(
            f"binding {target.binding} to destination {target.destination}: its binder cannot shut relays "
            "out; set streambind.outbox.fencing to none"
        )
    return binder.bind_producer(replace(target, fence=fence))
