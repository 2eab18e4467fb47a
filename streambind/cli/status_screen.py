"""The health of a running application as a screen. The document comes from elsewhere: nothing in it is sure."""

from __future__ import annotations

from math import isfinite
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from streambind.cli.output import age, count, line, table

UNKNOWN = "unknown"
COLOURS = {"up": "green", "degraded": "yellow", "down": "red"}


def health_screen(title: str, document: dict[str, Any]) -> RenderableType:
    """The word for all, a table of bindings, what is wrong with them, and the outbox."""
    bindings = [binding for binding in document["bindings"] if isinstance(binding, dict)]
    parts: list[RenderableType] = [verdict(str(document["status"]), title)]
    if document.get("running") is False:
        parts.append(line("the application does not run: start it, or use its lifespan"))
    if bindings:
        columns = ("binding", "health", "state", "destination", "group", "assigned", "behind", "done")
        parts += [Text(), table(columns, [_row(binding) for binding in bindings])]
    problems = [text for binding in bindings for text in _problems(binding)]
    if problems:
        parts += [Text(), *problems]
    outbox = document.get("outbox")
    if isinstance(outbox, dict):
        parts += [Text(), *_outbox(outbox)]
    return Group(*parts)


def verdict(word: str, title: str) -> Text:
    """`up  what`, coloured."""
    return line(f"[{COLOURS.get(word, 'white')} bold]{{}}[/]  {{}}", word, title)


def _row(binding: dict[str, Any]) -> list[object]:
    word = str(binding.get("status"))
    counts = _of(binding, "counts", dict)
    counted = [f"{name.replace('_', ' ')} {number}" for name, number in counts.items() if _is_count(name, number)]
    is_input = binding.get("direction") == "in"
    return [
        binding.get("name"),
        line(f"[{COLOURS.get(word, 'white')}]{{}}[/]", word),
        binding.get("state"),
        binding.get("destination"),
        binding.get("group"),
        (", ".join(map(str, _of(binding, "assigned", list))) or "nothing") if is_input else None,
        behind_text(binding.get("behind_s")) if is_input else None,
        ", ".join(counted) if is_input else None,
    ]


def behind_text(seconds: object) -> str:
    """How far behind the source something is."""
    return age(round(seconds * 1000)) if isinstance(seconds, int | float) and isfinite(seconds) else UNKNOWN


def _is_count(name: str, number: object) -> bool:
    return isinstance(number, int) and (number > 0 or name == "handled")


def _problems(binding: dict[str, Any]) -> list[Text]:
    name = binding.get("name")
    found = [
        line("[red]{}  {} stalled:[/] {}", name, lane, reason)
        for lane, reason in _of(binding, "stalled", dict).items()
    ]
    found += [
        line("[yellow]{}  {} retrying:[/] {}", name, lane, reason)
        for lane, reason in _of(binding, "retrying", dict).items()
    ]
    found += _parked(name, _of(binding, "parked", dict))
    if binding.get("last_error"):
        found.append(line("[dim]{}  last error:[/] {}", name, binding["last_error"]))
    return found


def _parked(name: object, parked: dict[str, Any]) -> list[Text]:
    keys, dead, gaps, messages = (_number(parked, part) for part in ("keys", "dead", "gaps", "messages"))
    oldest = parked.get("oldest_ms")
    old = f", the oldest for {age(oldest)}" if isinstance(oldest, int) else ""
    found: list[Text] = []
    if keys:
        waiting = f" ({gaps} for a missing predecessor: streambind verify)" if gaps else ""
        text = "[yellow]{}  parked:[/] {}{}, tried again; {} behind all parked keys{}: streambind dlq ls TARGET"
        found.append(line(text, name, count(keys, "key"), waiting, count(messages, "message"), old))
    if dead:
        text = (
            "[red]{}  dead:[/] {}, not tried again; {} behind all parked keys{}: mend the cause "
            "(streambind dlq ls TARGET), then streambind dlq retry TARGET, or skip"
        )
        found.append(line(text, name, count(dead, "key"), count(messages, "message"), old))
    return found


def _number(parked: dict[str, Any], name: str) -> int:
    number = parked.get(name)
    return number if isinstance(number, int) else 0


def _outbox(outbox: dict[str, Any]) -> list[Text]:
    word, oldest, blocked = str(outbox.get("status")), outbox.get("oldest_age_ms"), outbox.get("blocked")
    backlog = outbox.get("backlog")
    old = f", the oldest {age(oldest)} old" if isinstance(oldest, int) else ""
    waits = count(backlog, "message") if isinstance(backlog, int) else str(backlog)
    found = [
        line(
            f"outbox  [{COLOURS.get(word, 'white')}]{{}}[/]  relay {{}}, {{}} waiting{{}}",
            *(word, outbox.get("relay"), waits, old),
        )
    ]
    if isinstance(blocked, int) and blocked:
        text = "[red]{} blocked:[/] streambind outbox status TARGET says why"
        found.append(line(f"outbox  {text}", count(blocked, "key")))
    if outbox.get("last_error"):
        found.append(line("[dim]outbox  last error:[/] {}", outbox["last_error"]))
    return found


def _of(binding: dict[str, Any], name: str, kind: type[Any]) -> Any:
    value = binding.get(name)
    return value if isinstance(value, kind) else kind()
