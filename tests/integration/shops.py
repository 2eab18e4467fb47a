"""A published class of three columns, whose rows these tests change in several sessions."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import String

from streambind import EntityEvent, publishes


class SourceBase(DeclarativeBase):
    type_annotation_map = {str: String(100)}  # noqa: RUF012 - SQLAlchemy's way


class ShopChanged(EntityEvent):
    id: int
    name: str
    country: str


@publishes("out-shops", ShopChanged)
class Shop(SourceBase):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    country: Mapped[str]
