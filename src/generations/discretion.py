"""What logs may not show, also where a library's error says it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

# What Postgres says of a row that it does not take is all of it, with its prompt.
_ROW = re.compile(r"(Failing row contains) \(.*\)", re.DOTALL)


def hide_rows(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Take the rows out of a traceback: a processor of structlog, behind `format_exc_info`."""
    if "exception" in event:
        event["exception"] = _ROW.sub(r"\1 (…)", event["exception"])
    return event
