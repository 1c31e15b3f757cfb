"""AdminService: the ledger read and the hot state made anew from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from authority.domain.errors import NotFound
from authority.domain.history import EntryFilter, EntryRow
from authority.recovery.rebuild import Rebuilt
from authority.rpc.convert import set_time, unit_to_proto
from authority.rpc.pages import make_page_token, page_number, read_page_token
from authority.rpc.requests import Reader
from authority.usecases.context import Context
from authority.usecases.past import Past
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import admin_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]
_NO_END_MS = 253_402_300_800_000  # the year 10000


class LedgerServicing(admin_service_pb2_grpc.AdminServiceServicer):
    """The part of AdminService that is about the ledger."""

    _context: Context
    _past: Past
    _rebuild: Callable[[str], Awaitable[Rebuilt]]

    async def ListLedgerEntries(
        self, request: messages.ListLedgerEntriesRequest, context: Call
    ) -> messages.ListLedgerEntriesResponse:
        reader = Reader()
        account = reader.account(request.account)
        reservation_id = request.reservation_id and reader.reservation_id(request.reservation_id)
        start_ms = reader.time("start_time", request)
        end_ms = reader.time("end_time", request) or _NO_END_MS
        if start_ms > end_ms:
            reader.wrong("end_time", "must not be earlier than `start_time`")
        size = reader.page_size(request.page_size)
        latest_first = reader.is_descending(request.order_by, "sequence")
        reader.finish()
        scope = ["entries", account, reservation_id, *map(str, (start_ms, end_ms, latest_first))]
        sequence, line = read_page_token(request.page_token, scope, ["", ""])
        rows = await self._past.entries(
            account,
            EntryFilter(reservation_id, start_ms, end_ms),
            (page_number(sequence), page_number(line)) if sequence else None,
            size + 1,
            latest_first=latest_first,
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            more = make_page_token(scope, [str(page[-1].sequence), str(page[-1].line)])
        return messages.ListLedgerEntriesResponse(entries=map(_entry, page), next_page_token=more)

    async def Rebuild(
        self, request: messages.RebuildRequest, context: Call
    ) -> messages.RebuildResponse:
        if request.tenant:
            reader = Reader()
            reader.tenant(request.tenant)
            reader.finish()
            if await self._context.ledger.policy(request.tenant) is None:
                raise NotFound("tenant", request.tenant)
        rebuilt = await self._rebuild(request.tenant)
        return messages.RebuildResponse(tenant_count=rebuilt.tenants, epoch=rebuilt.epoch)


def _entry(row: EntryRow) -> messages.LedgerEntry:
    message = messages.LedgerEntry(
        operation_id=row.operation_id,
        line=row.line,
        sequence=row.sequence,
        kind=row.kind,
        account=row.account,
        reservation_id=row.reservation_id,
        book=row.book,
        budget=row.budget,
        grant_id=row.grant_id,
        unit=unit_to_proto(row.unit),
        amount=row.amount,
        idempotency_key=row.idempotency_key,
    )
    if row.cache_use is not None:
        message.cache_use.CopyFrom(messages.CacheUse(**row.cache_use._asdict()))
    set_time(message.window_start_time, row.window_start_ms)
    set_time(message.create_time, row.decide_ms)
    return message
