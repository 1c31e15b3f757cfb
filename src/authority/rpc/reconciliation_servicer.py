"""ReconciliationService: providers' bills beside the books, and the books made what was billed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any

import grpc

from authority.domain.bills import DayFilter, PresumedAttempt
from authority.domain.errors import InvalidRequest
from authority.rpc.bill_convert import (
    adjustment_to_proto,
    attempt_to_proto,
    bill_to_proto,
    day_to_proto,
)
from authority.rpc.bill_requests import (
    read_adjustment,
    read_bill_id,
    read_days,
    read_header,
    read_provider,
)
from authority.rpc.caller import read_cause
from authority.rpc.pages import make_page_token, page_moment, page_number, read_page_token
from authority.rpc.requests import Reader
from authority.rpc.shield import Shield
from authority.rpc.upload import upload
from authority.usecases.bills import (
    BillContext,
    adjust_day,
    import_bill,
    list_adjustments,
    list_bills,
    list_days,
    list_presumed,
    withdraw_bill,
)
from authority.v1 import reconciliation_service_pb2 as messages
from authority.v1 import reconciliation_service_pb2_grpc

Call = grpc.aio.ServicerContext[Any, Any]


class ReconciliationServicer(reconciliation_service_pb2_grpc.ReconciliationServiceServicer):
    """Errors are turned into statuses by rpc/interceptors.py."""

    def __init__(self, context: BillContext, shield: Shield) -> None:
        self._context = context
        self._shield = shield

    async def ImportBill(
        self, requests: AsyncIterator[messages.ImportBillRequest], context: Call
    ) -> messages.ImportBillResponse:
        first = await anext(requests, None)
        if first is None or not first.HasField("header"):
            raise InvalidRequest.of("header", "must be set in the first message, and in no other")
        header, cause = read_header(first.header)
        async with upload() as received:
            async for request in requests:
                if request.HasField("header"):
                    raise InvalidRequest.of("header", "must be set in the first message alone")
                await received.write(request.chunk)
            # A caller that leaves takes its file along, and nothing of it was imported.
            bill, replayed = await import_bill(
                self._context, header, received.file, received.sha256, cause
            )
        return messages.ImportBillResponse(bill=bill_to_proto(bill), replayed=replayed)

    async def ListBills(
        self, request: messages.ListBillsRequest, context: Call
    ) -> messages.ListBillsResponse:
        reader = Reader()
        provider = read_provider(reader, "provider", request.provider, optional=True)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["bills", provider]
        (before,) = read_page_token(request.page_token, scope, [""])
        rows = await list_bills(self._context, provider, page_number(before), size + 1)
        page = rows[:size]
        more = make_page_token(scope, [str(page[-1].bill_number)]) if len(rows) > size else ""
        return messages.ListBillsResponse(bills=map(bill_to_proto, page), next_page_token=more)

    async def WithdrawBill(
        self, request: messages.WithdrawBillRequest, context: Call
    ) -> messages.WithdrawBillResponse:
        reader = Reader()
        bill_id = read_bill_id(reader, request.bill_id)
        cause = read_cause(reader, request.reason)
        reader.finish()
        bill = await self._shield.run(withdraw_bill(self._context, bill_id, cause))
        return messages.WithdrawBillResponse(bill=bill_to_proto(bill))

    async def ListBillDays(
        self, request: messages.ListBillDaysRequest, context: Call
    ) -> messages.ListBillDaysResponse:
        reader = Reader()
        wanted = read_days(reader, request, self._context.now().astimezone(UTC).date())
        if request.difference_min:
            reader.amount("difference_min", request.difference_min, least=0)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["bill_days", *_scope_of(wanted), str(request.difference_min)]
        day, *after = read_page_token(request.page_token, scope, [""] * 3)
        rows = await list_days(
            self._context, wanted, request.difference_min, [page_moment(day), *after], size + 1
        )
        page = rows[:size]
        more = ""
        if len(rows) > size:
            last = page[-1]
            more = make_page_token(scope, [last.day.isoformat(), last.provider, last.model])
        return messages.ListBillDaysResponse(days=map(day_to_proto, page), next_page_token=more)

    async def ListPresumedAttempts(
        self, request: messages.ListPresumedAttemptsRequest, context: Call
    ) -> messages.ListPresumedAttemptsResponse:
        reader = Reader()
        wanted = read_days(reader, request, self._context.now().astimezone(UTC).date())
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["presumed_attempts", *_scope_of(wanted)]
        key = read_page_token(request.page_token, scope, [""] * 6)
        day, provider, model, time, generation_id, attempt = key
        after = [
            *(page_moment(day), provider, model, page_moment(time), generation_id),
            str(page_number(attempt)),
        ]
        rows = await list_presumed(self._context, wanted, after, size + 1)
        page = rows[:size]
        more = make_page_token(scope, _key_of(page[-1])) if len(rows) > size else ""
        return messages.ListPresumedAttemptsResponse(
            attempts=map(attempt_to_proto, page), next_page_token=more
        )

    async def AdjustBillDay(
        self, request: messages.AdjustBillDayRequest, context: Call
    ) -> messages.AdjustBillDayResponse:
        reader = Reader()
        wanted = read_adjustment(reader, request)
        cause = read_cause(reader, request.reason)
        reader.finish()
        work = adjust_day(self._context, wanted, cause)
        adjustment, replayed = await self._shield.run(work)
        return messages.AdjustBillDayResponse(
            adjustment=adjustment_to_proto(adjustment), replayed=replayed
        )

    async def ListBillAdjustments(
        self, request: messages.ListBillAdjustmentsRequest, context: Call
    ) -> messages.ListBillAdjustmentsResponse:
        reader = Reader()
        provider = read_provider(reader, "provider", request.provider, optional=True)
        size = reader.page_size(request.page_size)
        reader.finish()
        scope = ["bill_adjustments", provider]
        (before,) = read_page_token(request.page_token, scope, [""])
        rows = await list_adjustments(self._context, provider, before, size + 1)
        page = rows[:size]
        more = make_page_token(scope, [page[-1].adjustment_id]) if len(rows) > size else ""
        return messages.ListBillAdjustmentsResponse(
            adjustments=map(adjustment_to_proto, page), next_page_token=more
        )


def _scope_of(wanted: DayFilter) -> list[str]:
    return list(map(str, wanted))


def _key_of(attempt: PresumedAttempt) -> list[str]:
    time = attempt.call_time.astimezone(UTC)
    return [
        time.date().isoformat(),
        attempt.provider,
        attempt.model,
        time.isoformat(),
        attempt.generation_id,
        str(attempt.attempt),
    ]
