"""Loading: files, environment, arguments and code become one validated configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from streambind.configuration import profiles
from streambind.configuration.activation import Activated, activate
from streambind.configuration.arguments import read_arguments
from streambind.configuration.binder_choice import binder_findings
from streambind.configuration.environment import Declared, read_environment
from streambind.configuration.files import Files, locate
from streambind.configuration.finding import Finding, Origin
from streambind.configuration.flat import Flat, Value, flatten, merge
from streambind.configuration.loaded import BinderSettings, Configuration, Entry
from streambind.configuration.masking import shown
from streambind.configuration.names import (
    FALLBACK_BINDER,
    Name,
    dotted,
    environment_variables,
    identity,
    parse_name,
    uniform,
)
from streambind.configuration.placeholders import Lookup
from streambind.configuration.placement import Slot, find_slot
from streambind.configuration.resolution import Placed, names_of_keys, place
from streambind.configuration.sections import Arrangement
from streambind.configuration.settings_source import validate
from streambind.configuration.shape import BinderModels, environment
from streambind.configuration.unknown_keys import binders_in, keys_under_both_roots, unknown_keys

_CODE = Origin("code")


def load(
    location: str | Path,
    *,
    binder_models: Mapping[str, BinderModels],
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
) -> Configuration:
    """Read the configuration of a folder (`application.yaml` and its variants for profiles) or of a file.

    Later sources win: files, `environ` (`os.environ`), `arguments` (`--key=value`), `overrides` (dotted names).
    What the user wrote wrongly is in the result's findings, where it never raises.

    Raises:
        ConfigurationError: there is nothing to read at the location.
    """
    variables = dict(os.environ if environ is None else environ)
    loading = _Loading(binder_models, variables, arguments, overrides or {})
    return loading.run(location)


class _Loading:
    def __init__(
        self,
        models: Mapping[str, BinderModels],
        environ: Mapping[str, str],
        arguments: Sequence[str],
        overrides: Mapping[str, object],
    ) -> None:
        self.models = {m.name: m for m in models.values()}
        self.environ = environ
        self.overrides, problems = flatten(overrides, _CODE)
        self.arguments, self.findings = read_arguments(arguments)
        self.findings += problems
        self.root = environment(self.models.values())

    def run(self, location: str | Path) -> Configuration:
        files = locate(location)
        activated = activate(files, self._with_profile_settings, self._lookup)
        self.findings += [*files.findings, *activated.findings]
        merged = self._merged(activated)
        placed, problems = place(merged, self.root, self._lookup(merged))
        self.findings += problems
        arrangement = Arrangement(
            placed,
            self.models,
            list(self._keys_below(merged, "bindings")),
            self._keys_below(merged, "binders"),
        )
        binders = arrangement.binders()
        validated = validate(arrangement.leaves(binders), binders.types, bindings=arrangement.bindings)
        self.findings += [*binders.findings, *validated.findings]
        configuration = Configuration(
            properties=validated.properties,
            findings=(),
            active_profiles=activated.profiles,
            inactive_bindings=self._inactive_bindings(activated, arrangement.bindings),
            binders={n: BinderSettings(n, binders.types[n].name, s) for n, s in validated.sections.items()},
            binder_candidates=binders.candidates,
            shown=_entries(p for p in placed if p.name not in validated.refused),
            flat=merged,
        )
        self.findings += binder_findings(configuration, placed)
        return replace(configuration, findings=_in_order(self.findings, files))

    def _keys_below(self, flat: Flat, table: str) -> dict[str, Origin]:
        """The keys of a table and where they stand, also those of which everything else is wrong."""
        keys: dict[str, Origin] = {}
        for key, at in flat.places.items():
            slot = find_slot(at.name, self.root) if len(key) == 3 and key[:2] == ("streambind", table) else None
            if isinstance(slot, Slot):
                keys[slot.path[2]] = at.origin
        return keys

    def _merged(self, activated: Activated) -> Flat:
        """All sources over one another; reports the names that have no place."""
        written = [*activated.documents, self.arguments, self.overrides]
        inactive = [i.flat for i in activated.inactive]
        variables, problems = read_environment(
            self.environ, self.root, self._declared(written), inactive=self._declared([*written, *inactive])
        )
        self.findings += problems
        prefer = next(iter(binders_in([*written, *inactive], self.models)), FALLBACK_BINDER)
        for source in written:
            self.findings += unknown_keys(source, self.root, prefer=prefer)
        for source in inactive:
            self.findings += unknown_keys(source, self.root, prefer=prefer, active=False)
        self.findings += keys_under_both_roots(activated.documents)
        return merge([*activated.documents, variables, self.arguments, self.overrides])

    def _with_profile_settings(self, base: Flat) -> Flat:
        """The documents' settings under those of the environment, as far as profiles are concerned."""
        variables = Flat()
        for key in (profiles.ACTIVE, profiles.INCLUDE, profiles.DEFAULT):
            name = parse_name(key)
            for variable in environment_variables(name):
                if variable in self.environ:
                    origin = Origin(f"environment variable {variable}")
                    variables.add(Value(name, self.environ[variable], origin, origin))
        return merge([base, variables, self.arguments, self.overrides])

    def _lookup(self, flat: Flat) -> Lookup:
        """What a placeholder's name stands for: code and arguments, then the environment, then files."""

        def find(text: str) -> str | None:
            name = parse_name(text)
            key = identity(name)
            for source in (self.overrides, self.arguments):
                if key in source.values:
                    return _text(source.values[key].value)
            for variable in (text, *environment_variables(name)):
                if variable in self.environ:
                    return self.environ[variable]
            return _text(flat.values[key].value) if key in flat.values else None

        return find

    def _declared(self, sources: Sequence[Flat]) -> Declared:
        """The keys that sources give to tables, and the names below a path."""
        slots = [find_slot(place.name, self.root) for source in sources for place in source.places.values()]
        found = [slot for slot in slots if isinstance(slot, Slot)]
        kinds = {kind for slot in found for kind, _ in slot.keys}

        def below(path: Name) -> Iterator[Name]:
            beginning = identity(path)
            for source in sources:
                for key, value in source.values.items():
                    if key[: len(beginning)] == beginning:
                        yield value.name[len(value.name) - (len(key) - len(beginning)) :]

        return Declared({kind: names_of_keys(found, kind) for kind in kinds}, below)

    def _inactive_bindings(self, activated: Activated, active: Iterable[str]) -> dict[str, tuple[str, ...]]:
        known = {uniform(name) for name in active}
        found: dict[str, tuple[str, ...]] = {}
        for document in activated.inactive:
            for name in document.flat.children("streambind.bindings").values():
                if uniform(name) not in known:
                    found[name] = tuple(dict.fromkeys((*found.get(name, ()), *document.profiles)))
        return found


def _text(value: object) -> str:
    """A value as a placeholder takes it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entries(placed: Iterable[Placed]) -> tuple[Entry, ...]:
    entries = [
        Entry(dotted(p.name), shown(dotted(p.slot.words), p.value, secret=p.secret), p.origin)
        for p in placed
        if p.value is not None
    ]
    return tuple(sorted(entries, key=lambda entry: entry.key))


def _in_order(findings: Iterable[Finding], files: Files) -> tuple[Finding, ...]:
    """Each finding once, in the order of files and lines; what has no line comes last."""
    paths = [str(path) for path in (files.main, *files.variants.values()) if path]

    def place(finding: Finding) -> tuple[int, int, int]:
        origin = finding.origin
        if origin is None or origin.source not in paths:
            return len(paths), 0, 0
        return paths.index(origin.source), origin.line or 0, origin.column or 0

    return tuple(sorted(dict.fromkeys(findings), key=place))
