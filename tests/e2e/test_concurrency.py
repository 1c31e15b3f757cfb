"""No overspend, whatever comes at once, through several authority processes."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import pytest

from authorities import new_key

CALLERS = 500


@pytest.fixture
async def pair(make_authority_process, ledger_url, redis_url):
    """Two authority processes on the same stores."""
    processes = [await make_authority_process(ledger_url, redis_url) for _ in range(2)]
    return [await process.start() for process in processes]


async def _attempt(stubs, account, key, amounts):
    """Reserve; return the reservation's id, or the account whose budget was the tightest."""
    try:
        held = await stubs.reserve(account, amounts, key=key)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return "denied"
    return held.reservation.reservation_id


async def _all_at_once(pair, account, keys, amounts):
    """Send one Reserve for each key, by turns to either process."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_attempt(pair[index % 2], account, key, amounts))
            for index, key in enumerate(keys)
        ]
    return [task.result() for task in tasks]


async def test_exactly_what_fits_is_admitted(pair):
    await pair[0].account("acme")
    await pair[0].set_budget("acme", 1_000_000)
    keys = [new_key() for _ in range(CALLERS)]
    first = await _all_at_once(pair, "acme", keys, {"USD": 40_000})
    admitted = [name for name in first if name != "denied"]
    assert len(admitted) == len(set(admitted)) == 25
    assert await pair[1].balance("acme") == {("acme", "usd-day"): (1_000_000, 0, 0, 0)}
    # Replays, each sent to the other process, get their first answers and change nothing.
    again = await _all_at_once(pair[::-1], "acme", keys, {"USD": 40_000})
    assert again == first
    assert await pair[0].balance("acme") == {("acme", "usd-day"): (1_000_000, 0, 0, 0)}
    assert await pair[0].differences() == []


@pytest.mark.parametrize("binding", ["acme", "acme/team", "acme/alice"])
async def test_the_tightest_of_three_levels_binds(pair, binding):
    stubs = pair[0]
    await stubs.account("acme")
    await stubs.account("acme/team")
    await stubs.account("acme/alice", parent="acme/team")
    limits = dict.fromkeys(("acme", "acme/team", "acme/alice"), 10_000_000)
    limits[binding] = 1_000_000
    for account, limit in limits.items():
        await stubs.set_budget(account, limit)
    keys = [new_key() for _ in range(200)]
    answers = await _all_at_once(pair, "acme/alice", keys, {"USD": 40_000})
    assert len([name for name in answers if name != "denied"]) == 25
    balances = await stubs.balance("acme/alice")
    assert {account: row[0] for (account, _), row in balances.items()} == dict.fromkeys(
        limits, 1_000_000
    )
    assert await stubs.differences() == []


async def test_one_key_at_once_is_one_hold(pair):
    await pair[0].account("acme")
    await pair[0].set_budget("acme", 1_000_000)
    key = new_key()
    answers = await _all_at_once(pair, "acme", [key] * 100, {"USD": 40_000})
    assert len(set(answers)) == 1
    assert await pair[0].balance("acme") == {("acme", "usd-day"): (40_000, 0, 0, 960_000)}


async def test_one_key_for_two_requests_at_once_has_one_effect(pair):
    await pair[0].account("acme")
    await pair[0].set_budget("acme", 1_000_000)
    key = new_key()

    async def attempt(index):
        try:
            await pair[index % 2].reserve("acme", {"USD": 10_000 * (1 + index % 2)}, key=key)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(attempt(index)) for index in range(50)]
    codes = Counter(task.result() for task in tasks)
    assert codes == {grpc.StatusCode.OK: 25, grpc.StatusCode.ALREADY_EXISTS: 25}
    (row,) = (await pair[0].balance("acme")).values()
    assert row[0] in {10_000, 20_000}
