"""The input bindings of an application, once it runs."""

from __future__ import annotations

from collections.abc import Callable

from streambind.application.blueprint import Blueprint
from streambind.binding.binder import ConsumerBinding, ConsumerTarget
from streambind.binding.binding import InputBinding
from streambind.binding.factory import BinderFactory
from streambind.configuration import BindingProperties, ConsumerProperties
from streambind.configuration.destinations import destinations_of, replay_destinations_of
from streambind.inbound.commit_times import CommitTimes
from streambind.inbound.input import InputPlan
from streambind.inbound.statistics import Figures


class Inputs:
    """The input bindings of a started application."""

    def __init__(self, blueprint: Blueprint, binders: BinderFactory, ready: Callable[[], None]) -> None:
        self._configuration = blueprint.configuration
        self._plans = blueprint.input_plans
        self._binders = binders
        self._ready = ready
        self.bindings = {name: self._binding(name, plan) for name, plan in self._plans.items()}

    def figures(self, name: str) -> Figures | None:
        plan = self._plans.get(name)
        return None if plan is None else plan.statistics.figures()

    def commit_times(self, name: str) -> CommitTimes | None:
        plan = self._plans.get(name)
        return None if plan is None else plan.commit_times

    def auto_startup(self) -> list[str]:
        """The names of the bindings that start with the application."""
        return [name for name in self.bindings if self._properties(name).consumer.auto_startup]

    def _properties(self, name: str) -> BindingProperties:
        return self._configuration.properties.bindings[name]

    def _consumer(self, properties: ConsumerProperties) -> ConsumerProperties:
        """With the service's number of instances where the binding has none of its own."""
        if properties.instance_count > 0:
            return properties
        instances = self._configuration.properties.instance_count
        return properties.model_copy(update={"instance_count": instances})

    def _binding(self, name: str, plan: InputPlan) -> InputBinding:
        properties = self._properties(name)
        binder_name = self._configuration.binder_name(name)
        replays = replay_destinations_of(name, properties).values() if plan.positions is None else ()
        target = ConsumerTarget(
            binding=name,
            destinations=(*destinations_of(name, properties), *replays),
            replays=frozenset(replays),
            group=properties.group,
            properties=self._consumer(properties.consumer),
            extended=self._configuration.binder(binder_name).consumer(name),
            positions=plan.positions,
            batch=plan.batch,
            joins=plan.joins,
        )

        def bind() -> ConsumerBinding:
            self._ready()
            return plan.accompany(self._binders.binder(binder_name).bind_consumer(target, plan.deliver))

        return InputBinding(
            name, bind, destination=",".join(target.destinations), binder=binder_name, group=properties.group
        )
