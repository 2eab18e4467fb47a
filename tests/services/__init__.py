"""Real servers for tests: an Apache Kafka broker, a PostgreSQL, a MariaDB and a MySQL server, without containers.

By hand: ``python -m tests.services up|down|status|install [kafka|postgres|mariadb|mysql]``. Tests ask for the
fixtures ``kafka``, ``postgres_url``, ``mariadb_url``, ``mysql_url`` and ``topic`` of ``tests/conftest.py``, and
for ``own_kafka``, ``own_postgres``, ``own_mariadb``, ``own_mysql`` and ``kafka_cluster`` when they mean to break
the server.
"""

from tests.services.kafka import KafkaBroker
from tests.services.kafka_cluster import KafkaCluster
from tests.services.mariadb import MariadbServer
from tests.services.mysql import MySQLServer
from tests.services.mysql_server import AnyMySQLServer, FreshMySQLDatabases
from tests.services.postgres import FreshDatabases, PostgresServer
from tests.services.process import ServiceUnavailable

__all__ = [
    "AnyMySQLServer",
    "FreshDatabases",
    "FreshMySQLDatabases",
    "KafkaBroker",
    "KafkaCluster",
    "MariadbServer",
    "MySQLServer",
    "PostgresServer",
    "ServiceUnavailable",
]
