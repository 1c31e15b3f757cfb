"""Budgets of the platform: what all tenants together may spend, by leases that never exceed it."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authority.v1 import admin_service_pb2 as admin
from authority.v1 import budget_service_pb2 as budget
from authority.v1 import errors_pb2
from authority.v1.resources_pb2 import Account, Budget, Plan, PlanBudget
from calls import send
from keys import with_key
from leasing import TENANTS, change_limit, make_tenants, standing, try_reserve
from refusals import invalid, refused
from support import eventually


async def test_all_tenants_together_stay_within_the_platforms_budget(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(try_reserve(stubs, TENANTS[number % 3], 7)) for number in range(60)
        ]
    held = [task.result() for task in tasks if task.result()]
    assert len(held) == 14  # all that fits, whoever has leased it
    leased, used = await standing(core)
    assert sum(leased.values()) <= 100
    assert sum(used.values()) == 98
    assert await stubs.differences() == []


async def test_a_denial_names_the_platforms_budget(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    held = (await stubs.reserve("acme", {"USD": 60})).reservation
    await stubs.commit(held.reservation_id, {"USD": 60})
    refusal = await refused(stubs.reserve("globex", {"USD": 41}))
    (row,) = refusal.detail(errors_pb2.Denial).limiting_budgets
    assert (row.account, row.budget, row.requested) == ("platform", "usd-day", 41)
    # What other tenants have spent is not told: the numbers are the tenant's own.
    assert row.limit + 60 <= 100
    assert (row.reserved, row.committed) == (0, 0)
    assert row.reset_time.seconds > 0
    await stubs.reserve("globex", {"USD": 40})


async def test_what_is_idle_goes_to_who_needs_it(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 1_000)
    held = (await stubs.reserve("acme", {"USD": 900})).reservation
    assert await try_reserve(stubs, "globex", 200) is None
    await stubs.release(held.reservation_id)
    # acme has leased 900 and uses none of it.
    assert await try_reserve(stubs, "globex", 950)
    leased, _ = await standing(core)
    assert sum(leased.values()) <= 1_000


async def test_a_refund_and_an_expiry_make_room_for_others(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    held = (await stubs.reserve("acme", {"USD": 100})).reservation
    await stubs.commit(held.reservation_id, {"USD": 100})
    assert await try_reserve(stubs, "globex", 50) is None
    await stubs.refund(held.reservation_id, {"USD": 50})
    await eventually(lambda: try_reserve(stubs, "globex", 50))
    assert await try_reserve(stubs, "initech", 1) is None


async def test_an_actual_cost_above_the_hold_takes_from_the_lease(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    first = (await stubs.reserve("acme", {"USD": 10})).reservation
    # All that is free is leased for it, before it is charged.
    charged = (await stubs.commit(first.reservation_id, {"USD": 95})).reservation
    assert charged.legs[0].charged == 95
    assert await try_reserve(stubs, "globex", 6) is None
    second = (await stubs.reserve("globex", {"USD": 5})).reservation
    # There is nothing left: the platform bears the rest, as with any budget that blocks.
    charged = (await stubs.commit(second.reservation_id, {"USD": 9})).reservation
    assert (charged.legs[0].charged, charged.legs[0].absorbed) == (5, 4)
    _, used = await standing(core)
    assert sum(used.values()) == 100


async def test_an_extension_asks_for_more(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    held = (await stubs.reserve("acme", {"USD": 10})).reservation
    await stubs.extend(held.reservation_id, {"USD": 80})
    refusal = await refused(stubs.extend(held.reservation_id, {"USD": 11}))
    (row,) = refusal.detail(errors_pb2.Denial).limiting_budgets
    assert row.account == "platform"
    await stubs.extend(held.reservation_id, {"USD": 10})


async def test_an_adjustment_is_never_denied_and_counts(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    await stubs.adjust("acme", {"USD": 130})
    assert await try_reserve(stubs, "globex", 1) is None
    await stubs.adjust("acme", {"USD": -60})
    await eventually(lambda: try_reserve(stubs, "globex", 30))
    assert await try_reserve(stubs, "globex", 1) is None


async def test_a_lower_limit_binds_and_takes_idle_leases_back(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 1_000)
    for tenant in TENANTS:
        held = (await stubs.reserve(tenant, {"USD": 300})).reservation
        await stubs.release(held.reservation_id)
        await stubs.reserve(tenant, {"USD": 10})
    await change_limit(stubs, 50)
    leased, _ = await standing(core)
    assert sum(leased.values()) <= 50
    assert await try_reserve(stubs, "acme", 21) is None
    assert await try_reserve(stubs, "acme", 20)
    await change_limit(stubs, 100)
    assert await try_reserve(stubs, "globex", 50)
    assert await try_reserve(stubs, "globex", 1) is None


async def test_a_soft_cap_of_the_platform_lets_the_last_option_run(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100, enforcement="DOWNGRADE")
    first = await stubs.reserve("acme", {"USD": 90}, {"USD": 5})
    assert first.reservation.option_index == 0
    second = await stubs.reserve("globex", {"USD": 90}, {"USD": 50})
    assert second.reservation.option_index == 1
    third = await stubs.reserve("globex", {"USD": 90}, {"USD": 8})
    assert third.reservation.option_index == 1


async def test_a_budget_that_only_notifies_denies_nobody(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 10, enforcement="NOTIFY")
    for tenant in TENANTS:
        await stubs.reserve(tenant, {"USD": 100})
    assert (await stubs.balance("platform"))["platform", "usd-day"] == (300, 0, 0, -290)


async def test_best_effort_holds_what_is_left_of_the_platforms(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    await stubs.reserve("acme", {"USD": 70})
    held = (
        await stubs.reserve("globex", {"USD": 50}, mode=budget.RESERVE_MODE_BEST_EFFORT)
    ).reservation
    assert held.legs[0].reserved == 30


async def test_a_check_says_what_a_reserve_would(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    await stubs.reserve("acme", {"USD": 70})
    check = {"mode": budget.RESERVE_MODE_CHECK_ONLY}
    assert await try_reserve(stubs, "globex", 31, **check) is None
    assert await try_reserve(stubs, "globex", 30, **check)


async def test_counts_of_several_units_and_open_reservations(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 5, unit="IMAGES", window="MONTH")
    await stubs.set_budget("platform", 3, unit="RESERVATIONS", window="TOTAL")
    held = [
        (await stubs.reserve(tenant, {"USD": 1, "IMAGES": 1})).reservation for tenant in TENANTS
    ]
    refusal = await refused(stubs.reserve("acme", {"USD": 1}))
    denial = refusal.detail(errors_pb2.Denial)
    assert denial.reason == errors_pb2.DENIAL_REASON_CONCURRENCY_CAP
    assert denial.limiting_budgets[0].account == "platform"
    for item in held:
        await stubs.commit(item.reservation_id, {"USD": 1, "IMAGES": 1})
    await stubs.reserve("acme", {"USD": 1, "IMAGES": 2})
    refusal = await refused(stubs.reserve("globex", {"USD": 1, "IMAGES": 1}))
    (row,) = refusal.detail(errors_pb2.Denial).limiting_budgets
    assert (row.account, row.budget) == ("platform", "images-month")


async def test_a_plan_gives_the_platform_its_budgets(stubs):
    await make_tenants(stubs)
    daily = PlanBudget(
        unit="UNIT_USD", window="WINDOW_MONTH", limit=100, enforcement="ENFORCEMENT_BLOCK"
    )
    await send(stubs, admin.CreatePlanRequest(plan=Plan(plan="platform", budgets=[daily])))
    request = admin.UpdateAccountRequest(
        account=Account(account="platform", plan="platform"), update_mask=FieldMask(paths=["plan"])
    )
    assert (await send(stubs, request)).account.plan == "platform"
    assert await try_reserve(stubs, "acme", 101) is None
    assert await try_reserve(stubs, "acme", 60)
    lower = PlanBudget(
        unit="UNIT_USD", window="WINDOW_MONTH", limit=70, enforcement="ENFORCEMENT_BLOCK"
    )
    change = admin.UpdatePlanRequest(
        plan=Plan(plan="platform", budgets=[lower]), update_mask=FieldMask(paths=["budgets"])
    )
    await send(stubs, change)
    assert await try_reserve(stubs, "globex", 11) is None
    assert await try_reserve(stubs, "globex", 10)
    none = admin.UpdateAccountRequest(
        account=Account(account="platform"), update_mask=FieldMask(paths=["plan"])
    )
    await send(stubs, none)
    assert await try_reserve(stubs, "globex", 1_000)


async def test_the_platforms_balance_is_that_of_all(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    held = (await stubs.reserve("acme", {"USD": 30})).reservation
    await stubs.commit(held.reservation_id, {"USD": 20})
    await stubs.reserve("globex", {"USD": 5})
    assert await stubs.balance("platform") == {("platform", "usd-day"): (5, 20, 0, 75)}
    # A tenant sees its own budgets alone.
    assert set(await stubs.balance("acme")) == {("acme", "usd-day")}


async def test_who_may_see_and_change_the_platforms_budgets(stubs):
    await make_tenants(stubs)
    made = await stubs.set_budget("platform", 100)
    acme = await with_key(stubs, "acme")
    for request in (
        admin.CreateBudgetRequest(budget=Budget(account="platform", unit=1, window=2, limit=1)),
        admin.UpdateBudgetRequest(budget=made, update_mask=FieldMask(paths=["limit"])),
        admin.GetBudgetRequest(account="platform", budget="usd-day"),
        admin.ListBudgetsRequest(account="platform"),
        budget.GetBalanceRequest(account="platform"),
    ):
        assert (await refused(send(acme, request))).code == "PERMISSION_DENIED"
    assert await invalid(stubs.reserve("platform", {"USD": 1})) == ["account"]
    frozen = admin.UpdateAccountRequest(
        account=Account(account="platform", state=2), update_mask=FieldMask(paths=["state"])
    )
    assert await invalid(send(stubs, frozen)) == ["update_mask"]


async def test_a_tenant_made_later_is_under_it_too(stubs):
    await stubs.set_budget("platform", 100)
    await make_tenants(stubs)
    assert await try_reserve(stubs, "initech", 101) is None
    assert await try_reserve(stubs, "initech", 100)


async def test_entries_name_the_platforms_budget(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    await stubs.reserve("acme", {"USD": 30})
    request = admin.ListLedgerEntriesRequest(account="acme")

    async def named():
        rows = (await send(stubs, request)).entries
        return {row.budget for row in rows} == {"acme usd-day", "platform usd-day"}

    await eventually(named)


@pytest.mark.parametrize("lost", ["flush", "rebuild"])
async def test_leases_outlive_the_hot_store(stubs, core, lost):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    for tenant in TENANTS:
        assert await try_reserve(stubs, tenant, 20)
    if lost == "flush":
        await core.hot.redis.flushdb()
    else:
        await send(stubs, admin.RebuildRequest())

    async def all_that_is_left():
        held = [await try_reserve(stubs, tenant, 14) for tenant in TENANTS]
        return sum(item is not None for item in held) == 2

    assert await all_that_is_left()
    leased, used = await standing(core)
    assert sum(leased.values()) <= 100
    assert sum(used.values()) == 88
    assert await stubs.differences() == []


async def test_what_is_given_back_under_a_lowered_limit_is_not_used_again(stubs, core):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    held = [(await stubs.reserve("acme", {"USD": 10})).reservation for _ in range(5)]
    await change_limit(stubs, 20)
    for item in held[:2]:
        await stubs.release(item.reservation_id)
        assert await try_reserve(stubs, "acme", 1) is None
    await core.hot.redis.flushdb()
    assert await try_reserve(stubs, "acme", 1) is None
    for item in held[2:]:
        await stubs.release(item.reservation_id)
    assert await try_reserve(stubs, "acme", 21) is None
    assert await try_reserve(stubs, "acme", 20)


async def test_an_actual_cost_that_does_not_fit_is_charged_as_far_as_it_does(stubs):
    await make_tenants(stubs)
    await stubs.set_budget("platform", 100)
    await stubs.reserve("acme", {"USD": 66})
    held = (await stubs.reserve("acme", {"USD": 1})).reservation
    settled = (await stubs.commit(held.reservation_id, {"USD": 35})).reservation
    assert (settled.legs[0].charged, settled.legs[0].absorbed) == (34, 1)
