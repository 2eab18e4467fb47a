"""`streambind dlq` on what a service left: in memory with SQLite, and on Kafka with PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streambind.testing.eventually import eventually
from tests.acceptance.cli.conftest import Inside
from tests.acceptance.cli.dlq_service import CONFIGURATION, Changed, Service, said
from tests.acceptance.stage import prepare


@pytest.fixture(params=["memory", pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def service(request: pytest.FixtureRequest, inside: Inside, topic: str, tmp_path: Path) -> Iterator[Service]:
    if request.param == "memory":
        options, url = f"name: {topic}", f"sqlite:///{tmp_path}/service.db"
    else:
        options, url = f"brokers: '{request.getfixturevalue('kafka')}'", request.getfixturevalue("postgres_url")
        prepare(url)
    form = "spring-kafka" if request.param == "memory" else "spring-cloud-stream"
    text = CONFIGURATION.format(binder=request.param, options=options, topic=topic, url=url, form=form)
    inside.write({"application.yaml": text})
    service = Service(inside, url, topic)
    yield service
    service.engine.dispose()


def odd(event: Changed) -> bool:
    return event.number % 2 == 1


EVENTS = [("a", 1), ("b", 2), ("c", 3), ("a", 4)]


def test_what_failed_is_grouped_by_its_cause_and_shown_in_full(service: Service) -> None:
    service.fail(odd, *EVENTS)

    by_cause = json.loads(service.dlq("ls", "--json"))
    assert [(group["binding"], group["state"], group["count"]) for group in by_cause] == [
        ("in-parked", "dead", 3),
        ("in-letters", "open", 2),
    ]
    assert {group["error"] for group in by_cause} == {"streambind.errors.PermanentError"}
    assert all(group["oldest_ms"] <= group["newest_ms"] for group in by_cause)
    assert "in-letters" in service.dlq("ls")

    first, second = service.ls("--key", "a", "--state", "dead")
    assert (first["behind"], second["behind"]) == (None, first["id"])
    assert f"behind {first['id']}, which failed" in service.dlq("show", second["id"])
    assert f"waiting behind {first['id']}" in service.dlq("ls", "--each", "--key", "a", "--state", "dead")

    assert len(service.ls("--key", "c")) == 2
    assert len(service.ls("--key", "c", "--binding", "in-letters")) == 1
    assert len(service.ls("--error", "number 3")) == 2
    assert len(service.ls("--since", "1h")) == 5
    assert len(service.ls("--before", "2999-01-01")) == 5
    assert service.ls("--before", "1h") == []
    assert service.ls("--since", "2999-01-01") == service.ls("--topic", "elsewhere") == []

    [letter] = service.ids("--key", "c", "--state", "open")
    shown = service.dlq("show", letter)
    assert "cannot take number 3\\x1b[2J" in shown
    assert "\x1b" not in shown
    assert "Traceback" in shown
    assert '"number":3' in shown.replace(" ", "")
    assert json.loads(service.dlq("show", letter, "--json"))["key"] == "c"


@pytest.mark.parametrize("service", ["memory"], indirect=True)
def test_a_list_is_cut_at_its_limit_and_the_rest_is_counted(service: Service) -> None:
    service.fail(odd, *EVENTS)
    every = service.ls()
    assert len(every) == 5

    table = service.shell.run("dlq", "ls", ".", "--each", "--limit", "2")
    assert [row.split()[0] for row in table.stdout.splitlines()] == ["id", *(each["id"] for each in every[:2])]
    assert table.stderr == "and 3 messages more (--limit)\n"
    document = service.shell.run("dlq", "ls", ".", "--each", "--limit", "4", "--json")
    assert json.loads(document.stdout) == every[:4]
    assert document.stderr == "and 1 message more (--limit)\n"
    for limit in ("5", "6"):
        whole = service.shell.run("dlq", "ls", ".", "--each", "--limit", limit, "--json")
        assert (json.loads(whole.stdout), whole.stderr) == (every, "")
    assert service.dlq("ls", "--each", "--json", "--state", "gap") == "[]\n"
    assert "'ded' is not one of" in service.shell.run("dlq", "ls", ".", "--state", "ded").stderr


def test_retried_messages_reach_the_group_that_failed_once_and_no_other(service: Service) -> None:
    service.fail(odd, *EVENTS)
    assert service.effects("letters") == [("b", 2), ("a", 4)] or sorted(service.effects("letters")) == [
        ("a", 4),
        ("b", 2),
    ]

    would = json.loads(service.dlq("retry", "--dry-run", "--json"))
    assert (would["dry_run"], would["keys"], would["replayed"]) == (True, 2, 2)
    assert service.rows("letter") == []
    done = json.loads(service.dlq("retry", "--json", "--by", "ann", "--rate", "1000"))
    assert (done["keys"], done["replayed"]) == (2, 2)
    again = service.dlq("retry", "--binding", "in-letters", "--state", "open")
    assert "nothing to do" in again
    assert {row.actor for row in (*service.rows("letter"), *service.rows("audit"))} == {"ann"}

    with service.running():
        eventually(lambda: len(service.effects("letters")) == 4, 30, lambda: str(service.effects("letters")))
        eventually(lambda: len(service.effects("parked")) == 4, 30, lambda: str(service.effects("parked")))
    assert sorted(service.effects("letters")) == sorted(EVENTS)
    assert [number for key, number in service.effects("parked") if key == "a"] == [1, 4]
    assert sorted(service.effects("other")) == sorted(EVENTS)
    assert service.ls() == []
    assert {item["state"] for item in service.ls("--handled")} == {"replayed"}
    assert json.loads(service.dlq("retry", *service.ids("--handled"), "--json")) == said(known=2)


def test_skipped_messages_are_left_out_and_what_waits_behind_them_follows(service: Service) -> None:
    service.fail(odd, *EVENTS)
    [first, second] = service.ids("--key", "a", "--state", "dead")
    [letter] = service.ids("--key", "a", "--state", "open")

    refused = service.shell.run("dlq", "skip", ".", second)
    assert refused.returncode == 1
    assert f"{first} waits before it" in refused.stderr
    assert "1 message left out" in service.dlq("skip", "--dry-run", first)
    assert "2 messages left out" in service.dlq("skip", first, letter, "--by", "ann")
    assert service.shell.run("dlq", "skip", ".").returncode == 2

    [row] = service.rows("audit")
    assert (row.action, row.actor, row.key) == ("skip", "ann", b"a")
    with service.running():
        eventually(lambda: ("a", 4) in service.effects("parked"), 30, lambda: str(service.effects("parked")))
    assert ("a", 1) not in service.effects("parked")
    assert service.ids("--key", "a") == []


def test_forced_a_message_is_left_out_whatever_waits_before_it(service: Service) -> None:
    service.fail(odd, *EVENTS)
    [first, second] = service.ids("--key", "a", "--state", "dead")

    assert "1 message left out" in service.dlq("skip", second, "--force")
    assert service.ids("--key", "a", "--state", "dead") == [first]


def test_a_predecessor_that_never_comes_is_given_up_when_it_is_said(service: Service, tmp_path: Path) -> None:
    service.fail(odd, ("a", 1))
    [waiting] = service.ids("--state", "dead")
    payload = tmp_path / "payload.json"
    payload.write_text(json.loads(service.dlq("show", waiting, "--json"))["payload"])
    seventh = f"sb-origin=1/somebody/1/{service.topic}/7"
    service.dlq("edit", waiting, "--payload", str(payload), "--header", seventh)
    service.dlq("retry", waiting)
    with service.running():
        eventually(lambda: service.ids("--state", "gap") == [waiting], 30, lambda: str(service.ls()))
    assert "(--force)" in service.shell.run("dlq", "skip", ".", waiting).stderr

    service.dlq("retry", waiting, "--accept-gaps")

    with service.running():
        eventually(lambda: ("a", 1) in service.effects("parked"), 30, lambda: str(service.ls()))
    assert service.ids("--binding", "in-parked") == []


def test_dead_keys_are_purged_and_exported_messages_imported_once(service: Service, tmp_path: Path) -> None:
    service.fail(odd, *EVENTS)
    file = tmp_path / "dead.jsonl"
    assert "wrote 3 messages" in service.dlq("export", "--state", "dead", "-o", str(file))

    assert "3 messages left out" in service.dlq("purge", "--yes")
    assert service.count("dead") == 0
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line.replace('\\"number\\": 3', '\\"number\\": 33') for line in lines))
    changed = service.dlq("import", str(file), "--binding", "in-parked", "--json")
    assert json.loads(changed)["replayed"] == 3
    again = service.dlq("import", str(file), "--binding", "in-parked", "--json")
    assert json.loads(again) == said(known=3)

    with service.running():
        eventually(lambda: len(service.effects("parked")) == 4, 30, lambda: str(service.effects("parked")))
    assert [number for key, number in service.effects("parked") if key == "a"] == [1, 4]


def test_a_parked_message_is_changed_where_it_waits(service: Service, tmp_path: Path) -> None:
    service.fail(odd, ("c", 3))
    [parked] = service.ids("--state", "dead")
    [letter] = service.ids("--state", "open")
    mended = tmp_path / "mended.json"
    mended.write_text('{"jobType": "UPDATE", "key": "c", "number": 30}')

    service.dlq("edit", parked, "--payload", str(mended), "--header", "why=a typo")
    assert service.shell.run("dlq", "edit", ".", letter, "--payload", str(mended)).returncode == 1
    [shown] = service.ls("--state", "dead")
    assert "30" in shown["payload"]
    assert ["why", "a typo"] in shown["headers"]
    service.dlq("retry", parked)

    with service.running():
        eventually(lambda: service.effects("parked") == [("c", 30)], 30, lambda: str(service.effects("parked")))
    assert [row.action for row in service.rows("audit")] == ["edit", "retry"]


@pytest.mark.parametrize("service", ["memory"], indirect=True)
def test_mistakes_are_told_without_a_traceback(service: Service, tmp_path: Path) -> None:
    service.fail(odd, ("c", 3))
    (tmp_path / "wrong.jsonl").write_text('{"id": "x"}\n')
    for arguments, code, text in (
        (("show", ".", "parked/999"), 1, "there is no parked/999"),
        (("ls", ".", "--binding", "in-nowhere"), 1, "in-nowhere is no input with a group"),
        (("ls", ".", "--since", "yesterday"), 2, "neither a time nor a length"),
        (("import", ".", str(tmp_path / "wrong.jsonl"), "--binding", "in-parked"), 1, "line 1 is no line"),
    ):
        result = service.shell.run("dlq", *arguments)
        assert result.returncode == code, result.stderr
        assert text in result.stderr.replace("\n", " ")
