"""Usage: what came of each piece of work, and sums of it.

Amounts are in micros of USD, or of a credit. An event stands for one operation; it is made from the
operation and from what the attempt of a generation knows of itself (ledger/usage_projection.sql).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple, Protocol

from authority.domain.operations import DenialReason

DIMENSIONS_MAX = 4
VALUES_MAX = 100
TOP_ENTRIES_MAX = 10
POINTS_MAX = 10_000
# What every time can be divided into, whatever the time zone.
QUARTER = timedelta(minutes=15)
_PPM = 1_000_000


class Outcome(StrEnum):
    """What came of a piece of work; the proto says what each means."""

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


class Dimension(StrEnum):
    """What usage may be grouped by. The value is the name of the column."""

    TENANT = "tenant"
    ACCOUNT = "account"
    USER = "user_name"
    KIND = "kind"
    PROVIDER = "provider"
    MODEL = "model"
    SIZE = "size"
    QUALITY = "quality"
    OUTCOME = "outcome"
    CACHED = "cached"
    DOWNGRADED = "downgraded"
    DOWNGRADE_REASON = "downgrade_reason"
    FALLBACK = "fallback"
    PRESUMED_SPENT = "presumed_spent"
    LATE = "late"
    ERROR_CLASS = "error_class"
    REASON = "reason"


# Of whom usage is; all others are of the work itself.
OWNERS = frozenset({Dimension.TENANT, Dimension.ACCOUNT, Dimension.USER})


# Of the work: what was made, and where.
WORK = frozenset({"kind", "provider", "model", "size", "quality"})


class Interval(StrEnum):
    """The steps of a series. The value is what Postgres calls them."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Order(StrEnum):
    """What groups are ordered by, the largest first; NAME from A to Z."""

    CHARGED = "CHARGED"
    ACTUAL = "ACTUAL"
    COUNT = "COUNT"
    SAVED = "SAVED"
    REVENUE = "REVENUE"
    LOSS = "LOSS"
    NAME = "NAME"


class UsageFilter(NamedTuple):
    """Which events count: those that have one of the values where there are any."""

    users: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    qualities: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    stages: tuple[str, ...] = ()
    downgrade_reasons: tuple[str, ...] = ()
    error_classes: tuple[str, ...] = ()
    denial_reasons: tuple[DenialReason, ...] = ()
    downgraded: bool | None = None
    fallback: bool | None = None
    presumed_spent: bool | None = None
    late: bool | None = None


NO_FILTER = UsageFilter()


class UsageSums(NamedTuple):
    """What was used in some time. Every field is a sum, so two of these add up."""

    succeeded_count: int = 0
    failed_count: int = 0
    part_count: int = 0
    denied_count: int = 0
    released_count: int = 0
    expired_count: int = 0
    refunded_count: int = 0
    adjusted_count: int = 0
    hit_count: int = 0
    reversed_count: int = 0
    downgraded_count: int = 0
    fallback_count: int = 0
    presumed_spent_count: int = 0
    late_count: int = 0
    images: int = 0
    videos: int = 0
    messages: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    actual: int = 0
    charged: int = 0
    refunded: int = 0
    credits: int = 0
    revenue: int = 0
    saved: int = 0
    duration_ms: int = 0
    duration_count: int = 0

    def plus(self, other: UsageSums) -> UsageSums:
        """Return the sums of both."""
        return UsageSums(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def event_count(self) -> int:
        """Return the number of events, of whatever outcome."""
        return sum(self[: UsageSums._fields.index("downgraded_count")])

    @property
    def absorbed(self) -> int:
        """Return what the platform carried of the actual cost."""
        return self.actual - self.charged

    @property
    def margin(self) -> int:
        """Return revenue less actual cost."""
        return self.revenue - self.actual

    @property
    def success_rate_ppm(self) -> int | None:
        """Return the share of what was made that came to something; None for nothing."""
        return _ppm(self.succeeded_count, self.succeeded_count + self.failed_count)

    @property
    def hit_rate_ppm(self) -> int | None:
        """Return the share of what was wanted that the cache has served; None for nothing."""
        served = self.hit_count - self.reversed_count
        return _ppm(served, served + self.succeeded_count)

    @property
    def average_cost(self) -> int | None:
        """Return what one success cost, with what failed; rounded half up."""
        if self.succeeded_count <= 0:
            return None
        return int(Fraction(self.actual, self.succeeded_count) + Fraction(1, 2))

    @property
    def roi_ppm(self) -> int | None:
        """Return the margin by the actual cost."""
        return _ppm(self.margin, self.actual)


def _ppm(part: int, whole: int) -> int | None:
    return part * _PPM // whole if whole > 0 else None


class UsagePoint(NamedTuple):
    """What was used in one step of a series."""

    start: datetime
    sums: UsageSums


class UsageGroup(NamedTuple):
    """What events with the same values have used; values are texts, as grouped by."""

    values: tuple[str, ...]
    sums: UsageSums
    points: tuple[UsagePoint, ...] = ()


class EntryUse(NamedTuple):
    """An entry of the cache, with what it has served in a time."""

    entry_id: str
    hit_count: int
    saved: int


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """What is asked. `start` and `end` are full quarters of an hour.

    `tenant` '' is all; `accounts` None is all of the tenant, else these and no other.
    """

    start: datetime
    end: datetime
    tenant: str = ""
    accounts: tuple[str, ...] | None = None
    filter: UsageFilter = NO_FILTER
    group_by: tuple[Dimension, ...] = ()
    interval: Interval | None = None
    order_by: Order = Order.CHARGED
    limit: int = 50
    offset: int = 0
    top_entries: bool = False


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """The answer. What was decided before `complete_until` is in it; all if that is None."""

    totals: UsageSums
    points: tuple[UsagePoint, ...]
    groups: tuple[UsageGroup, ...]
    group_count: int
    time_zone: str
    complete_until: datetime | None
    top_entries: tuple[EntryUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """One event; fields as in the table."""

    tenant: str
    sequence: int
    event_time: datetime
    account: str
    user_name: str
    outcome: Outcome
    reservation_id: str | None
    generation_id: str | None
    attempt: int | None
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
    actual_micros: int
    charged_micros: int
    absorbed_micros: int
    refunded_micros: int
    credits_micros: int
    revenue_micros: int
    saved_micros: int
    duration_ms: int | None
    cached: str
    score_ppm: int | None
    entry_id: str | None
    downgraded: bool
    downgrade_reason: str
    fallback: bool
    presumed_spent: bool
    late: bool
    error_class: str
    reason: str


class EventPlace(NamedTuple):
    """Where in the log an event is: its time, then its tenant and sequence."""

    event_time: datetime
    tenant: str
    sequence: int


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events; `start` and `end` None are no bounds, '' is any."""

    tenant: str = ""
    accounts: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    filter: UsageFilter = NO_FILTER
    generation_id: str = ""
    reservation_id: str = ""
    before: EventPlace | None = None
    limit: int = 50


class UsageStore(Protocol):
    """Reads the usage log and its sums. Every method raises Unavailable."""

    async def query(self, wanted: UsageQuery) -> UsageAnswer:
        """Sum what was used."""
        ...

    async def events(self, wanted: EventQuery) -> Sequence[UsageEvent]:
        """Return events, the latest first."""
        ...

    async def time_zone(self) -> str:
        """Return the reporting time zone."""
        ...

    async def first_time(self, tenant: str) -> datetime | None:
        """Return when the first that is counted was; None where nothing is."""
        ...
