"""GetCreditStatus: what an account has to pay with, in one answer."""

from __future__ import annotations

import pytest

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import resources_pb2
from authority.v1.credits_pb2 import GetCreditStatusRequest
from authority.v1.resources_pb2 import Unit, Window
from calls import send
from keys import with_key
from refusals import invalid, refused

DAY_MS = 86_400_000


@pytest.fixture
async def acme(stubs):
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.set_budget("acme", 100_000_000, window="MONTH")
    return stubs


async def status(stubs, account="acme/alice"):
    return await send(stubs, GetCreditStatusRequest(account=account))


async def test_an_account_without_grants_pays_with_nothing(acme):
    found = await status(acme)
    assert (found.account, found.plan, found.tier) == ("acme/alice", "", "")
    assert list(found.prepaid_units) == []
    assert (found.free_images, found.credits, found.paid_credits) == (0, 0, 0)
    assert (found.month.budget.account, found.month.budget.budget) == ("acme", "usd-month")
    assert (found.month_spend, found.month.available) == (0, 100_000_000)
    assert found.price_list.version == 1
    assert len(found.price_list.prices) == 6
    assert found.HasField("read_time")


async def test_what_is_free_and_what_was_paid_are_told_apart(acme):
    daily = await acme.grant("acme/alice", "IMAGES", 3, recurrence="WINDOW_DAY")
    await acme.grant("acme", "IMAGES", 5, price=1_000_000)
    await acme.grant("acme/alice", "CREDITS", 3_000_000, recurrence="WINDOW_HOUR")
    await acme.grant("acme/alice", "CREDITS", 10_000_000, price=4_990_000)
    await acme.set_budget("acme/alice", 5_000_000, window="MONTH")
    await acme.set_budget("acme/alice", 9_000_000, window="MONTH", name="other")
    await acme.set_budget("acme/alice", 1, window="MONTH", name="watch", enforcement="NOTIFY")
    legs = {"USD": 400_000, "IMAGES": 2, "CREDITS": 4_000_000}
    held = (await acme.reserve("acme/alice", legs)).reservation
    found = await status(acme)
    assert list(found.prepaid_units) == [Unit.UNIT_CREDITS, Unit.UNIT_IMAGES]
    assert found.free_images == 1
    assert (found.credits, found.paid_credits, found.reserved_credits) == (
        9_000_000,
        9_000_000,
        4_000_000,
    )
    rows = {(row.unit, row.recurrence): row for row in found.allowances}
    images = rows[Unit.UNIT_IMAGES, Window.WINDOW_DAY]
    assert (images.grant_id, images.amount, images.available, images.reserved) == (
        daily.grant_id,
        3,
        1,
        2,
    )
    assert rows[Unit.UNIT_CREDITS, Window.WINDOW_HOUR].available == 0, "shown though it is spent up"
    now_ms = found.read_time.ToMilliseconds()
    assert images.reset_time.ToMilliseconds() == now_ms - now_ms % DAY_MS + DAY_MS
    assert found.month.budget.budget == "usd-month"
    assert found.month.budget.limit == 5_000_000
    assert found.month_spend == 0
    await acme.commit(held.reservation_id, {"USD": 300_000, "IMAGES": 2, "CREDITS": 4_000_000})
    await acme.refund(held.reservation_id, {"USD": 100_000})
    spent = await status(acme)
    assert (spent.month_spend, spent.reserved_credits, spent.free_images) == (200_000, 0, 1)
    # What is spent up is shown too: its next period comes.
    assert {(row.unit, row.available) for row in spent.allowances} == {
        (Unit.UNIT_IMAGES, 1),
        (Unit.UNIT_CREDITS, 0),
    }
    assert {(row.budget.account, row.budget.budget) for row in spent.windows} == {
        ("acme/alice", "usd-month"),
        ("acme/alice", "other"),
        ("acme/alice", "watch"),
        ("acme", "usd-month"),
    }
    assert all(row.HasField("window_end_time") for row in spent.windows)


async def test_a_new_day_brings_free_images_anew(acme, core):
    await acme.grant("acme/alice", "IMAGES", 3, recurrence="WINDOW_DAY")
    await acme.reserve("acme/alice", {"IMAGES": 3})
    assert (await status(acme)).free_images == 0
    core.hot.clock.offset_ms += DAY_MS
    assert (await status(acme)).free_images == 3


async def test_what_another_process_has_granted_is_seen(acme, core):
    await status(acme)
    # As if another process had made it: this one's policy is the old one.
    policies = core.context.policies
    old = policies._cached["acme"]
    await acme.grant("acme/alice", "CREDITS", 7_000_000)
    policies._cached["acme"] = old
    found = await status(acme)
    assert (found.credits, list(found.prepaid_units)) == (7_000_000, [Unit.UNIT_CREDITS])


async def test_the_plan_and_its_tier(acme):
    plan = resources_pb2.Plan(plan="free", tier="standard")
    plan.grants.add(unit="UNIT_IMAGES", amount=3, recurrence="WINDOW_DAY")
    await send(acme, admin.CreatePlanRequest(plan=plan))
    await acme.account("acme/bob", plan="free")
    found = await status(acme, "acme/bob")
    assert (found.plan, found.tier, found.free_images) == ("free", "standard", 3)


async def test_who_may_ask(acme):
    for scope in ("SPEND", "SUBMIT", "READ"):
        assert (await status(await with_key(acme, "acme", [scope]))).account == "acme/alice"
    other = await with_key(acme, "acme", ["READ"])
    await acme.account("globex")
    assert (await refused(status(other, "globex"))).code == "PERMISSION_DENIED"
    assert (await refused(status(acme, "acme/nobody"))).reason == "NOT_FOUND"
    assert await invalid(status(acme, "platform")) == ["account"]
    assert await invalid(status(acme, "")) == ["account"]
