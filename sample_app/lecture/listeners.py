"""Keeps the categories of the lecture service in step with those of the category service."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from sample_app.lecture.models import Category
from streambind import EntityEvent, JobType, stream_listener


class CategoryChanged(EntityEvent):
    category_id: int
    category_name: str


@stream_listener("in-categoryChanged")
def keep_category(event: CategoryChanged, session: Session) -> None:
    if event.job_type is JobType.DELETE:
        session.execute(delete(Category).where(Category.category_id == event.category_id))
    else:
        session.merge(Category(category_id=event.category_id, category_name=event.category_name))
