"""Arguments `--key=value` of a command line, as a source of configuration."""

from __future__ import annotations

from collections.abc import Sequence

from streambind.configuration.finding import Finding, Origin
from streambind.configuration.flat import Flat, Value, too_long
from streambind.configuration.names import have_different_roots, identity, parse_name
from streambind.configuration.unknown_keys import same_key

_ROOTS = ("--spring.", "--streambind.")
_COMMAND_LINE = Origin("command line")


def is_setting(argument: str) -> bool:
    """Whether an argument of any program is meant for its configuration."""
    return argument.startswith(_ROOTS)


def read_arguments(arguments: Sequence[str]) -> tuple[Flat, list[Finding]]:
    """`--key=value` of a command line, the last of a key; `--key` is the empty value, everything else is not
    configuration."""
    flat, findings = Flat(), list[Finding]()
    for argument in arguments:
        if argument.startswith("--") and len(argument) > 2:
            key, _, text = argument[2:].partition("=")
            name = parse_name(key)
            problem = too_long(name, _COMMAND_LINE)
            if problem is not None:
                findings.append(problem)
                continue
            flat.mark_all(name, _COMMAND_LINE)
            value = Value(name, text, _COMMAND_LINE, _COMMAND_LINE)
            other = flat.values.get(identity(name), value)
            if have_different_roots(name, other.name):
                findings.append(same_key(value, other))
            flat.values[identity(name)] = value
    return flat, findings
