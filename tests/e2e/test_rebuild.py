"""Hot state that is made anew from the ledger on request."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from calls import send
from keys import with_key
from refusals import refused


@pytest.fixture
async def acme(stubs):
    for tenant in ("acme", "globex"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 1_000, window="TOTAL")
    return stubs


async def damage(core, tenant):
    """Change what the hot state counts, behind everybody's back."""
    keys = await core.hot.redis.keys(f"pm:{{{tenant}}}:*:window:*")
    assert keys
    for key in keys:
        await core.hot.redis.set(key, "0 999 0")


@pytest.mark.parametrize("tenant", ["acme", ""])
async def test_what_is_wrong_in_the_hot_state_is_put_right(acme, core, tenant):
    for name in ("acme", "globex"):
        held = (await acme.reserve(name, {"USD": 100})).reservation
        await acme.commit(held.reservation_id, {"USD": 60})
    open_hold = (await acme.reserve("acme", {"USD": 5})).reservation
    await damage(core, "acme")
    assert {row.place for row in await acme.differences()} == {"hot_state"}
    before = core.hot.epoch
    rebuilt = await send(acme, admin.RebuildRequest(tenant=tenant))
    assert rebuilt.tenant_count == (1 if tenant else 2)
    assert rebuilt.epoch == before + 1
    assert await acme.differences() == []
    assert await acme.balance("acme") == {("acme", "usd-total"): (5, 60, 0, 935)}
    assert await acme.balance("globex") == {("globex", "usd-total"): (0, 60, 0, 940)}
    # What was held before is settled after.
    await acme.commit(open_hold.reservation_id, {"USD": 5})
    assert await acme.balance("acme") == {("acme", "usd-total"): (0, 65, 0, 935)}


async def test_traffic_goes_on(acme, start_authority):
    """Nothing is lost, doubled or overspent, on two processes, with calls that ask again."""
    _, other = await start_authority()

    async def ask(stubs, key):
        while True:
            try:
                return await stubs.reserve("acme", {"USD": 10}, key=key)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    return error.code()

    async def spend(stubs):
        return [await ask(stubs, new_key()) for _ in range(10)]

    async with asyncio.TaskGroup() as group:
        spends = [group.create_task(spend(stubs)) for stubs in (acme, other) for _ in range(8)]
        for _ in range(3):
            await send(acme, admin.RebuildRequest())
    answers = [answer for task in spends for answer in task.result()]
    assert len(answers) == 160
    assert sum(answer is grpc.StatusCode.RESOURCE_EXHAUSTED for answer in answers) == 60
    assert await acme.balance("acme") == {("acme", "usd-total"): (1_000, 0, 0, 0)}
    assert await acme.differences() == []


async def test_it_is_the_platforms(acme):
    tenants = await with_key(acme, "acme")
    for request in (admin.RebuildRequest(tenant="acme"), admin.RebuildRequest()):
        assert (await refused(send(tenants, request))).code == "PERMISSION_DENIED"
    request = admin.RebuildRequest(tenant="nobody")
    assert (await refused(send(acme, request))).code == "NOT_FOUND"


async def test_no_tenant_serves_in_a_new_epoch_before_it_is_opened(acme, core):
    for tenant in ("acme", "globex"):
        await acme.reserve(tenant, {"USD": 1})
    meta = core.hot.keys("globex").meta
    older = await core.hot.redis.hgetall(meta)
    await acme.reserve("globex", {"USD": 1})
    # As a store does that comes back from an older copy.
    await core.hot.redis.hset(meta, mapping=older)
    await core.epochs.advance(core.hot.epoch)
    for tenant in ("acme", "globex"):
        await acme.reserve(tenant, {"USD": 1})
    assert (await acme.balance("globex"))["globex", "usd-total"] == (3, 0, 0, 997)
    assert await acme.differences() == []


async def test_what_waits_in_the_outbox_is_in_the_ledger_before(acme, core, monkeypatch):
    """It was acknowledged; the process that decided it has died since."""

    async def nothing():
        return 0

    kept = []
    core.sweeper.drain = nothing
    with monkeypatch.context() as patch:
        patch.setattr(core.context.journal, "append_later", lambda *item: kept.append(item))
        await acme.reserve("acme", {"USD": 100}, durability=budget.DURABILITY_HOT)
    assert len(kept) == 1
    await core.epochs.advance(core.hot.epoch)
    assert (await acme.balance("acme"))["acme", "usd-total"] == (100, 0, 0, 900)
    assert await acme.differences() == []
