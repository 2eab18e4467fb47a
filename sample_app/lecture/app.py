"""REST door of the lecture service. Run it with `uvicorn sample_app.lecture.app:api --port 8081`."""

from fastapi import FastAPI, HTTPException, Request

from sample_app.lecture import listeners, models
from sample_app.lecture.models import Category
from streambind import StreamApplication
from streambind.management import health_app

stream = StreamApplication("config/lecture", include=[listeners])
Sessions = stream.sessions
models.Base.metadata.create_all(stream.engine)  # a service in production has migrations

api = FastAPI(lifespan=stream.lifespan)
api.mount("/health", health_app(stream))


@api.get("/readCategories/{category_id}")
def read(category_id: int, request: Request) -> dict[str, object]:
    with Sessions() as session:
        category = session.get(Category, category_id)
    if category is None:
        raise HTTPException(404)
    here = {"href": str(request.url)}
    return {"categoryName": category.category_name, "_links": {"self": here, "category": here}}
