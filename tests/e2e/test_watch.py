"""WatchBalance: at once, then on every change, and never more watchers than are allowed."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from authority.rpc import watch_servicing
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import resources_pb2
from refusals import refused
from support import eventually


def watch(stubs, account="acme"):
    request = budget.WatchBalanceRequest(account=account)
    return stubs.budget.WatchBalance(request, metadata=stubs.metadata)


async def reserved(call):
    response = await asyncio.wait_for(call.read(), 5)
    return response.balance.balances[0].reserved


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    return stubs


async def test_the_balance_comes_at_once_and_then_on_every_change(acme):
    call = watch(acme)
    assert await reserved(call) == 0
    held = await acme.reserve("acme", {"USD": 40})
    assert await reserved(call) == 40
    await acme.release(held.reservation.reservation_id)
    assert await reserved(call) == 0
    call.cancel()


async def test_nothing_is_sent_while_nothing_changes(acme):
    call = watch(acme)
    await reserved(call)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(call.read())), 1.2)
    call.cancel()


async def test_a_changed_limit_is_a_change(acme):
    call = watch(acme)
    await reserved(call)
    changed = admin.UpdateBudgetRequest(
        budget=resources_pb2.Budget(account="acme", budget="usd-day", limit=5)
    )
    changed.update_mask.paths.append("limit")
    await acme.admin.UpdateBudget(changed, metadata=acme.metadata)
    response = await asyncio.wait_for(call.read(), 5)
    assert response.balance.balances[0].budget.limit == 5
    call.cancel()


async def test_an_unknown_account_is_told(acme):
    assert (await refused(watch(acme, "nobody").read())).reason == "NOT_FOUND"


async def test_watchers_are_bounded_and_make_room_when_they_leave(acme, monkeypatch):
    monkeypatch.setattr(watch_servicing, "WATCHERS_MAX", 2)
    calls = [watch(acme), watch(acme)]
    for call in calls:
        await reserved(call)
    assert (await refused(watch(acme).read())).reason == "UNAVAILABLE"
    calls[0].cancel()
    third = await eventually(lambda: watching(acme))
    third.cancel()
    calls[1].cancel()


async def watching(stubs):
    call = watch(stubs)
    try:
        await reserved(call)
    except grpc.aio.AioRpcError:
        return None
    return call


async def test_a_stop_ends_what_is_watched(authority):
    running, stubs = authority
    await stubs.account("acme")
    call = watch(stubs)
    await call.read()
    running.draining.set()
    refusal = await refused(asyncio.wait_for(call.read(), 5))
    assert refusal.reason == "UNAVAILABLE"
