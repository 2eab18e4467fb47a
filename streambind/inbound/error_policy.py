"""What becomes of a message whose tries are used up (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from streambind.configuration.properties import OnError
from streambind.persistence.stack_trace import qualified_name


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """`consumer.on-error`, and what `consumer.on-error-of` says of single exceptions, by their names: the nearest
    class of the error's line counts."""

    default: OnError
    by_exception: Mapping[str, OnError] = field(default_factory=dict)

    def of(self, error: BaseException) -> OnError:
        return self.named(error) or self.default

    def named(self, error: BaseException) -> OnError | None:
        """What is said of this very exception; None if nothing is."""
        for kind in type(error).__mro__:
            for name in (qualified_name(kind), kind.__name__):
                if name in self.by_exception:
                    return self.by_exception[name]
        return None

    def chosen(self) -> Iterator[tuple[str, OnError]]:
        """Every choice, under the name of its property."""
        yield "on-error", self.default
        for name, choice in self.by_exception.items():
            yield f"on-error-of.{name}", choice
