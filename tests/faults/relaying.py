"""A process that only sends what others have committed: `python -m tests.faults.relaying`, until SIGTERM."""

from __future__ import annotations

from tests.faults import workload

if __name__ == "__main__":
    workload.relay().run()
