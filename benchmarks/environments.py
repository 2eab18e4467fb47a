"""The Python environments of contenders: rivals keep their own dependencies out of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-bench"

REQUIREMENTS: Mapping[str, Sequence[str]] = {
    "plot": ("matplotlib==3.10.*",),
    "faststream": (
        "faststream[confluent,kafka]==0.7.*",
        "uvloop==0.22.*",
        "sqlalchemy[asyncio]==2.1.*",
        "asyncpg==0.32.*",
        "aiosqlite==0.22.*",
    ),
    "quixstreams": ("quixstreams==3.28.*",),
    "kstreams": ("kstreams==0.34.*", "pydantic==2.14.*", "uvloop==0.22.*"),
}
"""What is installed for each, beside `streambind`: this very environment."""


def python_of(name: str) -> str:
    """The interpreter of an environment; it is made when first asked for, and anew when its requirements differ.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    if name == "streambind":
        return sys.executable
    folder = FOLDER / name
    wanted = "\n".join(REQUIREMENTS[name])
    stamp = folder / "requirements.txt"
    python = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        command = [*uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[name]]
        subprocess.run(command, check=True)
        stamp.write_text(wanted)
    return str(python)


def versions(name: str, packages: Sequence[str]) -> dict[str, str]:
    """The installed versions of these packages in an environment; those that it lacks are left out."""
    folder = Path(python_of(name)).parents[1]
    found = {
        each.name.lower(): each.version
        for site in folder.glob("lib/python*/site-packages")
        for each in distributions(path=[str(site)])
    }
    return {package: found[package] for package in packages if package in found}
