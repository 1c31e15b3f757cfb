"""The similarity cache as its owners see it, and what showing and steering it asks of the stores.

Amounts are in micros of USD, scores and shares in millionths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from authority.domain.changes import Change
from generations.models import Kind
from similarity.stages import Stage

# Reports that an entry does not match, from which on it serves the same request alone.
STRIKES_MAX = 2
HITS_SHOWN_MAX = 100
TOP_ENTRIES_MAX = 10
JOINED = "joined"
ACCEPTED = "accepted"
# How a generation may be served without a call, as Generation.cached has it.
STAGES = (*(stage.value for stage in Stage), ACCEPTED, JOINED)

ContextValues = Mapping[str, Sequence[str]]


class Verdict(StrEnum):
    """What was said of a hit or a sample."""

    MATCH = "MATCH"
    MISMATCH = "MISMATCH"


class EntryStatus(StrEnum):
    """What an entry may serve: what the policy allows, or the same request alone."""

    ACTIVE = "ACTIVE"
    EXACT_ONLY = "EXACT_ONLY"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """Something that the cache may serve. `saved` is less what was booked back."""

    entry_id: str
    generation_id: str
    kind: Kind
    prompt: str
    model: str
    quality: str
    size: str
    context: ContextValues
    cost: int
    status: EntryStatus
    strike_count: int
    hit_count: int
    saved: int
    create_time: datetime
    last_use_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A generation that the cache has served, or, if `sampled`, one that it would have.

    `entry_id` is '' for one that joined another, `score_ppm` None where nothing was measured.
    """

    generation_id: str
    account: str
    entry_id: str
    source_generation_id: str
    stage: str
    score_ppm: int | None
    saved: int
    create_time: datetime
    book_time: datetime | None
    verdict: Verdict | None
    verdict_time: datetime | None
    reverse_time: datetime | None
    prompt: str
    sampled: bool

    @property
    def is_to_reverse(self) -> bool:
        """Say whether what it had saved is still to be booked back."""
        return self.verdict is Verdict.MISMATCH and self.reverse_time is None and not self.sampled


class Judgement(NamedTuple):
    """A verdict on a hit or a sample, as it is to be written.

    `exact_hash` is of its prompt, `bin` the range of its score; None where no score was decided by.
    """

    generation_id: str
    sampled: bool
    verdict: Verdict
    exact_hash: bytes
    bin: int | None


class Standing(NamedTuple):
    """How often an entry was reported not to match, and what it may serve since."""

    strike_count: int
    status: EntryStatus


class EntryFilter(NamedTuple):
    """Which entries of a tenant to list; what is empty leaves none out."""

    tenant: str
    text: str
    model: str
    stage: str
    kind: str


class Purge(NamedTuple):
    """Which entries to remove: those that fit all that is given."""

    tenant: str
    entry_id: str
    model: str
    older_than: timedelta | None


class StatsFilter(NamedTuple):
    """Whose look-ups to count, and when; what is empty, None or 0 leaves none out."""

    tenant: str
    accounts: Sequence[str] | None
    start_ms: int
    end_ms: int


class StageStats(NamedTuple):
    """What a stage has served."""

    stage: str
    hit_count: int
    saved: int
    reversed: int
    match_count: int
    mismatch_count: int


@dataclass(frozen=True, slots=True)
class Skip:
    """A stage that look-ups have skipped, why, and how often."""

    stage: str
    reason: str
    count: int


class EntryUse(NamedTuple):
    """How much an entry has served; `prompt` and `model` are '' if it is gone."""

    entry_id: str
    hit_count: int
    saved: int
    prompt: str
    model: str


class BinCounts(NamedTuple):
    """What was said of a stage in a range of the score."""

    tenant: str
    stage: str
    bin: int
    match_count: int
    mismatch_count: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of look-ups; `stages` has joins too."""

    lookup_count: int
    stages: tuple[StageStats, ...]
    skips: tuple[Skip, ...]
    sample_count: int
    judged_sample_count: int
    top_entries: tuple[EntryUse, ...]
    entry_count: int


class CacheStore(Protocol):
    """Keeps the cache. Every method raises Unavailable if the store does not answer."""

    async def entries(self, wanted: EntryFilter, before: str, limit: int) -> list[CacheEntry]:
        """Return a page, the latest first, of those older than the id `before`; all if ''."""
        ...

    async def entry(self, entry_id: str) -> CacheEntry | None:
        """Return an entry, unless it has expired."""
        ...

    async def hits_of(self, entry_id: str, limit: int) -> list[CacheHit]:
        """Return what an entry was served for, the latest first."""
        ...

    async def hit(self, generation_id: str) -> CacheHit | None:
        """Return the hit or the sample that a generation is; None if it is neither."""
        ...

    async def judge(self, judgement: Judgement, change: Change) -> bool:
        """Set the verdict of a hit or sample, record it, and what follows; False if it has one.

        A mismatch denies the pair for ever and is a strike against the entry, all at once.
        """
        ...

    async def standing(self, entry_id: str) -> Standing | None:
        """Return how an entry stands; None if there is none."""
        ...

    async def unreversed(self, set_aside: Sequence[str], limit: int) -> list[CacheHit]:
        """Return hits whose savings are still to be booked back, the oldest first."""
        ...

    async def mark_booked(self, generation_id: str) -> None:
        """Say that a hit is in the books."""
        ...

    async def mark_reversed(self, generation_id: str) -> None:
        """Say that what a hit had saved was booked back."""
        ...

    async def purge(self, chosen: Purge, change: Callable[[int], Change] | None) -> int:
        """Remove entries, and record how many; without a change, only count them."""
        ...

    async def counts(self, wanted: StatsFilter) -> Counts:
        """Return what was counted."""
        ...

    async def bins(self, tenant: str) -> list[BinCounts]:
        """Return what was said of each range; of all tenants if ''."""
        ...

    async def policies(self, accounts: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the policies that accounts of one tenant have of their own."""
        ...

    async def change_policy(
        self,
        accounts: Sequence[str],
        change: Callable[[dict[str, dict[str, Any]]], tuple[dict[str, Any] | None, Change]],
    ) -> None:
        """Set the own policy of the first of some accounts, or take it away, and record it.

        `change` is given what they have now, and no other change comes in between.
        """
        ...
