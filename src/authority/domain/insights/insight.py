"""A suggestion, and how the sums behind it are kept while rows go by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from heapq import heappush, heappushpop
from typing import NamedTuple

EXAMPLES_MAX = 3


class InsightKind(StrEnum):
    """What is suggested."""

    SMALLER_SIZE = "SMALLER_SIZE"
    LOWER_QUALITY = "LOWER_QUALITY"
    CHEAPER_MODEL = "CHEAPER_MODEL"
    CACHING = "CACHING"
    SHORTER_PROMPTS = "SHORTER_PROMPTS"
    FAILURES = "FAILURES"
    RETIRING_MODEL = "RETIRING_MODEL"


class Choice(NamedTuple):
    """What a generation was made by, or might be; '' where it does not matter."""

    provider: str = ""
    model: str = ""
    size: str = ""
    quality: str = ""

    def __str__(self) -> str:
        """Return it for people: `gpt-image-2 1024x1024 high`."""
        return " ".join(part for part in (self.model, self.size, self.quality) if part)


ANY = Choice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Insight:
    """A suggestion with what it would have saved. Amounts are micros of USD.

    `paid` is what was really paid for the `attempt_count` attempts behind it, `saved` that less
    what the same would have cost; below 0, where a model that ends has a dearer substitute.
    `generation_ids` are the dearest of them. `summary` and `method` are for people. `cause` is the
    reason of failures, or the stage that would have found duplicates.
    """

    kind: InsightKind
    generation_kind: str
    paid: int
    saved: int
    attempt_count: int
    generation_ids: tuple[str, ...]
    summary: str
    method: str
    used: Choice = ANY
    instead: Choice = ANY
    cause: str = ""
    tokens: int = 0
    presumed_count: int = 0
    retire_date: date | None = None


@dataclass(slots=True)
class Sum:
    """What was paid for some attempts, what they would have cost else, and the dearest of them."""

    paid: int = 0
    cost: int = 0
    count: int = 0
    _dearest: list[tuple[int, str]] = field(default_factory=list)

    def add(self, generation_id: str, paid: int, cost: int = 0) -> None:
        """Count an attempt."""
        self.paid += paid
        self.cost += cost
        self.count += 1
        if len(self._dearest) < EXAMPLES_MAX:
            heappush(self._dearest, (paid, generation_id))
        else:
            heappushpop(self._dearest, (paid, generation_id))

    @property
    def saved(self) -> int:
        """Return what the other way would have saved; below 0 where it is dearer."""
        return self.paid - self.cost

    @property
    def generation_ids(self) -> tuple[str, ...]:
        """Return the dearest, the dearest first."""
        return tuple(name for _, name in sorted(self._dearest, reverse=True))
