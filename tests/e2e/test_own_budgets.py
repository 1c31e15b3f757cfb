"""The monthly budget that a user sets for itself: never above that of its plan."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import Account, Budget, Plan, PlanBudget
from calls import send
from keys import with_key
from refusals import invalid, refused

DOLLAR = 1_000_000
OWN = ("acme/alice", "own-usd-month")
PLANS = ("acme/alice", "plan-usd-month")


def month(dollars):
    return PlanBudget(unit="UNIT_USD", window="WINDOW_MONTH", limit=dollars * DOLLAR)


@pytest.fixture
async def alice(stubs):
    await send(stubs, admin.CreatePlanRequest(plan=Plan(plan="free", budgets=[month(20)])))
    await stubs.account("acme")
    await stubs.account("acme/alice", plan="free")
    yield stubs
    assert await stubs.differences() == []


async def own(stubs, limit=0, account="acme/alice"):
    request = admin.SetOwnBudgetRequest(account=account, limit=limit, reason="my own")
    return (await send(stubs, request)).budget


async def change_plan(stubs, *budgets):
    request = admin.UpdatePlanRequest(
        plan=Plan(plan="free", budgets=budgets), update_mask=FieldMask(paths=["budgets"])
    )
    await send(stubs, request)


async def test_it_is_within_its_bounds_and_the_plans(alice):
    for limit in (-1, 1, DOLLAR - 1, 1_000 * DOLLAR + 1, 20 * DOLLAR + 1):
        assert await invalid(own(alice, limit)) == ["limit"]
    for limit in (DOLLAR, 20 * DOLLAR):
        made = await own(alice, limit)
        assert (made.budget, made.limit, made.window) == ("own-usd-month", limit, 4)
    assert (await own(alice)).limit == 10 * DOLLAR
    await change_plan(alice, month(5))
    assert (await own(alice)).limit == 5 * DOLLAR
    assert await invalid(own(alice, 5 * DOLLAR + 1)) == ["limit"]
    await change_plan(alice)
    assert (await own(alice, 1_000 * DOLLAR)).limit == 1_000 * DOLLAR
    assert (await refused(own(alice, account="acme/bob"))).code == "NOT_FOUND"
    changes = (await send(alice, admin.ListChangesRequest(account="acme/alice"))).changes
    kept = [row for row in changes if row.method == "SetOwnBudget"]
    assert {(row.resource, row.reason) for row in kept} == {(" ".join(OWN), "my own")}


async def test_it_binds_at_once_also_for_what_was_spent_before(alice, core, start_authority):
    _, other = await start_authority()
    held = await other.reserve("acme/alice", {"USD": 4 * DOLLAR})
    await other.commit(held.reservation.reservation_id, {"USD": 4 * DOLLAR})
    await own(alice, 5 * DOLLAR)
    refusal = await refused(other.reserve("acme/alice", {"USD": DOLLAR + 1}))
    assert refusal.metadata["denial_reason"] == "BUDGET_EXHAUSTED"
    kept = await other.reserve("acme/alice", {"USD": DOLLAR})
    # What costs more than was held is charged to the user's own limit, and no further.
    settled = await other.commit(kept.reservation.reservation_id, {"USD": 2 * DOLLAR})
    assert settled.reservation.legs[0].charged == DOLLAR
    assert (await alice.balance("acme/alice"))[PLANS][3] == 0
    # From the next month on each counts for itself.
    core.hot.clock.offset_ms += 32 * 86_400_000
    assert (await alice.balance("acme/alice"))[PLANS][3] == 20 * DOLLAR
    assert (await alice.balance("acme/alice"))[OWN][3] == 5 * DOLLAR
    await refused(alice.reserve("acme/alice", {"USD": 5 * DOLLAR + 1}))
    await alice.reserve("acme/alice", {"USD": 5 * DOLLAR})


async def test_where_the_plan_drops_below_it_the_lower_one_binds(alice):
    await own(alice, 20 * DOLLAR)
    await change_plan(alice, month(2))
    await refused(alice.reserve("acme/alice", {"USD": 2 * DOLLAR + 1}))
    await alice.reserve("acme/alice", {"USD": 2 * DOLLAR})


async def test_who_spends_or_submits_sets_it_and_nobody_makes_it_otherwise(alice):
    for scope in ("SPEND", "SUBMIT"):
        caller = await with_key(alice, "acme", [scope])
        assert (await own(caller, 3 * DOLLAR)).limit == 3 * DOLLAR
    reader = await with_key(alice, "acme", ["READ"])
    await alice.account("globex")
    stranger = await with_key(alice, "globex", ["SPEND"])
    for caller in (reader, stranger):
        assert (await refused(own(caller, DOLLAR))).code == "PERMISSION_DENIED"
    assert await invalid(alice.set_budget("acme", 1, name="own-usd-month")) == ["budget.budget"]
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="acme/alice", budget="own-usd-month", limit=1),
        update_mask=FieldMask(paths=["limit"]),
    )
    assert await invalid(send(alice, request)) == ["budget.budget"]


async def test_it_stays_when_the_plan_is_left(alice):
    await own(alice, 3 * DOLLAR)
    request = admin.UpdateAccountRequest(
        account=Account(account="acme/alice"), update_mask=FieldMask(paths=["plan"])
    )
    await send(alice, request)
    await refused(alice.reserve("acme/alice", {"USD": 3 * DOLLAR + 1}))
    await alice.reserve("acme/alice", {"USD": 3 * DOLLAR})
