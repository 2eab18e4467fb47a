"""How many entities a service commits, and what publishing them costs it."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from benchmarks.contenders.publishing import Category, Unpublished, application, change, commit, engine_of

_WARM = 0.1


def unpublished(course: dict[str, Any]) -> dict[str, float]:
    return _committed(course, sessionmaker(engine_of(course)), Unpublished)


def outbox(course: dict[str, Any]) -> dict[str, float]:
    """The application is not started: what it commits waits for the relay of another process."""
    sessions = sessionmaker(engine_of(course))
    application(course, sessions)
    return _committed(course, sessions, Category)


def relayed(course: dict[str, Any]) -> dict[str, float]:
    """The relay works in the same process."""
    sessions = sessionmaker(engine_of(course))
    with application(course, sessions):
        return _committed(course, sessions, Category)


def after_commit(course: dict[str, Any]) -> dict[str, float]:
    sessions = sessionmaker(engine_of(course))
    with application(course, sessions, publish="after-commit"):
        return _committed(course, sessions, Category)


def _committed(
    course: dict[str, Any], sessions: sessionmaker[Session], entity: type[Category | Unpublished]
) -> dict[str, float]:
    commits, size = course["commits"], course["size"]
    write = change if course.get("changes") else commit
    for number in range(max(10, int(commits * _WARM))):
        commit(sessions, entity, size, 0)
        write(sessions, entity, size, -number)
    began = time.perf_counter()
    for number in range(commits):
        write(sessions, entity, size, number + 1)
    return {"rate": commits * size / (time.perf_counter() - began)}
