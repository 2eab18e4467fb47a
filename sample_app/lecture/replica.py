"""The lecture service without handler code: `streambind run sample_app.lecture.replica:stream`."""

import sys

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, StreamApplication, replicates


class Base(DeclarativeBase):
    pass


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


@replicates("in-categoryChanged", CategoryChanged)
class Category(Base):
    __tablename__ = "category"

    category_id: Mapped[int] = mapped_column(primary_key=True)
    category_name: Mapped[str]


stream = StreamApplication("config/lecture", include=[sys.modules[__name__]])
Sessions = stream.sessions
Base.metadata.create_all(stream.engine)  # a service in production has migrations
