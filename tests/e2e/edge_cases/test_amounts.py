"""Amounts at their edges: what is charged, what absorbed, what denied, to the micro."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authorities import new_key
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import errors_pb2, resources_pb2
from calls import send
from refusals import refused
from support import eventually

DAY = ("acme", "usd-day")
LIMIT = 1_000


async def hold(stubs, amount=400, **options):
    return (await stubs.reserve("acme", {"USD": amount}, **options)).reservation.reservation_id


async def change_limit(stubs, limit):
    request = admin.UpdateBudgetRequest(
        budget=resources_pb2.Budget(account="acme", budget="usd-day", limit=limit),
        update_mask=FieldMask(paths=["limit"]),
    )
    await send(stubs, request)


async def set_state(stubs, state):
    request = admin.UpdateAccountRequest(
        account=resources_pb2.Account(account="acme", state=f"ACCOUNT_STATE_{state}"),
        update_mask=FieldMask(paths=["state"]),
    )
    await send(stubs, request)


@pytest.mark.parametrize("forgotten", [False, True], ids=["hot", "from the ledger"])
async def test_denied_then_topped_up_the_same_key_is_still_denied(stubs, core, forgotten):
    """Case 3."""
    await stubs.account("acme")
    await stubs.grant("acme", "CREDITS", 10)
    key = "an order" if forgotten else new_key()
    first = await refused(stubs.reserve("acme", {"CREDITS": 11}, key=key))
    await stubs.grant("acme", "CREDITS", 90)
    if forgotten:
        await eventually(lambda: core.ledger.find_operation("acme", key))
        await core.hot.redis.delete(core.hot.keys("acme").answer(key))
    again = await refused(stubs.reserve("acme", {"CREDITS": 11}, key=key))
    assert again.metadata["replayed"] == "true"
    for refusal in (first, again):
        denial = refusal.detail(errors_pb2.Denial)
        assert denial.reason == errors_pb2.DENIAL_REASON_INSUFFICIENT_GRANTS
        assert denial.grant_shortages[0].short_by == 1
    await stubs.reserve("acme", {"CREDITS": 100})


@pytest.mark.parametrize(
    ("policy", "actual", "charged"),
    [
        ("CAP", LIMIT, 400),
        ("CAP", LIMIT + 1, 400),
        ("AVAILABLE", LIMIT - 1, LIMIT - 1),
        ("AVAILABLE", LIMIT, LIMIT),
        ("AVAILABLE", LIMIT + 1, LIMIT),
        ("DEBT", LIMIT, LIMIT),
        ("DEBT", LIMIT + 1, LIMIT + 1),
    ],
)
async def test_a_commit_above_the_hold_at_the_exact_limit_and_one_above_it(
    stubs, policy, actual, charged
):
    """Case 9."""
    await stubs.account("acme", overage_policy=f"OVERAGE_POLICY_{policy}")
    await stubs.set_budget("acme", LIMIT)
    (leg,) = (await stubs.commit(await hold(stubs), {"USD": actual})).reservation.legs
    assert (leg.actual, leg.charged, leg.absorbed) == (actual, charged, actual - charged)
    assert (await stubs.balance("acme"))[DAY] == (0, charged, 0, LIMIT - charged)
    if charged >= LIMIT:
        reason = "DEBT_OUTSTANDING" if charged > LIMIT else "BUDGET_EXHAUSTED"
        assert (await refused(hold(stubs, 1))).metadata["denial_reason"] == reason
    assert await stubs.differences() == []


@pytest.mark.parametrize("limits", [(LIMIT, LIMIT + 500), (LIMIT + 500, LIMIT)])
async def test_the_tightest_budget_bounds_a_commit_above_the_hold(stubs, limits):
    await stubs.account("acme")
    for limit, window in zip(limits, ("DAY", "TOTAL"), strict=True):
        await stubs.set_budget("acme", limit, window=window)
    (leg,) = (await stubs.commit(await hold(stubs), {"USD": LIMIT + 400})).reservation.legs
    assert (leg.charged, leg.absorbed) == (LIMIT, 400)
    assert await stubs.differences() == []


@pytest.mark.parametrize("actual", [{"USD": 0}, {}], ids=["said", "unsaid"])
async def test_a_commit_of_zero_gives_the_whole_hold_back_and_closes(stubs, actual):
    """Case 10."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    name = await hold(stubs)
    paid = (await stubs.commit(name, actual)).reservation
    assert paid.state == resources_pb2.RESERVATION_STATE_COMMITTED
    assert (paid.legs[0].held, paid.legs[0].charged, paid.legs[0].absorbed) == (0, 0, 0)
    assert (await refused(stubs.commit(name, {"USD": 1}))).reason == "ALREADY_COMMITTED"
    assert (await refused(stubs.refund(name, {"USD": 1}))).metadata["refundable"] == "0"
    assert (await stubs.balance("acme"))[DAY] == (0, 0, 0, LIMIT)
    assert await stubs.differences() == []


async def test_a_limit_lowered_below_what_is_used_and_held(stubs):
    """Case 19: nothing new is held, and what was held is charged as it was promised."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    await stubs.commit(await hold(stubs, 300), {"USD": 300})
    first, second = await hold(stubs, 400), await hold(stubs, 100)
    await change_limit(stubs, 500)
    assert (await stubs.balance("acme"))[DAY] == (500, 300, 0, -300)
    refusal = await refused(hold(stubs, 1))
    assert refusal.detail(errors_pb2.Denial).limiting_budgets[0].short_by == 301
    (leg,) = (await stubs.commit(first, {"USD": 450})).reservation.legs
    assert (leg.charged, leg.absorbed) == (400, 50)
    await stubs.release(second)
    assert (await stubs.balance("acme"))[DAY] == (0, 700, 0, -200)
    await change_limit(stubs, 701)
    await hold(stubs, 1)
    assert await stubs.differences() == []


async def test_an_account_closed_with_live_holds_may_settle_them_and_reserve_nothing(stubs):
    """Case 20."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    names = [await hold(stubs, 100) for _ in range(3)]
    await set_state(stubs, "CLOSED")
    assert (await refused(hold(stubs, 1))).metadata["denial_reason"] == "ACCOUNT_CLOSED"
    await stubs.commit(names[0], {"USD": 150})
    await stubs.refund(names[0], {"USD": 50})
    await stubs.commit(names[1], {"USD": 10}, final=False)
    await stubs.commit(names[1], {"USD": 20})
    await stubs.release(names[2])
    assert (await stubs.balance("acme"))[DAY] == (0, 180, 50, LIMIT - 130)
    assert await stubs.differences() == []
