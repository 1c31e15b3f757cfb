"""What a replay would have decided is what the authority decides, one operation after the other.

Hypothesis draws a world and a short history; the real authority and the simulator both do it, and
every answer, every charge and in the end every count is compared.
"""

from __future__ import annotations

import os

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from authorities import new_key
from authority.domain.budgets import OveragePolicy
from authority.domain.money import Leg, Option, Unit
from authority.domain.replay.simulator import Denied, Held, Simulator
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2
from calls import send
from refusals import Refusal

HOUR = 3_600_000
TTL_HOURS = 24
UNITS = st.sampled_from(["USD", "USD", "IMAGES", "CREDITS"])
WINDOWS = st.sampled_from(["HOUR", "DAY", "DAY", "WEEK", "MONTH", "TOTAL"])
LEGS = st.dictionaries(UNITS, st.integers(5, 40), min_size=1, max_size=2)
BUDGET = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["tenant", "user"]),
        "unit": st.sampled_from(["USD", "USD", "IMAGES", "CREDITS", "RESERVATIONS"]),
        "window": WINDOWS,
        "limit": st.integers(40, 160),
        "enforcement": st.sampled_from(["BLOCK", "BLOCK", "DOWNGRADE", "NOTIFY"]),
    }
).map(
    lambda budget: (
        budget | {"window": "TOTAL", "limit": budget["limit"] // 20, "enforcement": "BLOCK"}
        if budget["unit"] == "RESERVATIONS"
        else budget
    )
)
GRANT = st.fixed_dictionaries(
    {
        "account": st.sampled_from(["tenant", "user"]),
        "unit": st.sampled_from(["IMAGES", "CREDITS"]),
        "amount": st.integers(20, 80),
        "priority": st.integers(0, 2),
        "every": st.sampled_from([None, None, "DAY", "HOUR"]),
    }
)
WORLD = st.fixed_dictionaries(
    {
        "zone": st.sampled_from(["UTC", "Asia/Kathmandu", "America/St_Johns"]),
        "overage": st.sampled_from(OveragePolicy),
        "cap": st.sampled_from([0, 0, 30]),
        "budgets": st.lists(
            BUDGET,
            min_size=2,
            max_size=6,
            unique_by=lambda budget: (budget["account"], budget["unit"], budget["window"]),
        ),
        "grants": st.lists(GRANT, max_size=4),
    }
)
OPTION = st.tuples(LEGS, st.sampled_from(["", "premium", "standard"]))
STEP = st.one_of(
    *[st.tuples(st.just("reserve"), st.lists(OPTION, min_size=1, max_size=4))] * 3,
    *[
        st.tuples(
            st.just("commit"),
            st.integers(0, 5),
            st.dictionaries(UNITS, st.integers(0, 60), min_size=1, max_size=2),
        )
    ]
    * 2,
    st.tuples(st.just("release"), st.integers(0, 5)),
    st.tuples(st.just("pass_time"), st.sampled_from([1, 5, 11, 22])),
)
EXAMPLES = int(os.environ.get("PAYMASTER_SOAK_EXAMPLES", "25"))


class Twice:
    """Does each step by the authority and by the simulator."""

    def __init__(self, stubs, core, world) -> None:
        self.stubs, self.core, self.world = stubs, core, world
        self.tenant = f"t{new_key().replace('-', '')[-12:]}"
        self.open: list[tuple[str, Held, int]] = []
        self.grants: dict[str, str] = {}

    def name(self, account):
        """Return an account's id."""
        return self.tenant if account == "tenant" else f"{self.tenant}/user"

    async def make(self):
        """Make the world."""
        world = self.world
        for account in ("tenant", "user"):
            limits = {"USD": world["cap"]} if world["cap"] else {}
            made = await self.stubs.account(
                self.name(account),
                parent="" if account == "tenant" else self.tenant,
                time_zone=world["zone"],
                overage_policy=f"OVERAGE_POLICY_{world['overage']}",
                per_request_limits=[
                    {"unit": f"UNIT_{unit}", "amount": amount} for unit, amount in limits.items()
                ],
            )
            assert made.account
        for number, budget in enumerate(world["budgets"]):
            account = self.name(budget["account"])
            fields = {key: value for key, value in budget.items() if key != "account"}
            await self.stubs.set_budget(account, fields.pop("limit"), name=f"b{number}", **fields)
        for grant in world["grants"]:
            fields = dict(grant)
            account = self.name(fields.pop("account"))
            made = await self.stubs.grant(
                account, fields.pop("unit"), fields.pop("amount"), **fields
            )
            self.grants[made.grant_id] = account
        self.core.context.policies.forget(self.tenant)
        self.policy = await self.core.context.policies.of(self.name("user"))
        self.simulator = Simulator(self.policy)

    def now_ms(self):
        """Return the time of the hot store."""
        return self.core.context.clock.now_ms()

    async def reserve(self, options):
        """Reserve on both sides: the same option, or the same reason."""
        wanted = [
            Option(name, tuple(Leg(Unit(unit), amount) for unit, amount in legs.items()))
            for legs, name in options
        ]
        expected = self.simulator.reserve(self.name("user"), wanted, self.now_ms())
        try:
            answer = await self.stubs.reserve(
                self.name("user"),
                *(legs for legs, _ in options),
                names=[name for _, name in options],
                ttl=TTL_HOURS * 3600,
            )
        except grpc.aio.AioRpcError as error:
            refusal = Refusal.of(error)
            assert isinstance(expected, Denied), (refusal, expected)
            denial = refusal.detail(errors_pb2.Denial)
            reason = errors_pb2.DenialReason.Name(denial.reason).removeprefix("DENIAL_REASON_")
            assert reason == expected.reason, (denial, expected)
            if ref := expected.limiting:
                budget = self.policy.budget_by_key[ref.budget_key]
                tightest = denial.limiting_budgets[0]
                assert (tightest.account, tightest.budget) == (budget.account, budget.budget)
            return
        assert isinstance(expected, Held), (answer, expected)
        assert answer.reservation.option_index == expected.option_index
        self.open.append((answer.reservation.reservation_id, expected, self.now_ms()))

    def _pick(self, number):
        return self.open.pop(number % len(self.open)) if self.open else None

    async def commit(self, number, actual):
        """Commit on both sides, and compare what is charged."""
        if (picked := self._pick(number)) is None:
            return
        reservation_id, held, _ = picked
        cost = {Unit(unit): amount for unit, amount in actual.items()}
        expected = self.simulator.commit(held, cost, self.now_ms())
        found = (await self.stubs.commit(reservation_id, actual)).reservation
        charged = {list(Unit)[leg.unit - 1]: leg.charged for leg in found.legs}
        expected.pop(Unit.RESERVATIONS, None)
        charged.pop(Unit.RESERVATIONS, None)
        assert charged == expected

    async def release(self, number):
        """Release on both sides."""
        if picked := self._pick(number):
            self.simulator.release(picked[1])
            await self.stubs.release(picked[0])

    async def pass_time(self, hours):
        """Let time pass; a replay knows of no expiry, so what would expire is released before."""
        latest = self.now_ms() + (hours - TTL_HOURS + 1) * HOUR
        for place in reversed(range(len(self.open))):
            if self.open[place][2] <= latest:
                await self.release(place)
        self.core.hot.clock.offset_ms += hours * HOUR

    async def compare(self):
        """Compare all that is counted."""
        now_ms = self.now_ms()
        balances = await self.stubs.balance(self.name("user"))
        for window in self.policy.windows(self.name("user"), now_ms):
            counts = self.simulator._of(window.ref)
            found = balances[window.budget.account, window.budget.budget]
            assert found[:3] == counts.values, window
        lots = {lot.grant.grant_id: lot for lot in self._lots(now_ms)}
        for account in set(self.grants.values()):
            listed = await send(self.stubs, admin.ListGrantsRequest(account=account))
            for row in listed.grants:
                counts = self.simulator._of(lots[row.grant_id].ref)
                assert (row.reserved, row.committed, row.refunded) == counts.values, row

    def _lots(self, now_ms):
        units = frozenset(Unit)
        return self.policy.lots(self.name("user"), units, now_ms)


@pytest.fixture
def make_twice(stubs, core):
    """A function that makes a world; what it is made in is too long to be shown."""
    return lambda world: Twice(stubs, core, world)


def world_of(*budgets, overage="AVAILABLE", grants=()):
    """Return a world with budgets of the user: (unit, limit, enforcement)."""
    return {
        "zone": "UTC",
        "overage": OveragePolicy(overage),
        "cap": 0,
        "budgets": [
            {"account": "user", "unit": unit, "window": "TOTAL", "limit": limit, "enforcement": how}
            for unit, limit, how in budgets
        ],
        "grants": [
            {"account": "user", "unit": unit, "amount": amount, "priority": 0, "every": None}
            for unit, amount in grants
        ],
    }


def asks(*options):
    """Return a Reserve of options: (amounts, name)."""
    return ("reserve", list(options))


# What random histories meet too rarely.
SOFT_CAP = (
    world_of(("USD", 50, "DOWNGRADE"), ("IMAGES", 0, "BLOCK")),
    [
        asks(({"USD": 60}, "premium"), ({"USD": 60, "IMAGES": 1}, "plain"), ({"USD": 60}, "plain")),
        asks(({"USD": 60}, "plain"), ({"USD": 60, "IMAGES": 1}, "plain")),
        asks(({"USD": 60}, ""), ({"USD": 60, "IMAGES": 1}, "")),
    ],
)
ABOVE_THE_HOLD = (
    world_of(("USD", 100, "BLOCK")),
    [asks(({"USD": 40}, "")), asks(({"USD": 40}, "")), ("commit", 0, {"USD": 60}), ("release", 0)],
)
DEBT = (
    world_of(overage="DEBT", grants=[("CREDITS", 30), ("CREDITS", 30)]),
    [
        asks(({"CREDITS": 20}, "")),
        ("commit", 0, {"CREDITS": 90}),
        asks(({"CREDITS": 1}, "")),
        asks(({"IMAGES": 1}, "")),
    ],
)


@example(*SOFT_CAP)
@example(*ABOVE_THE_HOLD)
@example(*DEBT)
@given(world=WORLD, steps=st.lists(STEP, min_size=8, max_size=25))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PAYMASTER_SOAK_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
async def test_a_replay_decides_as_the_authority_does(make_twice, world, steps):
    twice = make_twice(world)
    await twice.make()
    try:
        for verb, *arguments in steps:
            await getattr(twice, verb)(*arguments)
        await twice.compare()
    finally:
        twice.core.hot.clock.offset_ms = 0
