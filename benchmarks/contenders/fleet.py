"""Several processes of one kind at once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def run(course: dict[str, Any]) -> dict[str, float]:
    """From the first message of any to the last of all."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.run_contender", course["each"], json.dumps({**course, **share})],
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in course["shares"]
    ]
    figures = [json.loads(each.communicate()[0].rstrip().rpartition("\n")[2]) for each in processes]
    took = max(each["ended"] for each in figures) - min(each["began"] for each in figures)
    return {"rate": course["messages"] / took, "cpu_s": sum(each["cpu_s"] for each in figures)}
