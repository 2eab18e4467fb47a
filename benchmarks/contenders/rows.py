"""What the contenders write: SQLAlchemy classes as users have them, for ours and for other frameworks."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Category(Base):
    """The read model: one row a key, overwritten by each event."""

    __tablename__ = "category"

    category_id: Mapped[int] = mapped_column(primary_key=True)
    category_name: Mapped[str]


class CategoryChange(Base):
    """The history: one new row a message."""

    __tablename__ = "category_change"

    change_id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int]
    category_name: Mapped[str]
