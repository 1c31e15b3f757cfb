"""However tenants share a budget of the platform, it admits exactly what one counter would.

Hypothesis draws operations of three tenants over two processes; a model of one number says what
must be admitted and charged. In between the hot store is lost, leases are given back, and the limit
is changed.
"""

from __future__ import annotations

import os
from functools import partial

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authorities import new_key
from authority.recovery import leases as keeping
from leasing import TENANTS, change_limit, make_tenants, standing, try_reserve

LIMIT = 100
TENANT = st.sampled_from(TENANTS)
PROCESS = st.integers(0, 1)
AMOUNT = st.integers(1, 60)
PLACE = st.integers(0, 7)
STEP = st.one_of(
    *[st.tuples(st.just("reserve"), PROCESS, TENANT, AMOUNT)] * 4,
    *[st.tuples(st.just("commit"), PROCESS, PLACE, st.integers(0, 90))] * 2,
    st.tuples(st.just("release"), PROCESS, PLACE),
    st.tuples(st.just("refund"), PROCESS, PLACE),
    st.tuples(st.just("extend"), PROCESS, PLACE, AMOUNT),
    st.tuples(st.just("limit"), PROCESS, st.integers(0, 150)),
    st.tuples(st.just("keep"), PROCESS),
    st.tuples(st.just("lose"), PROCESS),
)
EXAMPLES = int(os.environ.get("PAYMASTER_SOAK_EXAMPLES", "8"))


async def answered(call):
    """Repeat a call with its key until it is answered: a store may be lost under it."""
    key = new_key()
    while True:
        try:
            return await call(key=key)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


class Model:
    """One number that all tenants count on together; it is compared at each step."""

    def __init__(self, pair, cores) -> None:
        self._pair = pair
        self._cores = cores
        self._base = 0
        self.limit = self.peak = LIMIT
        self.used = 0
        self.held: list[tuple[str, int]] = []  # reservation, what it holds
        self.charged: list[tuple[str, int]] = []

    async def begin(self) -> None:
        """Leave what earlier examples have used where it is, and count from there."""
        balance = await self._pair[0].balance("platform")
        reserved, committed, refunded, _ = balance["platform", "usd-total"]
        self._base = reserved + committed - refunded
        await change_limit(self._pair[0], self._base + LIMIT, "usd-total")

    async def do(self, verb, process, *arguments) -> None:
        await getattr(self, verb)(self._pair[process], *arguments)
        found = await standing(self._cores[0])
        assert sum(found.used.values()) == self._base + self.used
        # What was leased before the limit was lowered may be counted for a while.
        assert sum(found.leased.values()) <= self._base + max(self.peak, self.used)

    async def reserve(self, stubs, tenant, amount) -> None:
        held = await answered(partial(try_reserve, stubs, tenant, amount))
        assert (held is not None) == (self.used + amount <= self.limit)
        if held is not None:
            self.used += amount
            self.held.append((held.reservation_id, amount))

    async def commit(self, stubs, place, actual) -> None:
        if not self.held:
            return
        name, amount = self.held.pop(place % len(self.held))
        settled = (await answered(partial(stubs.commit, name, {"USD": actual}))).reservation
        free = max(self.limit - self.used, 0)
        charged = min(actual, amount + free)
        assert settled.legs[0].charged == charged
        self.used += charged - amount
        if charged:
            self.charged.append((name, charged))

    async def release(self, stubs, place) -> None:
        if self.held:
            name, amount = self.held.pop(place % len(self.held))
            await answered(partial(stubs.release, name))
            self.used -= amount

    async def refund(self, stubs, place) -> None:
        if self.charged:
            name, charged = self.charged.pop(place % len(self.charged))
            await answered(partial(stubs.refund, name))
            self.used -= charged

    async def extend(self, stubs, place, amount) -> None:
        if not self.held:
            return
        index = place % len(self.held)
        name, before = self.held[index]
        fits = self.used + amount <= self.limit
        try:
            await answered(partial(stubs.extend, name, {"USD": amount}))
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert not fits
            return
        assert fits
        self.used += amount
        self.held[index] = (name, before + amount)

    async def limit_to(self, stubs, limit) -> None:
        await change_limit(stubs, self._base + limit, "usd-total")
        self.limit, self.peak = limit, max(self.peak, limit)

    async def keep(self, _stubs) -> None:
        await self._cores[0].keeper.keep()

    async def lose(self, _stubs) -> None:
        await self._cores[0].hot.redis.flushdb()


class Pair:
    """Two processes on the same stores. Hypothesis shows it at each failure, in a word."""

    def __init__(self, both) -> None:
        self.stubs = [stubs for _, stubs in both]
        self.cores = [running.core for running, _ in both]


@pytest.fixture
async def pair(authority, start_authority, monkeypatch):
    """Two processes on the same stores, with the budgets that the examples share."""
    monkeypatch.setattr(keeping, "TICK_SECONDS", 3_600)
    monkeypatch.setattr(keeping, "IDLE_SECONDS", 0)
    both = [authority, await start_authority()]
    stubs = both[0][1]
    await make_tenants(stubs, limit=10**9)
    await stubs.set_budget("platform", LIMIT, window="TOTAL")
    return Pair(both)


@pytest.mark.timeout(0)
@given(steps=st.lists(STEP, min_size=8, max_size=20))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PAYMASTER_SOAK_EXAMPLES" not in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
async def test_tenants_together_are_admitted_as_by_one_counter(pair, steps):
    model = Model(pair.stubs, pair.cores)
    await model.begin()
    for verb, *arguments in steps:
        await model.do("limit_to" if verb == "limit" else verb, *arguments)
    assert await pair.stubs[0].differences() == []
