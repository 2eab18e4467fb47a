"""Code held against configuration: which channels the code uses, and which bindings stand for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streambind.application.declarations import Declarations
from streambind.configuration import BindingProperties, Configuration, Finding, Severity
from streambind.configuration.code_origin import code_origin
from streambind.configuration.names import did_you_mean
from streambind.inbound.replicates import ReplicaMark, replicas_anywhere


@dataclass(frozen=True)
class Channels:
    """Bindings by direction, under their declared names. `outputs` holds those that code publishes to and those
    that it may send to by name (the stream bridge, `publish`): every binding that is no input."""

    inputs: Mapping[str, BindingProperties] = field(default_factory=dict)
    outputs: Mapping[str, BindingProperties] = field(default_factory=dict)


class ChannelPlan:
    """Compares declarations with bindings; `findings` holds what does not fit, `channels` what does."""

    def __init__(self, configuration: Configuration, declarations: Declarations) -> None:
        self._configuration = configuration
        self.findings: list[Finding] = []
        listened = self._resolve("replica", ((m.binding, m.declared_on) for m in declarations.replicas))
        listened |= self._resolve("listener", ((m.binding, m.function) for m in declarations.listeners))
        published = self._resolve("publisher", declarations.published())
        for name in sorted(listened & published):
            self._error(
                f"binding {name} is both listened to and published to; declare one for each direction", name
            )
        self.channels = self._divide(listened, published)
        self._tell_unlistened(declarations)

    def _resolve(self, what: str, uses: Iterable[tuple[str, Any]]) -> set[str]:
        """The declared names of the channels that code uses; a channel without a binding is a finding."""
        declared: set[str] = set()
        for channel, code in uses:
            found = self._configuration.find_binding(channel)
            if found is None and self._configuration.is_unread:
                continue
            if found is None:
                self.findings.append(
                    Finding(Severity.ERROR, self._missing(what, channel, code), code_origin(code))
                )
            else:
                declared.add(found)
        return declared

    def _missing(self, what: str, channel: str, code: Any) -> str:
        text = f"{what} {_name(code)} uses channel {channel!r}, which has no binding"
        profiles = self._configuration.inactive_bindings.get(channel)
        if profiles:
            active = " or ".join(f"spring.profiles.active={profile}" for profile in profiles)
            return f"{text} in the active profiles; it has one with {active}"
        known = self._configuration.properties.bindings
        if hint := did_you_mean(channel, known):
            return f"{text}{hint}"
        listed = ", ".join(sorted(known)) or "none"
        return f"{text}; declare spring.cloud.stream.bindings.{channel}.destination (declared: {listed})"

    def _divide(self, listened: set[str], published: set[str]) -> Channels:
        bindings = self._configuration.properties.bindings
        inputs = {name: bindings[name] for name in bindings if name in listened}
        outputs: dict[str, BindingProperties] = {}
        for name, properties in bindings.items():
            if name in listened:
                continue
            if name in published or not _looks_like_input(name, properties):
                outputs[name] = properties
        return Channels(inputs, outputs)

    def _tell_unlistened(self, declarations: Declarations) -> None:
        """Inputs without a listener; and replicas of inputs that are marked, but not included."""
        told = {self._forgotten(mark) for mark in declarations.forgotten}
        bindings = self._configuration.properties.bindings
        missing = [n for n in bindings if n not in {*self.channels.inputs, *self.channels.outputs, *told}]
        elsewhere = list(replicas_anywhere()) if missing else []
        for name in missing:
            marked = [mark for mark in elsewhere if self._configuration.find_binding(mark.binding) == name]
            hint = f"; {_marked(marked[0])}" if marked else ""
            self._warn(f"binding {name} has no listener in this application{hint}", name)

    def _forgotten(self, mark: ReplicaMark) -> str | None:
        """The input that a replica is marked for which is not included."""
        name = self._configuration.find_binding(mark.binding)
        if name is not None and name not in self.channels.outputs:
            text = f"replica of {name} is not part of this application: {_marked(mark)}"
            self.findings.append(Finding(Severity.WARNING, text, mark.place))
        return name

    def _error(self, text: str, binding: str) -> None:
        self.findings.append(Finding(Severity.ERROR, text, self._configuration.origin_of(f"bindings.{binding}")))

    def _warn(self, text: str, binding: str) -> None:
        origin = self._configuration.origin_of(f"bindings.{binding}")
        self.findings.append(Finding(Severity.WARNING, text, origin))


def _looks_like_input(name: str, properties: BindingProperties) -> bool:
    """A group makes sense for inputs only, and so do the names of both conventions: `in-x`, `x-in-0`."""
    lowered = name.lower()
    return properties.group is not None or lowered.startswith("in-") or "-in-" in lowered or lowered == "input"


def _marked(mark: ReplicaMark) -> str:
    cls = mark.declared_on
    return (
        f"{cls.__module__}.{cls.__qualname__} is marked with replicates({mark.binding!r}, ...) at {mark.place}, "
        "but neither it nor the module that marks it stands in include=[...]; add one of them"
    )


def _name(code: Any) -> str:
    return str(getattr(code, "__qualname__", code))
