"""Destinations of one name at two brokers: what the tables keep is told apart by the name alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streambind.application.dead_letters import LetterRoute
from streambind.configuration import Configuration, Finding, Severity
from streambind.configuration.destinations import destinations_of
from streambind.configuration.properties import Publish
from streambind.inbound.input import InputPlan
from streambind.outbound.outgoing import OutputPlan


class _Use(NamedTuple):
    """A binding that uses the tables under `name`."""

    name: str
    binding: str
    binder: str


def output_clashes(
    configuration: Configuration, outputs: Mapping[str, OutputPlan], letters: Mapping[str, LetterRoute]
) -> Iterator[Finding]:
    """Rows of the outbox, and the numbers of keys, belong to a destination."""
    uses = [
        _Use(plan.destination, name, configuration.binder_name(name))
        for name, plan in outputs.items()
        if plan.publish is Publish.OUTBOX
    ]
    uses += [
        _Use(destination, name, route.binder)
        for name, route in letters.items()
        for destination in route.destinations.values()
    ]
    for one, other in _clashes(uses):
        yield _finding(
            configuration,
            one,
            other,
            "the outbox tells destinations apart by their names only, so that messages for one broker would go to "
            "the other. Give one of them another destination, or write producer.publish: direct",
        )


def input_clashes(configuration: Configuration, inputs: Mapping[str, InputPlan]) -> Iterator[Finding]:
    """Positions, and what is known of keys, belong to a group and a destination."""
    uses = []
    for name, plan in inputs.items():
        properties = configuration.properties.bindings[name]
        if plan.positions is not None and properties.group is not None:
            uses += [
                _Use(f"{destination} (group {properties.group})", name, configuration.binder_name(name))
                for destination in destinations_of(name, properties)
            ]
    for one, other in _clashes(uses):
        yield _finding(
            configuration,
            one,
            other,
            "the database keeps the positions of both in one place. Give one of them another group",
        )


def _clashes(uses: list[_Use]) -> Iterator[tuple[_Use, _Use]]:
    """Each use that leads elsewhere than the first one of the same name, and that one."""
    first: dict[str, _Use] = {}
    for use in uses:
        before = first.setdefault(use.name, use)
        if before.binder != use.binder:
            yield use, before


def _finding(configuration: Configuration, one: _Use, other: _Use, why: str) -> Finding:
    place = configuration.origin_of(f"bindings.{other.binding}")
    text = (
        f"binding {one.binding} leads to {one.name} at binder {one.binder}, and binding {other.binding} "
        f"({place}) to the same name at binder {other.binder}: {why}"
    )
    return Finding(Severity.ERROR, text, configuration.origin_of(f"bindings.{one.binding}"))
