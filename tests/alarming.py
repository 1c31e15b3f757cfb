"""AlertService of tests: shorthands, and a way to raise an alert."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg

from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.ledger.alerts import raise_alert
from authority.v1 import alert_service_pb2 as messages
from authority.v1 import alert_service_pb2_grpc
from support import eventually

EVERYTHING = "platform/00000000-0000-7000-8000-000000000001"
DELIVERED = messages.ALERT_DELIVERY_STATE_DELIVERED
PENDING = messages.ALERT_DELIVERY_STATE_PENDING
FAILED = messages.ALERT_DELIVERY_STATE_FAILED


class Alarming:
    """The service of one authority as seen with the credentials of some stubs."""

    def __init__(self, stubs) -> None:
        self.stub = alert_service_pb2_grpc.AlertServiceStub(stubs.channel)
        self.metadata = stubs.metadata

    async def call(self, method, **fields):
        """Call a method by its name."""
        request = getattr(messages, f"{method}Request")(**fields)
        return await getattr(self.stub, method)(request, metadata=self.metadata)

    async def rule(self, account="acme", *, channels=(), **fields):
        """Make a rule."""
        rule = messages.AlertRule(account=account, channels=channels, **fields)
        return (await self.call("CreateAlertRule", rule=rule)).rule

    async def alerts(self, **fields):
        """List alerts."""
        return list((await self.call("ListAlerts", **fields)).alerts)

    async def deliveries(self, **fields):
        """List deliveries."""
        return list((await self.call("ListAlertDeliveries", **fields)).deliveries)


def webhook(url):
    """Return a channel."""
    return messages.AlertChannel(type="ALERT_CHANNEL_TYPE_WEBHOOK", url=url)


def email(*addresses):
    """Return a channel."""
    return messages.AlertChannel(type="ALERT_CHANNEL_TYPE_EMAIL", addresses=addresses)


def logged():
    """Return a channel."""
    return messages.AlertChannel(type="ALERT_CHANNEL_TYPE_LOG")


def new_alert(
    key, *, account="acme", kind=AlertKind.IDLE_HOLDS, now_ms=1_700_000_000_000, **fields
):
    """Return an alert to be raised."""
    given = {"severity": Severity.WARNING, "summary": f"It is {key}.", "details": {"key": key}}
    return NewAlert(
        kind=kind,
        tenant=account.partition("/")[0],
        account=account,
        dedup_key=key,
        raise_time=datetime.fromtimestamp(now_ms / 1000, UTC),
        **{**given, **fields},
    )


async def raised(core, key, **fields):
    """Raise an alert by the hot store's clock; say whether it is new."""
    alert = new_alert(key, now_ms=core.context.clock.now_ms(), **fields)
    async with core.database.transaction() as connection:
        return await raise_alert(connection, alert)


async def ended(alarming, rule, count=1, state=DELIVERED):
    """Wait until so many deliveries of a rule have come to a state; return all, in order."""

    async def found():
        listed = await alarming.deliveries(rule_id=rule.rule_id, page_size=1_000)
        assert [item.state for item in listed].count(state) == count
        return listed[::-1]

    return await eventually(found, 20)


async def tried(alarming, rule, count):
    """Wait until the one delivery of a rule was tried so often; return it."""

    async def found():
        (delivery,) = await alarming.deliveries(rule_id=rule.rule_id)
        return delivery if len(delivery.attempts) == count else None

    return await eventually(found, 20)


@asynccontextmanager
async def held_up(ledger_url, delivery, count):
    """Let who would change a delivery within the block wait, until so many do."""

    async def waiting():
        cursor = await watcher.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return (await cursor.fetchone())[0] >= count

    async with (
        await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as watcher,
        await psycopg.AsyncConnection.connect(ledger_url) as holder,
    ):
        await holder.execute(
            "SELECT FROM webhook_delivery WHERE delivery_id = %s FOR UPDATE", [delivery.delivery_id]
        )
        yield
        await eventually(waiting)


def waits_of(delivery):
    """Return the milliseconds from the last try to the next."""
    last = delivery.attempts[-1].attempt_time
    return delivery.due_time.ToMilliseconds() - last.ToMilliseconds()


async def insert_given_up(ledger_url, count):
    """Add alerts that the log could not be told of in time; return the deliveries' ids."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        cursor = await connection.execute(
            "WITH raised AS (INSERT INTO alert (alert_id, kind, tenant, account, dedup_key,"
            " severity, summary, details, raise_time, silenced)"
            " SELECT 'platform/' || gen_random_uuid(), 'TEST', 'platform', 'platform', number,"
            " 'INFO', '', '{}', now(), false FROM generate_series(1, %s) AS number"
            " RETURNING alert_id)"
            " INSERT INTO webhook_delivery (delivery_id, tenant, alert_id, rule_id, channel, type,"
            " target, state, due_ms, create_ms, end_ms)"
            " SELECT 'platform/' || gen_random_uuid(), 'platform', alert_id, %s, 1, 'LOG', '',"
            " 'FAILED', 1, 1, 1 FROM raised RETURNING delivery_id",
            [count, EVERYTHING],
        )
        return [delivery_id for (delivery_id,) in await cursor.fetchall()]
