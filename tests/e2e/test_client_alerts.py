"""The clients of AlertService, async and sync, on a real authority."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from alarming import raised
from authorities import TOKEN
from clients import (
    AlertChannel,
    AlertChannelType,
    AlertClient,
    AlertDeliveryState,
    AlertKind,
    AlertSeverity,
    DeliveryStateError,
    NotFound,
)
from clients.sync import SyncAlertClient


@pytest.fixture
async def alerts(authority, stubs):
    """A client, with an account to alert of."""
    await stubs.account("acme")
    async with AlertClient(f"127.0.0.1:{authority[0].port}", token=TOKEN) as client:
        yield client


async def test_all_of_it(alerts, core):
    rule = await alerts.create_alert_rule(
        "acme",
        channels=[AlertChannel.webhook("https://localhost.invalid/"), AlertChannel.log()],
        kinds=[AlertKind.IDLE_HOLDS],
        params={"idle_holds.minutes": 5},
        display_name="Ours",
    )
    assert [channel.type for channel in rule.channels] == [
        AlertChannelType.WEBHOOK,
        AlertChannelType.LOG,
    ]
    assert rule.channels[0].secret.startswith("whsec_")
    assert rule.channels[0].secret not in repr(rule)
    assert rule.params == {"idle_holds.minutes": 5}
    assert (await alerts.get_alert_rule(rule.rule_id)).channels[0].secret == ""
    changed = await alerts.update_alert_rule(
        rule.rule_id, channels=[AlertChannel.log()], kinds=[], disabled=False
    )
    assert changed.kinds == ()
    assert [channel.channel for channel in changed.channels] == [2]
    assert changed.display_name == "Ours"
    assert [item.rule_id async for item in alerts.list_alert_rules(tenant="acme")] == [rule.rule_id]

    await raised(core, "first")
    (alert,) = [item async for item in alerts.list_alerts(account="acme", page_size=1)]
    assert (alert.kind, alert.severity) == (AlertKind.IDLE_HOLDS, AlertSeverity.WARNING)
    assert alert.details == {"key": "first"}
    assert (await alerts.get_alert(alert.alert_id)) == alert
    seen = await alerts.acknowledge_alert(alert.alert_id, reason="known")
    assert seen.acknowledge_reason == "known"
    assert [item async for item in alerts.list_alerts(unacknowledged=True)] == []

    tested = await alerts.test_alert_rule(rule.rule_id)
    (delivery,) = tested.deliveries
    assert delivery.state is AlertDeliveryState.DELIVERED
    assert delivery.attempts[0].error == ""
    listed = alerts.list_alert_deliveries(alert_id=tested.alert.alert_id)
    assert [item async for item in listed] == [delivery]

    with pytest.raises(DeliveryStateError) as refused:
        await alerts.retry_alert_delivery(delivery.delivery_id)
    assert refused.value.state == "DELIVERED"
    await core.database.rows("UPDATE webhook_delivery SET state = 'FAILED' RETURNING 1", {})
    retried = await alerts.retry_alert_delivery(delivery.delivery_id, reason="again")
    assert retried.state is AlertDeliveryState.PENDING
    assert retried.retry_time == retried.due_time

    now = datetime.fromtimestamp(core.context.clock.now_ms() / 1000, UTC)
    silence = await alerts.silence_alerts("acme", now + timedelta(hours=1))
    assert silence.kind is None
    assert [item async for item in alerts.list_silences()] == [silence]
    await alerts.end_silence(silence.silence_id)
    await alerts.delete_alert_rule(rule.rule_id)
    with pytest.raises(NotFound):
        await alerts.get_alert_rule(rule.rule_id)


async def test_the_same_without_async(authority, alerts, core):
    await raised(core, "first")

    def called():
        with SyncAlertClient(f"127.0.0.1:{authority[0].port}", token=TOKEN) as client:
            rule = client.create_alert_rule("acme", channels=[AlertChannel.log()])
            client.test_alert_rule(rule.rule_id)
            return [item.kind for item in client.list_alerts(tenant="acme", page_size=1)]

    assert await asyncio.to_thread(called) == [AlertKind.TEST, AlertKind.IDLE_HOLDS]
