"""Which documents of the files are active, and what the inactive ones would bring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streambind.configuration import profiles
from streambind.configuration.files import Files, read
from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.flat import Flat, Value, merge
from streambind.configuration.names import dotted, identity, nearest, parse_name
from streambind.configuration.placeholders import Lookup, UnresolvedPlaceholder, resolve
from streambind.configuration.profiles import Condition, MalformedExpression
from streambind.configuration.yaml_documents import Document

_DECISIVE = tuple(
    identity(parse_name(n)) for n in (profiles.ACTIVE, profiles.INCLUDE, profiles.DEFAULT, profiles.GROUP)
)
_UNREAD = {
    "spring.config.import": "other files are not imported",
    "spring.config.activate.on-cloud-platform": "cloud platforms are not detected; the document is not active",
}


@dataclass(frozen=True, slots=True)
class Inactive:
    """A document that is not active, and the profiles that would activate it."""

    flat: Flat
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Activated:
    """Active documents, the lowest first."""

    profiles: tuple[str, ...]
    documents: tuple[Flat, ...]
    inactive: tuple[Inactive, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    document: Document
    condition: Condition | None
    profile: str = ""
    """The profile of the file, if it is a variant."""
    never: bool = False


def activate(files: Files, settings: Callable[[Flat], Flat], lookup: Callable[[Flat], Lookup]) -> Activated:
    """Read the files and choose.

    `settings`: lays what the environment, arguments and code say over the documents' settings; `lookup`:
    resolves placeholders against it.
    """
    return _Activation(settings, lookup).run(files)


class _Activation:
    def __init__(self, settings: Callable[[Flat], Flat], lookup: Callable[[Flat], Lookup]) -> None:
        self.settings, self.lookup = settings, lookup
        self.findings: list[Finding] = []

    def run(self, files: Files) -> Activated:
        documents = self._read(files.main) if files.main else []
        base = merge(d.flat for d in documents if not self._is_conditional(d.flat))
        self.flat = self.settings(base)
        self.resolve = self.lookup(self.flat)
        active = self._active_profiles()
        candidates = [self._candidate(d, "") for d in documents]
        for profile in [*active, *(p for p in files.variants if p not in active)]:
            if profile in files.variants:
                candidates += [self._candidate(d, profile) for d in self._read(files.variants[profile])]
        chosen = [c for c in candidates if self._holds(c, active)]
        inactive = [
            Inactive(c.document.flat, self._would_activate(c, active))
            for c in candidates
            if not self._holds(c, active)
        ]
        self._check_names(active, candidates, files)
        return Activated(
            tuple(active), tuple(c.document.flat for c in chosen), tuple(inactive), tuple(self.findings)
        )

    def _read(self, path: Path) -> list[Document]:
        documents, findings = read(path)
        self.findings += findings
        return documents

    def _active_profiles(self) -> list[str]:
        active = self._names(profiles.ACTIVE)
        if not active:
            active = self._names(profiles.DEFAULT) or ["default"]
        return profiles.expand_groups([*self._names(profiles.INCLUDE), *active], self.flat)

    def _names(self, key: str) -> list[str]:
        values = self.flat.items(key)
        names = profiles.names_of(self._resolved(values))
        for name in names:
            if not profiles.is_valid_profile(name):
                text = f"'{name}' is no profile name; use letters and digits, and - _ . + @ between them"
                self._error(text, values[0].value_origin)
        return [name for name in names if profiles.is_valid_profile(name)]

    def _resolved(self, values: Iterable[Value]) -> list[Value]:
        resolved: list[Value] = []
        for value in values:
            try:
                text = resolve(str(value.value), self.resolve).text
            except UnresolvedPlaceholder as error:
                self._error(str(error), value.value_origin)
            else:
                resolved.append(Value(value.name, text, value.origin, value.value_origin))
        return resolved

    def _is_conditional(self, flat: Flat) -> bool:
        return bool(flat.items(profiles.ON_PROFILE) or flat.items(profiles.LEGACY))

    def _candidate(self, document: Document, profile: str) -> _Candidate:
        flat = document.flat
        expressions, legacy = flat.items(profiles.ON_PROFILE), flat.items(profiles.LEGACY)
        if expressions and legacy:
            text = f"'{profiles.LEGACY}' and '{profiles.ON_PROFILE}' in one document; keep the latter"
            self._error(text, legacy[0].origin)
        if expressions or legacy or profile:
            self._refuse_decisions(flat)
        never = False
        for key, reason in _UNREAD.items():
            for value in flat.items(key)[:1]:
                never = never or key.endswith("platform")
                self.findings.append(Finding(Severity.WARNING, f"'{key}': {reason}", value.origin))
        values = self._resolved(expressions or legacy)
        try:
            condition = profiles.parse_condition(profiles.names_of(values)) if expressions or legacy else None
        except MalformedExpression as error:
            self._error(str(error), values[0].value_origin)
            return _Candidate(document, None, profile, never=True)
        return _Candidate(document, condition, profile, never)

    def _refuse_decisions(self, flat: Flat) -> None:
        """A document that depends on profiles cannot choose them."""
        for key, value in flat.values.items():
            if any(key[: len(decisive)] == decisive for decisive in _DECISIVE):
                text = (
                    f"'{dotted(value.name)}' stands in a document that a profile activates; move it to one without"
                )
                self._error(text, value.origin)

    def _holds(self, candidate: _Candidate, active: Sequence[str]) -> bool:
        if candidate.never or (candidate.profile and candidate.profile not in active):
            return False
        return candidate.condition is None or candidate.condition.holds(active)

    def _would_activate(self, candidate: _Candidate, active: Sequence[str]) -> tuple[str, ...]:
        if candidate.never:
            return ()
        own = (candidate.profile,) if candidate.profile and candidate.profile not in active else ()
        if candidate.condition is None or candidate.condition.holds((*active, *own)):
            return own
        further = candidate.condition.would_hold_with((*active, *own))
        return (*own, *further) if further else ()

    def _check_names(self, active: Sequence[str], candidates: Iterable[_Candidate], files: Files) -> None:
        """An active profile that nothing mentions, but something similar, is a slip of the pen."""
        known = set(files.variants) | {n for c in candidates if c.condition for n in c.condition.names}
        for name in active:
            near = nearest(name, known)
            if name not in known and near:
                values = self.flat.items(profiles.ACTIVE) or self.flat.items(profiles.INCLUDE)
                origin = values[0].value_origin if values else None
                text = f"no document is for the profile '{name}'; did you mean '{near}'?"
                self.findings.append(Finding(Severity.WARNING, text, origin))

    def _error(self, text: str, origin: Origin) -> None:
        self.findings.append(Finding(Severity.ERROR, text, origin))
