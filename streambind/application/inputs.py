"""The input bindings of an application, once it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streambind.application.blueprint import Blueprint
from streambind.binding.binder import ConsumerBinding, ConsumerTarget, ProducerBinding, ProducerTarget
from streambind.binding.binding import DirectProducer, InputBinding, OutputBinding
from streambind.binding.factory import BinderFactory
from streambind.configuration import BindingProperties, ProducerProperties
from streambind.configuration.destinations import destinations_of
from streambind.inbound.input import InputPlan
from streambind.inbound.statistics import Figures

_DEAD_LETTER_TIMEOUT_MS = 10_000


class Inputs:
    """The input bindings of a started application."""

    def __init__(self, blueprint: Blueprint, binders: BinderFactory, ready: Callable[[], None]) -> None:
        self._configuration = blueprint.configuration
        self._plans = blueprint.input_plans
        self._binders = binders
        self._ready = ready
        self.bindings = {name: self._binding(name, plan) for name, plan in self._plans.items()}
        self._dead_letters: Mapping[tuple[str, str], DirectProducer] = {
            (name, destination): DirectProducer(self._dead_letter_binding(name, destination))
            for name, letters in blueprint.dead_letters.items()
            for destination in letters.destinations.values()
        }

    def dead_letter_producer(self, name: str, destination: str) -> ProducerBinding:
        return self._dead_letters[name, destination]

    def figures(self, name: str) -> Figures | None:
        plan = self._plans.get(name)
        return None if plan is None else plan.statistics.figures()

    def auto_startup(self) -> list[str]:
        """The names of the bindings that start with the application."""
        return [name for name in self.bindings if self._properties(name).consumer.auto_startup]

    def close(self, timeout_ms: int) -> None:
        """Let go of the producers of dead letters."""
        for producer in self._dead_letters.values():
            producer.unbind(timeout_ms)

    def _properties(self, name: str) -> BindingProperties:
        return self._configuration.properties.bindings[name]

    def _binding(self, name: str, plan: InputPlan) -> InputBinding:
        properties = self._properties(name)
        binder_name = self._configuration.binder_name(name)
        target = ConsumerTarget(
            binding=name,
            destinations=destinations_of(name, properties),
            group=properties.group,
            properties=properties.consumer,
            extended=self._configuration.binder(binder_name).consumer(name),
            positions=plan.positions,
        )

        def bind() -> ConsumerBinding:
            self._ready()
            return plan.accompany(self._binders.binder(binder_name).bind_consumer(target, plan.deliver))

        return InputBinding(
            name, bind, destination=",".join(target.destinations), binder=binder_name, group=properties.group
        )

    def _dead_letter_binding(self, name: str, destination: str) -> OutputBinding:
        binder_name = self._configuration.binder_name(name)
        target = ProducerTarget(
            binding=f"{name} (dead letters)",
            destination=destination,
            properties=ProducerProperties(),
            extended=self._configuration.binder(binder_name).producer(name),
            timeout_ms=_DEAD_LETTER_TIMEOUT_MS,
        )
        return OutputBinding(
            target.binding,
            lambda: self._binders.binder(binder_name).bind_producer(target),
            destination=destination,
            binder=binder_name,
        )
