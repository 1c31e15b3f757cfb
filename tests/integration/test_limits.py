"""What the limits promise to those that call providers, on a real store."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from generations.queue_control import (
    Limit,
    LimitName,
    limits,
    pause,
    paused,
    resume,
    set_limit,
    unset_limit,
)
from limiting import MovedClock, load_with_clock
from support import eventually
from workers.limits import Busy, Limits, LimitSettings
from workers.limits.scripts import LimitScript

LEASE_S = 5.0
PLACE_MS = 10_000


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url, decode_responses=False) as redis:
        yield redis


@pytest.fixture
async def clock(redis, monkeypatch):
    monkeypatch.setattr("workers.limits.limits.load", load_with_clock)
    clock = MovedClock(redis)
    await clock.write()
    return clock


def limited(redis, lease_s=LEASE_S, **settings):
    """Return limits with few places."""
    fal = {"concurrency": settings.pop("concurrency", 2), "per_minute": settings.pop("rate", 0)}
    return Limits(redis, LimitSettings(provider_limits={"fal": fal}, **settings), lease_s=lease_s)


async def ask(limits, name="one", rank=0, account="acme"):
    """Ask for a slot; return it, or why not."""
    try:
        return await limits.acquire(
            "fal", account=account, generation_id=f"acme/{name}", rank_ms=rank
        )
    except Busy as busy:
        return busy.why


async def test_no_more_call_at_once_than_may_and_each_comes_to_its_turn(redis):
    both = [limited(redis), limited(redis)]
    most, now, done = 0, 0, []

    async def call(number):
        nonlocal most, now
        while True:
            try:
                async with both[number % 2].slot(
                    "fal", account="acme", generation_id=f"acme/{number}", rank_ms=number
                ):
                    now += 1
                    most = max(most, now)
                    for _ in range(3):
                        await redis.ping()
                    now -= 1
                    done.append(number)
                    return
            except Busy as busy:
                assert busy.why == "provider_concurrency"
                assert busy.retry_s < 15.1
                await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(call(number))
    assert most == 2
    assert len(done) == 40
    assert await redis.keys("*:held") == []


async def test_a_place_is_for_who_has_waited_longest_or_matters_most(redis, clock):
    limits = limited(redis, concurrency=1)
    first = await ask(limits, "first")
    assert await ask(limits, "batch", rank=300) == "provider_concurrency"
    assert await ask(limits, "normal", rank=100) == "provider_concurrency"
    assert await ask(limits, "high", rank=50) == "provider_concurrency"
    await limits.release(first)
    assert await ask(limits, "newest", rank=200) == "provider_concurrency"
    assert await ask(limits, "normal", rank=100) == "provider_concurrency"
    high = await ask(limits, "high", rank=50)
    await limits.release(high)
    assert await ask(limits, "batch", rank=300) == "provider_concurrency"
    await limits.release(await ask(limits, "normal", rank=100))
    # One that asks no more is waited for no more.
    assert await ask(limits, "batch", rank=300) == "provider_concurrency"
    await clock.advance(60_000)
    assert not isinstance(await ask(limits, "batch", rank=300), str)


async def test_the_slot_of_a_killed_worker_comes_back_and_its_rerun_has_it(redis, clock):
    killed, other = limited(redis, concurrency=1), limited(redis, concurrency=1)
    await ask(killed, "one")
    await clock.advance(PLACE_MS - 1)
    assert await ask(other, "two", rank=1) == "provider_concurrency"
    # Whoever takes the generation over takes its place over.
    rerun = await ask(other, "one")
    assert not isinstance(rerun, str)
    await clock.advance(PLACE_MS - 1)
    await other.renew_leases()
    await clock.advance(PLACE_MS - 1)
    assert await ask(killed, "two", rank=1) == "provider_concurrency"
    await clock.advance(1)
    assert not isinstance(await ask(killed, "two", rank=1), str)


async def test_a_renewal_that_comes_after_the_release_holds_nothing(redis, monkeypatch):
    limits = limited(redis, concurrency=1)
    slot = await ask(limits, "one")
    run = limits._run

    async def late(script, *rest):
        if script is LimitScript.RENEW:
            await limits.release(slot)
        return await run(script, *rest)

    monkeypatch.setattr(limits, "_run", late)
    await limits.renew_leases()
    assert limits.held == frozenset()
    assert not isinstance(await ask(limits, "two", rank=1), str)


async def test_an_account_has_a_limit_of_its_own(redis, clock):
    limits = limited(redis, concurrency=10, account_concurrency=2)
    held = [await ask(limits, str(n)) for n in range(3)]
    assert held[2] == "account_concurrency"
    assert not isinstance(await ask(limits, "other", account="zeta"), str)
    await limits.release(held[0])
    assert not isinstance(await ask(limits, "2"), str)


async def test_a_generation_that_asks_for_two_providers_has_one_place_in_its_account(redis, clock):
    limits = limited(redis, account_concurrency=1)
    fal = await ask(limits)
    other = await limits.acquire("openai", account="acme", generation_id="acme/one", rank_ms=0)
    await limits.release(fal)
    assert await ask(limits, "two") == "account_concurrency"
    await limits.release(other)
    assert not isinstance(await ask(limits, "two"), str)


async def test_no_minute_sees_more_calls_than_may_be(redis, clock):
    limits = limited(redis, concurrency=0, rate=20)
    granted = []
    for number in range(2000):
        slot = await ask(limits, str(number % 7), rank=number % 7)
        if isinstance(slot, str):
            assert slot == "provider_rate"
        else:
            slot.used = True
            granted.append(clock.now_ms)
            await limits.release(slot)
        await clock.advance(97)
    passed_s = (granted[-1] - granted[0]) / 1000
    for start in granted:
        assert sum(start <= time < start + 60_000 for time in granted) <= 20
    assert len(granted) >= passed_s / 60 * 20 * 0.85


async def test_a_token_that_was_not_used_is_given_back(redis, clock):
    limits = limited(redis, concurrency=0, rate=10)
    for _ in range(3):
        await limits.release(await ask(limits))
    slot = await ask(limits)
    slot.used = True
    await limits.release(slot)
    assert await ask(limits) == "provider_rate"


async def test_failures_open_the_breaker_and_one_probe_closes_it(redis, clock):
    limits = limited(redis, concurrency=5, breaker_failures=3, breaker_open_s=10)

    async def call(outcome, name="one"):
        slot = await ask(limits, name)
        if not isinstance(slot, str):
            await limits.report(slot, outcome)
            await limits.release(slot)
        return slot

    for outcome in ("counts", "counts", "succeeded", "counts", "ignores", "counts"):
        assert not isinstance(await call(outcome), str)
    late = await ask(limits, "late")
    assert not isinstance(await call("counts"), str)
    assert await call("succeeded") == "breaker_open"
    # What began before it opened says nothing.
    await limits.report(late, "succeeded")
    await limits.release(late)
    await clock.advance(9_999)
    assert await call("succeeded") == "breaker_open"
    await clock.advance(1)
    probe = await ask(limits, "probe")
    assert await ask(limits, "two") == "breaker_probing"
    await limits.report(probe, "counts")
    await limits.release(probe)
    await clock.advance(19_999)
    assert await call("succeeded") == "breaker_open"
    await clock.advance(1)
    # A probe that dies, or was not made in the end, leaves the next one to it.
    dead = await ask(limits, "dead")
    limits._held.discard(dead)
    assert await ask(limits, "two") == "breaker_probing"
    await clock.advance(PLACE_MS)
    await limits.release(await ask(limits, "unmade"))
    assert not isinstance(await call("succeeded"), str)
    held = [await ask(limits, str(n)) for n in range(5)]
    assert not any(isinstance(slot, str) for slot in held)


async def test_a_provider_that_wants_operators_is_left_alone_at_once(redis, clock):
    limits = limited(redis, breaker_open_s_max=600)
    slot = await ask(limits)
    await limits.report(slot, "opens")
    await limits.release(slot)
    await clock.advance(599_999)
    assert await ask(limits) == "breaker_open"
    await clock.advance(1)
    assert not isinstance(await ask(limits), str)


async def test_a_provider_that_says_when_to_come_back_is_left_alone_till_then(redis, clock):
    limits = limited(redis)
    slot = await ask(limits)
    await limits.report(slot, "ignores", cooldown_s=30)
    await limits.report(slot, "ignores", cooldown_s=2)
    await limits.release(slot)
    with pytest.raises(Busy) as caught:
        await limits.acquire("fal", account="acme", generation_id="acme/two", rank_ms=0)
    assert (caught.value.why, caught.value.retry_s) == ("cooldown", 30.0)
    assert caught.value.is_unusable
    await clock.advance(30_000)
    assert not isinstance(await ask(limits), str)


async def test_operators_pause_a_provider_and_change_its_limits(redis, clock):
    workers = limited(redis, concurrency=1)
    assert await pause(redis, "provider:fal")
    assert not await pause(redis, "provider:fal")
    assert list(await paused(redis)) == ["provider:fal"]
    assert await ask(workers) == "paused"
    assert await resume(redis, "provider:fal")
    assert not await resume(redis, "provider:fal")
    await ask(workers, "one")
    assert await ask(workers, "two") == "provider_concurrency"
    wider = Limit("provider:fal", LimitName.CONCURRENCY, 2)
    narrow = Limit("account:*", LimitName.CONCURRENCY, 2)
    await set_limit(redis, wider)
    assert not isinstance(await ask(workers, "two"), str)
    assert await ask(workers, "three") == "provider_concurrency"
    await set_limit(redis, narrow)
    assert await ask(workers, "three") == "account_concurrency"
    own = Limit("account:acme", LimitName.CONCURRENCY, 0)
    await set_limit(redis, own)
    assert await limits(redis) == [narrow, own, wider]
    assert await ask(workers, "three") == "provider_concurrency"
    assert await unset_limit(redis, "provider:fal", LimitName.CONCURRENCY)
    assert not await unset_limit(redis, "provider:fal", LimitName.CONCURRENCY)
    await set_limit(redis, Limit("provider:fal", LimitName.PER_MINUTE, 11))
    await set_limit(redis, Limit("provider:fal", LimitName.CONCURRENCY, 0))
    assert not isinstance(await ask(workers, "three"), str)
    assert await ask(workers, "four") == "provider_rate"


@pytest.mark.parametrize("target", ["", "song", "provider:", "provider:a b", "image:all", "queue"])
async def test_nothing_else_can_be_paused(redis, target):
    with pytest.raises(ValueError, match=r"can't be paused|is no provider"):
        await pause(redis, target)


@pytest.mark.parametrize(
    ("subject", "name", "value"),
    [
        ("fal", LimitName.CONCURRENCY, 1),
        ("account:acme", LimitName.PER_MINUTE, 1),
        ("provider:fal", LimitName.CONCURRENCY, -1),
        ("provider:fal", LimitName.CONCURRENCY, 2_000_000),
        ("account:a b", LimitName.CONCURRENCY, 1),
    ],
)
async def test_no_other_limit_can_be_set(redis, subject, name, value):
    with pytest.raises(ValueError, match=r"limit|account's id"):
        await set_limit(redis, Limit(subject, name, value))
    assert await limits(redis) == []


async def test_a_store_that_was_emptied_lets_nobody_in_before_all_have_renewed(redis, clock):
    holder, other = limited(redis, concurrency=1), limited(redis, concurrency=1)
    await ask(holder, "one")
    await ask(other, "two", rank=1)
    await redis.flushdb()
    await clock.write()
    assert await ask(other, "two", rank=1) == "warming"
    await holder.renew_leases()
    await clock.advance(int(1000 * holder.renew_s) + 500)
    assert await ask(other, "two", rank=1) == "provider_concurrency"


async def test_a_store_that_starts_anew_lets_nobody_in_before_all_have_renewed(make_valkey):
    valkey = await make_valkey()
    async with Redis.from_url(valkey.url) as redis:
        holder, other = limited(redis, 2.0, concurrency=1), limited(redis, 2.0, concurrency=1)
        await ask(holder, "one")
        assert await ask(other, "two", rank=1) == "provider_concurrency"
        # As if it had lost the last second.
        await redis.delete("paymaster:limit:provider:fal:held")
        await valkey.kill()
        await valkey.start()
        assert await ask(other, "two", rank=1) == "warming"
        await holder.renew_leases()

        async def no_longer_warming():
            await holder.renew_leases()
            answer = await ask(other, "two", rank=1)
            return answer if answer != "warming" else None

        assert await eventually(no_longer_warming) == "provider_concurrency"


async def test_a_store_that_is_away_lets_nobody_in(make_valkey):
    valkey = await make_valkey()
    async with Redis.from_url(valkey.url) as redis:
        limits = limited(redis)
        slot = await ask(limits)
        await valkey.kill()
        assert await ask(limits, "two") == "store_away"
        # Neither of these may hide what the call came to.
        await limits.report(slot, "counts")
        await limits.release(slot)
