"""What every property model is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True, slots=True)
class NoEffect:
    """Field metadata: accepted because Spring files hold it, without effect here."""

    reason: str


class Properties(BaseModel):
    """Base of every property model, of the core and of binders."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid", validate_default=False
    )

    def cautions(self) -> Mapping[str, str]:
        """What works and should still be known: by the name of a property, a warning with the remedy."""
        return {}
