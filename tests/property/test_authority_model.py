"""The authority answers what a model of a hundred lines says, operation by operation."""

from __future__ import annotations

import itertools

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authorities import new_key
from authority.v1 import resources_pb2
from model import Model

PARENTS = {"user": "team", "team": "tenant"}
AMOUNTS = st.integers(5, 60)
NUMBERS = st.integers(0, 5)

RESERVE = st.tuples(
    st.just("reserve"),
    st.sampled_from(["tenant", "team", "user"]),
    st.lists(AMOUNTS, min_size=1, max_size=3),
    st.sampled_from([5_000, 60_000]),
)
ANY = st.one_of(
    RESERVE,
    st.tuples(st.just("commit"), NUMBERS, st.integers(0, 90)),
    st.tuples(st.just("release"), NUMBERS),
    st.tuples(st.just("refund"), NUMBERS, AMOUNTS),
    st.tuples(st.just("pass"), st.sampled_from([1_000, 30_000])),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("lose")),
    st.tuples(st.just("replay"), NUMBERS),
)
# Budgets are first filled, so that what follows has something to push against.
OPERATIONS = st.tuples(
    st.lists(RESERVE, min_size=3, max_size=6), st.lists(ANY, min_size=10, max_size=30)
).map(lambda parts: [*parts[0], *parts[1]])
NAMES = (f"t{number}" for number in itertools.count())


class Run:
    """One list of operations, done by both."""

    def __init__(self, stubs, core, limits) -> None:
        self.stubs, self.core = stubs, core
        self.tenant = next(NAMES)
        self.model = Model(limits, PARENTS)
        self.ids = {}
        self.count = 0
        self.done = []

    def name(self, account):
        """Return the id of one of the three accounts."""
        return self.tenant if account == "tenant" else f"{self.tenant}/{account}"

    async def prepare(self):
        # The sweeper runs when the operations say so, and not by itself.
        self.core.sweeper.sweep = _nothing
        for account, parent in (("tenant", ""), ("team", "tenant"), ("user", "team")):
            await self.stubs.account(self.name(account), parent=parent and self.name(parent))
            await self.stubs.set_budget(
                self.name(account), self.model.limits[account], window="TOTAL"
            )
        self.core.hot.clock.offset_ms = 0

    async def answer(self, call):
        """Return the answer's reservation, or the reason of the refusal."""
        try:
            return (await call).reservation
        except grpc.aio.AioRpcError as error:
            assert error.code().name in {"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"}, error
            return None

    async def do(self, verb, *arguments):
        await getattr(self, verb)(*arguments)
        for account in self.model.limits:
            balance = await self.stubs.balance(self.name(account))
            expected = (*self.model.counts(account), self.model.available(account))
            # The authority gives back what is due when it is asked to, or when it is in the way.
            assert balance[self.name(account), "usd-total"] == expected, (verb, arguments, account)

    async def reserve(self, account, options, ttl):
        number = self.count = self.count + 1
        expected = self.model.reserve(number, account, options, ttl)
        key = new_key()

        def call():
            return self.stubs.reserve(
                self.name(account), *({"USD": amount} for amount in options), key=key, ttl=ttl / 1e3
            )

        held = await self.answer(call())
        assert (held.option_index if held else None) == expected
        if held:
            self.ids[number] = held.reservation_id
        self.done.append((call, held))

    def pick(self, number):
        """Return one of the latest reservations, so that most operations find one."""
        return sorted(self.ids)[-1 - number % len(self.ids)] if self.ids else None

    async def commit(self, number, actual):
        number = self.pick(number)
        if number is not None:
            expected = self.model.commit(number, actual)
            key, name = new_key(), self.ids[number]
            paid = await self.answer(self.stubs.commit(name, {"USD": actual}, key=key))
            assert (paid.legs[0].charged if paid else None) == (
                expected if isinstance(expected, int) else None
            )
            if paid:
                self.done.append((lambda: self.stubs.commit(name, {"USD": actual}, key=key), paid))

    async def release(self, number):
        number = self.pick(number)
        if number is not None:
            expected = self.model.release(number)
            given_back = await self.answer(self.stubs.release(self.ids[number]))
            state = resources_pb2.ReservationState.Name(given_back.state) if given_back else ""
            assert state.removeprefix("RESERVATION_STATE_") == (
                expected if expected != "COMMITTED" else ""
            )

    async def refund(self, number, amount):
        number = self.pick(number)
        if number is not None:
            expected = self.model.refund(number, amount)
            back = await self.answer(self.stubs.refund(self.ids[number], {"USD": amount}))
            assert (back.legs[0].refunded if back else None) == (
                expected if isinstance(expected, int) else None
            )

    async def replay(self, number):
        if self.done:
            call, first = self.done[-1 - number % len(self.done)]
            assert await self.answer(call()) == first

    async def sweep(self):
        self.model.expire()
        await self.core.sweeper.expire_due()

    async def lose(self):
        """Empty the hot store: all of it must come back from the ledger."""
        await self.core.hot.redis.flushdb()

    async def __aenter__(self):
        await self.prepare()
        return self

    async def __aexit__(self, *error):
        self.core.hot.clock.offset_ms = 0

    async def pass_(self, milliseconds):
        self.model.now += milliseconds
        self.core.hot.clock.offset_ms += milliseconds


setattr(Run, "pass", Run.pass_)


async def _nothing():
    pass


@given(
    limits=st.fixed_dictionaries(dict.fromkeys(("tenant", "team", "user"), st.integers(40, 120))),
    operations=OPERATIONS,
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
async def test_the_authority_does_what_the_model_does(stubs, core, limits, operations):
    async with Run(stubs, core, limits) as run:
        for verb, *arguments in operations:
            await run.do(verb, *arguments)
        await run.sweep()
        assert await stubs.differences(run.tenant) == []
