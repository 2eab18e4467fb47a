"""A property either does something or says why not: none is accepted in silence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

import streambind
from streambind.binders.kafka import KAFKA
from streambind.binders.memory import MEMORY
from streambind.configuration.properties import NoEffect, StreamProperties

SOURCES = [p for p in Path(streambind.__file__).parent.rglob("*.py") if p.name != "properties.py"]
MODELS: list[type[BaseModel]] = [
    StreamProperties,
    KAFKA.binder_properties,
    KAFKA.consumer_properties,
    KAFKA.producer_properties,
    MEMORY.binder_properties,
    MEMORY.consumer_properties,
    MEMORY.producer_properties,
]


def effective(model: type[BaseModel]) -> Iterator[str]:
    """The names of a model's fields, and of the models below it, that say nothing of having no effect."""
    for name, field in model.model_fields.items():
        if any(isinstance(item, NoEffect) for item in field.metadata):
            continue
        below = list(_models(field.annotation))
        if not below:
            yield name
        for kind in below:
            yield from effective(kind)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def test_every_property_is_read_or_says_that_it_has_no_effect() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    names = sorted({name for model in MODELS for name in effective(model)})
    unread = [
        name for name in names if re.search(rf"\.{name}\b|[\"']({name}|{to_camel(name)})[\"']", text) is None
    ]
    assert unread == []


@pytest.mark.parametrize("name", ["concurrency", "start_offset", "brokers"])
def test_the_test_above_sees_properties_of_all_levels(name: str) -> None:
    assert name in {name for model in MODELS for name in effective(model)}
