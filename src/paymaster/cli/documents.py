"""The clients' values as JSON: the same names, times in ISO 8601, spans as seconds (`60s`).

Amounts are integers in the unit's smallest step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo


def document_of(value: Any) -> Any:
    """Return a value of the clients, or a list of them, as what JSON can hold."""
    if dataclasses.is_dataclass(value):
        names = (item.name for item in dataclasses.fields(value))
        return {name: document_of(getattr(value, name)) for name in names}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        # All its digits: a month has more seconds than %g would show.
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, Mapping):
        return {name: document_of(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [document_of(item) for item in value]
    return value


def time_text(moment: datetime | None) -> str:
    """Return a time in UTC for people, to the second; a dash for none."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment else "-"


def local_time(moment: datetime | None, time_zone: str) -> str:
    """Return a time in a time zone of IANA for people, to the second; a dash for none."""
    return f"{moment.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M:%S}" if moment else "-"
