"""A loaded configuration: properties, findings, and where everything comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.flat import Flat
from streambind.configuration.names import FALLBACK_BINDER, OWN_ROOT, identity, is_rooted, parse_name, uniform
from streambind.configuration.properties import Properties, StreamProperties
from streambind.configuration.settings_source import Section
from streambind.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Entry:
    """A configured value as it may be shown: secrets are masked."""

    key: str
    shown_value: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class BinderSettings:
    """What is configured for one binder: one broker, or one of several clusters."""

    name: str
    type_name: str
    section: Section = field(repr=False)

    @property
    def properties(self) -> Properties:
        """The binder's own properties."""
        return self.section.binder

    def consumer(self, binding: str) -> Properties:
        """The binder's properties for an input; the defaults of all bindings if it has none of its own."""
        return _of(binding, self.section.consumers, self.section.default_consumer)

    def producer(self, binding: str) -> Properties:
        """The same for an output."""
        return _of(binding, self.section.producers, self.section.default_producer)


def _of(binding: str, own: Mapping[str, Properties], default: Properties) -> Properties:
    return next((p for name, p in own.items() if uniform(name) == uniform(binding)), default)


@dataclass(frozen=True)
class Configuration:
    """What `load` returns. Where a value was in error, `properties` hold the default and `findings` the error.

    `inactive_bindings`: bindings that exist in inactive documents only, with the profiles that would bring them.
    """

    properties: StreamProperties
    findings: tuple[Finding, ...]
    active_profiles: tuple[str, ...]
    inactive_bindings: Mapping[str, tuple[str, ...]]
    binders: Mapping[str, BinderSettings] = field(repr=False)
    binder_candidates: tuple[str, ...] = field(repr=False)
    shown: tuple[Entry, ...] = field(repr=False)
    flat: Flat = field(repr=False)

    @property
    def is_unread(self) -> bool:
        """Whether errors, such as a file that is no YAML, have left no binding of it: what is missing then says
        nothing."""
        return not self.properties.bindings and any(f.severity is Severity.ERROR for f in self.findings)

    def find_binding(self, channel: str) -> str | None:
        """The declared name of a channel's binding, compared as Spring compares names; None if there is none."""
        if channel in self.properties.bindings:
            return channel
        return next((name for name in self.properties.bindings if uniform(name) == uniform(channel)), None)

    def binder_name(self, binding: str) -> str:
        """The binder of a binding: its own, else the default, else the only one there is, else `kafka`."""
        declared = self.find_binding(binding)
        own = self.properties.bindings[declared].binder if declared else None
        wanted = own or self.properties.default_binder
        if wanted:
            return next((name for name in self.binders if uniform(name) == uniform(wanted)), wanted)
        return self.binder_candidates[0] if len(self.binder_candidates) == 1 else FALLBACK_BINDER

    def binder(self, name: str) -> BinderSettings:
        """The settings of a binder.

        Raises:
            ConfigurationError: there is no binder of that name.
        """
        if name not in self.binders:
            known = ", ".join(sorted(self.binders)) or "none"
            raise ConfigurationError(f"there is no binder '{name}'; known: {known}", self.findings)
        return self.binders[name]

    def origin_of(self, key: str) -> Origin | None:
        """Where a property, or a name such as `bindings.in-categoryChanged`, was written; None if nowhere."""
        name = parse_name(key)
        full = identity(name if is_rooted(name) else OWN_ROOT + name)
        if full in self.flat.values:
            return self.flat.values[full].origin
        place = self.flat.places.get(full)
        return place.origin if place else None

    def entries(self) -> Sequence[Entry]:
        """Every configured value below our roots, sorted by key; secrets are masked."""
        return self.shown

    def require_valid(self) -> None:
        """
        Raises:
            ConfigurationError: with all findings, if one of them is an error.
        """
        errors = [f for f in self.findings if f.severity is Severity.ERROR]
        if errors:
            lines = "\n".join(f"  {finding}" for finding in self.findings)
            count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
            raise ConfigurationError(f"the configuration has {count}\n{lines}", self.findings)
