"""What is bound to what, told from the configuration and, where the target is code, from its declarations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streambind.application.channels import ChannelPlan
from streambind.application.declarations import Declarations
from streambind.binding.factory import BinderFactory
from streambind.cli.target import Target
from streambind.configuration import BindingProperties, Origin
from streambind.configuration.destinations import destinations_of, replay_destinations_of
from streambind.configuration.properties import OnError
from streambind.errors import ConfigurationError


@dataclass(frozen=True)
class PlannedBinding:
    """One binding. `mode` is how an output publishes, or what an input does with a message that keeps failing.

    `code` names listeners or publishers; None where the target is no code. `positions` says whether the
    database holds what the group has done; None where only the database can tell. `is_pattern`: the
    destinations are a pattern of names.
    """

    name: str
    direction: str
    destinations: tuple[str, ...]
    group: str | None
    content_type: str
    binder: str
    mode: str
    declared: Origin | None
    code: tuple[str, ...] | None
    positions: bool | None = False
    is_pattern: bool = False

    @property
    def is_input(self) -> bool:
        return self.direction == "in"


def planned_bindings(target: Target) -> list[PlannedBinding]:
    """The bindings in the order of the configuration.

    Raises:
        ConfigurationError: with the findings, if one of them is an error.
    """
    target.configuration.require_valid()
    return [_planned(target, name) for name in target.configuration.properties.bindings]


def inputs_with_group(target: Target, name: str | None) -> list[PlannedBinding]:
    """The inputs that have positions to speak of, or the one named.

    Raises:
        ConfigurationError: there is no such input.
    """
    inputs = [each for each in planned_bindings(target) if each.is_input and not each.is_pattern and each.group]
    if name is None:
        return inputs
    chosen = [each for each in inputs if each.name == target.configuration.find_binding(name)]
    if not chosen:
        known = ", ".join(each.name for each in inputs)
        raise ConfigurationError(f"{name} is no input with a group; such are: {known or 'none'}")
    return chosen


def _planned(target: Target, name: str) -> PlannedBinding:
    configuration = target.configuration
    properties = configuration.properties.bindings[name]
    is_input = name not in _outputs(target)
    positions = _positions(target, name) if is_input else False
    return PlannedBinding(
        name=name,
        direction="in" if is_input else "out",
        destinations=_inputs(name, properties, positions) if is_input else (properties.destination or name,),
        group=properties.group,
        content_type=properties.content_type,
        binder=configuration.binder_name(name),
        mode=f"on error {_on_error(target, name, properties)}" if is_input else str(properties.producer.publish),
        declared=configuration.origin_of(f"bindings.{name}"),
        code=_code(target, name, is_input),
        positions=positions,
        is_pattern=is_input and _is_pattern(target, name),
    )


def _inputs(name: str, properties: BindingProperties, positions: bool | None) -> tuple[str, ...]:
    replays = replay_destinations_of(name, properties) if positions is False else {}
    return (*destinations_of(name, properties), *replays.values())


def _declarations(target: Target) -> Declarations:
    return Declarations() if target.application is None else target.application.blueprint.declarations


def _outputs(target: Target) -> set[str]:
    return set(ChannelPlan(target.configuration, _declarations(target)).channels.outputs)


def _code(target: Target, name: str, is_input: bool) -> tuple[str, ...] | None:
    if target.application is None:
        return None
    declarations = _declarations(target)
    uses = declarations.listened() if is_input else declarations.published()
    return tuple(_named(code) for channel, code in uses if target.configuration.find_binding(channel) == name)


def _named(code: Callable[..., Any]) -> str:
    return f"{code.__module__}.{getattr(code, '__qualname__', code)}"


def _positions(target: Target, name: str) -> bool | None:
    if target.application is None:
        return None if target.has_database else False
    plan = target.application.blueprint.input_plans.get(name)
    return plan is not None and plan.positions is not None


def _on_error(target: Target, name: str, properties: BindingProperties) -> str:
    plan = None if target.application is None else target.application.blueprint.input_plans.get(name)
    if plan is not None:
        return str(plan.policy.default)
    if properties.consumer.on_error is not None:
        return str(properties.consumer.on_error)
    binder = target.configuration.binder_name(name)
    try:
        binder_type = BinderFactory(target.configuration).type_of(binder)
        extended = target.configuration.binder(binder).consumer(name)
        destination = destinations_of(name, properties)[0]
        letters = binder_type.dead_letter_destination(destination, properties.group, extended)
    except ConfigurationError:
        letters = None
    if letters is not None:
        return str(OnError.DLQ)
    return "park with a Session, else stop"  # The code decides, and there is none.


def _is_pattern(target: Target, name: str) -> bool:
    extended = target.configuration.binder(target.configuration.binder_name(name)).consumer(name)
    return bool(getattr(extended, "destination_is_pattern", False))
