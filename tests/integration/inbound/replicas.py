"""Read models without handler code, for tests of replicas."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Numeric, String, select
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from streambind.event import EntityEvent
from streambind.inbound.replicates import replicates
from tests.integration.inbound.service import Base, Service
from tests.unit.inbound.batches import Record, numbered


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Shouted(TypeDecorator[str]):
    """Text that is kept in capitals."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.upper()


class ItemChanged(EntityEvent):
    id: int
    name: str
    price: int = 0


@replicates("in-things", ItemChanged)
class Item(Base):
    """All columns by name."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]


@replicates("in-things", ItemChanged)
class Badge(Base):
    """With a name that no other one may have."""

    __tablename__ = "badge"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    price: Mapped[int]


class ArticleChanged(EntityEvent):
    tenant: str
    number: int
    title: str
    colour: Colour
    token: uuid.UUID
    made: datetime
    amount: Decimal
    attributes: dict[str, Any]
    remark: str | None = None


@replicates(
    "in-things",
    ArticleChanged,
    columns={"heading": "title", "shouted": "title"},
    transform={"length": lambda event: len(event.title)},
)
class Article(Base):
    """Values of many types, a key of two columns, names of its own, a computed column."""

    __tablename__ = "article"

    tenant: Mapped[str] = mapped_column(String(10), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    heading: Mapped[str] = mapped_column(String(40))
    shouted: Mapped[str] = mapped_column(Shouted)
    length: Mapped[int]
    colour: Mapped[Colour]
    token: Mapped[uuid.UUID]
    made: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    amount: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    attributes: Mapped[dict[str, Any]] = mapped_column(JSON)
    remark: Mapped[str | None]


class StockChanged(EntityEvent):
    id: int
    stock: int


@replicates("in-things", ItemChanged, owns=["name"], deletes="row")
@replicates("in-stock", StockChanged, owns=["stock"])
class Offer(Base):
    """Two sources, each of which owns a column, and one column that is the service's own."""

    __tablename__ = "offer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(40))
    stock: Mapped[int] = mapped_column(default=0)
    note: Mapped[str] = mapped_column(default="new")


@replicates("in-things", ItemChanged, soft_delete="deleted_at")
class Kept(Base):
    """Rows that outlive their source's."""

    __tablename__ = "kept"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


@replicates("in-things", ItemChanged, condition="payload.price == 6")
class Dear(Base):
    """Only what is dear."""

    __tablename__ = "dear"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]


@replicates("in-things", ItemChanged, where=lambda event: event.price != 2)
class Fitting(Base):
    """Rows that are there while their price is another one than 2."""

    __tablename__ = "fitting"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[int]


class NodeChanged(EntityEvent):
    id: int
    parent_id: int | None = None


@replicates("in-things", NodeChanged)
class Node(Base):
    """A tree: rows refer to rows of their own table, by the end of the transaction."""

    __tablename__ = "node"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id", deferrable=True, initially="DEFERRED"))


BROKEN: set[int] = set()
"""The items whose names cannot be made at the moment."""


def _name(event: ItemChanged) -> str:
    if event.id in BROKEN:
        raise ValueError(f"no name for {event.id}")
    return event.name


@replicates("in-things", ItemChanged, transform={"name": _name}, owns=["name"], deletes="row")
class Fragile(Base):
    """With a column that is computed, which may fail."""

    __tablename__ = "fragile"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))


def changed(job: str, id: int, name: str = "", *, seq: int, price: int = 0, **fields: object) -> Record:  # noqa: A002
    """The `seq`-th event of an item; `DELETE` is one too."""
    payload = {"jobType": job, "id": id, "name": name, "price": price, **fields}
    return numbered(payload, str(id), seq)


def tombstone(key: str, *, seq: int) -> Record:
    return numbered(None, key, seq)


def rows(service: Service, query: Any) -> list[tuple[Any, ...]]:
    return service.database.run(lambda connection: [tuple(row) for row in connection.execute(query)])


def items(service: Service) -> dict[int, str]:
    """Names by id."""
    return dict(rows(service, select(Item.id, Item.name)))
