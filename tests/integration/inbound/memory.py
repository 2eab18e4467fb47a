"""The inputs of these tests on the memory binder."""

from __future__ import annotations

from streambind.binders.memory.binder import MemoryBinder
from streambind.binders.memory.properties import MemoryConsumerProperties
from streambind.binding.binder import ConsumerBinding, ConsumerTarget
from streambind.configuration.properties import ConsumerProperties
from streambind.inbound.input import InputPlan
from tests.integration.inbound.service import DESTINATION, GROUP


def bind(binder: MemoryBinder, plan: InputPlan) -> ConsumerBinding:
    """Deliver what arrives at the tests' destination to the plan."""
    target = ConsumerTarget(
        binding="in-things",
        destinations=(DESTINATION,),
        group=GROUP,
        properties=ConsumerProperties(),
        extended=MemoryConsumerProperties(),
        positions=plan.positions,
    )
    return binder.bind_consumer(target, plan.deliver)
