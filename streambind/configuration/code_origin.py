"""Where code stands, for findings about it."""

from __future__ import annotations

import inspect
from typing import Any

from streambind.configuration.finding import Origin


def code_origin(code: Any) -> Origin:
    """File and line of a function or class; `code` where Python does not know them."""
    body = getattr(inspect.unwrap(code), "__code__", None)
    if body is not None:
        return Origin(body.co_filename, body.co_firstlineno, 1)
    try:
        file = inspect.getsourcefile(code)
        line = inspect.getsourcelines(code)[1]
    except (OSError, TypeError):
        file = None
    return Origin("code") if file is None else Origin(file, line, 1)
