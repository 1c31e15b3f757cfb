"""Replays of what the real authority decided: as it was, under another plan, by another model."""

from __future__ import annotations

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import credits_pb2, resources_pb2
from clients.amounts import Unit

HIGH = ("openai", "gpt-image-2", "high", 220_000)
MEDIUM = ("openai", "gpt-image-2", "medium", 54_000)
DAY = 86_400_000


async def make_plan(stubs, name, **fields):
    """Make a plan."""
    request = admin.CreatePlanRequest(plan=resources_pb2.Plan(plan=name, **fields))
    await stubs.admin.CreatePlan(request, metadata=stubs.metadata)


def usd(window, limit, enforcement="BLOCK"):
    """Return a plan's budget."""
    return resources_pb2.PlanBudget(
        unit="UNIT_USD",
        window=f"WINDOW_{window}",
        limit=limit,
        enforcement=f"ENFORCEMENT_{enforcement}",
    )


async def test_a_replay_of_what_was_comes_to_what_was(past, insights, stubs, core):
    await stubs.set_budget("acme/alice", 500_000, window="DAY", name="day")
    try:
        for day in range(3):
            for number in range(4):
                # The third leaves too little for the first option, the fourth finds nothing.
                await past.made(
                    "acme/alice", prompt=f"{day} {number}", options=[HIGH, MEDIUM],
                    actual=200_000 if number < 2 else 50_000,
                )  # fmt: skip
            core.hot.clock.offset_ms += DAY
        found = await insights.replay("acme/alice", days=30)
    finally:
        core.hot.clock.offset_ms = 0
    assert found.actual == found.as_is == found.what_if
    assert (found.actual.generation_count, found.actual.made_count) == (12, 9)
    assert (found.actual.downgraded_count, found.actual.denied_count) == (3, 3)
    assert found.actual.charged == 3 * 450_000
    assert found.left_out_count == 0


async def test_denials_name_the_same_budget(past, insights, stubs):
    await stubs.set_budget("acme/alice", 300_000, window="MONTH", name="month")
    for number in range(3):
        await past.made("acme/alice", prompt=str(number), options=[HIGH], actual=200_000)
    found = await insights.replay("acme/alice")
    assert (found.actual.made_count, found.actual.denied_count) == (1, 2)
    for outcome in (found.actual, found.as_is):
        (denial,) = outcome.denials
        assert denial.reason == "BUDGET_EXHAUSTED"
        assert (denial.limiting_account, denial.budget) == ("acme/alice", "month")
        assert denial.generation_count == 2
    assert found.actual.denials == found.as_is.denials


async def test_a_smaller_plan_would_have_denied(past, insights, stubs):
    await make_plan(stubs, "small", budgets=[usd("MONTH", 250_000), usd("DAY", 1_000_000)])
    for number in range(3):
        await past.made("acme/alice", prompt=str(number), options=[HIGH], actual=200_000)
    found = await insights.replay("acme/alice", plan="small")
    assert (found.as_is.made_count, found.as_is.denied_count) == (3, 0)
    assert (found.what_if.made_count, found.what_if.denied_count) == (1, 2)
    assert found.what_if.charged == 200_000
    (denial,) = found.what_if.denials
    assert (denial.limiting_account, denial.budget) == ("acme/alice", "plan-usd-month")
    assert any("had the plan" in text for text in found.assumptions)


async def test_a_larger_plan_would_have_made_what_was_denied(past, insights, stubs):
    await make_plan(stubs, "small", budgets=[usd("DAY", 250_000)])
    await make_plan(stubs, "large", budgets=[usd("DAY", 1_000_000)])
    change = resources_pb2.Account(account="acme/alice", plan="small")
    request = admin.UpdateAccountRequest(account=change)
    request.update_mask.paths.append("plan")
    await stubs.admin.UpdateAccount(request, metadata=stubs.metadata)
    for number in range(2):
        await past.made("acme/alice", prompt=str(number), options=[HIGH], actual=200_000)
    found = await insights.replay("acme/alice", plan="large")
    assert (found.actual.denied_count, found.as_is.denied_count) == (1, 1)
    assert found.what_if.denied_count == 0
    # What was denied costs its estimate.
    assert found.what_if.charged == 200_000 + 220_000


async def test_free_images_of_a_plan_are_used_up_each_day(past, insights, stubs):
    grant = resources_pb2.PlanGrant(unit="UNIT_IMAGES", amount=2, recurrence="WINDOW_DAY")
    await make_plan(stubs, "free", grants=[grant], budgets=[usd("MONTH", 10**9)])
    for number in range(3):
        await past.made("acme/alice", prompt=str(number), options=[HIGH], actual=200_000)
    found = await insights.replay("acme/alice", plan="free")
    assert (found.what_if.made_count, found.what_if.denied_count) == (2, 1)
    assert [(leg.unit, leg.amount) for leg in found.what_if.granted] == [(Unit.IMAGES, 2)]
    assert found.what_if.denials[0].reason == "INSUFFICIENT_GRANTS"
    assert found.as_is.granted == ()


async def test_what_is_not_free_is_paid_in_credits(past, insights, stubs):
    listed = await stubs.admin.GetPriceList(
        credits_pb2.GetPriceListRequest(), metadata=stubs.metadata
    )
    price = next(
        row.credits for row in listed.price_list.prices if (row.kind, row.tier) == (1, "premium")
    )
    grants = [
        resources_pb2.PlanGrant(unit="UNIT_IMAGES", amount=1, recurrence="WINDOW_MONTH"),
        resources_pb2.PlanGrant(unit="UNIT_CREDITS", amount=price * 3 // 2),
    ]
    await make_plan(stubs, "paid", grants=grants, budgets=[usd("MONTH", 10**9)])
    for number in range(3):
        await past.made("acme/alice", prompt=str(number), options=[HIGH], actual=200_000)
    what_if = (await insights.replay("acme/alice", plan="paid")).what_if
    assert (what_if.made_count, what_if.denied_count) == (2, 1)
    granted = {leg.unit: leg.amount for leg in what_if.granted}
    assert granted == {Unit.IMAGES: 1, Unit.CREDITS: price}


async def test_nothing_had_to_be_covered_by_grants_before_the_first_was_given(
    past, insights, stubs
):
    await past.made("acme/alice", options=[HIGH], actual=200_000, days_ago=3)
    await stubs.grant("acme/alice", "CREDITS", 5)
    found = await insights.replay("acme/alice")
    assert (found.as_is.made_count, found.as_is.denied_count) == (1, 0)
    assert found.as_is.charged == found.actual.charged == 200_000
    assert found.as_is.granted == ()


async def test_a_plan_of_standard_models_makes_nothing_else(past, insights, stubs):
    await make_plan(stubs, "plain", tier="standard", budgets=[usd("MONTH", 10**9)])
    await past.made("acme/alice", options=[HIGH, MEDIUM], actual=200_000)
    await past.made("acme/alice", options=[HIGH], actual=200_000, model="gpt-image-2")
    what_if = (await insights.replay("acme/alice", plan="plain")).what_if
    assert (what_if.made_count, what_if.downgraded_count) == (1, 1)
    assert [denial.reason for denial in what_if.denials] == ["PLAN_TIER"]
    # By medium, an image and what is sent for it.
    assert what_if.charged == 53_000 + 380


async def test_another_model_would_have_cost_so_much(past, insights):
    await past.made(prompt="a fox", options=[HIGH], actual=200_000)
    await past.made(prompt="a box", options=[HIGH], actual=200_000, size="1024x1536")
    await past.made(prompt="an ox", options=[HIGH], actual=200_000, settings={"seed": 7})
    await past.made(actual=30_000, error="content_refused")
    await past.cached()
    found = await insights.replay("acme", model="stable-image-core")
    assert (found.as_is.made_count, found.as_is.failed_count, found.as_is.cached_count) == (3, 1, 1)
    assert found.as_is.charged == found.actual.charged == 630_000
    what_if = found.what_if
    # 3 credits at a cent each; it takes a seed, and has each size that it was asked for.
    priced = what_if.made_count
    assert priced + what_if.impossible_count == 3
    assert what_if.charged == what_if.actual == priced * 30_000
    assert (what_if.failed_count, what_if.cached_count) == (1, 1)


async def test_a_model_that_takes_none_of_it_makes_nothing(past, insights):
    await past.made(options=[HIGH], actual=200_000, settings={"references": ["acme/x/0"]})
    what_if = (await insights.replay("acme", model="stable-image-core")).what_if
    assert (what_if.made_count, what_if.impossible_count, what_if.charged) == (0, 1, 0)


async def test_budgets_of_accounts_above_are_left_out(past, insights, stubs):
    await stubs.set_budget("acme", 100_000, window="DAY", name="day")
    await past.made("acme/alice", options=[HIGH], actual=200_000)
    found = await insights.replay("acme/alice")
    assert (found.actual.denied_count, found.as_is.denied_count) == (1, 0)
    assert found.actual.denials[0].limiting_account == "acme"
    assert (await insights.replay("acme")).as_is.denied_count == 1


async def test_what_was_spent_before_is_in_the_windows(past, insights, stubs, core):
    await stubs.set_budget("acme/alice", 300_000, window="TOTAL", name="ever")
    held = (await stubs.reserve("acme/alice", {"USD": 200_000})).reservation
    await stubs.commit(held.reservation_id, {"USD": 200_000})
    core.hot.clock.offset_ms += DAY + DAY // 2
    try:
        await past.made("acme/alice", options=[HIGH], actual=200_000, days_ago=-1)
        found = await insights.replay("acme/alice", days=1)
    finally:
        core.hot.clock.offset_ms = 0
    assert (found.actual.denied_count, found.as_is.denied_count) == (1, 1)


async def test_an_account_without_a_past_answers_zeroes(past, insights):
    found = await insights.replay("acme", model="gpt-image-2")
    assert found.actual == found.as_is == found.what_if
    assert found.actual.generation_count == 0
    assert found.actual.denials == ()
