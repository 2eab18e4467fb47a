"""The shape of a schema: which names there are below which, read off the property models.

A `Group` has members by name; a `Table` is a map, by keys that the user chooses; a `Listing` is a list; a `Leaf`
is one value. The keys of a table of groups are one segment (`bindings.in-categoryChanged.destination`), those of
a table of leaves are all the rest of the name (`configuration.max.poll.records`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Protocol, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from streambind.configuration.names import uniform
from streambind.configuration.properties import NoEffect, Properties, StreamProperties


class BinderModels(Protocol):
    """What the configuration needs to know of a broker: the name of its keys and the models below them."""

    @property
    def name(self) -> str: ...
    @property
    def binder_properties(self) -> type[Properties]: ...
    @property
    def consumer_properties(self) -> type[Properties]: ...
    @property
    def producer_properties(self) -> type[Properties]: ...


@dataclass(frozen=True, slots=True)
class Leaf:
    """`options`: the values of an enumeration. `secret`: the type says that it is never shown. `takes_any`:
    whatever stands below the name belongs to the value."""

    options: tuple[str, ...] = ()
    secret: bool = False
    takes_any: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    item: Leaf


@dataclass(frozen=True, slots=True)
class Table:
    """`kind`: what its keys name (`bindings`, `binders`, ...)."""

    value: Shape
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One name of a group. `name` is its spelling in files, `field` its definition if it has one."""

    name: str
    shape: Shape
    field: FieldInfo | None = None

    @property
    def no_effect(self) -> NoEffect | None:
        metadata = self.field.metadata if self.field else []
        return next((m for m in metadata if isinstance(m, NoEffect)), None)


@dataclass(frozen=True, slots=True)
class Group:
    """Members by the uniform spelling of their names. `open`: other names are none of our business."""

    members: Mapping[str, Member] = field(default_factory=dict)
    open: bool = False

    def with_members(self, members: Iterable[Member]) -> Group:
        return replace(self, members={**self.members, **{uniform(m.name): m for m in members}})


Shape = Leaf | Listing | Table | Group


def environment(binders: Iterable[BinderModels]) -> Group:
    """Everything that can be configured: both roots, and what is read of other roots."""
    models = list(binders)
    root = stream_root(models)
    nested = _both_roots(root, models)
    binders_member = root.members["binders"]
    assert isinstance(binders_member.shape, Table)
    assert isinstance(binders_member.shape.value, Group)
    cluster = binders_member.shape.value.with_members([Member("environment", nested)])
    table = Table(cluster, kind="binders")
    return _both_roots(root.with_members([replace(binders_member, shape=table)]), models)


def stream_root(models: Iterable[BinderModels]) -> Group:
    """What stands below one of the roots."""
    return group_of(StreamProperties).with_members(Member(m.name, _section(m)) for m in models)


def _section(models: BinderModels) -> Group:
    """`<binder>.binder`, `<binder>.bindings.<name>.consumer|producer`, `<binder>.default.consumer|producer`."""
    sides = Group().with_members(
        [
            Member("consumer", group_of(models.consumer_properties)),
            Member("producer", group_of(models.producer_properties)),
        ]
    )
    binder = Member("binder", group_of(models.binder_properties))
    return Group().with_members(
        [binder, Member("bindings", Table(sides, kind="bindings")), Member("default", sides)]
    )


def _both_roots(root: Group, models: Iterable[BinderModels]) -> Group:
    cloud = Group(open=True).with_members([Member("stream", root)])
    spring = Group(open=True).with_members([Member("cloud", cloud), *_clients(models)])
    return Group(open=True).with_members([Member("spring", spring), Member("streambind", root)])


def _clients(models: Iterable[BinderModels]) -> Iterator[Member]:
    """Spring Boot's own place for the brokers, `spring.kafka.bootstrap-servers`, for binders that have brokers."""
    for model in models:
        brokers = group_of(model.binder_properties).members.get("brokers")
        if brokers is not None:
            servers = Member("bootstrap-servers", brokers.shape)
            yield Member(model.name, Group(open=True).with_members([servers]))


def group_of(model: type[BaseModel]) -> Group:
    """The names of a model's fields: their aliases, or else their own."""
    members: dict[str, Member] = {}
    for name, info in model.model_fields.items():
        spellings = spellings_of(name, info)
        shape = _shape_of(info.annotation, spellings[0])
        for spelling in spellings:
            members[uniform(spelling)] = Member(spellings[0], shape, info)
    return Group(members)


def spellings_of(name: str, info: FieldInfo) -> list[str]:
    """How a field may be called in a file; the first is the one that the model is fed with."""
    alias = info.validation_alias or info.alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)] or [name]
    return [alias if isinstance(alias, str) else name]


def _shape_of(annotation: Any, kind: str) -> Shape:
    choices = list(_alternatives(annotation))
    for choice in choices:
        origin, arguments = get_origin(choice) or choice, get_args(choice)
        if isinstance(origin, type) and issubclass(origin, BaseModel):
            return group_of(origin)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return Table(_shape_of(arguments[1] if len(arguments) == 2 else Any, kind), kind)
        if origin in (list, tuple, set, frozenset):
            item = _shape_of(arguments[0], kind) if arguments else Leaf()
            return Listing(item if isinstance(item, Leaf) else Leaf())
    options = tuple(option for choice in choices for option in _options(choice))
    return Leaf(
        options=options, secret=SecretStr in choices, takes_any=any(choice in (Any, object) for choice in choices)
    )


def _alternatives(annotation: Any) -> Iterable[Any]:
    """The members of a union, without None and without annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for choice in get_args(annotation):
            yield from _alternatives(choice)
    elif annotation is not NoneType:
        yield annotation


def _options(annotation: Any) -> Iterable[str]:
    if get_origin(annotation) is Literal:
        yield from (option for option in get_args(annotation) if isinstance(option, str))
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)
