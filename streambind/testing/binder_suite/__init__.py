"""The conformance suite for binders. A binder adopts it in a test module of its own::

    from streambind.testing.binder_suite import *  # noqa: F403

    class AcmeHarness(BinderHarness):
        binder_type = ACME
        abilities = frozenset({"outages"})

        def binder(self) -> Binder: ...
        def create(self, destination: str, partitions: int) -> None: ...

    @pytest.fixture
    def harness() -> AcmeHarness:
        return AcmeHarness()

What the binder's `capabilities` or the harness's `abilities` do not offer is skipped, and the skip names it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "bench",
            "delivery",
            "fencing",
            "groups",
            "identity",
            "in_thread",
            "inspection",
            "joint",
            "lifecycle",
            "outcomes",
            "positions",
            "sending",
        )
    )
)

from streambind.testing.binder_suite.bench import Bench  # noqa: E402
from streambind.testing.binder_suite.delivery import TestDelivery, TestPositionsOfBatches  # noqa: E402
from streambind.testing.binder_suite.fencing import TestFencing  # noqa: E402
from streambind.testing.binder_suite.groups import (  # noqa: E402
    TestAnonymous,
    TestGroups,
    TestRestart,
    TestStartOffset,
)
from streambind.testing.binder_suite.harness import BinderHarness  # noqa: E402
from streambind.testing.binder_suite.identity import TestIdentity  # noqa: E402
from streambind.testing.binder_suite.inspection import (  # noqa: E402
    TestBinderType,
    TestBrokerAway,
    TestCommit,
    TestCommitted,
    TestDescribe,
    TestOffsetsAt,
    TestOwners,
    TestRead,
)
from streambind.testing.binder_suite.joint import TestJointBatches  # noqa: E402
from streambind.testing.binder_suite.lag import TestLag, TestReadOfEach  # noqa: E402
from streambind.testing.binder_suite.lifecycle import TestConcurrency, TestPause, TestUnbind  # noqa: E402
from streambind.testing.binder_suite.outcomes import (  # noqa: E402
    TestRetryAfter,
    TestSeek,
    TestStop,
    TestUndone,
)
from streambind.testing.binder_suite.positions import (  # noqa: E402
    TestAdoption,
    TestPositions,
    TestPositionsAway,
    TestRetention,
)
from streambind.testing.binder_suite.sending import TestOutage, TestResults, TestUnbinding  # noqa: E402


@pytest.fixture
def bench(harness: BinderHarness) -> Iterator[Bench]:
    """The work bench of one test; `harness` is the adopter's fixture."""
    it = Bench(harness)
    yield it
    it.close()


__all__ = [
    "BinderHarness",
    "TestAdoption",
    "TestAnonymous",
    "TestBinderType",
    "TestBrokerAway",
    "TestCommit",
    "TestCommitted",
    "TestConcurrency",
    "TestDelivery",
    "TestDescribe",
    "TestFencing",
    "TestGroups",
    "TestIdentity",
    "TestJointBatches",
    "TestLag",
    "TestOffsetsAt",
    "TestOutage",
    "TestOwners",
    "TestPause",
    "TestPositions",
    "TestPositionsAway",
    "TestPositionsOfBatches",
    "TestRead",
    "TestReadOfEach",
    "TestRestart",
    "TestResults",
    "TestRetention",
    "TestRetryAfter",
    "TestSeek",
    "TestStartOffset",
    "TestStop",
    "TestUnbind",
    "TestUnbinding",
    "TestUndone",
    "bench",
]
