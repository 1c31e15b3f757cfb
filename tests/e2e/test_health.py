"""GetHealth against real stores: all is well, and then one thing after the other is not."""

from __future__ import annotations

import asyncio
import shutil
import time

import pytest

from authorities import TOKEN, make_settings
from authority.health import machine
from authority.hotstate.keys import TenantKeys
from authority.ledger.migrate import migrate
from authority.usecases import health
from authority.v1 import admin_service_pb2 as admin
from authority.v1 import health_service_pb2 as messages
from calls import send
from clients import HealthClient, HealthStatus
from clients.sync import SyncHealthClient
from generating import Generations
from keys import with_key
from refusals import refused
from support import eventually

HEALTHY = messages.HEALTH_STATUS_HEALTHY
DEGRADED = messages.HEALTH_STATUS_DEGRADED
UNHEALTHY = messages.HEALTH_STATUS_UNHEALTHY
CHECKS = {
    *("hot_store", "ledger", "epoch", "clocks", "journal", "outbox", "expired_reservations"),
    *("usage_log", "drift", "alert_deliveries", "queue", "workers", "loops", "disk", "catalogue"),
}


@pytest.fixture(autouse=True)
def roomy_disk(monkeypatch):
    """The disk of who runs the tests may be as full as it likes."""
    usage = shutil.disk_usage("/")._replace(total=100, used=40, free=60)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)


@pytest.fixture(autouse=True)
def shared_seconds(monkeypatch):
    """Every question is a look of its own, so that what was just changed is seen."""
    monkeypatch.setattr(health, "_SHARED_SECONDS", 0.0)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function = function
        self.count = 0

    async def __call__(self, *arguments):
        self.count += 1
        return await self.function(*arguments)


async def look(stubs):
    return await send(stubs, messages.GetHealthRequest())


async def check(stubs, name, subject=""):
    (found,) = (
        row for row in (await look(stubs)).checks if (row.check, row.subject) == (name, subject)
    )
    return found


async def stop(loop):
    """Stop what runs beside calls, to see what it leaves undone."""
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == loop)
    task.cancel()
    await asyncio.wait([task])


async def test_a_new_installation_is_healthy(stubs):
    async def healthy():
        found = await look(stubs)
        return found if found.status == HEALTHY else None

    found = await eventually(healthy)
    assert {row.check for row in found.checks} == CHECKS
    assert {row.subject for row in found.checks if row.check == "queue"} == {
        "image",
        "chat",
        "video",
    }
    assert all(row.value and not row.advice for row in found.checks)
    assert found.version
    assert found.read_time.seconds > 1_500_000_000


async def test_it_is_the_platforms(stubs):
    await stubs.account("acme")
    for scopes, tenant, code in (
        (["READ"], "acme", "PERMISSION_DENIED"),
        (["SPEND"], "platform", "PERMISSION_DENIED"),
    ):
        caller = await with_key(stubs, tenant, scopes)
        assert (await refused(look(caller))).code == code
    assert (await look(await with_key(stubs, "platform", ["READ"]))).checks


async def test_a_flood_of_probes_puts_no_load_on_the_stores(stubs, core, monkeypatch):
    monkeypatch.setattr(health, "_SHARED_SECONDS", 3_600.0)
    monkeypatch.setattr(core.health, "expired", counted := Counted(core.health.expired))
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(look(stubs)) for _ in range(50)]
    assert len({task.result().SerializeToString() for task in asking}) == 1
    assert counted.count == 1
    await send(stubs, admin.AuditRequest())
    await look(stubs)
    assert counted.count == 2


async def test_through_the_clients(authority):
    address = f"127.0.0.1:{authority[0].port}"
    async with HealthClient(address, token=TOKEN) as client:
        found = await client.get_health()
    assert {row.check for row in found.checks} == CHECKS
    assert found.status in HealthStatus

    def ask():
        with SyncHealthClient(address, token=TOKEN) as client:
            return client.get_health()

    assert {row.check for row in (await asyncio.to_thread(ask)).checks} == CHECKS


async def test_a_generation_without_workers_is_told(stubs):
    await stubs.account("acme")
    await Generations(stubs).submit()
    found = await look(stubs)
    wrong = {(row.check, row.subject): row for row in found.checks if row.status == UNHEALTHY}
    assert set(wrong) == {("queue", "image"), ("workers", "")}
    assert "paymaster worker" in wrong["workers", ""].advice
    assert found.status == UNHEALTHY


async def test_drift_is_told_from_the_audit_on_until_the_next(stubs, core):
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 10})
    assert (await check(stubs, "drift")).status == HEALTHY
    for shift, status in ((1, UNHEALTHY), (-1, HEALTHY)):
        async with core.database.connection() as connection:
            await connection.execute(
                "UPDATE window_total SET committed = committed + %s WHERE tenant = 'acme'", [shift]
            )
        await send(stubs, admin.AuditRequest())
        found = await check(stubs, "drift")
        assert found.status == status
        assert ("acme" in found.value) == (status == UNHEALTHY)


async def test_a_tenant_that_was_not_audited_for_long_is_told(stubs, core):
    await stop("watch")  # which audits by itself
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 10})
    async with core.database.connection() as connection:
        await connection.execute(
            "UPDATE operation SET create_time = create_time - interval '3 days'"
        )
    assert (await check(stubs, "drift")).status == DEGRADED
    await send(stubs, admin.AuditRequest(tenant="acme"))
    assert (await check(stubs, "drift")).status == HEALTHY


async def test_a_loop_that_died_is_told(stubs):
    assert (await check(stubs, "loops")).status == HEALTHY
    await stop("feed")
    found = await check(stubs, "loops")
    assert (found.status, found.value) == (UNHEALTHY, "ended: feed")


async def test_old_prices_are_told(core, stubs):
    core.hot.clock.offset_ms += 200 * 86_400_000
    assert (await check(stubs, "catalogue")).status == DEGRADED


async def test_what_nobody_expires_is_told(stubs, core):
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 10}, ttl=1)
    await stop("sweeper")
    for passed_ms, status in ((2_000, HEALTHY), (30_000, DEGRADED), (600_000, UNHEALTHY)):
        core.hot.clock.offset_ms += passed_ms
        found = await check(stubs, "expired_reservations")
        assert found.status == status
        assert found.value.startswith("1 waits")
    await core.sweeper.expire_due()
    assert (await check(stubs, "expired_reservations")).value == "none waits"


async def test_a_usage_log_that_stands_still_is_told(stubs, core):
    await stop("usage")
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 10})
    core.hot.clock.offset_ms += 300_000
    found = await check(stubs, "usage_log")
    assert (found.status, found.value.startswith("1 tenant behind")) == (DEGRADED, True)


async def test_an_outbox_that_nobody_empties_is_told(stubs, core):
    await stop("sweeper")
    await stubs.account("acme")
    await stubs.set_budget("acme", 100)
    await stubs.reserve("acme", {"USD": 10})
    key = TenantKeys("acme", 0).outbox
    minute_ago = await core.hot.time_ms() - 60_000

    async def is_empty():
        return not await core.hot.redis.xlen(key)

    await eventually(is_empty)
    # A stream takes no entry from before its last one, unless it begins anew.
    await core.hot.redis.delete(key)
    await core.hot.redis.xadd(key, {"what": "is stuck"}, id=f"{minute_ago}-1")
    found = await check(stubs, "outbox")
    assert (found.status, found.value) == (DEGRADED, "oldest entry 60 s")
    assert "acme" in found.advice
    await core.hot.redis.delete(key)


async def test_an_alert_that_can_not_be_told_is_told_here(stubs, core):
    ago = core.hot.clock.now_ms() - 3_600_000
    async with core.database.connection() as connection:
        await connection.execute(
            "INSERT INTO alert (alert_id, tenant, account, kind, dedup_key, severity, summary,"
            " details, raise_time, silenced)"
            " VALUES ('a', 'acme', 'acme', 'TEST', 'k', 'INFO', '', '{}', now(), false)"
        )
        await connection.execute(
            "INSERT INTO webhook_delivery (delivery_id, tenant, alert_id, rule_id, channel, type,"
            " target, due_ms, create_ms) VALUES ('d', 'acme', 'a', 'r', 0, 'LOG', '', %s, %s)",
            [ago + 10**12, ago],
        )
    found = await check(stubs, "alert_deliveries")
    assert (found.status, found.value) == (DEGRADED, "1 waits, 60 min")


@pytest.mark.parametrize("away", [0, 1], ids=["postgres", "valkey"])
async def test_it_answers_while_a_store_is_away(
    make_postgres, make_valkey, start_authority, tmp_path, away
):
    stores = await make_postgres(), await make_valkey()
    await migrate(stores[0].url)
    settings = make_settings(stores[0].url, stores[1].url, tmp_path / "artifacts")
    _, stubs = await start_authority(settings)
    await stubs.account("acme")
    await stores[away].stop()
    began = time.monotonic()
    found = await look(stubs)
    assert time.monotonic() - began < 10
    assert found.status == UNHEALTHY
    rows = {row.check: row for row in found.checks}
    name, other = ("ledger", "hot_store") if away == 0 else ("hot_store", "ledger")
    assert (rows[name].status, rows[other].status) == (UNHEALTHY, HEALTHY)
    assert ("DATABASE_URL" if away == 0 else "REDIS_URL") in rows[name].advice
    assert rows["outbox"].value == f"not looked at: {name} away"
    assert {rows[name].status for name in ("loops", "disk", "catalogue")} == {HEALTHY}
    await stores[away].start()

    async def is_back():
        return (await look(stubs)).status == HEALTHY

    await eventually(is_back)
