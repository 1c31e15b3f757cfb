"""What the cache's client takes and answers. Amounts are micros of USD, shares are millionths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from clients.generation_types import Kind
from clients.requests import new_key


class CacheVerdict(StrEnum):
    """What was said of a hit or a sample; NONE is nothing yet."""

    NONE = "UNSPECIFIED"
    MATCH = "MATCH"
    MISMATCH = "MISMATCH"
    UNKNOWN = "UNKNOWN"


class CacheEntryStatus(StrEnum):
    """What an entry may serve; NONE is one that is gone."""

    NONE = "UNSPECIFIED"
    ACTIVE = "ACTIVE"
    EXACT_ONLY = "EXACT_ONLY"
    UNKNOWN = "UNKNOWN"


class CacheFieldMode(StrEnum):
    """How a field of a context is compared."""

    REQUIRED = "REQUIRED"
    JACCARD = "JACCARD"
    IGNORE = "IGNORE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class HitBooking:
    """A generation that the cache has served, to be booked; `saved` is what the original had cost.

    `entry_id` is empty for the stage `joined`; `score_ppm` None where the two were the same.
    """

    account: str
    generation_id: str
    stage: str
    saved: int
    entry_id: str = ""
    score_ppm: int | None = None
    idempotency_key: str = field(default_factory=new_key)


@dataclass(frozen=True, slots=True)
class BookedHit:
    """A hit in the ledger."""

    operation_id: str
    create_time: datetime | None
    replayed: bool


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A generation that the cache has served, or one that was made as a sample (`sampled`).

    `stage` is as in Generation.cached. `book_time` is when it came into the ledger, `reverse_time`
    when what it had saved was booked back.
    """

    generation_id: str
    account: str
    entry_id: str
    source_generation_id: str
    stage: str
    score_ppm: int | None
    saved: int
    create_time: datetime | None
    book_time: datetime | None
    verdict: CacheVerdict
    verdict_time: datetime | None
    reverse_time: datetime | None
    prompt: str = field(repr=False)
    sampled: bool


@dataclass(frozen=True, slots=True)
class HitReport:
    """What a report has done: the hit with its verdict, and what was booked back.

    `strike_count` and `entry_status` are the entry's, as far as there still is one.
    """

    hit: CacheHit
    replayed: bool
    reversed: int
    strike_count: int
    entry_status: CacheEntryStatus


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """Something that the cache may serve. `saved` is less what was booked back."""

    entry_id: str
    generation_id: str
    kind: Kind
    prompt: str = field(repr=False)
    model: str
    quality: str
    size: str
    context: Mapping[str, tuple[str, ...]] = field(repr=False)
    cost: int
    status: CacheEntryStatus
    strike_count: int
    hit_count: int
    saved: int
    create_time: datetime | None
    last_use_time: datetime | None
    expire_time: datetime | None


@dataclass(frozen=True, slots=True)
class CacheEntryDetail:
    """An entry with what it was served for, the latest 100 first."""

    entry: CacheEntry
    hits: tuple[CacheHit, ...]


@dataclass(frozen=True, slots=True)
class CacheStageStats:
    """What one stage has served."""

    stage: str
    hit_count: int
    saved: int
    reversed: int
    match_count: int
    mismatch_count: int


@dataclass(frozen=True, slots=True)
class CacheSkip:
    """A stage that look-ups have skipped: why, and how often."""

    stage: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class CacheBin:
    """What is known of the errors of a stage in a range of the score; `bound_ppm` at the most."""

    tenant: str
    stage: str
    bin: int
    match_count: int
    mismatch_count: int
    bound_ppm: int
    open: bool


@dataclass(frozen=True, slots=True)
class CacheEntryUse:
    """How much an entry has served; prompt and model are empty if it is gone."""

    entry_id: str
    hit_count: int
    saved: int
    prompt: str = field(repr=False)
    model: str


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The counts of a time. `hit_rate_ppm` is hits by look-ups; joins are no hits.

    `saved` is what the originals of hits and joins had cost, `reversed` what of it was booked back.
    """

    lookup_count: int
    hit_count: int
    hit_rate_ppm: int
    join_count: int
    saved: int
    reversed: int
    stages: tuple[CacheStageStats, ...]
    skips: tuple[CacheSkip, ...]
    match_count: int
    mismatch_count: int
    sample_count: int
    judged_sample_count: int
    bins: tuple[CacheBin, ...]
    top_entries: tuple[CacheEntryUse, ...]
    entry_count: int


@dataclass(frozen=True, slots=True)
class CacheField:
    """How one field of a context is compared."""

    name: str
    weight: int
    mode: CacheFieldMode = CacheFieldMode.JACCARD
    bound_ppm: int = 0


@dataclass(frozen=True, slots=True)
class CacheStructuredPolicy:
    """How contexts are compared; without fields they are not."""

    fields: tuple[CacheField, ...] = ()
    threshold_ppm: int = 800_000


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What the cache may do for an account.

    `stages` has the deepest stage by kind (`image`, `chat`, `video`), `ttl` how long entries are
    kept. `source_account` is whose policy it is: empty for what counts where there is none.
    """

    enabled: bool
    stages: Mapping[str, str]
    chat_tier: bool
    structured: CacheStructuredPolicy | None
    ttl: Mapping[str, timedelta]
    max_error_ppm: int
    sample_ppm: int
    source_account: str = ""
