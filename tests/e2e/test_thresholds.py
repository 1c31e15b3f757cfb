"""Alerts of budgets: each percentage of each window once, whoever crosses it and however often."""

from __future__ import annotations

import asyncio
import json
import random

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from authority.alerting.thresholds import ThresholdChecks
from authority.ledger.alerts import record_crossings
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import AlertThresholds, Budget
from refusals import invalid
from support import eventually

LIMIT = 10_000_000
# What is denied is journalled without being waited for.
DENIED = "SELECT 1 FROM operation WHERE outcome = 'DENIED'"


@pytest.fixture
async def acme(stubs):
    """A tenant with one budget."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT)
    return stubs


async def spend(stubs, amount, *, actual=None, account="acme"):
    """Reserve and commit; return the reservation's id."""
    held = await stubs.reserve(account, {"USD": amount})
    name = held.reservation.reservation_id
    await stubs.commit(name, {"USD": amount if actual is None else actual})
    return name


async def change(stubs, *, limit=None, percents=None, account="acme", budget="usd-day"):
    """Change a budget's limit or thresholds."""
    message = Budget(account=account, budget=budget, limit=limit or 0)
    if percents is not None:
        message.alert_thresholds.CopyFrom(AlertThresholds(percents=percents))
    paths = [
        name
        for name, given in (("limit", limit), ("alert_thresholds", percents))
        if given is not None
    ]
    request = admin.UpdateBudgetRequest(budget=message, update_mask=FieldMask(paths=paths))
    await stubs.admin.UpdateBudget(request, metadata=stubs.metadata)


@pytest.fixture
def recorded(core):
    """A function that records what was crossed, again each time, and returns the alerts."""

    async def record(tenant="acme", *, after=0):
        async with core.database.transaction() as connection:
            await record_crossings(connection, tenant, after, 2**53)
        async with core.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT * FROM alert WHERE tenant = %s ORDER BY raise_time, alert_id", [tenant]
            )
            return await cursor.fetchall()

    return record


def percents(alerts):
    """Return the percentages, in order."""
    return sorted(row["details"]["threshold"] for row in alerts)


async def test_a_commit_that_crosses_says_so_once(acme, recorded):
    await spend(acme, 7_400_000)
    assert await recorded() == []
    await spend(acme, 100_000)
    (alert,) = await recorded()
    assert alert["kind"] == "BUDGET_THRESHOLD"
    assert alert["severity"] == "INFO"
    assert alert["account"] == "acme"
    assert alert["details"]["net"] == 7_500_000
    assert alert["details"]["limit"] == LIMIT
    assert alert["summary"].startswith(
        "Budget usd-day of acme has reached 75 %: $7.50 of $10.00 charged in the day from "
    )
    await spend(acme, 100_000)
    assert percents(await recorded()) == [75]


async def test_one_commit_may_cross_all_of_them(acme, recorded):
    await spend(acme, LIMIT)
    assert percents(await recorded()) == [75, 80, 90, 100]


async def test_what_a_refund_opens_again_is_not_told_twice(acme, recorded):
    name = await spend(acme, 8_000_000)
    await acme.refund(name, {"USD": 4_000_000})
    await spend(acme, 4_500_000)
    assert percents(await recorded()) == [75, 80]


async def test_what_is_held_crosses_nothing(acme, recorded):
    await acme.reserve("acme", {"USD": LIMIT})
    assert await recorded() == []


async def test_a_denial_says_that_the_budget_is_exhausted(acme, recorded):
    await spend(acme, 7_000_000)
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError):
            await acme.reserve("acme", {"USD": 4_000_000})
    # What is denied is journalled without being waited for.
    (alert,) = await eventually(recorded)
    assert alert["details"]["threshold"] == 100
    assert alert["details"]["requested"] == 4_000_000
    assert alert["severity"] == "CRITICAL"
    assert "is exhausted: $4.00 was denied, with $7.00 of $10.00 charged" in alert["summary"]
    await spend(acme, 3_000_000)
    assert percents(await recorded()) == [75, 80, 90, 100]


async def test_a_denial_is_told_also_where_nothing_was_charged_beside_it(acme, core):
    await spend(acme, 7_000_000)

    async def told():
        return await core.database.rows("SELECT details FROM alert", {})

    async def is_followed():
        return await core.database.rows("SELECT 1 FROM usage_cursor WHERE sequence = 2", {})

    await eventually(is_followed)
    assert await told() == []
    with pytest.raises(grpc.aio.AioRpcError):
        await acme.reserve("acme", {"USD": 4_000_000})
    (alert,) = await eventually(told)
    assert alert["details"]["threshold"] == 100


@pytest.mark.parametrize("asked", [LIMIT + 1, 6_000_000])
async def test_a_denial_for_other_reasons_does_not(acme, core, recorded, asked):
    """More than the budget has ever had; and what is in the way is only held."""
    await acme.reserve("acme", {"USD": 5_000_000})
    with pytest.raises(grpc.aio.AioRpcError):
        await acme.reserve("acme", {"USD": asked})
    await eventually(lambda: core.database.rows(DENIED, {}))
    assert await recorded() == []


async def test_an_adjustment_crosses_too(acme, recorded):
    await acme.adjust("acme", {"USD": 9_000_000})
    await acme.adjust("acme", {"USD": -9_000_000})
    assert percents(await recorded()) == [75, 80, 90]


async def test_each_budget_above_has_thresholds_of_its_own(acme, recorded):
    await acme.account("acme/team")
    await acme.set_budget("acme/team", 1_000_000, enforcement="NOTIFY")
    await change(acme, account="acme/team", percents=[50, 250, 1000])
    await spend(acme, 2_500_000, account="acme/team")
    alerts = await recorded()
    assert {row["account"] for row in alerts} == {"acme/team"}
    assert percents(alerts) == [50, 250]


async def test_thresholds_are_shown_in_order_and_75_80_90_and_100_by_default(acme):
    made = await acme.set_budget("acme", LIMIT, window="HOUR")
    assert list(made.alert_thresholds.percents) == [75, 80, 90, 100]
    await change(acme, percents=[110, 5])
    request = admin.GetBudgetRequest(account="acme", budget="usd-day")
    read = (await acme.admin.GetBudget(request, metadata=acme.metadata)).budget
    assert list(read.alert_thresholds.percents) == [5, 110]
    assert read.limit == LIMIT


@pytest.mark.parametrize("wrong", [[0], [1001], [-5], [50, 50], list(range(1, 10))])
async def test_thresholds_that_can_not_be_are_named(acme, wrong):
    assert await invalid(change(acme, percents=wrong)) == ["budget.alert_thresholds"]


async def test_no_thresholds_raise_nothing(acme, core, recorded):
    await change(acme, percents=[])
    await spend(acme, LIMIT)
    with pytest.raises(grpc.aio.AioRpcError):
        await acme.reserve("acme", {"USD": 1})
    await eventually(lambda: core.database.rows(DENIED, {}))
    assert await recorded() == []


async def test_a_limit_of_nothing_is_passed_by_the_first_cent(acme, recorded):
    await acme.set_budget("acme", 0, enforcement="NOTIFY", window="MONTH")
    await spend(acme, 1)
    alerts = await recorded()
    assert percents(alerts) == [75, 80, 90, 100]
    assert {row["details"]["budget"] for row in alerts} == {"usd-month"}


async def test_the_largest_limit_is_exact(stubs, recorded):
    await stubs.account("acme")
    most = 2**53 - 1
    await stubs.set_budget("acme", most, window="TOTAL")
    await change(stubs, budget="usd-total", percents=[100, 1000])
    await spend(stubs, most - 1)
    assert await recorded() == []
    await spend(stubs, 1)
    (alert,) = await recorded()
    assert alert["details"]["net"] == most
    assert alert["details"]["window_start_ms"] == 0


async def test_many_at_once_cross_each_once(acme, recorded, core):
    """Whatever the order, one operation alone says of each percentage that it has crossed it."""
    chosen = random.Random(7)
    parts = [chosen.randrange(1, 200_000) for _ in range(100)]
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(spend(acme, part))
    async with core.database.connection() as connection:
        cursor = await connection.execute(
            r"SELECT split_part(result, E'\n', 5) AS more FROM operation WHERE kind = 'COMMIT'"
        )
        texts = [row["more"] for row in await cursor.fetchall()]
    told = [item for text in texts if text for item in json.loads(text)["crossed"]]
    net = sum(parts)
    expected = [percent for percent in (75, 80, 90, 100) if net >= LIMIT * percent // 100]
    assert sorted(int(percent) for _, percent, _, _ in told) == expected
    assert percents(await recorded()) == expected


async def test_only_operations_that_were_asked_for_are_looked_at(acme, core, recorded):
    await spend(acme, 8_000_000)
    async with core.database.transaction() as connection:
        assert await record_crossings(connection, "acme", 0, 1) == 0
        assert await record_crossings(connection, "acme", 1, 2) == 2
        assert await record_crossings(connection, "acme", 0, 2) == 0


@pytest.fixture
def checked(core):
    """A function that looks at the budgets that were changed."""
    checks = ThresholdChecks(core.context, core.database)

    async def check():
        return await checks.check()

    return check


async def test_a_lowered_limit_raises_what_is_passed_now(acme, recorded, checked, core):
    await spend(acme, 6_000_000)
    await change(acme, limit=7_000_000)
    assert await checked() == 2
    assert percents(await recorded()) == [75, 80]
    await spend(acme, 500_000)
    assert percents(await recorded()) == [75, 80, 90]
    assert await core.database.rows("TABLE threshold_check", {}) == []


async def test_a_new_threshold_that_is_passed_is_raised(acme, recorded, checked):
    await spend(acme, 6_000_000)
    await change(acme, percents=[50, 75])
    await checked()
    assert percents(await recorded()) == [50]


async def test_a_raised_limit_raises_nothing(acme, recorded, checked):
    await spend(acme, 7_000_000)
    await change(acme, limit=20_000_000)
    assert await checked() == 0
    assert await recorded() == []


async def test_a_limit_that_changes_beside_traffic_misses_nothing(stubs, recorded, checked):
    """What is passed at the change is told by the check, and all after it by the commits."""
    await stubs.account("acme")
    await stubs.set_budget("acme", LIMIT, enforcement="NOTIFY")
    done = asyncio.Event()
    count = 0

    async def traffic():
        nonlocal count
        while not done.is_set():
            await spend(stubs, 1_000)
            count += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(traffic())
        await eventually(lambda: count > 40)
        # What was counted a moment ago is at 80 % of it.
        limit = count * 1_000 * 100 // 80
        await change(stubs, limit=limit)
        await checked()
        await eventually(lambda: count * 1_000 > limit)
        done.set()
    assert percents(await recorded()) == [75, 80, 90, 100]


async def test_a_tenant_that_is_not_open_is_opened(acme, recorded, checked, core):
    await spend(acme, 6_000_000)
    await core.epochs.advance(core.hot.epoch)
    await change(acme, limit=7_000_000)
    await checked()
    await checked()
    assert percents(await recorded()) == [75, 80]
