"""Inputs whose destinations are a pattern of names."""

from __future__ import annotations

from dataclasses import replace

from streambind.binders.kafka.properties import KafkaConsumerProperties
from streambind.binding.binder import ConsumerTarget
from streambind.errors import ConfigurationError


def pattern_fault(target: ConsumerTarget) -> str | None:
    """Why the input cannot listen to a pattern of names; None if it can, or does not."""
    extended = target.extended
    if not isinstance(extended, KafkaConsumerProperties) or not extended.destination_is_pattern:
        return None
    for asked, what in (
        (target.positions is not None, "a listener that takes a Session, or a replica,"),
        (extended.enable_dlq, "enableDlq"),
        (bool(target.replays), "consumer.replay"),
    ):
        if asked:
            return (
                f"binding {target.binding}: {what} with destinationIsPattern: what is done, and what fails, is "
                "kept by the names of the topics, which are not known yet; name them, separated by commas"
            )
    return None


def of_pattern(target: ConsumerTarget) -> ConsumerTarget:
    """The target with its destinations as librdkafka wants patterns.

    Raises:
        ConfigurationError: it cannot listen to a pattern.
    """
    if (fault := pattern_fault(target)) is not None:
        raise ConfigurationError(fault)
    return replace(target, destinations=tuple(n if n.startswith("^") else f"^{n}" for n in target.destinations))
