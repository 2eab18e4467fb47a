"""Real servers for tests: an Apache Kafka broker and a PostgreSQL server, without containers.

By hand: ``python -m tests.services up|down|status|install [kafka|postgres]``. Tests ask for the fixtures
``kafka``, ``postgres``, ``postgres_url`` and ``topic`` of ``tests/conftest.py``, and for ``own_kafka`` and
``own_postgres`` when they mean to break the server.
"""

from tests.services.kafka import KafkaBroker
from tests.services.postgres import FreshDatabases, PostgresServer
from tests.services.process import ServiceUnavailable

__all__ = ["FreshDatabases", "KafkaBroker", "PostgresServer", "ServiceUnavailable"]
