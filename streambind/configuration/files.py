"""Which files a location stands for: `application.yaml`, and `application-docker.yaml` for the profile docker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streambind.configuration.finding import Finding, Origin, Severity
from streambind.configuration.yaml_documents import MAX_BYTES, Document, read_documents
from streambind.errors import ConfigurationError

_STEM = "application"
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Files:
    """The main file, if there is one, and the variants by profile."""

    main: Path | None
    variants: Mapping[str, Path]
    findings: tuple[Finding, ...]


def locate(location: str | Path) -> Files:
    """The files of a folder, or of a file that is named itself.

    Raises:
        ConfigurationError: there is nothing to read.
    """
    path = Path(location)
    if path.is_dir():
        folder, stem = path, _STEM
    elif path.exists():
        folder, stem = path.parent, path.stem
    else:
        raise ConfigurationError(f"no configuration at {path}: there is no such file or folder")
    findings: list[Finding] = []
    found = _pick(folder, stem, findings)
    if not path.is_dir():
        found[""] = path
    if not found:
        raise ConfigurationError(f"no configuration in {path}: it holds no {_STEM}.yaml")
    unread = folder / f"{stem}.properties"
    if unread.is_file():
        text = f"'{unread.name}' is not read; streambind reads YAML"
        findings.append(Finding(Severity.WARNING, text, Origin(str(unread))))
    return Files(found.pop("", None), found, tuple(findings))


def read(path: Path) -> tuple[list[Document], list[Finding]]:
    """The documents of a file. Never raises for what the file is; that becomes a finding."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        return [], [Finding(Severity.ERROR, f"cannot be read: {error.strerror}", Origin(str(path)))]
    return read_documents(content, str(path))


def _pick(folder: Path, stem: str, findings: list[Finding]) -> dict[str, Path]:
    """Files by profile; the main file under the empty name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        profile = path.stem.removeprefix(stem)
        if path.suffix not in _ENDINGS or not path.stem.startswith(stem) or profile[:1] not in ("", "-"):
            continue
        if profile[1:] in found:
            text = f"'{path.name}' stands beside '{found[profile[1:]].name}'; keep one of the two"
            findings.append(Finding(Severity.ERROR, text, Origin(str(path))))
            continue
        found[profile[1:]] = path
    return found
