"""What callers ask and see of usage. Amounts are in micros of USD, or of a credit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clients.types import DenialReason


class UsageOutcome(StrEnum):
    """What came of a piece of work."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    PART = "PART"
    DENIED = "DENIED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"
    ADJUSTED = "ADJUSTED"
    HIT = "HIT"
    REVERSED = "REVERSED"
    # It is not known here: the authority is newer.
    UNKNOWN = "UNKNOWN"


class UsageDimension(StrEnum):
    """What usage may be grouped by."""

    TENANT = "TENANT"
    ACCOUNT = "ACCOUNT"
    USER = "USER"
    KIND = "KIND"
    PROVIDER = "PROVIDER"
    MODEL = "MODEL"
    SIZE = "SIZE"
    QUALITY = "QUALITY"
    OUTCOME = "OUTCOME"
    CACHED = "CACHED"
    DOWNGRADED = "DOWNGRADED"
    DOWNGRADE_REASON = "DOWNGRADE_REASON"
    FALLBACK = "FALLBACK"
    PRESUMED_SPENT = "PRESUMED_SPENT"
    LATE = "LATE"
    ERROR_CLASS = "ERROR_CLASS"
    REASON = "REASON"


class UsageInterval(StrEnum):
    """The steps of a series, in the reporting time zone."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


class UsageSpan(StrEnum):
    """A time by its name: from its beginning to the end of the present quarter of an hour."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"
    ALL = "ALL"


class UsageOrder(StrEnum):
    """What groups are ordered by, the largest first; NAME from A to Z."""

    CHARGED = "CHARGED"
    ACTUAL = "ACTUAL"
    COUNT = "COUNT"
    SAVED = "SAVED"
    REVENUE = "REVENUE"
    LOSS = "LOSS"
    NAME = "NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Which events count: those that have one of the values in each field that has any."""

    users: Sequence[str] = ()
    kinds: Sequence[str] = ()
    providers: Sequence[str] = ()
    models: Sequence[str] = ()
    sizes: Sequence[str] = ()
    qualities: Sequence[str] = ()
    outcomes: Sequence[UsageOutcome] = ()
    stages: Sequence[str] = ()
    downgrade_reasons: Sequence[str] = ()
    error_classes: Sequence[str] = ()
    denial_reasons: Sequence[DenialReason] = ()
    downgraded: bool | None = None
    fallback: bool | None = None
    presumed_spent: bool | None = None
    late: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSums:
    """What was used in some time; the proto says what each field is.

    The last four are None where there is nothing to divide by.
    """

    succeeded_count: int
    failed_count: int
    part_count: int
    denied_count: int
    released_count: int
    expired_count: int
    refunded_count: int
    adjusted_count: int
    hit_count: int
    reversed_count: int
    downgraded_count: int
    fallback_count: int
    presumed_spent_count: int
    late_count: int
    images: int
    videos: int
    messages: int
    input_tokens: int
    output_tokens: int
    actual: int
    charged: int
    absorbed: int
    refunded: int
    credits: int
    revenue: int
    saved: int
    margin: int
    duration_ms: int
    duration_count: int
    success_rate_ppm: int | None
    hit_rate_ppm: int | None
    average_cost: int | None
    roi_ppm: int | None


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """What was used in one step of a series."""

    start_time: datetime | None
    sums: UsageSums


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """What events with the same values have used; the values are in the order of `group_by`."""

    values: tuple[str, ...]
    sums: UsageSums
    points: tuple[UsagePoint, ...]


@dataclass(frozen=True, slots=True)
class UsageCacheEntry:
    """An entry of the cache, and what it has served in the time."""

    entry_id: str
    hit_count: int
    saved: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageReport:
    """Sums of a time: of all, and a page of groups. `time_zone` is that of days and of series."""

    totals: UsageSums
    points: tuple[UsagePoint, ...]
    groups: tuple[UsageGroup, ...]
    group_count: int
    next_page_token: str
    start_time: datetime | None
    end_time: datetime | None
    time_zone: str
    complete_until: datetime | None
    top_entries: tuple[UsageCacheEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """One event of the usage log. What there is none of is '', 0 or None."""

    tenant: str
    sequence: int
    event_time: datetime | None
    account: str
    user: str
    outcome: UsageOutcome
    reservation_id: str
    generation_id: str
    attempt: int
    kind: str
    provider: str
    model: str
    size: str
    quality: str
    images: int
    videos: int
    messages: int
    input_tokens: int
    output_tokens: int
    actual: int
    charged: int
    absorbed: int
    refunded: int
    credits: int
    revenue: int
    saved: int
    duration_ms: int | None
    cached: str
    score_ppm: int | None
    entry_id: str
    downgraded: bool
    downgrade_reason: str
    fallback: bool
    presumed_spent: bool
    late: bool
    error_class: str
    denial_reason: DenialReason | None
