"""An application whose relay is fenced: what it publishes and its dead letters arrive, each through its fence."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from streambind import StreamApplication, publish, stream_listener
from streambind.binders.memory import MemoryBroker
from streambind.binding.binder import Lane
from tests.services.process import wait_for

CONFIGURATION = """
spring.cloud.stream:
  memory:
    binder.name: fenced-application
    bindings.in-a.consumer.enableDlq: true
  bindings:
    out-a.destination: a
    in-a: {{destination: a, group: g, consumer: {{maxAttempts: 1}}}}
streambind:
  datasource.url: sqlite:///{folder}/service.db
  outbox.fencing: transactional
"""


@stream_listener("in-a")
def refuse(event: dict[str, int], session: Session) -> None:
    raise ValueError(f"no {event['number']}")


def test_events_and_dead_letters_go_through_fences(tmp_path: Path) -> None:
    (tmp_path / "application.yaml").write_text(CONFIGURATION.format(folder=tmp_path))
    with MemoryBroker.fresh("fenced-application") as broker:
        application = StreamApplication(tmp_path, include=[refuse], arguments=[])
        with application:
            with application.sessions.begin() as session:
                publish(session, "out-a", {"number": 1}, key="k")
            assert wait_for(lambda: broker.describe("error.a.g") is not None, 20)
            assert wait_for(lambda: len(broker.fetch(Lane("error.a.g", 0), 0, 10)) == 1, 20)
        assert [record.key for record in broker.fetch(Lane("error.a.g", 0), 0, 10)] == [b"k"]
        taken = {name.split("/", 1)[1].rsplit("/", 1)[0] for name in broker._fences}
        assert taken == {"a", "error.a.g"}
        assert application.database is not None
        application.database.dispose()
