"""What a chaos run did and found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from streambind.testing.chaos.history import Violation
from streambind.testing.chaos.watch import summary


@dataclass
class Report:
    """`restarts`: how programs ended that did so by themselves, and were started again; `fenced` are batches that
    came from somebody who no longer owned the partition, as far as the services' logs tell. `effects` is None
    where nobody logs them."""

    name: str
    seed: int
    seconds: float
    faults: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    events: int = 0
    effects: int | None = 0
    parked: int = 0
    records: int = 0
    duplicates: int = 0
    fenced: int = 0
    recoveries_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    drained_s: float = 0.0
    memory_mb: float = 0.0
    backlog: int = 0
    parked_keys: int = 0
    violations: Sequence[Violation] = ()

    def text(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "none"
        effects = "effects not logged" if self.effects is None else f"{self.effects} effects"
        lines = [
            f"{self.name}: seed {self.seed}, {self.seconds:g} s",
            f"  faults: {sum(self.faults.values())} ({faults})",
            f"  events: {self.events} committed, {effects}, {self.parked} set aside; "
            f"{self.records} records, {self.duplicates} duplicates on the wire filtered, "
            f"{self.fenced} batches fenced",
            f"  drained in {self.drained_s:.1f} s; at most {self.memory_mb:.0f} MB per process, "
            f"{self.backlog} messages waiting, {self.parked_keys} keys parked",
        ]
        for kind, (count, median, longest) in summary(self.recoveries_s).items():
            lines.append(f"  after {kind}: {count} recoveries, median {median:.1f} s, longest {longest:.1f} s")
        lines += [f"  {name} ended by itself: {how}" for name, ends in self.restarts.items() for how in ends]
        lines += [f"  BROKEN {violation.kind}: {violation.text}" for violation in self.violations]
        return "\n".join([*lines, f"  {len(self.violations)} promises broken"])

    def as_json(self) -> str:
        """On one line."""
        return json.dumps(asdict(self), ensure_ascii=False)


class BrokenPromises(AssertionError):
    """A chaos run found violations; `report` names them, and the seed."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.text())
        self.report = report
