# Generated from clients/usage_calls.py by tools/sync_client.py; edit that one.
"""Sums and events of what was used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from authority.v1 import usage_service_pb2 as messages
from clients.convert_usage import (
    dimension_to_proto,
    event_from_proto,
    filter_to_proto,
    interval_to_proto,
    order_to_proto,
    report_from_proto,
    span_to_proto,
)
from clients.requests import message, time_to_proto
from clients.sync.projection_calls import SyncProjectionCalls
from clients.usage_types import (
    UsageDimension,
    UsageEvent,
    UsageFilter,
    UsageInterval,
    UsageOrder,
    UsageReport,
    UsageSpan,
)

_PAGE_SIZE = 500
_QUERY_SECONDS = 20.0


class SyncUsageCalls(SyncProjectionCalls):
    """The part of the usage client that is about what was used."""

    def query_usage(
        self,
        *,
        tenant: str = "",
        account: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        span: UsageSpan | None = None,
        filter: UsageFilter | None = None,  # noqa: A002 - as the proto has it
        group_by: Sequence[UsageDimension] = (),
        interval: UsageInterval | None = None,
        order_by: UsageOrder | None = None,
        top_entries: bool = False,
        page_size: int = 0,
        page_token: str = "",
        timeout: float | None = _QUERY_SECONDS,
    ) -> UsageReport:
        """Sum what was used: by default of the last 30 days, of all that the key may see.

        Times are full quarters of an hour. `account` counts with those below it. Groups come in
        pages: `next_page_token` of an answer asks for the next, of the same time.
        """
        request = message(
            messages.QueryUsageRequest,
            tenant=tenant,
            account=account,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
            span=span_to_proto(span),
            filter=filter_to_proto(filter),
            group_by=map(dimension_to_proto, group_by),
            interval=interval_to_proto(interval),
            order_by=order_to_proto(order_by),
            top_entries=top_entries,
            page_size=page_size,
            page_token=page_token,
        )
        response = self._call(self._stub.QueryUsage, request, timeout=timeout)
        return report_from_proto(response)

    def list_usage_events(
        self,
        *,
        tenant: str = "",
        account: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        filter: UsageFilter | None = None,  # noqa: A002 - as the proto has it
        generation_id: str = "",
        reservation_id: str = "",
        page_size: int = _PAGE_SIZE,
    ) -> Iterator[UsageEvent]:
        """Yield events, the latest first. `page_size` is how many are asked for at a time."""
        request = message(
            messages.ListUsageEventsRequest,
            tenant=tenant,
            account=account,
            start_time=time_to_proto(start_time),
            end_time=time_to_proto(end_time),
            filter=filter_to_proto(filter),
            generation_id=generation_id,
            reservation_id=reservation_id,
            page_size=page_size,
        )
        for page in self._pages(self._stub.ListUsageEvents, request):
            for event in page.events:
                yield event_from_proto(event)
