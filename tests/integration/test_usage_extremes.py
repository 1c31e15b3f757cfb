"""The usage log of what is as large as it can be: nothing of it holds anybody's log up."""

from __future__ import annotations

import pytest
from psycopg.types.json import Jsonb

from authority.domain.money import AMOUNT_MAX
from authority.v1 import usage_service_pb2 as messages
from calls import send
from support import eventually

MICROS = 1_000_000


@pytest.fixture
async def tenants(stubs):
    for tenant in ("acme", "globex"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 10 * MICROS)
    return stubs


async def spend(stubs, tenant, amount, **fields):
    held = (await stubs.reserve(tenant, {"USD": 1000}, **fields)).reservation
    await stubs.commit(held.reservation_id, {"USD": amount})


async def events(core, tenant):
    return await core.database.rows(
        "SELECT * FROM usage_event WHERE tenant = %(tenant)s ORDER BY sequence", {"tenant": tenant}
    )


async def all_logged(core, tenant, count):
    async def is_there():
        found = await events(core, tenant)
        return len(found) == count and found

    return await eventually(is_there)


async def test_sums_stop_at_the_largest_there_is_and_hold_nobody_up(core, tenants):
    """A thousand Commits, each of as much as can be counted, are more than a sum can have."""
    await spend(tenants, "acme", 10)
    await all_logged(core, "acme", 1)
    for table in ("usage_rollup", "usage_total", "usage_work_total"):
        await core.database.rows(
            f"UPDATE {table} SET actual_micros = 4611686018427387903 - 5 WHERE tenant <> 'globex'"
            " RETURNING 1",
            {},
        )
    await spend(tenants, "acme", AMOUNT_MAX)
    await all_logged(core, "acme", 2)
    await spend(tenants, "globex", 70)
    await all_logged(core, "globex", 1)
    asked = messages.QueryUsageRequest()
    asked.group_by.append("USAGE_DIMENSION_ACCOUNT")
    answer = await send(tenants, asked)
    assert answer.totals.actual > AMOUNT_MAX


async def test_what_cannot_be_told_of_one_tenant_holds_no_other_up(core, tenants):
    """Whatever it is: here a generation whose provider has told of too many tokens to count."""
    generation = "acme/too-many"
    await core.database.rows(
        "INSERT INTO generation (generation_id, tenant, account, idempotency_key, kind, prompt,"
        " requested_model, size, quality, count, settings, state, downgraded, create_time,"
        " end_time)"
        " VALUES (%(id)s, 'acme', 'acme', %(id)s, 'chat', '', '', '', '', 1, '{}', 'SUCCEEDED',"
        " false, now(), now()) RETURNING 1",
        {"id": generation},
    )
    await core.database.rows(
        "INSERT INTO generation_attempt (generation_id, attempt, state, options, option_index,"
        " provider, model, usage) VALUES (%(id)s, 1, 'COMMITTED', '[{}]', 0, 'p', 'm', %(usage)s)"
        " RETURNING 1",
        {"id": generation, "usage": Jsonb({"input_tokens": 10**30, "output_tokens": 3})},
    )
    await spend(tenants, "acme", 10, labels={"generation": generation, "attempt": "1"})
    await spend(tenants, "globex", 70)
    await all_logged(core, "globex", 1)
    (event,) = await all_logged(core, "acme", 1)
    assert (event["input_tokens"], event["output_tokens"]) == (AMOUNT_MAX, 3)
