"""The rights that docs/operations.md grants are enough for each role, and no more than it says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from streambind import StreamApplication, stream_listener
from streambind.binders.memory import MemoryBroker
from streambind.testing.eventually import eventually
from tests.acceptance.stage import prepare
from tests.integration.application_code import Added, Base, Copy, Thing

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
ROLES = ("writer", "relay", "listener")

CONFIGURATION = """
spring.cloud.stream:
  memory.binder.name: roles
  memory.bindings.in-a.consumer.enableDlq: true
  bindings:
    out-a.destination: a
    in-a:
      destination: a
      group: g
      consumer: {{maxAttempts: 1, on-error-of: {{LookupError: park}}, dedupe: payload.id}}
streambind:
  datasource.url: {url}
  outbox: {{lease: 3s, relay: {relay}}}
"""


parked_before: set[int] = set()


@stream_listener("in-a")
def keep(event: Added, session: Session) -> None:
    if event.id == 2:
        raise ValueError("a dead letter")
    if event.id == 3 and event.id not in parked_before:
        parked_before.add(event.id)
        raise LookupError("parked, and handled when it is tried again")
    session.merge(Copy(id=event.id))


@dataclass
class Database:
    owner_url: str
    names: dict[str, str]

    def url(self, role: str) -> str:
        return make_url(self.owner_url).set(username=self.names[role]).render_as_string(hide_password=False)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """Roles as documented, under names of their own: roles belong to the server."""
    prepare(postgres_url)
    names = {role: f"{role}_{uuid.uuid4().hex[:8]}" for role in ROLES}
    documented = re.search(r"```sql roles\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert documented is not None
    engine = create_engine(postgres_url, poolclass=NullPool)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for role, name in names.items():
            connection.execute(text(f"CREATE ROLE {name} LOGIN"))
            grants = "\n".join(line for line in documented[1].splitlines() if line.endswith(f"TO {role};"))
            connection.exec_driver_sql(grants.replace(f"TO {role};", f"TO {name};"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON thing TO {names['writer']}"))
        connection.execute(text(f"GRANT USAGE ON SEQUENCE thing_id_seq TO {names['writer']}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON copy TO {names['listener']}"))
    yield Database(postgres_url, names)
    with engine.begin() as connection:
        for name in names.values():
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


@pytest.fixture
def applications(database: Database, tmp_path: Path) -> Iterator[dict[str, StreamApplication]]:
    parked_before.clear()
    with MemoryBroker.fresh("roles"):
        made: dict[str, StreamApplication] = {}
        for role in ROLES:
            path = tmp_path / f"{role}.yaml"
            path.write_text(CONFIGURATION.format(url=database.url(role), relay=str(role == "relay").lower()))
            include: list[object] = [Thing] * (role == "writer") + [keep] * (role == "listener")
            parking = {"streambind.bindings.in-a.consumer.parking.backOffInitialInterval": "10ms"}
            made[role] = StreamApplication(path, include=include, arguments=[], overrides=parking)
        yield made
        for application in made.values():
            application.stop()
            assert application.database is not None
            application.database.dispose()


def test_each_role_can_do_its_work(database: Database, applications: dict[str, StreamApplication]) -> None:
    owner = create_engine(database.owner_url, poolclass=NullPool)
    applications["relay"].start(relay_only=True)
    applications["listener"].start()
    with applications["writer"], applications["writer"].sessions.begin() as session:
        session.add_all([Thing(id=number) for number in range(1, 6)])

    def copied() -> set[int]:
        with owner.connect() as connection:
            return set(connection.scalars(select(Copy.id)))

    def letters() -> int:
        info = MemoryBroker.named("roles").describe("error.a.g")
        return 0 if info is None else sum(info.ends.values())

    eventually(lambda: copied() == {1, 3, 4, 5}, 30, lambda: f"{copied()}; {applications['listener'].status()}")
    eventually(lambda: letters() == 1, 30, lambda: f"{letters()} dead letters; {applications['relay'].relay}")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("writer", "DELETE FROM sb_outbox"),
        ("writer", "SELECT payload FROM sb_outbox"),
        ("relay", "UPDATE sb_outbox SET payload = 'x'"),
        ("relay", "INSERT INTO sb_key VALUES ('a', 'k', 1)"),
        ("relay", "UPDATE sb_source SET epoch = 9"),
        ("listener", "DELETE FROM sb_outbox"),
        ("listener", "SELECT payload FROM sb_outbox"),
    ],
)
def test_no_role_can_do_more(database: Database, role: str, statement: str) -> None:
    engine = create_engine(database.url(role), poolclass=NullPool)
    with engine.connect() as connection, pytest.raises(ProgrammingError, match="permission denied"):
        connection.execute(text(statement))
