"""Balances that the Python client watches: each change once, through the authority's own death."""

from __future__ import annotations

import asyncio
import signal

import pytest

from authorities import TOKEN
from clients import AuthorityClient, NotFound, RetryPolicy, Unavailable

SOON = 10


@pytest.fixture
async def process(make_authority_process, ledger_url, redis_url):
    """An authority to be killed, with an account that may spend a dollar."""
    made = await make_authority_process(ledger_url, redis_url)
    stubs = await made.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000_000)
    return made


async def reserved(watched):
    """Return what is reserved in the next balance."""
    async with asyncio.timeout(SOON):
        return (await anext(watched)).balances[0].reserved


async def test_every_change_is_seen_once_through_a_kill_and_a_restart(process):
    async with AuthorityClient(process.address, token=TOKEN) as client:
        watched = client.watch_balance("acme")
        assert await reserved(watched) == 0
        stubs = process.stubs()
        await stubs.reserve("acme", {"USD": 30})
        assert await reserved(watched) == 30
        following = asyncio.create_task(reserved(watched))
        await process.send(signal.SIGKILL)
        stubs = await process.start()
        # What is as it was is not told again; the first thing told is the change.
        await asyncio.sleep(0)
        assert not following.done()
        await stubs.channel.channel_ready()
        await stubs.reserve("acme", {"USD": 12})
        assert await following == 42
        await watched.aclose()


async def test_one_that_stays_away_is_told_after_a_while(process):
    # One attempt more would be the policy's last, were attempts counted.
    few = RetryPolicy(attempts_max=2, delay_max=0.05)
    async with AuthorityClient(process.address, token=TOKEN, retry=few) as client:
        watched = client.watch_balance("acme", outage_max=0.7)
        await reserved(watched)
        await process.send(signal.SIGKILL)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match=process.address):
            await reserved(watched)
        assert asyncio.get_running_loop().time() - began > 0.5


async def test_one_that_is_not_there_or_not_known_is_told_at_once(authority):
    async with AuthorityClient("127.0.0.1:1", token=TOKEN, timeout=0.5) as lost:
        with pytest.raises(Unavailable):
            await reserved(lost.watch_balance("acme"))
    async with AuthorityClient(f"127.0.0.1:{authority[0].port}", token=TOKEN) as client:
        with pytest.raises(NotFound):
            await reserved(client.watch_balance("nobody"))
