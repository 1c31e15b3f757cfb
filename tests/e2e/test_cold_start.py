"""A tenant that is not in the hot store yet: brought in once for all, and never too late."""

from __future__ import annotations

import asyncio

import pytest

from refusals import refused


@pytest.fixture
async def acme(stubs):
    for tenant in ("acme", "globex"):
        await stubs.account(tenant)
        await stubs.set_budget(tenant, 100, window="TOTAL")
    return stubs


async def test_many_calls_at_once_bring_it_in_once(acme, core):
    counted = []
    read, policy = core.ledger.window_counts, core.ledger.policy

    async def counting_read(refs):
        counted.append("windows")
        return await read(refs)

    async def counting_policy(tenant):
        counted.append("policy")
        return await policy(tenant)

    core.ledger.window_counts, core.ledger.policy = counting_read, counting_policy
    await core.hot.redis.flushdb()
    core.context.policies.forget("acme")
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(acme.reserve("acme", {"USD": 1}))
    assert await acme.balance("acme") == {("acme", "usd-total"): (100, 0, 0, 0)}
    # Calls that come in while others are being answered may need a second reading, not a hundred.
    assert counted.count("windows") < 10
    assert counted.count("policy") < 10


async def test_what_was_read_before_the_store_was_lost_is_not_loaded_after(
    acme, core, start_authority
):
    """A process stops between reading the ledger and loading; meanwhile a hold is made and lost."""
    other, others = await start_authority()
    read = core.ledger.window_counts

    async def slow_read(refs):
        counts = await read(refs)
        core.ledger.window_counts = read
        await others.reserve("acme", {"USD": 60})
        await other.core.hot.redis.flushdb()
        # Both processes enter the next epoch by another tenant; acme is opened, its window is not.
        for stubs in (others, acme):
            await stubs.reserve("globex", {"USD": 1})
        await core.context.open_tenant("acme")
        return counts

    core.ledger.window_counts = slow_read
    await refused(acme.reserve("acme", {"USD": 60}))
    assert await acme.balance("acme") == {("acme", "usd-total"): (60, 0, 0, 40)}
    assert await acme.differences() == []
