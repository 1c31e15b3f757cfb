"""What was used, as tables; a series has bars on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from clients.usage_types import (
    UsageDimension,
    UsageEvent,
    UsageInterval,
    UsageOrder,
    UsagePoint,
    UsageReport,
    UsageSums,
)
from paymaster.cli.documents import time_text
from paymaster.cli.money import format_amount, format_usd
from paymaster.cli.output import Column, Table, minor, right, wide
from paymaster.cli.shares import share_text

_BAR_WIDTH = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_TOTALS = (Column("measure"), right("total"))
_ENTRIES = (Column("cache_entry"), right("hits"), right("saved"))
_EVENTS = (
    Column("event_time"),
    Column("account"),
    minor("user"),
    Column("outcome"),
    minor("kind"),
    Column("model"),
    minor("size"),
    minor("quality"),
    right("actual"),
    right("charged"),
    Column("refunded", right=True, minor=True),
    Column("credits", right=True, minor=True),
    Column("revenue", right=True, minor=True),
    Column("saved", right=True, minor=True),
    Column("duration_ms", right=True, minor=True),
    minor("cached"),
    minor("downgrade_reason"),
    minor("error"),
    wide("generation_id"),
)


def _credits(micros: int) -> str:
    return format_amount(micros, "CREDITS")


def _cost(micros: int | None) -> str:
    return "-" if micros is None else format_usd(micros)


_Read = Callable[[UsageSums], str]
# What is shown of sums, those that matter most first.
_MEASURES: dict[str, _Read] = {
    "succeeded": lambda sums: str(sums.succeeded_count),
    "failed": lambda sums: str(sums.failed_count),
    "denied": lambda sums: str(sums.denied_count),
    "hits": lambda sums: str(sums.hit_count - sums.reversed_count),
    "charged": lambda sums: format_usd(sums.charged),
    "refunded": lambda sums: format_usd(sums.refunded),
    "actual": lambda sums: format_usd(sums.actual),
    "average_cost": lambda sums: _cost(sums.average_cost),
    "success_rate": lambda sums: share_text(sums.success_rate_ppm),
    "hit_rate": lambda sums: share_text(sums.hit_rate_ppm),
    "saved": lambda sums: format_usd(sums.saved),
    "revenue": lambda sums: format_usd(sums.revenue),
    "margin": lambda sums: format_usd(sums.margin),
    "roi": lambda sums: share_text(sums.roi_ppm),
    "credits": lambda sums: _credits(sums.credits),
    "absorbed": lambda sums: format_usd(sums.absorbed),
    "images": lambda sums: str(sums.images),
    "videos": lambda sums: str(sums.videos),
    "messages": lambda sums: str(sums.messages),
    "input_tokens": lambda sums: str(sums.input_tokens),
    "output_tokens": lambda sums: str(sums.output_tokens),
    "released": lambda sums: str(sums.released_count),
    "expired": lambda sums: str(sums.expired_count),
    "refunds": lambda sums: str(sums.refunded_count),
    "adjustments": lambda sums: str(sums.adjusted_count),
    "downgraded": lambda sums: str(sums.downgraded_count),
    "fallbacks": lambda sums: str(sums.fallback_count),
    "presumed_spent": lambda sums: str(sums.presumed_spent_count),
    "late": lambda sums: str(sums.late_count),
    "average_ms": lambda sums: (
        str(sums.duration_ms // sums.duration_count) if sums.duration_count else "-"
    ),
}
# These are in every row; the others only where there is room.
_KEPT = ("succeeded", "failed", "denied", "hits", "charged", "actual")
_STEPS = ("succeeded", "failed", "denied", "hits", "charged", "actual", "saved", "revenue")
_FORMS = {
    UsageInterval.HOUR: "%Y-%m-%d %H:%M",
    UsageInterval.DAY: "%Y-%m-%d",
    UsageInterval.WEEK: "%Y-%m-%d",
    UsageInterval.MONTH: "%Y-%m",
    UsageInterval.YEAR: "%Y",
}
# What the bars are of: the same as groups are ordered by.
_HEIGHTS: dict[UsageOrder, Callable[[UsageSums], int]] = {
    UsageOrder.CHARGED: lambda sums: sums.charged - sums.refunded,
    UsageOrder.ACTUAL: lambda sums: sums.actual,
    UsageOrder.COUNT: lambda sums: sums.succeeded_count + sums.failed_count + sums.hit_count,
    UsageOrder.SAVED: lambda sums: sums.saved,
    UsageOrder.REVENUE: lambda sums: sums.revenue,
    UsageOrder.LOSS: lambda sums: -sums.margin,
    UsageOrder.NAME: lambda sums: sums.charged - sums.refunded,
}


def report_tables(
    report: UsageReport,
    group_by: Sequence[UsageDimension],
    interval: UsageInterval | None,
    order: UsageOrder,
    *,
    with_bars: bool,
) -> list[Table]:
    """Return the totals, and what was asked for of series, groups and entries of the cache."""
    rows = [[name, read(report.totals)] for name, read in _MEASURES.items()]
    tables = [Table(_TOTALS, rows)]
    if interval is not None:
        tables.append(_series(report, interval, order, with_bars=with_bars))
    if group_by:
        tables.append(_groups(report, group_by))
    if report.top_entries:
        uses = [
            [use.entry_id, str(use.hit_count), format_usd(use.saved)] for use in report.top_entries
        ]
        tables.append(Table(_ENTRIES, uses))
    return tables


def event_table(events: Sequence[UsageEvent]) -> Table:
    """Return a row for each event."""
    return Table(_EVENTS, [_event(event) for event in events])


def bar_of(value: int, largest: int) -> str:
    """Return a bar as long as a value is beside the largest one; none for less than nothing."""
    eighths = max(value, 0) * _BAR_WIDTH * 8 // largest if largest > 0 else 0
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _series(
    report: UsageReport, interval: UsageInterval, order: UsageOrder, *, with_bars: bool
) -> Table:
    columns = [Column(interval.lower()), *map(right, _STEPS)]
    rows = [
        [
            _step(point.start_time, interval, report.time_zone),
            *(_MEASURES[name](point.sums) for name in _STEPS),
        ]
        for point in report.points
    ]
    if with_bars:
        columns.append(Column(_bar_name(order)))
        for row, bar in zip(rows, _bars(report.points, order), strict=True):
            row.append(bar)
    return Table(columns, rows)


def _bar_name(order: UsageOrder) -> str:
    return "charged - refunded" if order is UsageOrder.NAME else order.lower()


def _bars(points: Sequence[UsagePoint], order: UsageOrder) -> list[str]:
    heights = [_HEIGHTS[order](point.sums) for point in points]
    largest = max(heights, default=0)
    return [bar_of(height, largest) for height in heights]


def _step(moment: datetime | None, interval: UsageInterval, time_zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(time_zone)):{_FORMS[interval]}}" if moment else "-"


def _groups(report: UsageReport, group_by: Sequence[UsageDimension]) -> Table:
    columns = [Column(dimension.lower()) for dimension in group_by]
    columns += [Column(name, right=True, minor=name not in _KEPT) for name in _MEASURES]
    rows = [
        [
            *(value or "-" for value in group.values),
            *(read(group.sums) for read in _MEASURES.values()),
        ]
        for group in report.groups
    ]
    return Table(columns, rows)


def _event(event: UsageEvent) -> list[str]:
    return [
        *(time_text(event.event_time), event.account, event.user, event.outcome, event.kind),
        *(event.model, event.size, event.quality),
        *map(format_usd, (event.actual, event.charged, event.refunded)),
        *(_credits(event.credits), format_usd(event.revenue), format_usd(event.saved)),
        "-" if event.duration_ms is None else str(event.duration_ms),
        *(event.cached, event.downgrade_reason, event.error_class or event.denial_reason or ""),
        event.generation_id or event.reservation_id,
    ]
