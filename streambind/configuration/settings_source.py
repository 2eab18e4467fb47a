"""The last step: placed values become validated property models, through one pydantic-settings source.

A value in error becomes a finding at its place, and its default is taken, so that one run finds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streambind.configuration.complaints import complaint
from streambind.configuration.finding import Finding
from streambind.configuration.names import Name
from streambind.configuration.properties import Properties, StreamProperties
from streambind.configuration.resolution import Placed
from streambind.configuration.sections import Leaves
from streambind.configuration.shape import BinderModels, Table


@dataclass(frozen=True, slots=True)
class Section:
    """The properties of one binder by name: its own, and those of each binding's two sides."""

    binder: Properties
    consumers: Mapping[str, Properties]
    producers: Mapping[str, Properties]
    default_consumer: Properties
    default_producer: Properties


class FlatSource(PydanticBaseSettingsSource):
    """Hands over the tree of values; environment and files have been read and laid over one another before."""

    def __init__(self, settings: type[BaseSettings], tree: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self._tree)


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True)

    tree: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (FlatSource(settings_cls, cls.tree),)


@dataclass(frozen=True, slots=True)
class Validated:
    """The models, a finding for each value that does not fit, and the names of those values."""

    properties: StreamProperties
    sections: Mapping[str, Section]
    findings: Sequence[Finding]
    refused: Set[Name]


def validate(leaves: Leaves, binders: Mapping[str, BinderModels], *, bindings: Iterable[str]) -> Validated:
    """Make the models of the values. A value that does not fit is left out and its default taken.

    `binders`: the models by the name under which the leaves hold their values; `bindings`: what exists even if
    nothing is said of it.
    """
    left = dict(leaves)
    usable = dict(binders)
    findings: list[Finding] = []
    refused: set[Name] = set()
    while True:
        try:
            settings = _settings_of(usable)(_tree(left, usable, bindings))
        except ValidationError as error:
            blamed = [(details, _blamed(details, left)) for details in error.errors()]
            findings += [complaint(details, [left[path] for path in paths]) for details, paths in blamed]
            gone = {path for _, paths in blamed for path in paths}
            refused |= {left[path].name for path in gone}
            incomplete = {details["loc"][1] for details, paths in blamed if not paths and len(details["loc"]) > 1}
            if not gone and incomplete.isdisjoint(usable):
                return Validated(StreamProperties(), {n: _bare(m) for n, m in binders.items()}, findings, refused)
            usable = {name: model for name, model in usable.items() if name not in incomplete}
            left = {path: placed for path, placed in left.items() if path not in gone and _has_place(path, usable)}
        else:
            sections = {n: _bare(m) for n, m in binders.items()} | _sections(settings.binders, usable)
            return Validated(settings.stream, sections, findings, refused)


def _blamed(details: Mapping[str, Any], leaves: Leaves) -> list[Name]:
    """The leaf at the place of an error; else all leaves below it. Nothing that is there makes up for what is
    missing."""
    path = tuple(str(part) for part in details["loc"])
    if details["type"] == "missing":
        return []
    for size in range(len(path), 0, -1):
        if path[:size] in leaves and leaves[path[:size]].value is not None:
            return [path[:size]]
    for size in range(len(path), 2, -1):
        below = [leaf for leaf in leaves if leaf[:size] == path[:size]]
        if below:
            return below
    return []


def _has_place(path: Name, usable: Mapping[str, BinderModels]) -> bool:
    return path[0] != "binders" or path[1] in usable


def _tree(leaves: Leaves, binders: Iterable[str], bindings: Iterable[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "stream": {"bindings": {name: {} for name in bindings}},
        "binders": {name: {"binder": {}, "defaultConsumer": {}, "defaultProducer": {}} for name in binders},
    }
    for path, placed in leaves.items():
        if placed.value == "" and not _is_entry(placed):
            continue
        node = tree
        for segment in path[:-1]:
            node = node.setdefault(segment, {})
        if placed.value is None:
            node.setdefault(path[-1], {})
        else:
            node[path[-1]] = placed.value
    return tree


def _is_entry(placed: Placed) -> bool:
    """Whether the value is an entry of a map, where the empty text is a value like others."""
    return bool(placed.slot.members) and isinstance(placed.slot.members[-1].shape, Table)


def _settings_of(binders: Mapping[str, BinderModels]) -> Callable[[Mapping[str, Any]], Any]:
    """A function that validates a tree with the core's and the binders' models."""
    fields: dict[str, Any] = {
        f"binder_{i}": (_section_model(model), Field(alias=name))
        for i, (name, model) in enumerate(binders.items())
    }
    sections = create_model("Binders", __config__=_STRICT, **fields)
    model = create_model("Settings", __base__=_Settings, stream=(StreamProperties, ...), binders=(sections, ...))

    def make(tree: Mapping[str, Any]) -> Any:
        model.tree = tree
        return model()

    return make


_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


def _section_model(models: BinderModels) -> type[BaseModel]:
    consumer, producer = models.consumer_properties, models.producer_properties
    fields: dict[str, Any] = {
        "binder": (models.binder_properties, ...),
        "consumers": (dict[str, consumer], Field(default_factory=dict)),  # type: ignore[valid-type]
        "producers": (dict[str, producer], Field(default_factory=dict)),  # type: ignore[valid-type]
        "default_consumer": (consumer, Field(alias="defaultConsumer")),
        "default_producer": (producer, Field(alias="defaultProducer")),
    }
    return create_model("Section", __config__=_STRICT, **fields)


def _sections(settings: Any, binders: Iterable[str]) -> dict[str, Section]:
    return {name: _section(getattr(settings, f"binder_{i}")) for i, name in enumerate(binders)}


def _section(section: Any) -> Section:
    return Section(
        section.binder, section.consumers, section.producers, section.default_consumer, section.default_producer
    )


def _bare(models: BinderModels) -> Section:
    """Defaults without validation, for a binder whose required properties are missing."""
    consumer, producer = models.consumer_properties.model_construct(), models.producer_properties.model_construct()
    return Section(models.binder_properties.model_construct(), {}, {}, consumer, producer)
