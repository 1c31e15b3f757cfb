"""The scripts of the limits say what a plain model says, whatever happens in whatever order."""

from __future__ import annotations

import random

import pytest
from redis.asyncio import Redis

from limiting import Model, MovedClock, load_with_clock
from workers.limits import Busy, Limits, LimitSettings

STEPS = 250
LEASE_S = 5.0  # and so a place is held for 10 s


@pytest.mark.parametrize("seed", range(12))
async def test_the_scripts_say_what_the_model_says(redis_url, monkeypatch, seed):
    monkeypatch.setattr("workers.limits.limits.load", load_with_clock)
    choose = random.Random(seed)
    # Rates whose steps are whole ms.
    concurrency, per_minute = choose.choice([0, 1, 3, 6]), choose.choice([0, 11, 33])
    account_concurrency = choose.choice([0, 2, 4])
    settings = LimitSettings(
        provider_limits={"fal": {"concurrency": concurrency, "per_minute": per_minute}},
        account_concurrency=account_concurrency,
        breaker_failures=3,
        breaker_open_s=10,
        breaker_open_s_max=40,
    )
    model = Model(concurrency, account_concurrency, per_minute, lease=int(2000 * LEASE_S))
    async with Redis.from_url(redis_url) as redis:
        clock = MovedClock(redis)
        await clock.write()
        # Nobody knows of the other: what one does the other sees in the store alone.
        workers = [Limits(redis, settings, lease_s=LEASE_S) for _ in range(2)]
        run = _Run(choose, clock, workers, model)
        for _ in range(STEPS):
            await run.step()
        assert run.said.keys() > {""}, "nothing was ever refused"


class _Run:
    """One course of events."""

    def __init__(self, choose, clock, workers, model):
        self.choose, self.clock, self.workers, self.model = choose, clock, workers, model
        self.slots = []
        self.ranks = {}
        self.said = {}

    async def step(self):
        """Do one thing to both."""
        what = self.choose.choices(["acquire", "end", "die", "renew", "time"], [6, 3, 1, 1, 3])[0]
        await getattr(self, what)()

    async def acquire(self):
        """Ask for a slot, maybe again."""
        number = self.choose.randrange(12)
        who, account = f"acme/{number}", f"acme/{number % 3}"
        if any(slot.generation_id == who for _, slot in self.slots):
            return
        rank = self.ranks.setdefault(
            who, self.clock.now_ms + self.choose.randrange(-60_000, 300_000)
        )
        now = self.clock.now_ms
        why, line = self.model.acquire(who, account, rank, now)
        worker = self.choose.choice(self.workers)
        try:
            slot = await worker.acquire("fal", account=account, generation_id=who, rank_ms=rank)
        except Busy as busy:
            assert busy.why == why
            assert busy.retry_s > 0
            if line is not None:
                self.model.wait(line, who, rank, round(busy.retry_s * 1000), now)
        else:
            assert why == ""
            self.slots.append((worker, slot))
            del self.ranks[who]
        self.said[why] = self.said.get(why, 0) + 1

    async def end(self):
        """End a call, well or badly, or before it was made."""
        if not self.slots:
            return
        worker, slot = self.slots.pop(self.choose.randrange(len(self.slots)))
        now = self.clock.now_ms
        slot.used = self.choose.random() < 0.9
        if slot.used:
            outcome = self.choose.choices(
                ["succeeded", "counts", "ignores", "opens"], [5, 5, 2, 1]
            )[0]
            self.model.report(slot.generation_id, outcome, now)
            await worker.report(slot, outcome)
        self.model.release(slot.generation_id, slot.account, used=slot.used, now=now)
        await worker.release(slot)

    async def die(self):
        """Lose a slot, as a worker that is killed."""
        if self.slots:
            worker, slot = self.slots.pop(self.choose.randrange(len(self.slots)))
            worker._held.discard(slot)

    async def renew(self):
        """Renew all that is held."""
        now = self.clock.now_ms
        for worker in self.workers:
            await worker.renew_leases()
        for _, slot in self.slots:
            for line in (self.model.provider, self.model.accounts[slot.account]):
                line.held[slot.generation_id] = now + self.model.lease

    async def time(self):
        """Let time pass, but never so long that a place is lost that its worker still holds."""
        await self.renew()
        await self.clock.advance(self.choose.choice([10, 500, 2000, 6000, 11_000]))
        await self.renew()
