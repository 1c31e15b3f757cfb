"""What users pay for generations: free images, then credits; and why one was downgraded."""

from __future__ import annotations

import pytest

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2
from authority.v1 import usage_service_pb2 as usage
from authority.v1.credits_pb2 import GetCreditStatusRequest
from calls import send
from changing import change_account
from generating import state
from pipelines import Fate
from support import eventually

STANDARD = {"quality": "standard"}
# The prices of the catalogue are in dollars, these in credits (migration 0017).
PREMIUM_CREDITS, STANDARD_CREDITS = 2_000_000, 1_000_000

pytestmark = pytest.mark.usefixtures("funded")


async def status(stubs, account="acme"):
    return await send(stubs, GetCreditStatusRequest(account=account))


async def left(stubs, account="acme"):
    """Return what is left: free images and credits, when nothing is held."""
    found = await status(stubs, account)
    assert found.reserved_credits == 0
    assert all(row.reserved == 0 for row in found.allowances)
    return found.free_images, found.credits


async def why(made):
    return made.downgraded, made.downgrade_reason, made.downgrade_budget


async def test_free_images_come_first_and_then_paid_credits(generations, worker, stubs, spent):
    await stubs.grant("acme", "IMAGES", 3, every="DAY")
    await stubs.grant("acme", "CREDITS", 5_000_000, price=2_500_000)
    costs = []
    for prompt, images, remaining in (
        ("a fox", 2, 5_000_000),
        ("a hare", 1, 5_000_000),
        ("an owl", 0, 5_000_000),
        ("a stoat", 0, 3_000_000),
        ("a vole", 0, 1_000_000),
    ):
        made = await generations.make(prompt=prompt)
        assert (state(made), await why(made)) == ("SUCCEEDED", (False, "", ""))
        assert await left(stubs) == (images, remaining), prompt
        costs.append(made.cost)
    # What is left pays for a standard one; a premium one is what was asked for.
    lesser = await generations.make(prompt="a newt")
    assert (state(lesser), await why(lesser)) == ("SUCCEEDED", (True, "grants", ""))
    assert await left(stubs) == (0, 0)
    costs.append(lesser.cost)
    denied = await generations.make(prompt="a toad")
    assert (state(denied), denied.error_reason) == ("DENIED", "INSUFFICIENT_GRANTS")
    assert all(costs), "the provider's cost counts against budgets all the same"
    assert await spent() == sum(costs)
    assert await stubs.differences() == []


async def test_a_soft_cap_leaves_every_way_to_pay_for_the_standard_tier(generations, worker, stubs):
    await stubs.grant("acme", "IMAGES", 1, every="DAY")
    await stubs.grant("acme", "CREDITS", 3_000_000)
    await stubs.set_budget("acme", 1, window="HOUR", enforcement="DOWNGRADE", name="soft")
    for prompt, remaining in (("a fox", (0, 3_000_000)), ("a hare", (0, 2_000_000))):
        made = await generations.make(prompt=prompt)
        assert state(made) == "SUCCEEDED"
        assert await why(made) == (True, "soft_cap", "acme#soft")
        assert await left(stubs) == remaining


async def test_a_hard_budget_in_the_way_of_premium_is_named(generations, worker, stubs):
    await stubs.set_budget("acme", 60_000, window="HOUR", name="hard")
    made = await generations.make(prompt="a fox")
    assert (state(made), await why(made)) == ("SUCCEEDED", (True, "budget", "acme#hard"))


async def test_no_more_is_made_than_the_plan_has(generations, worker, stubs):
    await send(
        stubs, admin.CreatePlanRequest(plan=resources_pb2.Plan(plan="lean", tier="standard"))
    )
    await send(stubs, change_account("plan", plan="lean"))
    made = await generations.make(prompt="a fox")
    assert (state(made), await why(made)) == ("SUCCEEDED", (True, "plan_tier", ""))
    again = await generations.make(prompt="a fox")
    assert (again.cached, await why(again)) == ("exact", (True, "plan_tier", ""))
    same = await generations.make(prompt="a fox", **STANDARD)
    assert (same.cached, await why(same)) == ("exact", (False, "", ""))
    named = await generations.make(prompt="a fox", model="gpt-image-2", quality="high")
    assert (state(named), named.error_reason) == ("DENIED", "plan_tier")
    assert named.attempt_count == 0


async def test_what_brings_nothing_costs_its_user_nothing(generations, worker, stubs, emulator):
    await stubs.grant("acme", "IMAGES", 1, every="DAY")
    await stubs.grant("acme", "CREDITS", 9_000_000)
    # Refused, and nothing is billed; then cut off after the work was done, twice, which is billed.
    await emulator.order("openai", "refused")
    failed = await generations.make(prompt="a fox", model="gpt-image-2")
    assert (state(failed), failed.cost) == ("FAILED", 0)
    await emulator.order("openai", "drop", step="accept", times=None)
    failed = await generations.make(prompt="a hare", model="gpt-image-2")
    assert state(failed) == "FAILED"
    assert failed.cost > 0
    assert await left(stubs) == (1, 9_000_000)
    assert await stubs.differences() == []


async def test_videos_are_paid_by_the_second(generations, worker, stubs, attempts):
    await stubs.grant("acme", "CREDITS", 30_000_000)
    made = await generations.make(
        prompt="waves", kind="KIND_VIDEO", model="sandbox-video-mini", settings={"seconds": 3}
    )
    assert state(made) == "SUCCEEDED"
    assert (await left(stubs))[1] == 30_000_000 - 3 * STANDARD_CREDITS
    (row,) = await attempts(made.generation_id)
    assert row["usage"] == {"videos": 1, "milliseconds": 3_000}


async def test_what_was_billed_is_written_down(generations, worker, stubs, attempts):
    for fields, expected in (
        ({"model": "gpt-image-2"}, {"images", "input_tokens", "output_tokens"}),
        ({"model": "sandbox-image", "count": 2}, {"images"}),
        ({"kind": "KIND_CHAT", "model": "sandbox-chat"}, {"input_tokens", "output_tokens"}),
    ):
        made = await generations.make(prompt="a fox", **fields)
        (row,) = await attempts(made.generation_id)
        assert row["usage"].keys() == expected, fields
        assert all(row["usage"].values())
        if fields.get("count"):
            assert row["usage"] == {"images": 2}


async def test_a_death_at_any_step_charges_no_user_twice(generations, run, stubs, attempts):
    await stubs.grant("acme", "CREDITS", 10**12)
    await stubs.set_budget("acme", 1, window="HOUR", enforcement="DOWNGRADE", name="soft")
    whole = Fate()
    made = (await generations.submit(prompt="whole")).generation
    await run(made.generation_id, whole)
    before = (await left(stubs))[1]
    assert before == 10**12 - STANDARD_CREDITS
    for number, name in enumerate(whole.steps, start=1):
        for moment in ("before", "after"):
            made = (await generations.submit(prompt=f"{moment} {name} {number}")).generation
            await run(made.generation_id, Fate(number, moment))
            made = await generations.get(made.generation_id)
            assert state(made) == "SUCCEEDED", (name, moment)
            assert await why(made) == (True, "soft_cap", "acme#soft"), (name, moment)
            after = (await left(stubs))[1]
            # What is presumed to have been spent has brought its user nothing.
            assert before - after == STANDARD_CREDITS, (name, moment)
            before = after
    assert await stubs.differences() == []


async def test_the_usage_log_tells_what_each_generation_brought_in(generations, worker, stubs):
    await stubs.grant("acme", "IMAGES", 1, every="DAY")
    await stubs.grant("acme", "CREDITS", 4_000_000, price=1_000_001)
    await stubs.set_budget("acme", 300_000, window="HOUR", enforcement="DOWNGRADE", name="soft")
    expected = []
    for prompt, credit, earned, reason in (
        ("a fox", 0, 0, ""),  # a free image
        ("a hare", 1_000_000, 250_000, "soft_cap"),
        ("an owl", 1_000_000, 250_000, "soft_cap"),
        ("a stoat", 1_000_000, 250_000, "soft_cap"),
        ("a vole", 1_000_000, 250_001, "soft_cap"),
    ):
        made = await generations.make(prompt=prompt)
        assert state(made) == "SUCCEEDED"
        expected.append((made.generation_id, 1, made.cost, credit, earned, reason))

    async def logged():
        request = usage.ListUsageEventsRequest(account="acme")
        events = reversed((await send(stubs, request)).events)
        found = [
            (
                *(event.generation_id, event.images, event.charged, event.credits),
                *(event.revenue, event.downgrade_reason),
            )
            for event in events
        ]
        return found == expected or None

    await eventually(logged)
