"""What is wrong, or worth knowing, in a configuration: a text with a place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: a file with line and column (1-based), or a named source such as
    `environment variable SPRING_CLOUD_STREAM_...`, `command line`, `default` or `code`. It is shown with the path
    from the working folder, if the file is below it."""

    source: str
    line: int | None = None
    column: int | None = None

    @property
    def shown_source(self) -> str:
        """The source as people are told it."""
        file, here = Path(self.source), Path.cwd()
        return str(file.relative_to(here)) if file.is_absolute() and file.is_relative_to(here) else self.source

    def __str__(self) -> str:
        if self.line is None:
            return self.shown_source
        return f"{self.shown_source}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake or remark; `text` says what is wrong and what to do."""

    severity: Severity
    text: str
    origin: Origin | None = None

    def __str__(self) -> str:
        place = f"{self.origin}  " if self.origin else ""
        return f"{place}{self.severity}  {self.text}"
