"""What the page of speed says is what the records hold: ratios of the same turn, marks, spread, surroundings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks import page
from benchmarks.contest import Contender, Contest, Figure
from benchmarks.contests import CONTESTS
from benchmarks.report import Row, cells, markdown, rows

RATE = Figure("rate", "messages/s")
WAIT = Figure("p50", "ms", is_rate=False)
LIMIT = Contender("by hand (limit)", "bare:validated")
OURS = Contender("streambind", "streambind_listener:single", target=0.8)


def contest(*figures: Figure, courses: dict[str, Any] | None = None, axis: str = "") -> Contest:
    return Contest("speed", "How fast", (LIMIT, OURS), figures, courses=courses or {"": {}}, axis=axis)


def record(limit: list[dict[str, float]], ours: list[dict[str, float]], label: str = "") -> dict[str, Any]:
    results = {LIMIT.name: limit, OURS.name: ours}
    return {
        "contest": "speed",
        "when": "2026-11-30T08:00:00+00:00",
        "machine": "AMD, 2 cores, Linux",
        "load": 0.3,
        "python": "3.11.7",
        "scale": 0.5,
        "versions": {"streambind": {"pydantic": "2.14.3"}, "faststream": {"pydantic": "2.14.4"}},
        "servers": {"Kafka": "4.3.1", "PostgreSQL": "18.1"},
        "results": {label: results},
    }


def turn(rate: float, cpu_s: float = 1.0) -> dict[str, float]:
    return {"rate": rate, "cpu_s": cpu_s}


def only(contest: Contest, record: dict[str, Any], figure: Figure) -> Row:
    limit, ours = rows(contest, record, figure)
    assert limit.ratio == 1.0
    return ours


def test_ratios_are_those_of_the_same_turn_and_the_median_counts() -> None:
    found = only(
        contest(RATE),
        record([turn(100), turn(200), turn(400)], [turn(90), turn(100), turn(280)]),
        RATE,
    )
    assert found.ratios == [0.9, 0.5, 0.7]
    assert (found.ratio, found.median) == (0.7, 100)


def test_of_a_time_less_is_better() -> None:
    found = only(contest(WAIT), record([{"p50": 5.0, "cpu_s": 1}] * 3, [{"p50": 10.0, "cpu_s": 1}] * 3), WAIT)
    assert found.ratio == 0.5


def test_processor_time_is_a_multiple_of_the_limits() -> None:
    assert only(contest(RATE), record([turn(1, 2.0)] * 3, [turn(1, 5.0)] * 3), RATE).cpu == 2.5


@pytest.mark.parametrize(("rate", "mark"), [(80.0, "0.8 ✓"), (79.0, "0.8 ✗"), (120.0, "0.8 ✓")])
def test_a_mark_says_whether_the_ratio_was_reached(rate: float, mark: str) -> None:
    it = contest(RATE)
    found = only(it, record([turn(100)], [turn(rate)]), RATE)
    assert cells(it, found, RATE)[-1] == mark


def test_each_figure_has_the_target_that_it_is_given() -> None:
    others = [Figure(name, "ms", is_rate=False) for name in ("p95", "p99")]
    ours = replace(OURS, targets={"p99": 0.2})
    it = replace(contest(WAIT, *others), contenders=(LIMIT, ours))
    figures = [{"p50": 1.0, "p95": 1.0, "p99": 1.0, "cpu_s": 1.0}]
    found = [only(it, record(figures, figures), figure).target for figure in it.figures]
    assert found == [0.8, None, 0.2]


def test_a_figure_that_nobody_measured_is_left_out() -> None:
    it = contest(RATE, Figure("memory", "MB", is_rate=False))
    text = markdown(it, record([turn(100)], [turn(50)]))
    assert "MB" not in text
    assert "messages/s" in text


def test_of_a_shortened_contest_the_table_says_how_much_there_was() -> None:
    whole = contest(RATE, courses={"1,000,000": {}}, axis="rows")
    halved = record([turn(100)], [turn(50)], label="1,000,000")
    assert "streambind, 500,000 rows" in markdown(replace(whole, is_scaled=True), halved)
    assert "streambind, 1,000,000 rows" in markdown(whole, halved)


def test_a_section_names_contenders_courses_spread_and_surroundings() -> None:
    it = contest(RATE, courses={"4": {}}, axis="partitions")
    text = markdown(it, record([turn(1000), turn(1000)], [turn(900), turn(700)], label="4"))
    assert text.startswith("### How fast\n")
    assert "| streambind, 4 partitions | 0.80 | 0.70 – 0.90 | 1.00 | 800 messages/s | 0.8 ✓ |" in text
    assert (
        "<sub>2026-11-30, 2 turns, 0.5 of its full length; AMD, 2 cores, Linux, load 0.3 before; Kafka 4.3.1, "
        "PostgreSQL 18.1, Python 3.11.7, pydantic 2.14.3 and 2.14.4</sub>"
    ) in text


def test_the_page_says_what_the_records_hold_and_shows_the_picture() -> None:
    contests = list(CONTESTS.values())
    assert page.measured(contests) in page.PAGE.read_text()
    assert f"]({page.PICTURE.name})" in page.PAGE.read_text()
    assert page.PICTURE.exists()
