"""Chaos runs: services in processes of their own, faults by a seed, and a checker of what they leave behind.

The fixture `chaos` of streambind's pytest plugin gives a `Chaos`; the options `--streambind-chaos` and
`--streambind-chaos-seed` say how long a run takes, and in which order faults come.
"""

from streambind.testing.chaos.chaos import Chaos
from streambind.testing.chaos.history import Change, History, Kind, Violation, kinds, violations
from streambind.testing.chaos.report import BrokenPromises, Report
from streambind.testing.chaos.watch import Bounds

__all__ = [
    "Bounds",
    "BrokenPromises",
    "Change",
    "Chaos",
    "History",
    "Kind",
    "Report",
    "Violation",
    "kinds",
    "violations",
]
