"""One contender once, in this process: `python -m benchmarks.run_contender MODULE:FUNCTION COURSE`.

Reads its course as JSON and prints its figures as JSON, with the processor time of the process (`cpu_s`, user and
system), from the moment that its module is imported if the contender does not say better. Runs in the environments
of rivals: imports nothing of ours.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys


def main() -> None:
    module, _, function = sys.argv[1].partition(":")
    run = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), function)
    before = _cpu_s()
    figures = run(json.loads(sys.argv[2]))
    figures.setdefault("cpu_s", _cpu_s() - before)
    print(f"\n{json.dumps(figures)}")


def _cpu_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


if __name__ == "__main__":
    main()
