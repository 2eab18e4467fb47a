"""What binders are told of an application's inputs, and what is wrong with it before anything connects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from streambind.binding.binder import ConsumerTarget
from streambind.binding.factory import BinderFactory
from streambind.configuration import Configuration, ConsumerProperties, Finding, Severity
from streambind.configuration.destinations import destinations_of, replay_destinations_of
from streambind.errors import ConfigurationError
from streambind.inbound.input import InputPlan


def consumer_target(configuration: Configuration, name: str, plan: InputPlan | None) -> ConsumerTarget:
    """The target of an input binding; without a plan as far as the configuration alone tells."""
    properties = configuration.properties.bindings[name]
    at_broker = plan is not None and plan.positions is None
    replays = replay_destinations_of(name, properties).values() if at_broker else ()
    return ConsumerTarget(
        binding=name,
        destinations=(*destinations_of(name, properties), *replays),
        replays=frozenset(replays),
        group=properties.group,
        properties=_consumer(configuration, properties.consumer),
        extended=configuration.binder(configuration.binder_name(name)).consumer(name),
        positions=None if plan is None else plan.positions,
        batch=None if plan is None else plan.batch,
        joins=plan is not None and plan.joins,
        readers=() if plan is None else plan.readers,
    )


def input_findings(
    configuration: Configuration, inputs: Iterable[str], plans: Mapping[str, InputPlan]
) -> Iterator[Finding]:
    """Inputs that their binder could never bind, and those that remember nothing. `plans`: as far as there are."""
    binders = BinderFactory(configuration)
    for name in inputs:
        try:
            target = consumer_target(configuration, name, plans.get(name))
            fault = binders.type_of(configuration.binder_name(name)).input_fault(target)
        except ConfigurationError:
            continue  # Which is a finding already.
        if fault is not None:
            yield Finding(Severity.ERROR, fault, configuration.origin_of(f"bindings.{name}"))
        if target.group is None and getattr(target.extended, "start_offset", None) is None:
            yield Finding(Severity.WARNING, _anonymous(name), configuration.origin_of(f"bindings.{name}"))


def _anonymous(name: str) -> str:
    return (
        f"binding {name} has no group, so it is anonymous: nothing is remembered of what it has done, each start "
        "begins at the latest message, so that what came meanwhile is never handled, and every instance handles "
        f"all messages; set bindings.{name}.group, or if that is meant, startOffset in the consumer properties of "
        "its binder"
    )


def _consumer(configuration: Configuration, properties: ConsumerProperties) -> ConsumerProperties:
    """With the service's number of instances where the binding has none of its own."""
    if properties.instance_count > 0:
        return properties
    return properties.model_copy(update={"instance_count": configuration.properties.instance_count})
