"""Fields that do not fit the columns that they fill: told when the application is built."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field, create_model
from sqlalchemy import JSON, Enum, Numeric, String, TypeDecorator
from sqlalchemy.orm import mapped_column

from streambind.configuration.finding import Severity
from streambind.event import EntityEvent, JobType
from streambind.inbound.replica_columns import read_columns
from streambind.inbound.replica_types import misfits
from streambind.inbound.replicates import replicas_of, replicates
from tests.unit.inbound.test_replica_columns import mapped


class Own(TypeDecorator[str]):
    impl = String
    cache_ok = True


def told(field: Any, column: Any) -> list[str]:
    event = create_model("Changed", __base__=EntityEvent, id=(int, ...), value=(field, ...))
    cls = mapped(value=column)
    replicates("in-a", event)(cls)
    found = read_columns(replicas_of(cls)[0])
    assert found.mistakes == []
    findings = [*misfits(found)]
    assert {finding.severity for finding in findings} <= {Severity.WARNING}
    return [finding.text for finding in findings]


def test_a_value_of_another_type_is_told_with_its_remedy() -> None:
    assert told(int, datetime) == [
        "replica Thing: column 'value' takes datetime, and field 'value' of Changed is int: the database may "
        "refuse it; change one of them, or convert it with transform="
    ]


@pytest.mark.parametrize(
    ("field", "column"),
    [
        (str, int),
        (int, str),
        (str | None, datetime | None),
        (datetime, date),
        (date, datetime),
        (str, UUID),
        (float, int),
        (int, bool),
        (Annotated[str, Field(max_length=3)], int),
    ],
)
def test_what_does_not_fit(field: Any, column: Any) -> None:
    assert len(told(field, column)) == 1


@pytest.mark.parametrize(
    ("field", "column"),
    [
        (str, str),
        (int | None, int | None),
        (int, float),
        (bool, int),
        (float, (Decimal, mapped_column(Numeric(10, 2)))),
        (Decimal, float),
        (UUID, UUID),
        (int | str, int),
        (Any, (int | None, mapped_column())),
        (JobType, str),
        (str, (JobType, mapped_column(Enum(JobType)))),
        (str, (str, mapped_column(Own))),
        (dict[str, int], (dict[str, int], mapped_column(JSON))),
        (list[int], (list[int], mapped_column(JSON))),
    ],
)
def test_what_fits_or_cannot_be_told(field: Any, column: Any) -> None:
    assert told(field, column) == []
