"""Categories, and the event that their changes publish."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from streambind import EntityEvent, publishes


class LectureCategoryChanged(EntityEvent):
    category_id: int
    category_name: str


class Base(DeclarativeBase):
    pass


@publishes("out-categoryChanged", LectureCategoryChanged)
class LectureCategory(Base):
    __tablename__ = "lecture_category"

    category_id: Mapped[int] = mapped_column(primary_key=True)
    category_name: Mapped[str]
