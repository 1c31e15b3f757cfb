"""Plans: what they give to accounts, on every process, once, and across changes and deaths."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

import clients
from authorities import TOKEN
from authority.domain.errors import Unavailable
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import (
    Account,
    AlertThresholds,
    Budget,
    Leg,
    Plan,
    PlanBudget,
    PlanGrant,
)
from calls import send
from clients import AdminClient
from keys import with_key
from refusals import invalid, refused


def budget_of(limit, unit="USD", window="DAY", enforcement="BLOCK"):
    return PlanBudget(
        unit=f"UNIT_{unit}",
        window=f"WINDOW_{window}",
        limit=limit,
        enforcement=f"ENFORCEMENT_{enforcement}",
        alert_thresholds=AlertThresholds(percents=[75, 80, 90, 100]),
    )


def grant_of(amount, unit="CREDITS", every="UNSPECIFIED"):
    return PlanGrant(unit=f"UNIT_{unit}", amount=amount, recurrence=f"WINDOW_{every}")


async def make_plan(stubs, plan, **fields):
    request = admin.CreatePlanRequest(plan=Plan(plan=plan, **fields))
    return (await send(stubs, request)).plan


async def change_plan(stubs, plan, **fields):
    request = admin.UpdatePlanRequest(
        plan=Plan(plan=plan, **fields), update_mask=FieldMask(paths=list(fields))
    )
    return (await send(stubs, request)).plan


async def give(stubs, account, plan):
    request = admin.UpdateAccountRequest(
        account=Account(account=account, plan=plan), update_mask=FieldMask(paths=["plan"])
    )
    return (await send(stubs, request)).account


async def granted(stubs, account="acme"):
    """Return (amount, source, whether it was voided) of all grants, the oldest first."""
    found = (await send(stubs, admin.ListGrantsRequest(account=account))).grants
    return [(row.amount, row.source, row.HasField("void_time")) for row in reversed(found)]


@pytest.fixture
async def acme(stubs):
    await make_plan(stubs, "free", budgets=[budget_of(100)])
    await make_plan(stubs, "premium", budgets=[budget_of(500), budget_of(5_000, window="MONTH")])
    await stubs.account("acme")
    yield stubs
    assert await stubs.differences() == []


async def test_a_plan_is_made_read_listed_and_changed(stubs):
    fields = {
        "budgets": [budget_of(100), budget_of(2, "RESERVATIONS", "TOTAL")],
        "grants": [grant_of(7), grant_of(3, "IMAGES", "DAY")],
        "per_request_limits": [Leg(unit="UNIT_USD", amount=10)],
        "reserves_per_minute": 60,
    }
    made = await make_plan(stubs, "free", **fields)
    assert made.version == 1
    assert all(getattr(made, name) == value for name, value in fields.items())
    assert (await send(stubs, admin.GetPlanRequest(plan="free"))).plan == made
    for name in ("a", "z"):
        await make_plan(stubs, name)
    page = await send(stubs, admin.ListPlansRequest(page_size=2))
    rest = await send(stubs, admin.ListPlansRequest(page_token=page.next_page_token))
    assert [row.plan for row in (*page.plans, *rest.plans)] == ["a", "free", "z"]
    assert (await refused(make_plan(stubs, "free"))).code == "ALREADY_EXISTS"
    changed = await change_plan(stubs, "free", reserves_per_minute=5)
    assert (changed.version, changed.reserves_per_minute) == (2, 5)
    assert list(changed.budgets) == fields["budgets"]
    assert (await change_plan(stubs, "free", reserves_per_minute=5)).version == 2
    for call in (
        change_plan(stubs, "none", reserves_per_minute=5),
        send(stubs, admin.GetPlanRequest(plan="none")),
        stubs.account("acme", plan="none"),
    ):
        assert (await refused(call)).code == "NOT_FOUND"
    changes = (await send(stubs, admin.ListChangesRequest(tenant="platform"))).changes
    kept = [(row.method, row.resource) for row in changes if row.resource_type == "plan"]
    assert kept[0] == ("UpdatePlan", "free")
    assert len(kept) == 4


async def test_a_bad_plan_names_every_field(stubs):
    wrong = make_plan(
        stubs,
        "Bad!",
        budgets=[
            PlanBudget(limit=-1),
            budget_of(1, "RESERVATIONS", "DAY", "NOTIFY"),
            budget_of(1),
            budget_of(2),
        ],
        grants=[PlanGrant(priority=-1), grant_of(1), grant_of(2), grant_of(1, "RESERVATIONS")],
        per_request_limits=[Leg(unit="UNIT_USD")],
        reserves_per_minute=-1,
    )
    assert sorted(await invalid(wrong)) == [
        "plan.budgets[0].limit",
        "plan.budgets[0].unit",
        "plan.budgets[0].window",
        "plan.budgets[1].enforcement",
        "plan.budgets[1].window",
        "plan.budgets[3]",
        "plan.grants[0].amount",
        "plan.grants[0].priority",
        "plan.grants[0].unit",
        "plan.grants[2]",
        "plan.grants[3].unit",
        "plan.per_request_limits[0].amount",
        "plan.plan",
        "plan.reserves_per_minute",
    ]
    many = make_plan(stubs, "free", budgets=[budget_of(1)] * 17, grants=[grant_of(1)] * 9)
    assert sorted(await invalid(many)) == ["plan.budgets", "plan.grants"]


async def test_an_account_has_its_plans_budgets_on_every_process(acme, start_authority):
    _, other = await start_authority()
    await acme.set_budget("acme", 1_000)
    await other.reserve("acme", {"USD": 150})
    await give(acme, "acme", "free")
    # What was held before counts on the account's own budget alone.
    held = await other.reserve("acme", {"USD": 100})
    assert (await refused(other.reserve("acme", {"USD": 1}))).code == "RESOURCE_EXHAUSTED"
    await give(other, "acme", "premium")
    await acme.reserve("acme", {"USD": 400})
    assert (await acme.balance("acme"))["acme", "plan-usd-day"] == (500, 0, 0, 0)
    assert (await acme.balance("acme"))["acme", "plan-usd-month"] == (400, 0, 0, 4_600)
    await change_plan(acme, "premium", budgets=[budget_of(510)])
    await refused(other.reserve("acme", {"USD": 11}))
    await other.reserve("acme", {"USD": 10})
    await give(acme, "acme", "")
    assert set(await other.balance("acme")) == {("acme", "usd-day")}
    listed = (await send(acme, admin.ListBudgetsRequest(account="acme"))).budgets
    assert [row.budget for row in listed] == ["usd-day"]
    # A hold that was made before the budget ended is settled on it.
    await other.commit(held.reservation.reservation_id, {"USD": 120})
    assert await acme.differences() == []
    await give(acme, "acme", "premium")
    assert (await acme.balance("acme"))["acme", "plan-usd-day"][:2] == (410, 120)


async def test_a_replayed_denial_names_a_budget_that_has_ended(acme):
    await give(acme, "acme", "free")
    for _ in range(2):
        refusal = await refused(acme.reserve("acme", {"USD": 101}, key="again"))
        assert refusal.metadata["denial_reason"] in {"BUDGET_EXHAUSTED", "BUDGET_BUSY"}
        await give(acme, "acme", "")


async def test_the_accounts_own_limits_win_unit_by_unit(acme):
    await change_plan(
        acme,
        "free",
        per_request_limits=[Leg(unit="UNIT_USD", amount=5), Leg(unit="UNIT_IMAGES", amount=2)],
        reserves_per_minute=3,
    )
    made = await acme.account(
        "globex", plan="free", per_request_limits=[Leg(unit="UNIT_USD", amount=9)]
    )
    assert [leg.amount for leg in made.per_request_limits] == [9]
    for wanted in ({"USD": 10}, {"USD": 1, "IMAGES": 3}):
        refusal = await refused(acme.reserve("globex", wanted))
        assert refusal.metadata["denial_reason"] == "PER_REQUEST_CAP"
    for _ in range(3):
        await acme.reserve("globex", {"USD": 9, "IMAGES": 2})
    refusal = await refused(acme.reserve("globex", {"USD": 1}))
    assert refusal.metadata["denial_reason"] == "RATE_LIMITED"


async def test_budgets_of_plans_are_changed_by_plans_alone(acme):
    await give(acme, "acme", "free")
    assert await invalid(acme.set_budget("acme", 1, name="plan-usd-day")) == ["budget.budget"]
    request = admin.UpdateBudgetRequest(
        budget=Budget(account="acme", budget="plan-usd-day", limit=9),
        update_mask=FieldMask(paths=["limit"]),
    )
    refusal = await refused(send(acme, request))
    assert refusal.fields == ["budget.budget"]
    assert "change the plan" in refusal.message
    assert await invalid(acme.grant("acme", "USD", 1, source="plan free")) == ["grant.source"]
    assert await invalid(acme.reserve("acme", {"USD": 1}, key="plan/x")) == ["idempotency_key"]
    for number in range(15):
        await acme.set_budget("acme", 1, name=f"b-{number}", unit="VIDEOS")
    assert await invalid(give(acme, "acme", "premium")) == ["account.plan"]
    more = [budget_of(1), budget_of(1, window="HOUR")]
    assert await invalid(change_plan(acme, "free", budgets=more)) == ["plan.budgets"]
    assert (await acme.balance("acme"))["acme", "plan-usd-day"] == (0, 0, 0, 100)


async def test_grants_are_made_once_and_voided_when_the_plan_is_left(acme):
    grants = [grant_of(7), grant_of(3, "IMAGES", "DAY")]
    await change_plan(acme, "free", grants=grants)
    await give(acme, "acme", "free")
    both = [(7, "plan free", False), (3, "plan free", False)]
    assert await granted(acme) == both
    held = await acme.reserve("acme", {"CREDITS": 2})
    await give(acme, "acme", "free")
    await change_plan(acme, "free", budgets=[budget_of(90)])
    assert await granted(acme) == both
    await give(acme, "acme", "premium")
    assert [row[2] for row in await granted(acme)] == [True, True]
    await acme.commit(held.reservation.reservation_id, {"CREDITS": 2})
    # What recurs is granted anew to who comes back; what is granted once is not.
    await give(acme, "acme", "free")
    assert [row[0] for row in await granted(acme) if not row[2]] == [3]
    # A changed plan grants what is new, and voids what is of it no more.
    await change_plan(acme, "free", grants=[grant_of(4, "IMAGES", "DAY"), grant_of(9)])
    assert [row[0] for row in await granted(acme) if not row[2]] == [4, 9]


@pytest.mark.parametrize("made", [0, 1])
async def test_a_death_before_the_grants_is_made_good_by_the_sweeper(acme, core, monkeypatch, made):
    await change_plan(acme, "free", grants=[grant_of(7), grant_of(5, "IMAGES")])
    calls = 0
    record = core.context.hot.record

    async def dying(*arguments):
        nonlocal calls
        calls += 1
        if calls > made:
            raise Unavailable("killed")
        return await record(*arguments)

    monkeypatch.setattr(core.context.hot, "record", dying)
    assert (await refused(give(acme, "acme", "free"))).code == "UNAVAILABLE"
    assert len(await granted(acme)) == made
    monkeypatch.undo()
    for _ in range(2):
        await core.sweeper.settle_plans()
    assert [row[0] for row in await granted(acme)] == [7, 5]
    assert await core.ledger.pending_accounts([], 10) == []


async def test_plans_are_the_platforms(acme):
    tenant = await with_key(acme, "acme")
    for call in (make_plan(tenant, "mine"), change_plan(tenant, "free", reserves_per_minute=1)):
        assert (await refused(call)).code == "PERMISSION_DENIED"
    assert len((await send(tenant, admin.ListPlansRequest())).plans) == 2
    await give(tenant, "acme", "free")
    await refused(give(tenant, "globex", "free"))


async def test_through_the_client(authority, stubs):
    address = f"127.0.0.1:{authority[0].port}"
    async with AdminClient(address, token=TOKEN) as client:
        terms = {
            "budgets": (
                clients.PlanBudget(
                    clients.Unit.USD, clients.Window.DAY, 5, alert_thresholds=(50, 100)
                ),
            ),
            "grants": (clients.PlanGrant(clients.Unit.IMAGES, 3, 1, clients.Window.DAY),),
            "per_request_limits": (clients.Leg(clients.Unit.USD, 2),),
            "reserves_per_minute": 9,
        }
        made = await client.create_plan("free", **terms)
        assert {name: getattr(made, name) for name in terms} == terms
        assert await client.get_plan("free") == made
        changed = await client.update_plan("free", budgets=(), reserves_per_minute=0)
        assert (changed.budgets, changed.grants, changed.version) == ((), made.grants, 2)
        assert [plan async for plan in client.list_plans()] == [changed]
        assert (await client.create_account("acme", plan="free")).plan == "free"
        assert (await client.update_account("acme", display_name="A")).plan == "free"
        assert (await client.update_account("acme", plan="")).plan == ""
