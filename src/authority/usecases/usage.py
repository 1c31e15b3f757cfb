"""Usage as its owners ask for it: whose, of which time, in which groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from authority.domain.errors import InvalidRequest
from authority.domain.ids import tenant_of
from authority.domain.usage import (
    POINTS_MAX,
    QUARTER,
    EventQuery,
    Interval,
    UsageAnswer,
    UsageEvent,
    UsageQuery,
    UsageStore,
)
from authority.usecases.context import Context

# Today is the thirtieth day.
_DEFAULT = timedelta(days=29)
# From the beginning of a day, of 23 to 25 hours, into the next.
_A_DAY_ON = timedelta(hours=26)
_STEP_SECONDS = {
    Interval.HOUR: 3_600,
    Interval.DAY: 82_800,  # the shortest has 23 hours
    Interval.WEEK: 601_200,
    Interval.MONTH: 2_415_600,
    Interval.YEAR: 31_532_400,
}


class Span(StrEnum):
    """A time by its name, up to the end of the present quarter of an hour."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"
    ALL = "ALL"


@dataclass(frozen=True, slots=True)
class UsageContext:
    """What these use cases work with, wired by `authority.wiring`."""

    context: Context
    store: UsageStore

    def now(self) -> datetime:
        """Return the time by the clock of budgets."""
        return datetime.fromtimestamp(self.context.clock.now_ms() / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks: `account` and `tenant` '' for all, times and span None for the default.

    The times within `query` are not looked at.
    """

    query: UsageQuery
    account: str = ""
    start: datetime | None = None
    end: datetime | None = None
    span: Span | None = None


async def query_usage(context: UsageContext, asked: Asked) -> tuple[UsageQuery, UsageAnswer]:
    """Sum usage; return also the query that was answered, with its times.

    The answer says until when it is complete.

    Raises:
        NotFound: there is no such account.
        InvalidRequest: the time is empty, or has too many steps.
        Unavailable: the ledger is away.

    """
    now = context.now()
    tenant, accounts = await owners_of(context, asked.query.tenant, asked.account)
    start, end = await _time(context, asked, tenant, now)
    query = replace(asked.query, tenant=tenant, accounts=accounts, start=start, end=end)
    _check_points(query)
    answer = await context.store.query(replace(query, end=await _read_to(context, end, now)))
    return query, replace(answer, complete_until=answer.complete_until or now)


async def list_events(
    context: UsageContext, wanted: EventQuery, account: str
) -> Sequence[UsageEvent]:
    """Return a page of events, the latest first. Raises NotFound (the account) and Unavailable."""
    tenant, accounts = await owners_of(context, wanted.tenant, account)
    return await context.store.events(replace(wanted, tenant=tenant, accounts=accounts))


async def owners_of(
    context: UsageContext, tenant: str, account: str
) -> tuple[str, tuple[str, ...] | None]:
    """Return the tenant and the accounts of it that count; None for all of them.

    Raises NotFound (the account) and Unavailable.
    """
    if not account:
        return tenant, None
    policies = context.context.policies
    tenant = tenant_of(account)
    # Accounts below it may be new.
    policies.forget(tenant)
    policy = await policies.of(account)
    return tenant, None if account == tenant else tuple(policy.below(account))


async def _time(
    context: UsageContext, asked: Asked, tenant: str, now: datetime
) -> tuple[datetime, datetime]:
    end = asked.end or _quarter(now) + QUARTER
    if asked.start is not None:
        return _checked(asked.start, end)
    zone = ZoneInfo(await context.store.time_zone())
    if asked.span is None:
        start = _began(Span.DAY, (end - QUARTER).astimezone(zone) - _DEFAULT)
    elif asked.span is Span.ALL:
        start = await context.store.first_time(tenant) or end - _DEFAULT
    else:
        start = _began(asked.span, now.astimezone(zone))
    return _checked(start, end)


async def _read_to(context: UsageContext, end: datetime, now: datetime) -> datetime:
    """Return until when to read: nothing is behind the present, so that its day is a whole one."""
    if end <= now:
        return end
    local = now.astimezone(ZoneInfo(await context.store.time_zone()))
    tomorrow = _began(Span.DAY, _began(Span.DAY, local).astimezone(local.tzinfo) + _A_DAY_ON)
    return max(end, tomorrow)


def _checked(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    if start >= end:
        raise InvalidRequest.of("end_time", "must be later than start_time")
    return start, end


def _quarter(moment: datetime) -> datetime:
    seconds = int(QUARTER.total_seconds())
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def _began(span: Span, local: datetime) -> datetime:
    """Return when the hour, day, week, month or year of a local time began."""
    if span is Span.HOUR:
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return local.astimezone(UTC) - past
    day = local.date()
    if span is Span.WEEK:
        day -= timedelta(days=day.weekday())
    elif span is Span.MONTH:
        day = day.replace(day=1)
    elif span is Span.YEAR:
        day = day.replace(month=1, day=1)
    return datetime(day.year, day.month, day.day, tzinfo=local.tzinfo).astimezone(UTC)


def _check_points(query: UsageQuery) -> None:
    """Raise InvalidRequest for more steps than an answer holds."""
    if query.interval is None:
        return
    seconds = (query.end - query.start).total_seconds()
    count = int(seconds // _STEP_SECONDS[query.interval]) + 2
    points = count * (query.limit + 1 if query.group_by else 1)
    if points > POINTS_MAX:
        raise InvalidRequest.of(
            "interval",
            f"makes about {points} points, and an answer has at most {POINTS_MAX}: take longer "
            "steps, a shorter time or a smaller page_size",
        )
