"""The columns of the usage log's sums, in the order of domain.usage.UsageSums."""

from __future__ import annotations

from collections.abc import Iterable

OUTCOMES = (
    *("SUCCEEDED", "FAILED", "PART", "DENIED", "RELEASED", "EXPIRED", "REFUNDED", "ADJUSTED"),
    *("HIT", "REVERSED"),
)
FLAGS = ("downgraded", "fallback", "presumed_spent", "late")
COUNTS = tuple(f"{name.lower()}_count" for name in (*OUTCOMES, *FLAGS))
AMOUNTS = (
    *("images", "videos", "messages", "input_tokens", "output_tokens", "actual_micros"),
    *("charged_micros", "refunded_micros", "credits_micros", "revenue_micros", "saved_micros"),
)
MEASURES = (*AMOUNTS, "duration_ms", "duration_count")
SUMS = (*COUNTS, *MEASURES)

WORK = ("kind", "provider", "model", "size", "quality")
COMBINATION = (
    *WORK,
    *("outcome", "cached", "downgraded", "downgrade_reason", "fallback", "presumed_spent", "late"),
    *("error_class", "reason"),
)
"""What events may be grouped by, besides who and when."""


def added(names: Iterable[str]) -> str:
    """Return what adds up columns, each under its name."""
    return ", ".join(f"usage_sum(sum({name})) AS {name}" for name in names)
