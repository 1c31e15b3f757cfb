"""UsageService: sums and events of what was used."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc

from authority.domain.usage import EventPlace, UsageEvent
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader
from authority.rpc.usage_convert import answer_to_proto, event_to_proto
from authority.rpc.usage_requests import digest, read_events, read_query
from authority.usecases.usage import UsageContext, list_events, query_usage
from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]
# As of generations: what a client takes by default is 4 MiB.
_PAGE_BYTES_MAX = 3 * 1024 * 1024


class UsageReading(usage_service_pb2_grpc.UsageServiceServicer):
    """The part of UsageService that is about what was used."""

    _usage: UsageContext

    async def QueryUsage(
        self, request: messages.QueryUsageRequest, context: Call
    ) -> messages.QueryUsageResponse:
        reader = Reader()
        asked = read_query(reader, request)
        reader.finish()
        # What has no time of its own is of the time of its first page: the others begin there.
        scope = ["usage", digest(replace(asked, start=None, end=None))]
        offset, start, end = read_page_token(request.page_token, scope, ["", "", ""])
        query = replace(asked.query, offset=page_number(offset))
        if offset:
            asked = replace(asked, start=_from_ms(start), end=_from_ms(end))
        query, answer = await query_usage(self._usage, replace(asked, query=query))
        shown = query.offset + len(answer.groups)
        more = ""
        if answer.groups and shown < answer.group_count:
            more = make_page_token(scope, [str(shown), _to_ms(query.start), _to_ms(query.end)])
        return await answer_to_proto(query, answer, more)

    async def ListUsageEvents(
        self, request: messages.ListUsageEventsRequest, context: Call
    ) -> messages.ListUsageEventsResponse:
        reader = Reader()
        wanted, account = read_events(reader, request)
        reader.finish()
        scope = ["usage_events", digest(replace(wanted, limit=0), account)]
        moment, tenant, sequence = read_page_token(request.page_token, scope, ["", "", ""])
        if moment:
            before = EventPlace(_from_ms(moment), tenant, page_number(sequence))
            wanted = replace(wanted, before=before)
        rows = await list_events(self._usage, wanted, account)
        shown: list[messages.UsageEvent] = []
        room, is_more = _PAGE_BYTES_MAX, len(rows) == wanted.limit
        for event in map(event_to_proto, rows[: wanted.limit - 1]):
            room -= event.ByteSize()
            if room < 0 and shown:
                is_more = True
                break
            shown.append(event)
        more = make_page_token(scope, _place(rows[len(shown) - 1])) if is_more else ""
        return messages.ListUsageEventsResponse(events=shown, next_page_token=more)


def _place(event: UsageEvent) -> list[str]:
    return [_to_ms(event.event_time), event.tenant, str(event.sequence)]


def _to_ms(moment: datetime) -> str:
    # Times of operations are whole milliseconds.
    return str(round(moment.timestamp() * 1000))


def _from_ms(text: str) -> datetime:
    return datetime.fromtimestamp(min(page_number(text) / 1000, 253_402_300_799), UTC)
