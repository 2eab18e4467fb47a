"""For tests of applications and of binders; needs pytest (`pip install 'streambind[testing]'`).

The fixtures come by themselves with pytest; `binder_suite` is the conformance suite for binders of one's own.
"""

from streambind.testing.eventually import eventually
from streambind.testing.streams import Streams

__all__ = ["Streams", "eventually"]
