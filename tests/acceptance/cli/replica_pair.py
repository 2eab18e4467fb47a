"""A service that publishes items, and one whose replica shows them."""

from __future__ import annotations

from sqlalchemy import Engine, String, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from streambind import StreamApplication, replicates
from streambind.testing.eventually import eventually
from tests.acceptance.cli.pair import WITHIN_S, ItemChanged, Pair

APPLICATIONS = {
    "source": """\
from streambind import StreamApplication
from tests.acceptance.cli.pair import Item

stream = StreamApplication("source", include=[Item], arguments=())
""",
    "reader": """\
from streambind import StreamApplication
from tests.acceptance.cli.replica_pair import Shown

stream = StreamApplication("reader", include=[Shown], arguments=())
""",
}


class ReplicaBase(DeclarativeBase):
    """The tables of the service that reads."""


@replicates("in-items", ItemChanged)
class Shown(ReplicaBase):
    __tablename__ = "shown"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))


class ReplicaPair(Pair):
    """Its applications are modules in the folder, of each test their own: modules stay in a process."""

    def write(self) -> None:
        super().write()
        with self.engines() as (_, reader):
            ReplicaBase.metadata.create_all(reader)
        self.inside.write({f"{self.module(name)}.py": code for name, code in APPLICATIONS.items()})

    def module(self, name: str) -> str:
        return f"{name}_{self.topic.rpartition('-')[2]}"

    def target(self, name: str) -> str:
        return f"{self.module(name)}:stream"

    def reader_of_replica(self) -> StreamApplication:
        return StreamApplication(self.inside.folder / "reader", include=[Shown], arguments=())

    def follow(self, *keys: int) -> None:
        """Let the reader run until it shows these items as they are."""
        reader = self.reader_of_replica()
        with reader:
            self.shows(*keys)
        reader.engine.dispose()

    def shows(self, *keys: int) -> None:
        """Wait until these items, and no others, are shown as they are."""
        eventually(
            lambda: self.shown() == {key: name for key, name in self.items().items() if key in keys},
            WITHIN_S,
            lambda: f"{self.shown()} instead of {self.items()}",
        )

    def shown(self) -> dict[int, str]:
        engine = create_engine(self.reader_url)
        with Session(engine) as session:
            found = {row.id: row.name for row in session.execute(select(Shown.id, Shown.name))}
        engine.dispose()
        return found

    def by_hand(self, *statements: str) -> None:
        """Change the read model past streambind."""
        engine: Engine = create_engine(self.reader_url)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
