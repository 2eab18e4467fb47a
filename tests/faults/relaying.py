"""A process that only sends what others have committed: `python -m tests.faults.relaying`, until SIGTERM."""

from __future__ import annotations

import tests.faults.clock  # isort: skip  # noqa: F401

import logging

from tests.faults import workload

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    workload.relay().run()
