"""Whether every binding has a binder, every binding that a binder's section names exists, and what binders warn
of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streambind.configuration.finding import Finding, Severity
from streambind.configuration.loaded import Configuration
from streambind.configuration.names import did_you_mean, nearest, uniform
from streambind.configuration.resolution import Placed
from streambind.configuration.unknown_keys import MOST


def binder_findings(configuration: Configuration, placed: Iterable[Placed]) -> list[Finding]:
    """Binders that are named and do not exist, bindings for which several would do, and cautions."""
    findings = [*_unknown_binders(configuration), *_cautions(configuration)]
    candidates = configuration.binder_candidates
    properties = configuration.properties
    if len(candidates) > 1 and not properties.default_binder:
        for name, binding in properties.bindings.items():
            if not binding.binder:
                text = (
                    f"binding {name} can go to {' or '.join(candidates)}; set"
                    f" 'spring.cloud.stream.bindings.{name}.binder' or 'spring.cloud.stream.defaultBinder'"
                )
                findings.append(Finding(Severity.ERROR, text, configuration.origin_of(f"bindings.[{name}]")))
    return [*findings, *_unknown_bindings(configuration, placed)]


def _cautions(configuration: Configuration) -> Iterator[Finding]:
    for name, settings in configuration.binders.items():
        for key, text in settings.properties.cautions().items():
            place = configuration.origin_of(f"{settings.type_name}.binder.{key}")
            yield Finding(Severity.WARNING, text, place or configuration.origin_of(f"binders.{name}"))


def _unknown_binders(configuration: Configuration) -> Iterator[Finding]:
    named: dict[str, str | None] = {"defaultBinder": configuration.properties.default_binder}
    for name, binding in configuration.properties.bindings.items():
        own = configuration.origin_of(f"bindings.[{name}].binder")
        named[f"bindings.[{name}].binder" if own else "default.binder"] = binding.binder
    known = {uniform(name) for name in configuration.binders}
    for key, binder in named.items():
        if binder and uniform(binder) not in known:
            hint = (
                did_you_mean(binder, configuration.binders)
                or f"; known: {', '.join(sorted(configuration.binders))}"
            )
            yield Finding(Severity.ERROR, f"there is no binder '{binder}'{hint}", configuration.origin_of(key))


def _unknown_bindings(configuration: Configuration, placed: Iterable[Placed]) -> Iterator[Finding]:
    """A binder's section for a binding that no one declares has no effect; a slip of the pen is an error."""
    seen: set[str] = set()
    known = list(configuration.properties.bindings)
    for p in placed:
        for kind, key in p.slot.keys:
            if kind != "bindings" or uniform(key) in seen or configuration.find_binding(key):
                continue
            seen.add(uniform(key))
            if len(seen) > MOST:
                return
            if any(uniform(name) == uniform(key) for name in configuration.inactive_bindings):
                continue
            near = nearest(key, known)
            hint = f"; did you mean '{near}'?" if near else ", so this has no effect"
            severity = Severity.ERROR if near else Severity.WARNING
            yield Finding(severity, f"there is no binding '{key}' under 'bindings'{hint}", p.origin)
