"""Which text a query on a growing table has."""

from __future__ import annotations

from sqlalchemy import column, select, table

from streambind.persistence.growing_query import GrowingQuery

QUERY = select(table("thing", column("id")).c.id)


def texts(growing: GrowingQuery, *rows: int) -> list[str]:
    """The texts at first and after so many rows were added each time."""
    found = [str(growing.now())]
    for count in rows:
        growing.grew(count)
        found.append(str(growing.now()))
    return found


def test_the_text_changes_when_the_rows_have_doubled() -> None:
    empty, one, two, three, four = texts(GrowingQuery(QUERY), 1, 1, 1, 1)

    assert len({empty, one, two, four}) == 4
    assert two == three


def test_of_a_million_rows_that_come_one_by_one_there_are_few_texts() -> None:
    assert len(set(texts(GrowingQuery(QUERY), *[100] * 10_000))) <= 21


def test_only_a_comment_changes() -> None:
    for each in texts(GrowingQuery(QUERY), 5, 500):
        before, _, after = each.partition("/*")
        assert " ".join((before + after.partition("*/")[2]).split()) == " ".join(str(QUERY).split())
