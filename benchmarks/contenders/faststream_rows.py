"""FastStream and SQLAlchemy as its users write it: a session a message, committed, then acknowledged."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from benchmarks.contenders.faststream_listener import AT_LEAST_ONCE, run, service, subscription
from benchmarks.contenders.model import CategoryChanged
from benchmarks.contenders.rows import Base, Category, CategoryChange
from benchmarks.contenders.watch import Watch


async def _merge(event: CategoryChanged, session: AsyncSession) -> None:
    await session.merge(Category(category_id=event.category_id, category_name=event.category_name))


async def _add(event: CategoryChanged, session: AsyncSession) -> None:
    session.add(CategoryChange(category_id=event.category_id, category_name=event.category_name))


_WRITES = {"merged": _merge, "added": _add}


def written(course: dict[str, Any]) -> dict[str, float]:
    write = _WRITES[course["writes"]]
    watch = Watch(course)
    broker, app, saw = service(course, watch)
    url = course["database"].replace("postgresql+psycopg:", "postgresql+asyncpg:")
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @app.on_startup
    async def make_tables() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

    @broker.subscriber(course["topic"], **subscription(), **AT_LEAST_ONCE)
    async def keep(event: CategoryChanged) -> None:
        async with sessions() as session:
            await write(event, session)
            await session.commit()
        saw()

    return run(app, watch)
