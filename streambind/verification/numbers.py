"""Sets of numbers that mostly follow each other (pure)."""

from __future__ import annotations

from bisect import bisect_right


class Numbers:
    """A set of numbers, kept as ranges: a key's events take as much memory as it has holes."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, number: int) -> None:
        at = bisect_right(self._starts, number)
        if at > 0 and number <= self._ends[at - 1]:
            return
        joins_left = at > 0 and self._ends[at - 1] == number - 1
        joins_right = at < len(self._starts) and self._starts[at] == number + 1
        if joins_left and joins_right:
            self._ends[at - 1] = self._ends.pop(at)
            del self._starts[at]
        elif joins_left:
            self._ends[at - 1] = number
        elif joins_right:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number)

    def join(self, others: Numbers) -> None:
        for start, end in zip(others._starts, others._ends, strict=True):
            for number in range(start, end + 1):
                self.add(number)

    def missing(self, low: int, high: int) -> list[tuple[int, int]]:
        """The ranges between `low` and `high`, both included, of which nothing is here."""
        found = []
        for start, end in zip(self._starts, self._ends, strict=True):
            if end < low:
                continue
            if start > high:
                break
            if start > low:
                found.append((low, start - 1))
            low = end + 1
        if low <= high:
            found.append((low, high))
        return found

    def highest(self, at_most: int) -> int:
        """The highest number up to a limit; 0 if there is none."""
        at = bisect_right(self._starts, at_most)
        return min(self._ends[at - 1], at_most) if at > 0 else 0

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_right(self._starts, number)
        return at > 0 and number <= self._ends[at - 1]

    def __bool__(self) -> bool:
        return len(self._starts) > 0
