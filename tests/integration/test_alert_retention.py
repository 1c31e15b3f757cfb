"""Alerts that were kept for long enough go, and what they were about is never told again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import psycopg
import pytest

from alarming import DELIVERED, Alarming, ended, logged, raised
from authority.alerting.thresholds import ThresholdChecks
from authority.domain.alerts import AlertKind
from authority.ledger import alert_retention
from authority.ledger.alert_retention import AlertRetention
from authority.ledger.alerts import record_crossings
from authority.ledger.migrate import migrations
from authority.v1 import admin_service_pb2 as admin
from authority.v1.resources_pb2 import Budget
from refusals import refused
from support import eventually

KEPT = timedelta(days=400)
# Of an alert that is raised now.
LAST_DAY, AFTER = timedelta(days=399, hours=23), timedelta(days=400, hours=1)


@pytest.fixture
async def alarming(stubs):
    """AlertService, with a tenant."""
    await stubs.account("acme")
    return Alarming(stubs)


@pytest.fixture
def delete(core):
    """A function that deletes what is to be deleted so long from now; it returns how many rows."""
    retention = AlertRetention(core.database, KEPT)

    async def deleted(later=AFTER):
        now = datetime.fromtimestamp(core.context.clock.now_ms() / 1000, UTC)
        count = 0
        while some := await retention.delete_some(now + later):
            count += some
        return count

    return deleted


async def told(alarming, core, *keys):
    """Raise alerts, and wait until they were told; return the rule that has told them."""
    rule = await alarming.rule(channels=[logged()])
    for key in keys:
        await raised(core, key)
    await ended(alarming, rule, len(keys))
    return rule


async def all_told(core):
    """Wait until nothing is left to be told."""

    async def is_done():
        rows = await core.database.rows("SELECT state FROM webhook_delivery", {})
        return {row["state"] for row in rows} <= {"DELIVERED"}

    await eventually(is_done, 20)


async def reopened(core, rule):
    """Have the deliveries of a rule wait for a day to come."""
    rows = await core.database.rows(
        "UPDATE webhook_delivery SET state = 'PENDING', end_ms = 0, due_ms = 2 ^ 52"
        " WHERE rule_id = %(rule)s RETURNING delivery_id",
        {"rule": rule.rule_id},
    )
    return [row["delivery_id"] for row in rows]


async def test_what_was_kept_for_long_enough_goes(alarming, core, delete):
    rule = await told(alarming, core, "one", "two")
    await all_told(core)
    (alert, _) = await alarming.alerts()
    await alarming.call("AcknowledgeAlert", alert_id=alert.alert_id)
    assert await delete(LAST_DAY) == 0
    assert len(await alarming.alerts()) == 2
    # Two alerts, each told by this rule and by the one that logs everything.
    assert await delete() == 6
    assert await alarming.alerts() == []
    assert await alarming.deliveries() == []
    assert (await refused(alarming.call("GetAlert", alert_id=alert.alert_id))).code == "NOT_FOUND"
    assert (await alarming.call("GetAlertRule", rule_id=rule.rule_id)).rule == rule
    assert await delete() == 0


async def test_no_kind_of_case_is_told_again(alarming, core, delete):
    for kind in AlertKind:
        assert await raised(core, "case", kind=kind)
    await all_told(core)
    assert await delete() == 2 * len(AlertKind)
    for kind in AlertKind:
        assert not await raised(core, "case", kind=kind)
    assert await alarming.alerts() == []
    assert await raised(core, "another")


async def test_a_threshold_is_told_once_also_after_its_alert_has_gone(
    alarming, core, stubs, delete
):
    """The window has not ended, and is crossed again in each way that there is."""

    async def spend(amount):
        held = await stubs.reserve("acme", {"USD": amount})
        await stubs.commit(held.reservation.reservation_id, {"USD": amount})
        return held.reservation.reservation_id

    await stubs.set_budget("acme", 10_000_000, window="TOTAL")
    await stubs.set_budget("platform", 100_000_000, window="TOTAL")
    first = await spend(8_000_000)

    async def two():
        found = await alarming.alerts()
        return [alert.details["threshold"] for alert in found] == ["80", "75"]

    await eventually(two)
    await all_told(core)
    assert await delete() == 4
    await stubs.refund(first, {"USD": 4_000_000})
    await spend(4_500_000)
    # All there ever was, as if it had never been looked at.
    async with core.database.transaction() as connection:
        assert await record_crossings(connection, "acme", 0, 2**53) == 0
    budget = Budget(account="acme", budget="usd-total", limit=9_500_000)
    request = admin.UpdateBudgetRequest(budget=budget, update_mask={"paths": ["limit"]})
    await stubs.admin.UpdateBudget(request, metadata=stubs.metadata)
    checks = ThresholdChecks(core.context, core.database)

    async def is_checked():
        await checks.check()
        return await core.database.rows("TABLE threshold_check", {}) == []

    await eventually(is_checked)
    with pytest.raises(grpc.aio.AioRpcError):
        await stubs.reserve("acme", {"USD": 5_000_000})

    async def listed():
        return [alert.details["threshold"] for alert in await alarming.alerts()]

    # What is new is told: of 9.5 million 8.5 are less than 90 %, and more than is left was asked.
    assert await eventually(listed) == ["100"]


async def test_what_is_still_to_be_told_stays_with_its_alert(alarming, core, delete):
    rule = await told(alarming, core, "one")
    await all_told(core)
    (delivery_id,) = await reopened(core, rule)
    await delete()
    (left,) = await alarming.deliveries()
    assert left.delivery_id == delivery_id
    (alert,) = await alarming.alerts()
    assert alert.alert_id == left.alert_id
    await core.database.rows("UPDATE webhook_delivery SET due_ms = 0 RETURNING 1", {})
    await ended(alarming, rule, state=DELIVERED)
    assert await delete() == 2
    assert await alarming.alerts() == []


async def test_what_is_asked_to_be_told_anew_meanwhile_stays(alarming, core, delete, ledger_url):
    """The deletion has begun when it is asked for, and waits for who asks."""
    rule = await told(alarming, core, "one")
    await all_told(core)
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid')"
    async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
        await connection.execute(
            "UPDATE webhook_delivery SET state = 'PENDING', due_ms = 2 ^ 52 WHERE rule_id = %s",
            [rule.rule_id],
        )
        deletion = asyncio.create_task(delete())
        await eventually(lambda: core.database.rows(waiting, {}))
        await connection.commit()
    await deletion
    assert [item.rule_id for item in await alarming.deliveries()] == [rule.rule_id]
    assert len(await alarming.alerts()) == 1


async def test_it_goes_in_small_batches(alarming, core, delete, monkeypatch):
    await told(alarming, core, *"abcde")
    await all_told(core)
    monkeypatch.setattr(alert_retention, "BATCH_MAX", 2)
    now = datetime.fromtimestamp(core.context.clock.now_ms() / 1000, UTC) + AFTER
    counts = []
    retention = AlertRetention(core.database, KEPT)
    while some := await retention.delete_some(now):
        counts.append(some)
    assert sum(counts) == 15
    assert max(counts) <= 4
    assert await alarming.alerts() == []


async def test_what_was_told_before_there_were_cases_is_told_no_more(database_url):
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        for migration in migrations()[:21]:
            await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO alert (alert_id, kind, tenant, account, dedup_key, severity, summary,"
            " details, raise_time, silenced)"
            " VALUES ('acme/1', 'TEST', 'acme', 'acme', 'k', 'INFO', '', '{}', now(), false)"
        )
        for migration in migrations()[21:]:
            await connection.execute(migration.sql)
        cursor = await connection.execute("SELECT kind, dedup_key FROM alert_case")
        assert await cursor.fetchall() == [("TEST", "k")]
