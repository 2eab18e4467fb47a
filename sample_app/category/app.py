"""REST doors of the category service. Run it with `uvicorn sample_app.category.app:api --port 8080`."""

from fastapi import FastAPI, HTTPException, Response
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from sample_app.category import models
from sample_app.category.models import LectureCategory
from streambind import StreamApplication
from streambind.management import health_app

stream = StreamApplication("config/category", include=[models])
Sessions = stream.sessions
models.Base.metadata.create_all(stream.engine)  # a service in production has migrations

api = FastAPI(lifespan=stream.lifespan)
api.mount("/health", health_app(stream))


class CategoryBody(BaseModel):
    """What a client sends; a `categoryId` in it is ignored, the database gives the id."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    category_name: str


class CategoryAnswer(CategoryBody):
    category_id: int


@api.post("/lectureCategories", status_code=201)
def create(body: CategoryBody) -> CategoryAnswer:
    with Sessions.begin() as session:
        category = LectureCategory(category_name=body.category_name)
        session.add(category)
        session.flush()
        return CategoryAnswer(category_id=category.category_id, category_name=category.category_name)


@api.put("/lectureCategories/{category_id}")
def change(category_id: int, body: CategoryBody) -> CategoryAnswer:
    with Sessions.begin() as session:
        category = session.get(LectureCategory, category_id)
        if category is None:
            raise HTTPException(404)
        category.category_name = body.category_name
        return CategoryAnswer(category_id=category_id, category_name=category.category_name)


@api.delete("/lectureCategories/{category_id}", status_code=204)
def remove(category_id: int) -> Response:
    with Sessions.begin() as session:
        category = session.get(LectureCategory, category_id)
        if category is None:
            raise HTTPException(404)
        session.delete(category)
    return Response(status_code=204)
