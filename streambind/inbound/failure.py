"""How an attempt at a batch can end other than well. Never seen by users."""

from __future__ import annotations


class AttemptEnded(Exception):
    """The attempt did not do all it was asked to. The first `done` messages are done all the same."""

    def __init__(self, reason: object, done: int = 0) -> None:
        super().__init__(reason)
        self.done = done


class MessageFailed(AttemptEnded):
    """The message at `index` is to blame."""

    def __init__(self, index: int, error: Exception, done: int = 0) -> None:
        super().__init__(error, done)
        self.index = index
        self.error = error


class Unattributed(AttemptEnded):
    """A message is to blame, but which one shows only when they are tried singly."""

    def __init__(self, error: Exception, done: int = 0) -> None:
        super().__init__(error, done)
        self.error = error


class Trouble(AttemptEnded):
    """No message is to blame: the database or the broker is in the way."""

    def __init__(self, error: Exception, done: int = 0) -> None:
        super().__init__(error, done)
        self.error = error


class Overtaken(AttemptEnded):
    """Another owner was faster with what two of them may do at once, such as a key's first number: try again, what
    it wrote can be read now. The reason holds no row data."""


class NotTogether(AttemptEnded):
    """Of several partitions, each has to be looked at by itself."""


class TooLong(NotTogether):
    """The handlers of several partitions take long; each by itself can be cut."""


class LetterRefused(AttemptEnded):
    """The dead letter can never be sent, not even with as few headers as possible."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Fenced(AttemptEnded):
    """The position is not where this owner left it."""
