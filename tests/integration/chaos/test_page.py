"""The examples of docs/chaos.md are run as they stand there, with a shop that their words fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).parents[3] / "docs" / "chaos.md"

CATEGORY = """
import signal, threading
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from streambind import EntityEvent, StreamApplication, publishes

class Base(DeclarativeBase): pass

class CategoryChanged(EntityEvent):
    category_id: int
    name: str

@publishes("out-categoryChanged", CategoryChanged)
class Category(Base):
    __tablename__ = "category"
    category_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="Python")

def stream() -> StreamApplication:
    return StreamApplication("config/category", include=[Category], arguments=())

def write_categories() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sessions = stream().sessions
    while not stop.wait(0.01):
        try:
            with sessions.begin() as session:
                session.add(Category())
        except DBAPIError as error:
            print("not committed:", error.orig)
"""

LECTURE = """
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from streambind import EntityEvent, StreamApplication, stream_listener

class Base(DeclarativeBase): pass

class Effect(Base):
    __tablename__ = "effect"
    number: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int]

class CategoryChanged(EntityEvent):
    category_id: int

@stream_listener("in-categoryChanged")
def keep(event: CategoryChanged, session: Session) -> None:
    session.add(Effect(category_id=event.category_id))

def stream() -> StreamApplication:
    return StreamApplication("config/lecture", include=[keep], arguments=())
"""

REPLICA = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from streambind import EntityEvent, StreamApplication, replicates

class Base(DeclarativeBase): pass

class CategoryChanged(EntityEvent):
    category_id: int
    name: str

@replicates("in-categoryChanged", CategoryChanged)
class CategoryCopy(Base):
    __tablename__ = "category_copy"
    category_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]

def stream() -> StreamApplication:
    return StreamApplication("config/lecture", include=[CategoryCopy], arguments=())
"""

CONFIGURATION = """
spring.cloud.stream:
  bindingRetryInterval: 1
  kafka:
    binder.brokers: ${{KAFKA_BROKERS}}
    {more}
  bindings.{binding}
streambind:
  datasource.url: ${{DATABASE_URL}}
  outbox.lease: 1s
"""

QUICK = (
    "bindings.in-categoryChanged.consumer.configuration: {session.timeout.ms: 1000, heartbeat.interval.ms: 300}"
)

BEFORE = """
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from shop import category, lecture
from shop.category import write_categories

SOURCE_URL, COPY_URL = "sqlite:///source.db", "sqlite:///copy.db"
for url, base in ((SOURCE_URL, category.Base), (COPY_URL, lecture.Base)):
    base.metadata.create_all(create_engine(url))
"""

HISTORY = """
def history() -> History:
    with Session(create_engine(SOURCE_URL)) as session:
        number = category.Category.category_id
        items = session.scalars(select(number).order_by(number)).all()
    with Session(create_engine(COPY_URL)) as session:
        effects = session.scalars(select(lecture.Effect.category_id).order_by(lecture.Effect.number)).all()
    return History(
        committed=[Change(item, "added") for item in items],
        effects=[Change(item, "added") for item in effects],
        source=dict.fromkeys(items, True),
        copies={"lecture": dict.fromkeys(effects, True)},
    )
"""


def test_the_example_of_the_page(pytester: pytest.Pytester) -> None:
    shown, _, to_fill_in = _shown()[0].partition("def history()")
    assert all(f"{part}=" in to_fill_in for part in ("committed", "effects", "source", "copies"))

    _run(pytester, LECTURE, BEFORE + shown + HISTORY)


def test_the_example_of_a_replica(pytester: pytest.Pytester) -> None:
    shown, _, _ = _shown()[0].partition("def history()")
    history_of_replica = _shown()[1]
    imports = "from shop.category import Category\nfrom shop.lecture import CategoryCopy\n"

    _run(pytester, REPLICA, BEFORE + imports + shown + history_of_replica + "\nhistory = history_of_replica\n")


def _shown() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _run(pytester: pytest.Pytester, lecture: str, test: str) -> None:
    pytester.makepyfile(
        **{"shop/__init__": "", "shop/category": CATEGORY, "shop/lecture": lecture}, test_page=test
    )
    topic = "categoryChanged: {destination: categoryChanged"
    for name, binding, more in (
        ("category", f"out-{topic}}}", "{}"),
        ("lecture", f"in-{topic}, group: CGR-lecture-categoryChanged}}", QUICK),
    ):
        folder = pytester.path / "config" / name
        folder.mkdir(parents=True)
        text = CONFIGURATION.format(binding=binding, more=more).replace("    {}\n", "")
        (folder / "application.yaml").write_text(text, encoding="utf-8")

    result = pytester.runpytest_subprocess(
        "--streambind-chaos=4", "--streambind-chaos-seed=1", "-p", "no:cacheprovider"
    )

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_no_category_is_lost: seed 1, 4 s", "  faults: *"])
