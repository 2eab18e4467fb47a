"""REST door of the lecture service. Run it with `uvicorn sample_app.lecture.app:api --port 8081`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request

from sample_app.lecture import listeners, models
from sample_app.lecture.models import Category
from streambind import StreamApplication
from streambind.management import health_app

stream = StreamApplication("config/lecture", include=[listeners])
Sessions = stream.sessions


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    models.Base.metadata.create_all(stream.engine)
    async with stream.lifespan(app):
        yield


api = FastAPI(lifespan=lifespan)
api.mount("/health", health_app(stream))


@api.get("/readCategories/{category_id}")
def read(category_id: int, request: Request) -> dict[str, object]:
    with Sessions() as session:
        category = session.get(Category, category_id)
    if category is None:
        raise HTTPException(404)
    here = {"href": str(request.url)}
    return {"categoryName": category.category_name, "_links": {"self": here, "category": here}}
