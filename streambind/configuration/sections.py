"""Binders by name: which there are, and which values make up the settings of each.

A binder is known by its type (`kafka`), or is one of several clusters (`binders.<name>.type|environment.*`). A
cluster has what its `environment` says over what is configured for its type; `inheritEnvironment: false` leaves
out the latter for the connection. What is said of a binding holds whichever cluster the binding is on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.names import Name, did_you_mean, uniform
from streambind.configuration.resolution import Placed
from streambind.configuration.shape import BinderModels

Leaves = dict[Name, Placed]
"""Values by their path in the settings: `stream`, ...; or `binders`, the binder's name, `binder`, ...; or
`consumers`, the binding's name, ...; or `defaultConsumer`, ..."""


@dataclass(frozen=True, slots=True)
class Binders:
    """The types by the names of the binders; `candidates`: what a binding without a binder can go to."""

    types: Mapping[str, BinderModels]
    candidates: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class Arrangement:
    """Arranges placed values into the leaves of the settings."""

    placed: list[Placed]
    models: Mapping[str, BinderModels]
    bindings: list[str]
    """The declared bindings; a spelling that is used later gives way to the one here."""
    clusters: Mapping[str, Origin]
    """The declared clusters, and where."""

    def __post_init__(self) -> None:
        core = [p.path[2] for p in self.placed if p.path[:2] == ("streambind", "bindings") and len(p.path) > 2]
        first = _first_spellings([*self.bindings, *core, *self._names("bindings")])
        clusters = _first_spellings([*self.clusters, *self._names("binders")])
        below = [p for p in self.placed if len(p.path) > 1]
        self.placed = [_respelled(_respelled(p, "bindings", first), "binders", clusters) for p in below]
        self.bindings = list(dict.fromkeys(first[uniform(n)] for n in [*self.bindings, *core]))

    def _names(self, kind: str) -> list[str]:
        return [key for p in self.placed for of, key in p.slot.keys if of == kind]

    def binders(self) -> Binders:
        """The binders there are, and what is wrong with how they are declared."""
        findings: list[Finding] = []
        types: dict[str, BinderModels] = dict(self.models)
        for name, origin in self.clusters.items():
            declared = self._at("streambind", "binders", name, "type")
            type_name = str(declared.value) if declared and declared.value else name
            model = next((m for m in self.models.values() if uniform(m.name) == uniform(type_name)), None)
            if model is None:
                hint = did_you_mean(type_name, self.models) or f"; installed: {', '.join(sorted(self.models))}"
                text = f"binder '{name}' has no known type '{type_name}'{hint}"
                findings.append(Finding(Severity.ERROR, text, declared.value_origin if declared else origin))
            else:
                types[name] = model
        candidates = [n for n in self.clusters if n in types and not self._is_false(n, "defaultCandidate")]
        configured = [n for n in self.models if any(self._section(p, n) for p in self.placed)]
        if not self.clusters:
            candidates = configured or (list(self.models) if len(self.models) == 1 else [])
        return Binders(types, tuple(candidates), tuple(findings))

    def leaves(self, binders: Binders) -> Leaves:
        """Every value at its path in the settings; what is said of all bindings below what is said of one."""
        core = [
            (p.path[1:], p)
            for p in self.placed
            if p.path[0] == "streambind" and p.path[1] not in self.models and "environment" not in p.path[3:4]
        ]
        leaves = {("stream", *rest): placed for rest, placed in core}
        for rest, placed in core:
            if rest[0] == "default":
                for binding in self.bindings:
                    leaves.setdefault(("stream", "bindings", binding, *rest[1:]), placed)
        for name, model in binders.types.items():
            for path, placed in self._section_leaves(name, model.name).items():
                leaves[("binders", name, *path)] = placed
        return leaves

    def _section_leaves(self, name: str, type_name: str) -> dict[Name, Placed]:
        """The values of one binder: of its type, then of the cluster, each later one over the former."""
        inherits = not self._is_false(name, "inheritEnvironment")
        own = ("streambind", "binders", name, "environment")
        layers: dict[Name, Placed] = {}
        for prefix in ((), own):
            connection = inherits or prefix == own
            below = [(p.path[len(prefix) :], p) for p in self.placed if p.path[: len(prefix)] == prefix]
            for path, p in below:
                if connection and path == ("spring", type_name, "bootstrap-servers"):
                    layers["binder", "brokers"] = p
            for path, p in below:
                if len(path) > 2 and path[:2] == ("streambind", type_name) and (connection or path[2] != "binder"):
                    layers[path[2:]] = p
        return self._by_side(layers)

    def _by_side(self, layers: dict[Name, Placed]) -> dict[Name, Placed]:
        leaves: dict[Name, Placed] = {path: p for path, p in layers.items() if path[:1] == ("binder",)}
        for path, p in layers.items():
            if path[0] == "default" and len(path) > 1:
                leaves[(_DEFAULTS[path[1]], *path[2:])] = p
                for binding in self.bindings:
                    leaves[(_SIDES[path[1]], binding, *path[2:])] = p
        for path, p in layers.items():
            if path[0] == "bindings" and len(path) > 2:
                leaves[(_SIDES[path[2]], path[1], *path[3:])] = p
        return leaves

    def _at(self, *path: str) -> Placed | None:
        return next((p for p in self.placed if p.path == path), None)

    def _is_false(self, cluster: str, key: str) -> bool:
        placed = self._at("streambind", "binders", cluster, key)
        return placed is not None and str(placed.value).lower() in ("false", "no", "off", "0")

    def _section(self, placed: Placed, type_name: str) -> bool:
        """Whether a value configures a binder's type."""
        return placed.path[:2] == ("streambind", type_name) or placed.path[:2] == ("spring", type_name)


_SIDES = {"consumer": "consumers", "producer": "producers"}
_DEFAULTS = {"consumer": "defaultConsumer", "producer": "defaultProducer"}


def _first_spellings(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(uniform(name), name)
    return found


def _respelled(placed: Placed, kind: str, first: Mapping[str, str]) -> Placed:
    """The path with the first spelling of a key: bindings and binders are maps without regard to case."""
    path = placed.path
    for of, key in placed.slot.keys:
        if of == kind:
            at = path.index(kind) + 1
            path = (*path[:at], first.get(uniform(key), key), *path[at + 1 :])
    return replace(placed, path=path)
