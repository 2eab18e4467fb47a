"""The event as plain pydantic, for those who write it by hand or use another framework."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class CategoryChanged(BaseModel):
    """What streambind's contenders declare as an EntityEvent; the timestamp stays text here."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True)

    event_type: str
    timestamp: str
    job_type: str
    category_id: int
    category_name: str
