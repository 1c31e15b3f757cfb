"""Reads what is asked of usage."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from authority.domain.ids import is_owned_id, tenant_of
from authority.domain.operations import DenialReason
from authority.domain.usage import (
    DIMENSIONS_MAX,
    QUARTER,
    VALUES_MAX,
    Dimension,
    EventQuery,
    Interval,
    Order,
    Outcome,
    UsageFilter,
    UsageQuery,
)
from authority.rpc.requests import LABEL_VALUE_LENGTH_MAX, Reader, enum_name
from authority.usecases.usage import Asked, Span
from authority.v1 import errors_pb2
from authority.v1 import usage_service_pb2 as messages

_Word = TypeVar("_Word", bound=StrEnum)
_TEXTS = (
    *("users", "kinds", "providers", "models", "sizes", "qualities"),
    *("stages", "downgrade_reasons", "error_classes"),
)
_FLAGS = ("downgraded", "fallback", "presumed_spent", "late")
_QUARTER_SECONDS = int(QUARTER.total_seconds())
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

DIMENSIONS: dict[int, Dimension] = {
    messages.UsageDimension.Value(f"USAGE_DIMENSION_{dimension.name}"): dimension
    for dimension in Dimension
}


def read_query(reader: Reader, request: messages.QueryUsageRequest) -> Asked:
    """Read what to sum; `offset` is for the page."""
    tenant, account = read_owners(reader, request)
    start, end = _quarter(reader, "start_time", request), _quarter(reader, "end_time", request)
    span = _optional(reader, "span", messages.UsageSpan, "USAGE_SPAN", request.span, Span)
    if span is not None and (start is not None or end is not None):
        reader.wrong("span", "must not be set where start_time or end_time is")
    if start is not None and end is not None and start >= end:
        reader.wrong("end_time", "must be later than start_time")
    order = _optional(
        reader, "order_by", messages.UsageOrder, "USAGE_ORDER", request.order_by, Order
    )
    query = UsageQuery(
        start=_NEVER,
        end=_NEVER,
        tenant=tenant,
        filter=read_filter(reader, request.filter),
        group_by=_dimensions(reader, request.group_by),
        interval=_interval(reader, request.interval),
        order_by=order or Order.CHARGED,
        limit=reader.page_size(request.page_size),
        top_entries=request.top_entries,
    )
    return Asked(query, account, start, end, span)


def read_events(reader: Reader, request: messages.ListUsageEventsRequest) -> tuple[EventQuery, str]:
    """Read which events to list, and of which account."""
    tenant, account = read_owners(reader, request)
    start, end = (
        read_moment(reader, "start_time", request),
        read_moment(reader, "end_time", request),
    )
    if start is not None and end is not None and start >= end:
        reader.wrong("end_time", "must be later than start_time")
    for field in ("generation_id", "reservation_id"):
        value = getattr(request, field)
        if value and not is_owned_id(value):
            reader.wrong(field, "must be an id as it was answered: `tenant/uuid`")
    wanted = EventQuery(
        tenant=tenant,
        start=start,
        end=end,
        filter=read_filter(reader, request.filter),
        generation_id=request.generation_id,
        reservation_id=request.reservation_id,
        limit=reader.page_size(request.page_size) + 1,
    )
    return wanted, account


def read_owners(reader: Reader, request: Any) -> tuple[str, str]:
    """Read whose usage is asked for: a tenant and an account, each '' for all."""
    tenant, account = request.tenant, request.account
    if tenant:
        reader.tenant(tenant)
    if account:
        reader.account(account)
        if tenant and tenant_of(account) != tenant:
            reader.wrong("account", "is not of the tenant in `tenant`; leave one of the two out")
    return tenant, account


def read_filter(reader: Reader, message: messages.UsageFilter) -> UsageFilter:
    """Read which events count."""
    fields: dict[str, Any] = {
        name: _texts(reader, f"filter.{name}", getattr(message, name)) for name in _TEXTS
    }
    given = {field.name for field, _ in message.ListFields()}
    fields |= {name: getattr(message, name) for name in _FLAGS if name in given}
    return UsageFilter(
        **fields,
        outcomes=_words(
            reader,
            "filter.outcomes",
            messages.UsageOutcome,
            "USAGE_OUTCOME",
            message.outcomes,
            Outcome,
        ),
        denial_reasons=_words(
            reader,
            "filter.denial_reasons",
            errors_pb2.DenialReason,
            "DENIAL_REASON",
            message.denial_reasons,
            DenialReason,
        ),
    )


def digest(*parts: object) -> str:
    """Return a short name of what a listing is of, however long that is."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _texts(reader: Reader, field: str, values: Sequence[str]) -> tuple[str, ...]:
    _check_count(reader, field, values)
    for index, value in enumerate(values[:VALUES_MAX]):
        reader.text(f"{field}[{index}]", value, LABEL_VALUE_LENGTH_MAX)
        if not value:
            reader.wrong(f"{field}[{index}]", "must not be empty")
    return tuple(values[:VALUES_MAX])


def _words(
    reader: Reader, field: str, enum: Any, prefix: str, values: Sequence[int], words: type[_Word]
) -> tuple[_Word, ...]:
    _check_count(reader, field, values)
    return tuple(
        reader.word(f"{field}[{index}]", prefix, enum_name(enum, value), words, None)
        for index, value in enumerate(values[:VALUES_MAX])
    )


def _check_count(reader: Reader, field: str, values: Sequence[object]) -> None:
    if len(values) > VALUES_MAX:
        reader.wrong(field, f"must be at most {VALUES_MAX}, not {len(values)}")


def _optional(
    reader: Reader, field: str, enum: Any, prefix: str, value: int, words: type[_Word]
) -> _Word | None:
    return reader.word(field, prefix, enum_name(enum, value), words, None) if value else None


def _dimensions(reader: Reader, values: Sequence[int]) -> tuple[Dimension, ...]:
    if len(values) > DIMENSIONS_MAX:
        reader.wrong("group_by", f"must be at most {DIMENSIONS_MAX}, not {len(values)}")
        return ()
    read: list[Dimension] = []
    for index, value in enumerate(values):
        dimension = DIMENSIONS.get(value)
        if dimension is None:
            names = ", ".join(f"USAGE_DIMENSION_{name.name}" for name in Dimension)
            reader.wrong(f"group_by[{index}]", f"must be one of {names}")
        elif dimension in read:
            reader.wrong(f"group_by[{index}]", f"names {dimension.name} twice")
        else:
            read.append(dimension)
    return tuple(read)


def _interval(reader: Reader, value: int) -> Interval | None:
    if not value:
        return None
    name = (enum_name(messages.UsageInterval, value) or "").removeprefix("USAGE_INTERVAL_")
    if name in Interval.__members__:
        return Interval[name]
    names = ", ".join(f"USAGE_INTERVAL_{word.name}" for word in Interval)
    reader.wrong("interval", f"must be one of {names}")
    return None


def read_moment(reader: Reader, field: str, request: Any) -> datetime | None:
    """Read a time; None if it is not set."""
    milliseconds = reader.time(field, request)
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _quarter(reader: Reader, field: str, request: Any) -> datetime | None:
    moment = getattr(request, field)
    if request.HasField(field) and (moment.seconds % _QUARTER_SECONDS or moment.nanos):
        reader.wrong(field, "must be a full quarter of an hour, such as 14:15:00")
    return read_moment(reader, field, request)
