"""`streambind check`: every mistake at once, with file and line."""

from __future__ import annotations

import click

from streambind.application.examination import examine
from streambind.cli.output import FAILED, json_option, print_findings, print_json, print_table, write
from streambind.cli.target import resolve
from streambind.configuration import Configuration, Entry, Finding, Severity
from streambind.errors import ConfigurationError


@click.command()
@click.argument("target", required=False)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--show", "show_entries", is_flag=True, help="Print the effective settings and their origins too.")
@json_option
def check(target: str | None, strict: bool, show_entries: bool, as_json: bool) -> None:
    """Find mistakes in TARGET: a configuration folder or file, or module:attribute.

    Of an application the code is checked against its configuration too: listeners and publishers without a
    binding, bindings without code, wrong arguments, missing attributes. Without TARGET ./application.yaml or
    ./config is checked. Nothing is started and nobody is asked.

    \b
    Examples:
      streambind check config/lecture
      streambind check sample_app.lecture.app:stream --strict
      streambind check config/lecture --show

    Exit code 1 if there are errors.
    """
    findings, configuration = _checked(target)
    entries = configuration.entries() if configuration is not None and show_entries else ()
    if as_json:
        found = [_finding(finding) for finding in findings]
        print_json({"findings": found, "entries": [_entry(e) for e in entries]} if show_entries else found)
    else:
        if show_entries:
            print_table(
                ("setting", "value", "from"),
                [(entry.key, entry.shown_value, entry.origin) for entry in entries],
                empty="no settings",
            )
            write("")
        print_findings(findings)
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(finding.severity in bad for finding in findings):
        raise SystemExit(FAILED)


def _checked(text: str | None) -> tuple[tuple[Finding, ...], Configuration | None]:
    """An application with errors is not built: then there are only findings."""
    try:
        target = resolve(text)
    except ConfigurationError as error:
        if not error.findings:
            raise
        return error.findings, None
    if target.application is not None:
        return target.application.findings, target.configuration
    return (*target.configuration.findings, *examine(target.configuration)), target.configuration


def _finding(finding: Finding) -> dict[str, object]:
    """`file` is also where no file is meant: `environment variable X`, `command line`, `code`."""
    origin = finding.origin
    return {
        "severity": finding.severity,
        "text": finding.text,
        "file": None if origin is None else origin.shown_source,
        "line": None if origin is None else origin.line,
        "column": None if origin is None else origin.column,
    }


def _entry(entry: Entry) -> dict[str, object]:
    return {"key": entry.key, "value": entry.shown_value, "origin": str(entry.origin)}
