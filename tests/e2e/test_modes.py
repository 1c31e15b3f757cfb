"""What a Reserve does by its mode, and what else can be in its way."""

from __future__ import annotations

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import errors_pb2, resources_pb2
from refusals import refused

DAY = ("acme", "usd-day")
CHECK = budget.RESERVE_MODE_CHECK_ONLY
BEST = budget.RESERVE_MODE_BEST_EFFORT


@pytest.fixture
async def acme(stubs):
    """An account that may spend 1000 micros a day."""
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    return stubs


@pytest.fixture
def limit(ledger_url, core, acme):
    """A function that sets an account's limits."""

    async def change(account="acme", **columns):
        async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
            for column, value in columns.items():
                await connection.execute(
                    f"UPDATE account SET {column} = %s WHERE account = %s", [value, account]
                )
        request = admin.UpdateAccountRequest(
            account=resources_pb2.Account(account=account, display_name="limited"),
            update_mask=FieldMask(paths=["display_name"]),
        )
        await acme.admin.UpdateAccount(request, metadata=acme.metadata)

    return change


async def why(call):
    return (await refused(call)).metadata["denial_reason"]


class TestCheckOnly:
    async def test_it_says_what_would_be_held_and_holds_nothing(self, acme, core):
        answer = await acme.reserve("acme", {"USD": 2_000}, {"USD": 600, "IMAGES": 1}, mode=CHECK)
        held = answer.reservation
        assert (held.option_index, held.reservation_id, held.state) == (1, "", 0)
        assert [(leg.reserved, leg.held) for leg in held.legs] == [(600, 0), (1, 0)]
        assert (await acme.balance("acme"))[DAY] == (0, 0, 0, 1_000)
        assert await core.hot.redis.xlen("pm:{acme}:outbox") == 0

    async def test_it_is_denied_as_a_reserve_would_be(self, acme):
        key = new_key()
        refusal = await refused(acme.reserve("acme", {"USD": 1_001}, mode=CHECK, key=key))
        assert refusal.detail(errors_pb2.Denial).limiting_budgets[0].short_by == 1
        # The key was not used.
        assert not (await acme.reserve("acme", {"USD": 1_000}, key=key)).replayed


class TestBestEffort:
    async def test_it_holds_what_is_left(self, acme):
        await acme.set_budget("acme", 700, window="MONTH")
        held = (await acme.reserve("acme", {"USD": 5_000}, {"USD": 900}, mode=BEST)).reservation
        assert (held.option_index, held.legs[0].reserved) == (1, 700)
        assert await why(acme.reserve("acme", {"USD": 1}, mode=BEST)) == "BUDGET_BUSY"

    async def test_it_holds_all_if_it_fits(self, acme):
        held = (await acme.reserve("acme", {"USD": 900}, mode=BEST)).reservation
        assert held.legs[0].reserved == 900

    async def test_it_takes_what_grants_have(self, acme):
        await acme.grant("acme", "CREDITS", 7)
        held = (await acme.reserve("acme", {"CREDITS": 9}, mode=BEST)).reservation
        assert (held.legs[0].reserved, held.grants[0].held) == (7, 7)
        assert await why(acme.reserve("acme", {"CREDITS": 9}, mode=BEST)) == "INSUFFICIENT_GRANTS"


async def test_a_hot_reserve_is_in_the_ledger_soon_after(acme):
    answer = await acme.reserve("acme", {"USD": 100}, durability=budget.DURABILITY_HOT)
    await acme.commit(answer.reservation.reservation_id, {"USD": 90})
    assert (await acme.balance("acme"))[DAY] == (0, 90, 0, 910)
    assert await acme.differences() == []


class TestLimits:
    async def test_per_request(self, acme, limit):
        await limit(per_request_limits='{"USD": "80"}')
        assert await why(acme.reserve("acme", {"USD": 81})) == "PER_REQUEST_CAP"
        answer = await acme.reserve("acme", {"USD": 81}, {"USD": 80})
        assert answer.reservation.option_index == 1

    async def test_open_reservations(self, acme):
        await acme.set_budget("acme", 2, unit="RESERVATIONS", window="TOTAL")
        first = (await acme.reserve("acme", {"USD": 1})).reservation
        assert [leg.unit for leg in first.legs] == [resources_pb2.UNIT_USD]
        await acme.reserve("acme", {"USD": 1})
        refusal = await refused(acme.reserve("acme", {"USD": 1}))
        assert refusal.metadata["denial_reason"] == "CONCURRENCY_CAP"
        assert refusal.detail(error_details_pb2.RetryInfo) is not None
        await acme.commit(first.reservation_id, {"USD": 1}, final=False)
        assert await why(acme.reserve("acme", {"USD": 1})) == "CONCURRENCY_CAP"
        await acme.commit(first.reservation_id, {"USD": 0})
        await acme.reserve("acme", {"USD": 1})
        assert await acme.differences() == []

    async def test_the_rate(self, acme, limit, core):
        await acme.account("acme/alice")
        await limit(reserves_per_minute=3)
        for account in ("acme", "acme/alice", "acme"):
            await acme.reserve(account, {"USD": 1})
        refusal = await refused(acme.reserve("acme/alice", {"USD": 1}))
        assert refusal.metadata["denial_reason"] == "RATE_LIMITED"
        delay = refusal.detail(error_details_pb2.RetryInfo).retry_delay.ToMilliseconds()
        assert 15_000 < delay <= 20_000
        core.hot.clock.offset_ms += delay
        await acme.reserve("acme", {"USD": 1})

    async def test_debt(self, stubs):
        await stubs.account("globex", overage_policy="OVERAGE_POLICY_DEBT")
        await stubs.set_budget("globex", 100, window="TOTAL")
        held = (await stubs.reserve("globex", {"USD": 10})).reservation.reservation_id
        await stubs.commit(held, {"USD": 130})
        assert await why(stubs.reserve("globex", {"USD": 1})) == "DEBT_OUTSTANDING"
        await stubs.refund(held, {"USD": 40})
        await stubs.reserve("globex", {"USD": 10})


# The order in which a Reserve is checked (each row is in the way of the rows behind it).
PRECEDENCE = [
    "NOT_SIGNED_IN",
    "INVALID_FIELD",
    "REPLAYED",
    "ACCOUNT_FROZEN",
    "PER_REQUEST_CAP",
    "CONCURRENCY_CAP",
    "RATE_LIMITED",
    "BUDGET_EXHAUSTED",
    "INSUFFICIENT_GRANTS",
]


@pytest.mark.parametrize("first", range(2, len(PRECEDENCE)), ids=PRECEDENCE[2:])
async def test_the_order_of_checks(acme, limit, first):
    """Everything from `first` on is in the way; the first of them is told."""
    await acme.grant("acme", "CREDITS", 1)
    await acme.set_budget("acme", 20, unit="CREDITS", window="TOTAL")
    spent = (await acme.reserve("acme", {"CREDITS": 1})).reservation.reservation_id
    await acme.commit(spent, {"CREDITS": 1})
    key = new_key()
    wanted = {"CREDITS": 5}
    if first == 2:
        answered = await refused(acme.reserve("acme", wanted, key=key))
    active = PRECEDENCE[first:]
    if "BUDGET_EXHAUSTED" in active:
        await acme.adjust("acme", {"CREDITS": 18})
        await acme.grant("acme", "CREDITS", 3)
    if "RATE_LIMITED" in active:
        await limit(reserves_per_minute=1)
        await refused(acme.reserve("acme", wanted))
    if "CONCURRENCY_CAP" in active:
        await acme.set_budget("acme", 0, unit="RESERVATIONS", window="TOTAL")
    if "PER_REQUEST_CAP" in active:
        await limit(per_request_limits='{"CREDITS": "4"}')
    if "ACCOUNT_FROZEN" in active:
        await limit(state="FROZEN")
    reason = (await refused(acme.reserve("acme", wanted, key=key))).metadata["denial_reason"]
    if first == 2:
        assert reason == answered.metadata["denial_reason"] == "INSUFFICIENT_GRANTS"
    else:
        assert reason == PRECEDENCE[first]
