"""From the domain's values of usage to its messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from authority.domain.usage import (
    Dimension,
    UsageAnswer,
    UsageEvent,
    UsageGroup,
    UsagePoint,
    UsageQuery,
    UsageSums,
)
from authority.rpc.usage_requests import DIMENSIONS
from authority.usecases.turns import in_turns
from authority.v1 import errors_pb2
from authority.v1 import usage_service_pb2 as messages

_NUMBERS = {dimension: number for number, dimension in DIMENSIONS.items()}
# Fields of events whose names differ on the wire, or whose values are written otherwise.
_RENAMED = {
    "user_name": "user",
    "actual_micros": "actual",
    "charged_micros": "charged",
    "absorbed_micros": "absorbed",
    "refunded_micros": "refunded",
    "credits_micros": "credits",
    "revenue_micros": "revenue",
    "saved_micros": "saved",
}
_OTHERWISE = ("event_time", "outcome", "reason")
_COPIED = {
    field.name: _RENAMED.get(field.name, field.name)
    for field in fields(UsageEvent)
    if field.name not in _OTHERWISE
}


async def answer_to_proto(
    query: UsageQuery, answer: UsageAnswer, next_page_token: str
) -> messages.QueryUsageResponse:
    """Return the proto's message. Of thousands of sums it takes its time, and leaves some."""
    message = messages.QueryUsageResponse(
        totals=sums_to_proto(answer.totals),
        group_count=answer.group_count,
        next_page_token=next_page_token,
        time_zone=answer.time_zone,
        top_entries=(messages.UsageCacheEntry(**use._asdict()) for use in answer.top_entries),
    )
    message.start_time.FromDatetime(query.start)
    message.end_time.FromDatetime(query.end)
    if answer.complete_until is not None:
        message.complete_until.FromDatetime(answer.complete_until)
    await in_turns(_write_sums(message, query, answer))
    return message


def _write_sums(
    message: messages.QueryUsageResponse, query: UsageQuery, answer: UsageAnswer
) -> Iterator[None]:
    for point in answer.points:
        message.points.append(_point(point))
        yield
    for group in answer.groups:
        written = message.groups.add()
        written.CopyFrom(_group(group, query.group_by))
        for point in group.points:
            written.points.append(_point(point))
            yield
        yield


def sums_to_proto(sums: UsageSums) -> messages.UsageSums:
    """Return the proto's message."""
    return messages.UsageSums(
        **sums._asdict(),
        absorbed=sums.absorbed,
        margin=sums.margin,
        success_rate_ppm=sums.success_rate_ppm,
        hit_rate_ppm=sums.hit_rate_ppm,
        average_cost=sums.average_cost,
        roi_ppm=sums.roi_ppm,
    )


def event_to_proto(event: UsageEvent) -> messages.UsageEvent:
    """Return the proto's message."""
    copied = {
        written: value
        for name, written in _COPIED.items()
        if (value := getattr(event, name)) is not None
    }
    message = messages.UsageEvent(
        **copied,
        outcome=messages.UsageOutcome.Value(f"USAGE_OUTCOME_{event.outcome}"),
        denial_reason=errors_pb2.DenialReason.Value(f"DENIAL_REASON_{event.reason}")
        if event.reason
        else errors_pb2.DENIAL_REASON_UNSPECIFIED,
    )
    message.event_time.FromDatetime(event.event_time)
    return message


def _group(group: UsageGroup, group_by: tuple[Dimension, ...]) -> messages.UsageGroup:
    return messages.UsageGroup(
        values=(
            messages.UsageValue(
                dimension=messages.UsageDimension.ValueType(_NUMBERS[dimension]), value=value
            )
            for dimension, value in zip(group_by, group.values, strict=True)
        ),
        sums=sums_to_proto(group.sums),
    )


def _point(point: UsagePoint) -> messages.UsagePoint:
    message = messages.UsagePoint(sums=sums_to_proto(point.sums))
    message.start_time.FromDatetime(point.start)
    return message
