"""What plans say beside budgets, their versions, and the default ones."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

import clients
from authorities import TOKEN
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import AbusePolicy, AlertThresholds, Plan, PlanBudget
from calls import send
from clients import AdminClient
from keys import with_key
from paymaster.cli.plan_defaults import Outcome, default_terms, make_default_plans
from refusals import invalid, refused

MINUTE = Duration(seconds=60)


async def make_plan(stubs, plan="free", **fields):
    return (await send(stubs, admin.CreatePlanRequest(plan=Plan(plan=plan, **fields)))).plan


async def change_plan(stubs, plan, reason="", **fields):
    request = admin.UpdatePlanRequest(
        plan=Plan(plan=plan, **fields),
        update_mask=FieldMask(paths=list(fields)),
        reason=reason,
    )
    return (await send(stubs, request)).plan


@pytest.fixture
async def admin_client(authority):
    async with AdminClient(f"127.0.0.1:{authority[0].port}", token=TOKEN) as client:
        yield client


async def test_a_plan_without_a_number_lets_ten_a_minute_be_submitted(stubs):
    assert (await make_plan(stubs)).submissions_per_minute == 10
    assert (await make_plan(stubs, "open", submissions_per_minute=0)).submissions_per_minute == 0
    assert (await change_plan(stubs, "open", submissions_per_minute=7)).submissions_per_minute == 7
    request = admin.UpdatePlanRequest(
        plan=Plan(plan="open"), update_mask=FieldMask(paths=["submissions_per_minute"])
    )
    assert (await send(stubs, request)).plan.submissions_per_minute == 10


async def test_the_terms_of_a_plan_are_kept_and_taken_away(stubs):
    abuse = AbusePolicy(refusals=5, bursts=30, within=MINUTE, freeze=Duration(seconds=7))
    assert (await make_plan(stubs, tier="standard", abuse=abuse)).abuse == abuse
    changed = await change_plan(stubs, "free", tier="")
    assert (changed.tier, changed.abuse) == ("", abuse)
    request = admin.UpdatePlanRequest(
        plan=Plan(plan="free"), update_mask=FieldMask(paths=["abuse"])
    )
    assert not (await send(stubs, request)).plan.HasField("abuse")


async def test_wrong_terms_are_named(stubs):
    budgets = [
        PlanBudget(
            unit="UNIT_USD",
            window=window,
            limit=1,
            alert_thresholds=AlertThresholds(percents=percents),
        )
        for window, percents in (
            ("WINDOW_HOUR", [0]),
            ("WINDOW_DAY", [1001]),
            ("WINDOW_WEEK", [80, 80]),
            ("WINDOW_MONTH", range(1, 10)),
            ("WINDOW_TOTAL", []),
        )
    ]
    wrong = make_plan(
        stubs, budgets=budgets, tier="gold", submissions_per_minute=-1, abuse=AbusePolicy(bursts=-1)
    )
    assert sorted(await invalid(wrong)) == [
        "plan.abuse.bursts",
        "plan.abuse.within",
        *(f"plan.budgets[{number}].alert_thresholds" for number in range(4)),
        "plan.submissions_per_minute",
        "plan.tier",
    ]
    for abuse, field in (
        (AbusePolicy(within=MINUTE), "plan.abuse"),
        (AbusePolicy(refusals=1, within=Duration(seconds=59)), "plan.abuse.within"),
        (AbusePolicy(refusals=1, within=Duration(seconds=86_401)), "plan.abuse.within"),
        (
            AbusePolicy(refusals=1, within=MINUTE, freeze=Duration(seconds=32 * 86_400)),
            "plan.abuse.freeze",
        ),
    ):
        assert await invalid(make_plan(stubs, abuse=abuse)) == [field]


async def test_the_thresholds_of_a_plan_are_those_of_its_budgets(stubs):
    def of(*percents):
        thresholds = AlertThresholds(percents=percents)
        return PlanBudget(
            unit="UNIT_USD", window="WINDOW_DAY", limit=9, alert_thresholds=thresholds
        )

    async def kept():
        listed = await send(stubs, admin.ListBudgetsRequest(account="acme"))
        return list(listed.budgets[0].alert_thresholds.percents)

    await make_plan(stubs, budgets=[of(50, 100)])
    await stubs.account("acme", plan="free")
    assert await kept() == [50, 100]
    await change_plan(stubs, "free", budgets=[of()])
    assert await kept() == []


async def test_every_version_stays_readable(stubs):
    first = await make_plan(stubs, reserves_per_minute=1)
    second = await change_plan(stubs, "free", "too slow", reserves_per_minute=2)
    await change_plan(stubs, "free", "no change", reserves_per_minute=2)
    third = await change_plan(stubs, "free", "cheaper", tier="standard")
    for plan in (first, second, third):
        request = admin.GetPlanRequest(plan="free", version=plan.version)
        assert (await send(stubs, request)).plan == plan
    page = await send(stubs, admin.ListPlanVersionsRequest(plan="free", page_size=2))
    rest = await send(
        stubs, admin.ListPlanVersionsRequest(plan="free", page_token=page.next_page_token)
    )
    versions = [*page.versions, *rest.versions]
    assert [row.plan for row in versions] == [third, second, first]
    assert [row.reason for row in versions] == ["cheaper", "too slow", ""]
    assert all(row.actor for row in versions)
    await stubs.account("acme")
    tenant = await with_key(stubs, "acme")
    shown = (await send(tenant, admin.ListPlanVersionsRequest(plan="free"))).versions
    assert [row.plan for row in shown] == [third, second, first]
    assert not any(row.actor or row.reason for row in shown)
    for request in (
        admin.GetPlanRequest(plan="free", version=4),
        admin.GetPlanRequest(plan="none", version=1),
        admin.ListPlanVersionsRequest(plan="none"),
    ):
        assert (await refused(send(stubs, request))).code == "NOT_FOUND"
    assert await invalid(send(stubs, admin.GetPlanRequest(plan="free", version=-1))) == ["version"]


async def test_the_default_plans_are_made_once_and_edits_stay(admin_client):
    made = await make_default_plans(admin_client)
    assert {row.outcome for row in made} == {Outcome.MADE}
    assert [row.plan.plan for row in made] == list(default_terms())
    edited = await admin_client.update_plan("flash", tier="premium")
    again = {row.plan.plan: row for row in await make_default_plans(admin_client)}
    assert again.pop("flash") == (edited, Outcome.EDITED)
    assert {row.outcome for row in again.values()} == {Outcome.THERE}
    assert {row.plan.version for row in again.values()} == {1}


def test_the_default_plans_are_those_of_the_issue():
    terms = default_terms()

    def dollars(plan):
        return {
            str(row.window): row.limit
            for row in terms[plan]["budgets"]
            if row.unit is clients.Unit.USD
        }

    def most(plan):
        return [leg.amount for leg in terms[plan]["per_request_limits"]]

    assert dollars("free") == {"DAY": 500_000, "MONTH": 5_000_000}
    assert dollars("premium") == {"DAY": 2_000_000, "MONTH": 25_000_000}
    assert dollars("pro") == {"DAY": 10_000_000, "MONTH": 100_000_000}
    assert dollars("default") == {"MONTH": 10_000_000}
    assert dollars("platform") == {"MONTH": 100_000_000}
    assert [most(plan) for plan in ("free", "premium", "pro")] == [[80_000], [120_000], [120_000]]
    (free,) = terms["free"]["grants"]
    assert free == clients.PlanGrant(clients.Unit.IMAGES, 3, 0, clients.Window.DAY)
    counts = {str(row.unit): row.limit for row in terms["platform"]["budgets"][1:]}
    assert counts == {"MESSAGES": 4_000_000, "IMAGES": 2_500}
    assert {row.alert_thresholds for row in terms["platform"]["budgets"]} == {(80, 100)}
    for plan, granted in (("flash-lite", 3), ("flash", 8), ("pro-session", 15)):
        assert terms[plan]["grants"] == [
            clients.PlanGrant(clients.Unit.CREDITS, granted * 1_000_000, 0, clients.Window.HOUR)
        ]
    limited = {plan for plan in terms if terms[plan]["submissions_per_minute"] == 10}
    assert limited == terms.keys() - {"platform"}


async def test_through_the_client(admin_client):
    abuse = clients.AbusePolicy(refusals=3, within=MINUTE.ToTimedelta())
    made = await admin_client.create_plan(
        "free", tier="standard", submissions_per_minute=0, abuse=abuse
    )
    assert (made.tier, made.submissions_per_minute, made.abuse) == ("standard", 0, abuse)
    changed = await admin_client.update_plan("free", tier="", abuse=clients.AbusePolicy())
    assert (changed.tier, changed.submissions_per_minute, changed.abuse) == ("", 0, None)
    versions = [row async for row in admin_client.list_plan_versions("free")]
    assert [row.plan for row in versions] == [changed, made]
    assert await admin_client.get_plan("free", 1) == made
