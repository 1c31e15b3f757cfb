"""Usage, from the proto's messages to the values that callers see, and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from authority.v1 import errors_pb2
from authority.v1 import usage_service_pb2 as messages
from clients.convert import time_from_proto, word
from clients.types import DenialReason
from clients.usage_types import (
    UsageCacheEntry,
    UsageDimension,
    UsageEvent,
    UsageFilter,
    UsageGroup,
    UsageInterval,
    UsageOrder,
    UsageOutcome,
    UsagePoint,
    UsageReport,
    UsageSpan,
    UsageSums,
)

_SUMS = tuple(field.name for field in fields(UsageSums))
_RATES = ("success_rate_ppm", "hit_rate_ppm", "average_cost", "roi_ppm")
_EVENT = tuple(field.name for field in fields(UsageEvent))
_FLAGS = ("downgraded", "fallback", "presumed_spent", "late")


def filter_to_proto(wanted: UsageFilter | None) -> messages.UsageFilter:
    """Return the proto's message."""
    if wanted is None:
        return messages.UsageFilter()
    return messages.UsageFilter(
        users=wanted.users,
        kinds=wanted.kinds,
        providers=wanted.providers,
        models=wanted.models,
        sizes=wanted.sizes,
        qualities=wanted.qualities,
        outcomes=(messages.UsageOutcome.Value(f"USAGE_OUTCOME_{word}") for word in wanted.outcomes),
        stages=wanted.stages,
        downgrade_reasons=wanted.downgrade_reasons,
        error_classes=wanted.error_classes,
        denial_reasons=(
            errors_pb2.DenialReason.Value(f"DENIAL_REASON_{word}") for word in wanted.denial_reasons
        ),
        downgraded=wanted.downgraded,
        fallback=wanted.fallback,
        presumed_spent=wanted.presumed_spent,
        late=wanted.late,
    )


def dimension_to_proto(dimension: UsageDimension) -> messages.UsageDimension.ValueType:
    """Return the proto's value."""
    return messages.UsageDimension.Value(f"USAGE_DIMENSION_{dimension}")


def span_to_proto(span: UsageSpan | None) -> messages.UsageSpan.ValueType:
    """Return the proto's value; None is the default."""
    return messages.UsageSpan.Value(f"USAGE_SPAN_{span or 'UNSPECIFIED'}")


def interval_to_proto(interval: UsageInterval | None) -> messages.UsageInterval.ValueType:
    """Return the proto's value; None is no series."""
    return messages.UsageInterval.Value(f"USAGE_INTERVAL_{interval or 'UNSPECIFIED'}")


def order_to_proto(order: UsageOrder | None) -> messages.UsageOrder.ValueType:
    """Return the proto's value; None is the default."""
    return messages.UsageOrder.Value(f"USAGE_ORDER_{order or 'UNSPECIFIED'}")


def report_from_proto(message: messages.QueryUsageResponse) -> UsageReport:
    """Return the sums."""
    return UsageReport(
        totals=sums_from_proto(message.totals),
        points=tuple(map(_point, message.points)),
        groups=tuple(
            UsageGroup(
                tuple(value.value for value in group.values),
                sums_from_proto(group.sums),
                tuple(map(_point, group.points)),
            )
            for group in message.groups
        ),
        group_count=message.group_count,
        next_page_token=message.next_page_token,
        start_time=time_from_proto(message.start_time),
        end_time=time_from_proto(message.end_time),
        time_zone=message.time_zone,
        complete_until=time_from_proto(message.complete_until),
        top_entries=tuple(
            UsageCacheEntry(entry.entry_id, entry.hit_count, entry.saved)
            for entry in message.top_entries
        ),
    )


def sums_from_proto(message: messages.UsageSums) -> UsageSums:
    """Return the sums of some time."""
    given: dict[str, Any] = {name: getattr(message, name) for name in _SUMS}
    return UsageSums(**given | _unset(message, _RATES))


def event_from_proto(message: messages.UsageEvent) -> UsageEvent:
    """Return the event."""
    given: dict[str, Any] = {name: getattr(message, name) for name in _EVENT}
    given |= _unset(message, ("duration_ms", "score_ppm"))
    given["event_time"] = time_from_proto(message.event_time)
    given["outcome"] = word(UsageOutcome, messages.UsageOutcome, "USAGE_OUTCOME_", message.outcome)
    given["denial_reason"] = (
        word(DenialReason, errors_pb2.DenialReason, "DENIAL_REASON_", message.denial_reason)
        if message.denial_reason
        else None
    )
    return UsageEvent(**given)


def _point(message: messages.UsagePoint) -> UsagePoint:
    return UsagePoint(time_from_proto(message.start_time), sums_from_proto(message.sums))


def _unset(message: Any, names: tuple[str, ...]) -> dict[str, None]:
    return {name: None for name in names if not message.HasField(name)}
