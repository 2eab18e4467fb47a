"""Memory binders that are wrong in one way each."""

from tests.conformance.mutants import deliveries, fences, groups, lifecycle, sends
from tests.conformance.mutants.registry import MUTANTS, Break

__all__ = ["MUTANTS", "Break", "deliveries", "fences", "groups", "lifecycle", "sends"]
