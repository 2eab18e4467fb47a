from __future__ import annotations

from streambind.configuration.arguments import read_arguments
from streambind.configuration.names import dotted


def test_arguments_are_names_with_two_dashes() -> None:
    flat, findings = read_arguments(["--a.b=1", "--flag", "-c=2", "word", "--", "--a.b=x=y", "--list[0]=q"])
    assert findings == []
    assert {dotted(v.name): v.value for v in flat.values.values()} == {"a.b": "x=y", "flag": "", "list[0]": "q"}
