"""Reconciliation: what providers have billed beside what is booked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from authority.v1 import reconciliation_service_pb2 as messages
from authority.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from clients.bill_types import (
    Bill,
    BillAdjustment,
    BillDay,
    BillFormat,
    BillImport,
    PresumedAttempt,
)
from clients.channel import Client
from clients.concurrency import in_thread
from clients.convert_bills import (
    adjustment_from_proto,
    attempt_from_proto,
    bill_from_proto,
    day_from_proto,
)
from clients.requests import message, new_key

_PAGE_SIZE = 500
_CHUNK_BYTES = 256 * 1024
_IMPORT_SECONDS = 120.0
_COMPARE_SECONDS = 60.0


class ReconciliationClient(Client):
    """For keys of the platform. Errors are those of `clients.errors`."""

    def _make_stub(self) -> None:
        self._stub = ReconciliationServiceStub(self._channel)

    async def import_bill(
        self,
        path: Path,
        provider: str,
        *,
        form: BillFormat | None = None,
        source: str = "",
        start_day: date | None = None,
        end_day: date | None = None,
        reason: str = "",
        timeout: float = _IMPORT_SECONDS,
    ) -> BillImport:
        """Import a provider's export, all of it or nothing; the same content once.

        `form` is by the provider's name unless it is given; `source` tells several accounts at one
        provider apart. The bill covers the days of its lines, or those that are given. Raises
        OSError, and InvalidRequest naming each line and column that can't be read.
        """
        header = message(
            messages.BillHeader,
            provider=provider,
            format=messages.BillFormat.Value(f"BILL_FORMAT_{form or 'UNSPECIFIED'}"),
            source=source,
            file_name=path.name,
            start_day=_text(start_day),
            end_day=_text(end_day),
            reason=reason,
        )
        file = await in_thread(path.open, "rb")
        try:

            def send(request: messages.BillHeader, **options: Any) -> Any:
                return self._stub.ImportBill(_parts(request, file), **options)

            method: Any = send
            response = await self._call(method, header, timeout=timeout)
        finally:
            await in_thread(file.close)
        return BillImport(bill_from_proto(response.bill), response.replayed)

    async def list_bills(
        self, *, provider: str = "", page_size: int = _PAGE_SIZE
    ) -> AsyncIterator[Bill]:
        """Yield the bills, the latest first. `page_size` is how many are asked for at a time."""
        request = message(messages.ListBillsRequest, provider=provider, page_size=page_size)
        async for page in self._pages(self._stub.ListBills, request):
            for bill in page.bills:
                yield bill_from_proto(bill)

    async def withdraw_bill(self, bill_id: str, *, reason: str = "") -> Bill:
        """Take a bill out that should not have been imported. Repeating it is safe."""
        request = message(messages.WithdrawBillRequest, bill_id=bill_id, reason=reason)
        return bill_from_proto((await self._call(self._stub.WithdrawBill, request)).bill)

    async def list_days(
        self,
        *,
        start_day: date | None = None,
        end_day: date | None = None,
        provider: str = "",
        model: str = "",
        difference_min: int = 0,
        page_size: int = _PAGE_SIZE,
        timeout: float = _COMPARE_SECONDS,
    ) -> AsyncIterator[BillDay]:
        """Yield what was billed beside what is booked, by day, provider and model.

        The latest day comes first; without days, the last 31. With `difference_min`, in micros,
        only those that differ by so much.
        """
        request = message(
            messages.ListBillDaysRequest,
            start_day=_text(start_day),
            end_day=_text(end_day),
            provider=provider,
            model=model,
            difference_min=difference_min,
            page_size=page_size,
        )
        async for page in self._pages(self._stub.ListBillDays, request, timeout=timeout):
            for day in page.days:
                yield day_from_proto(day)

    async def list_presumed(
        self,
        *,
        start_day: date | None = None,
        end_day: date | None = None,
        provider: str = "",
        model: str = "",
        page_size: int = _PAGE_SIZE,
        timeout: float = _COMPARE_SECONDS,
    ) -> AsyncIterator[PresumedAttempt]:
        """Yield the attempts that were presumed spent, each with what the bill has for it."""
        request = message(
            messages.ListPresumedAttemptsRequest,
            start_day=_text(start_day),
            end_day=_text(end_day),
            provider=provider,
            model=model,
            page_size=page_size,
        )
        async for page in self._pages(self._stub.ListPresumedAttempts, request, timeout=timeout):
            for attempt in page.attempts:
                yield attempt_from_proto(attempt)

    async def adjust_day(
        self,
        day: date,
        provider: str,
        model: str,
        *,
        reason: str,
        account: str = "",
        keep_charges: bool = False,
        idempotency_key: str | None = None,
        timeout: float = _COMPARE_SECONDS,
    ) -> BillAdjustment:
        """Make the books' cost of a day what was billed; nobody is charged for it.

        Who was charged for an attempt that was not billed gets that back, unless `keep_charges`.
        What is of no attempt is of `account`, else of the tenants by what they have booked.
        Raises BillStateError where there is no bill, or no difference.
        """
        request = message(
            messages.AdjustBillDayRequest,
            idempotency_key=idempotency_key or new_key(),
            day=_text(day),
            provider=provider,
            model=model,
            account=account,
            keep_charges=keep_charges,
            reason=reason,
        )
        response = await self._call(
            self._stub.AdjustBillDay, request, timeout=timeout, key=request.idempotency_key
        )
        return adjustment_from_proto(response.adjustment, replayed=response.replayed)

    async def list_adjustments(
        self, *, provider: str = "", page_size: int = _PAGE_SIZE
    ) -> AsyncIterator[BillAdjustment]:
        """Yield what was adjusted, the latest first."""
        request = message(
            messages.ListBillAdjustmentsRequest, provider=provider, page_size=page_size
        )
        async for page in self._pages(self._stub.ListBillAdjustments, request):
            for adjustment in page.adjustments:
                yield adjustment_from_proto(adjustment)


async def _parts(
    header: messages.BillHeader, file: BinaryIO
) -> AsyncIterator[messages.ImportBillRequest]:
    yield messages.ImportBillRequest(header=header)
    try:
        await in_thread(file.seek, 0)  # A call that failed may have read some of it.
        while chunk := await in_thread(file.read, _CHUNK_BYTES):
            yield messages.ImportBillRequest(chunk=chunk)
    except ValueError:
        return  # The file was closed: the call has ended before it was read.


def _text(day: date | None) -> str:
    return day.isoformat() if day else ""
