"""What InsightClient answers. Amounts are micros of USD, shares are millionths."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from clients.amounts import Leg
from clients.generation_types import Kind


class InsightKind(StrEnum):
    """What is suggested."""

    SMALLER_SIZE = "SMALLER_SIZE"
    LOWER_QUALITY = "LOWER_QUALITY"
    CHEAPER_MODEL = "CHEAPER_MODEL"
    CACHING = "CACHING"
    SHORTER_PROMPTS = "SHORTER_PROMPTS"
    FAILURES = "FAILURES"
    RETIRING_MODEL = "RETIRING_MODEL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class InsightChoice:
    """What a generation was made by, or might be. What is empty does not matter."""

    provider: str
    model: str
    size: str
    quality: str

    def __str__(self) -> str:
        """Return it for people: `gpt-image-2 1024x1024 high`; empty for nothing."""
        return " ".join(part for part in (self.model, self.size, self.quality) if part)


@dataclass(frozen=True, slots=True)
class Insight:
    """A suggestion, and what it would have saved at the least.

    `paid` is what was charged for the `attempt_count` attempts behind it, `saved` that less what
    the same would have cost; below 0 for a model that ends, where its substitute is dearer.
    `generation_ids` are the dearest of them. `cause` is the reason of failures, or the stage of the
    cache that would have served; `tokens` the usual length of prompts; `presumed_count` how many of
    the failures have an unknown outcome.
    """

    kind: InsightKind
    generation_kind: Kind
    used: InsightChoice
    instead: InsightChoice
    paid: int
    saved: int
    attempt_count: int
    generation_ids: tuple[str, ...]
    summary: str
    method: str
    cause: str
    tokens: int
    presumed_count: int
    retire_date: date | None


@dataclass(frozen=True, slots=True)
class EfficiencyScore:
    """How much of what was paid could not have been had for less without loss, and its parts.

    `score_ppm` is None where nothing was paid or saved; `formula` says how it follows from them.
    """

    score_ppm: int | None
    paid: int
    saved_by_cache: int
    failures: int
    duplicates: int
    dearer: int
    formula: str


@dataclass(frozen=True, slots=True)
class Insights:
    """What was found in a time; what saves most comes first.

    Suggestions about size, quality and model exclude one another: they are not to be added up.
    `left_out_count` are generations that were too old to be among those looked at.
    """

    insights: tuple[Insight, ...]
    efficiency: EfficiencyScore
    start_time: datetime | None
    end_time: datetime | None
    generation_count: int
    attempt_count: int
    cached_count: int
    left_out_count: int


@dataclass(frozen=True, slots=True)
class ReplayDenial:
    """A reason for which Reserves were denied, and the budget that was in the way, if one was."""

    reason: str
    limiting_account: str
    budget: str
    generation_count: int
    first_time: datetime | None


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """What became of the generations of a time.

    `actual` is what the providers were paid, `charged` what the account was of that, `granted` what
    was used of grants. `impossible_count` are those that the model does not make.
    """

    generation_count: int
    made_count: int
    downgraded_count: int
    cached_count: int
    denied_count: int
    impossible_count: int
    failed_count: int
    actual: int
    charged: int
    refunded: int
    granted: tuple[Leg, ...]
    denials: tuple[ReplayDenial, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was (`actual`), what the replay makes of that (`as_is`), and what would have been."""

    actual: ReplayOutcome
    as_is: ReplayOutcome
    what_if: ReplayOutcome
    assumptions: tuple[str, ...]
    start_time: datetime | None
    end_time: datetime | None
    left_out_count: int
