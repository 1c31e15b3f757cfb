"""A changed policy binds the next Reserve on every process, whatever was lost on the way."""

from __future__ import annotations

import pytest

from authority.domain.errors import Unavailable
from authority.hotstate.scripts import Script
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1.resources_pb2 import Budget
from calls import send
from refusals import refused


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    await stubs.reserve("acme", {"USD": 1})
    return stubs


async def set_limit(stubs, limit):
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="acme", budget="usd-day", limit=limit)
    )
    request.update_mask.paths.append("limit")
    await send(stubs, request)


async def lose_the_news(core, monkeypatch, stubs, limit):
    """Change a limit while the hot store does not answer, a long time ago."""

    async def away(tenant, version):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(core.hot, "raise_policy_version", away)
        assert (await refused(set_limit(stubs, limit))).code == "UNAVAILABLE"
    async with core.database.connection() as connection:
        await connection.execute("UPDATE tenant SET policy_time = now() - interval '1 hour'")


async def test_a_change_that_the_hot_store_missed_is_caught_up_with(acme, core, monkeypatch):
    held = (await acme.reserve("acme", {"USD": 1})).reservation.reservation_id
    await lose_the_news(core, monkeypatch, acme, 10)
    core.context.policies.forget("acme")
    await acme.reserve("acme", {"USD": 8})
    assert (await refused(acme.reserve("acme", {"USD": 1}))).code == "RESOURCE_EXHAUSTED"
    await lose_the_news(core, monkeypatch, acme, 20)
    core.context.policies.forget("acme")
    await acme.commit(held, {"USD": 5})


async def test_what_was_not_changed_makes_nothing_stale(acme, core):
    before = await core.ledger.policy("acme")
    await refused(acme.account("acme"))
    await refused(acme.set_budget("acme", 5))
    assert (await core.ledger.policy("acme")).version == before.version


async def test_a_change_binds_though_the_scripts_were_lost(acme, core, start_authority):
    running, other = await start_authority()
    await other.reserve("acme", {"USD": 1})  # its policy is warm
    warm = await running.core.context.policies.of("acme")
    await core.hot.redis.script_flush()
    await set_limit(acme, 10)
    assert await running.core.context.policies.of("acme") is warm
    assert (await refused(other.reserve("acme", {"USD": 9}))).code == "RESOURCE_EXHAUSTED"


async def test_scripts_that_were_lost_are_loaded_again(acme, core):
    held = (await acme.reserve("acme", {"USD": 1})).reservation.reservation_id
    epoch = core.hot.epoch
    await core.hot.redis.script_flush()
    await acme.commit(held, {"USD": 1})
    assert core.hot.epoch == epoch
    assert (await acme.balance("acme"))["acme", "usd-day"] == (1, 1, 0, 998)
    for script in Script:
        assert await core.hot.redis.script_exists(core.hot._scripts.hashes[script]) == [True]


async def test_the_sweeper_tells_the_hot_store_what_it_missed(
    acme, core, start_authority, monkeypatch
):
    _, other = await start_authority()
    await other.reserve("acme", {"USD": 1})  # its policy is warm

    async def away(tenant, version):
        raise Unavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(core.hot, "raise_policy_version", away)
        assert (await refused(set_limit(acme, 10))).code == "UNAVAILABLE"
    await core.sweeper.sweep()
    assert (await refused(other.reserve("acme", {"USD": 9}))).code == "RESOURCE_EXHAUSTED"


async def test_a_window_that_is_loaded_leaves_newer_counts_alone(acme, core, monkeypatch):
    """The ledger has not heard yet of what the hot store holds."""
    kept = []
    with monkeypatch.context() as patch:
        patch.setattr(core.context.journal, "append_later", lambda *item: kept.append(item))
        await acme.reserve("acme", {"USD": 100}, durability=budget.DURABILITY_HOT)
    await acme.set_budget("acme", 1_000, window="TOTAL")
    await acme.reserve("acme", {"USD": 5})
    balance = await acme.balance("acme")
    assert balance["acme", "usd-day"] == (106, 0, 0, 894)
    assert balance["acme", "usd-total"] == (5, 0, 0, 995)
