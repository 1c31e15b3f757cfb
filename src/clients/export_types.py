"""The usage log as a file, as callers see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UsageExportFormat(StrEnum):
    """The form of the file; FOCUS is CSV with the columns of FOCUS 1.2."""

    CSV = "CSV"
    JSONL = "JSONL"
    FOCUS = "FOCUS"


@dataclass(frozen=True, slots=True)
class UsageExportPiece:
    """Whole lines of the file, and how many events there are up to here.

    Every event before `end_time` that was asked for will have been in the file at its end.
    """

    content: bytes
    event_count: int
    end_time: datetime | None
