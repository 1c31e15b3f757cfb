"""Helpers of the tests about providers' bills: files as providers export them, and attempts."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import uuid_utils

from authorities import new_key
from authority.v1 import reconciliation_service_pb2 as messages
from authority.v1 import reconciliation_service_pb2_grpc

OPENAI_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,"
    "quantity_unit,line_item,user_id,api_key_id,project_id,organization_id,project_name,"
    "organization_name,user_email,api_source"
)
FAL_HEADER = "bucket,endpoint_id,unit,quantity,unit_price,cost,currency,auth_method"
MODEL = "gpt-image-1"


def openai_row(day, amount="", item="", quantity=""):
    """Return a row of a cost export; without an amount, of a day on which nothing was used."""
    start = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
    currency = "usd" if amount else ""
    return (
        f"{start},{start + 86400},{day}T00:00:00+00:00,,{amount},{currency},{quantity},,"
        f'"{item}",,key_1,proj_1,org-1,Project,Org,someone@example.com,'
    )


def openai_file(*rows):
    """Return a cost export."""
    return "\n".join([OPENAI_HEADER, *rows, ""]).encode()


def fal_row(bucket, endpoint, cost, quantity="1", unit="image"):
    """Return a row of a usage export."""
    return f"{bucket},{endpoint},{unit},{quantity},0.1,{cost},USD,Production Key"


def fal_file(*rows):
    """Return a usage export."""
    return "\r\n".join([FAL_HEADER, *rows, ""]).encode()


class Billing:
    """ReconciliationService as generated stubs, and shorthands over it."""

    def __init__(self, stubs, connection=None):
        self._stubs = stubs
        self._connection = connection
        self.service = reconciliation_service_pb2_grpc.ReconciliationServiceStub(stubs.channel)
        self.metadata = stubs.metadata

    async def import_file(self, content, provider="openai", *, size=1000, **header):
        """Import a file, in chunks of a size."""

        def parts():
            made = messages.BillHeader(provider=provider, **header)
            yield messages.ImportBillRequest(header=made)
            for start in range(0, len(content), size):
                yield messages.ImportBillRequest(chunk=content[start : start + size])

        return await self.service.ImportBill(parts(), metadata=self.metadata)

    async def bills(self, **fields):
        """Return all bills."""
        return await self._all("ListBills", messages.ListBillsRequest(**fields), "bills")

    async def days(self, **fields):
        """Return all comparisons."""
        fields = {"start_day": "2026-01-01", "end_day": "2026-12-31"} | fields
        return await self._all("ListBillDays", messages.ListBillDaysRequest(**fields), "days")

    async def day(self, **fields):
        """Return the only comparison."""
        (found,) = await self.days(**fields)
        return found

    async def presumed(self, **fields):
        """Return all attempts that were presumed spent."""
        fields = {"start_day": "2026-01-01", "end_day": "2026-12-31"} | fields
        request = messages.ListPresumedAttemptsRequest(**fields)
        return await self._all("ListPresumedAttempts", request, "attempts")

    async def adjustments(self, **fields):
        """Return all adjustments."""
        request = messages.ListBillAdjustmentsRequest(**fields)
        return await self._all("ListBillAdjustments", request, "adjustments")

    async def adjust(self, day, model=MODEL, provider="openai", key=None, reason="bill", **fields):
        """Adjust a day."""
        request = messages.AdjustBillDayRequest(
            idempotency_key=key or new_key(),
            day=day,
            provider=provider,
            model=model,
            reason=reason,
            **fields,
        )
        return await self.service.AdjustBillDay(request, metadata=self.metadata)

    async def withdraw(self, bill_id, **fields):
        """Take a bill out."""
        request = messages.WithdrawBillRequest(bill_id=bill_id, **fields)
        return (await self.service.WithdrawBill(request, metadata=self.metadata)).bill

    async def _all(self, method, request, field):
        found = []
        while True:
            page = await getattr(self.service, method)(request, metadata=self.metadata)
            found += getattr(page, field)
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def attempt(
        self,
        account,
        cost,
        at,
        *,
        presumed=False,
        model=MODEL,
        provider="openai",
        charged=None,
    ):
        """Let an attempt be made, and paid by its account; return its generation's id.

        `at` is when the provider was called, in UTC.
        """
        tenant = account.partition("/")[0]
        generation_id = f"{tenant}/{uuid_utils.uuid7()}"
        labels = {"generation": generation_id, "attempt": "1"}
        held = await self._stubs.reserve(
            account, {"USD": cost if charged is None else charged, "IMAGES": 1}, labels=labels
        )
        reservation_id = held.reservation.reservation_id
        await self._stubs.commit(reservation_id, {"USD": cost, "IMAGES": 1})
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
        await self._connection.execute(
            "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt,"
            " requested_model, size, quality, count, state, end_time)"
            " VALUES (%s, %s, %s, %s, 'image', 'a fox', '', '', '', 1, 'SUCCEEDED', now())",
            [generation_id, tenant, account, str(uuid.uuid4())],
        )
        await self._connection.execute(
            "INSERT INTO generation_attempt (generation_id, attempt, state, options, option_index,"
            " provider, model, reservation_id, actual_micros, actual_images, charged_micros,"
            " presumed_spent, dispatch_time, settle_time)"
            " VALUES (%s, 1, 'COMMITTED', '[]', 0, %s, %s, %s, %s, 1, %s, %s, %s, %s)",
            [
                *(generation_id, provider, model, reservation_id, cost),
                *(cost if charged is None else charged, presumed, moment, moment),
            ],
        )
        return generation_id
