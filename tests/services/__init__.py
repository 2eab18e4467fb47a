"""Real servers for tests: an Apache Kafka broker, a PostgreSQL and a MariaDB server, without containers.

By hand: ``python -m tests.services up|down|status|install [kafka|postgres|mariadb]``. Tests ask for the fixtures
``kafka``, ``postgres_url``, ``mariadb_url`` and ``topic`` of ``tests/conftest.py``, and for ``own_kafka``,
``own_postgres``, ``own_mariadb`` and ``kafka_cluster`` when they mean to break the server.
"""

from tests.services.kafka import KafkaBroker
from tests.services.kafka_cluster import KafkaCluster
from tests.services.mariadb import FreshMariaDatabases, MariadbServer
from tests.services.postgres import FreshDatabases, PostgresServer
from tests.services.process import ServiceUnavailable

__all__ = [
    "FreshDatabases",
    "FreshMariaDatabases",
    "KafkaBroker",
    "KafkaCluster",
    "MariadbServer",
    "PostgresServer",
    "ServiceUnavailable",
]
