"""The usage log as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from authority.domain.usage import EventPlace, EventQuery


class ExportFormat(StrEnum):
    """The form of the file."""

    CSV = "CSV"
    JSONL = "JSONL"
    FOCUS = "FOCUS"


class ExportPlace(NamedTuple):
    """How far an export is: the last event that is in it, and how many are."""

    last: EventPlace
    event_count: int


class ExportPiece(NamedTuple):
    """Some bytes of the file; `place` is set where they end with the end of a line."""

    chunk: bytes
    place: ExportPlace | None


class UsageExporter(Protocol):
    """Writes events as a file."""

    async def complete_until(self, tenant: str) -> datetime | None:
        """Return what was decided before which time is in the log; None if all is.

        Raises Unavailable.
        """
        ...

    def pieces(
        self, wanted: EventQuery, form: ExportFormat, after: ExportPlace | None
    ) -> AsyncIterator[ExportPiece]:
        """Yield the file, or what of it is behind a place. Raises Unavailable."""
        ...
