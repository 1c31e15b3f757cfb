"""UsageService: the usage log as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc

from authority.domain.usage import EventPlace, EventQuery
from authority.domain.usage_export import ExportFormat, ExportPlace, UsageExporter
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader, enum_name
from authority.rpc.usage_requests import digest, read_filter, read_moment, read_owners
from authority.usecases.usage import UsageContext
from authority.usecases.usage_export import end_of_export, export_usage
from authority.v1 import usage_service_pb2 as messages
from authority.v1 import usage_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]
_LAST_MS = 253_402_300_799_000


class UsageExporting(usage_service_pb2_grpc.UsageServiceServicer):
    """The part of UsageService that is about files."""

    _usage: UsageContext
    _exporter: UsageExporter

    async def ExportUsage(
        self, request: messages.ExportUsageRequest, context: Call
    ) -> AsyncIterator[messages.ExportUsageResponse]:
        reader = Reader()
        wanted, account, form = _read(reader, request)
        reader.finish()
        scope = ["usage_export", digest(wanted, account, form)]
        # An export that goes on ends where it was to end when it began.
        token = read_page_token(request.resume_token, scope, [""] * 5, field="resume_token")
        end_ms, tenant, time_ms, sequence, count = token
        after: ExportPlace | None = None
        if end_ms:
            end = _moment(end_ms)
            last = EventPlace(_moment(time_ms), tenant, page_number(sequence))
            after = ExportPlace(last, page_number(count))
        else:
            end = await end_of_export(self._usage, self._exporter, wanted)
        wanted = replace(wanted, end=end)
        pieces = export_usage(self._usage, self._exporter, wanted, account, form, after)
        async with aclosing(pieces) as written:  # type: ignore[type-var]  # It is a generator.
            async for piece in written:
                response = messages.ExportUsageResponse(chunk=piece.chunk)
                response.end_time.FromDatetime(end)
                if piece.place is not None:
                    response.event_count = piece.place.event_count
                    response.resume_token = make_page_token(scope, _key(end, piece.place))
                yield response


def _read(
    reader: Reader, request: messages.ExportUsageRequest
) -> tuple[EventQuery, str, ExportFormat]:
    tenant, account = read_owners(reader, request)
    start = read_moment(reader, "start_time", request)
    end = read_moment(reader, "end_time", request)
    if start is not None and end is not None and start >= end:
        reader.wrong("end_time", "must be later than start_time")
    form = ExportFormat.CSV
    if request.format:
        name = enum_name(messages.UsageExportFormat, request.format)
        form = reader.word("format", "USAGE_EXPORT_FORMAT", name, ExportFormat, form)
    wanted = EventQuery(
        tenant=tenant, start=start, end=end, filter=read_filter(reader, request.filter)
    )
    return wanted, account, form


def _key(end: datetime, place: ExportPlace) -> list[str]:
    last = place.last
    return [
        *(_milliseconds(end), last.tenant, _milliseconds(last.event_time)),
        *(str(last.sequence), str(place.event_count)),
    ]


def _milliseconds(moment: datetime) -> str:
    # Times of operations are whole milliseconds.
    return str(round(moment.timestamp() * 1000))


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(min(page_number(text), _LAST_MS) / 1000, UTC)
