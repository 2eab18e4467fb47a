"""`streambind check`: every mistake at once, with file and line."""

from __future__ import annotations

from dataclasses import asdict

import click

from streambind.cli.output import FAILED, json_option, print_findings, print_json, without_traceback
from streambind.cli.target import resolve
from streambind.configuration.finding import Finding, Severity
from streambind.errors import ConfigurationError


@click.command()
@click.argument("target", required=False)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@json_option
@without_traceback
def check(target: str | None, strict: bool, as_json: bool) -> None:
    """Check TARGET: a configuration folder or file, or an application module:attribute.

    An application is checked against its configuration too: listeners and publishers without a binding,
    bindings without code, wrong arguments, missing attributes.
    """
    findings = _findings(target)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_findings(findings)
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    if any(finding.severity in bad for finding in findings):
        raise SystemExit(FAILED)


def _findings(text: str | None) -> tuple[Finding, ...]:
    try:
        target = resolve(text)
    except ConfigurationError as error:
        if not error.findings:
            raise
        return error.findings
    if target.application is not None:
        return target.application.findings
    return target.configuration.findings
