"""What tests look at of the platform's budgets: what is leased, and what is used."""

from __future__ import annotations

from typing import NamedTuple

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2
from authority.v1.resources_pb2 import Budget
from calls import send
from refusals import Refusal

TENANTS = ["acme", "globex", "initech"]
SUMS = (
    "SELECT share.tenant, coalesce(lease.amount, 0) AS amount,"
    " coalesce(total.reserved + total.committed - total.refunded, 0) AS used"
    " FROM platform_share AS share LEFT JOIN platform_lease AS lease USING (share_key)"
    " LEFT JOIN window_total AS total ON total.budget_key = share.share_key"
    " AND total.window_start_ms = lease.window_start_ms"
)


class Standing(NamedTuple):
    """By tenant, over all windows of all budgets of the platform."""

    leased: dict[str, int]
    used: dict[str, int]

    @classmethod
    def of(cls, rows) -> Standing:
        """Add up the rows of SUMS."""
        found = cls({}, {})
        for row in rows:
            for sums, name in ((found.leased, "amount"), (found.used, "used")):
                sums[row["tenant"]] = sums.get(row["tenant"], 0) + row[name]
        return found


async def standing(core) -> Standing:
    """Return what is leased and what is used."""
    return Standing.of(await core.database.rows(SUMS, {}))


async def make_tenants(stubs, limit=1_000_000, **fields):
    """Make the tenants, each with a budget of its own."""
    for tenant in TENANTS:
        await stubs.account(tenant, **fields)
        await stubs.set_budget(tenant, limit)


async def change_limit(stubs, limit, name="usd-day"):
    """Change the limit of a budget of the platform."""
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="platform", budget=name, limit=limit),
        update_mask=FieldMask(paths=["limit"]),
    )
    return (await send(stubs, request)).budget


async def try_reserve(stubs, tenant, amount, **fields):
    """Return the reservation, or None where the platform's budget does not allow it."""
    try:
        return (await stubs.reserve(tenant, {"USD": amount}, **fields)).reservation
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        denial = Refusal.of(error).detail(errors_pb2.Denial)
        assert {row.account for row in denial.limiting_budgets} == {"platform"}, denial
        return None
