"""The input bindings of an application, once it runs."""

from __future__ import annotations

from collections.abc import Callable

from streambind.application.blueprint import Blueprint
from streambind.application.input_targets import consumer_target
from streambind.binding.binder import ConsumerBinding
from streambind.binding.binding import InputBinding
from streambind.binding.factory import BinderFactory
from streambind.configuration import BindingProperties
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

    def _binding(self, name: str, plan: InputPlan) -> InputBinding:
        properties = self._properties(name)
        binder_name = self._configuration.binder_name(name)
        target = consumer_target(self._configuration, name, plan)

        def bind() -> ConsumerBinding:
            self._ready()
            return plan.accompany(self._binders.binder(binder_name).bind_consumer(target, plan.deliver))

        return InputBinding(
            name, bind, destination=",".join(target.destinations), binder=binder_name, group=properties.group
        )
