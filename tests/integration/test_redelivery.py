"""Deliveries that were given up are told anew when somebody asks for it, once, under their id."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from alarming import (
    DELIVERED,
    EVERYTHING,
    FAILED,
    PENDING,
    Alarming,
    ended,
    held_up,
    logged,
    raised,
    tried,
    waits_of,
    webhook,
)
from authority.ledger.health import HealthReader
from authority.v1 import alert_service_pb2 as messages
from keys import with_key
from refusals import Refusal, invalid, refused

DAY_MS = 86_400_000
NEVER = "acme/00000000-0000-7000-8000-000000000000"


@pytest.fixture
def core(started):
    """The inside of the authority."""
    return started[0].core


async def given_up(alarming, core, receiver, rule):
    """Have a delivery given up at its first try; return it."""
    receiver.statuses = [410]
    await raised(core, "first")
    (delivery,) = await ended(alarming, rule, state=FAILED)
    return delivery


async def retry(alarming, delivery, **fields):
    """Have a delivery told anew; return it."""
    answer = await alarming.call("RetryAlertDelivery", delivery_id=delivery.delivery_id, **fields)
    return answer.delivery


async def changes(core):
    """Return what is on record of deliveries."""
    return await core.database.rows(
        "SELECT tenant, account, method, resource, actor, reason, before, after FROM admin_audit"
        " WHERE resource_type = 'alert_delivery'",
        {},
    )


async def test_what_was_given_up_is_told_under_the_same_id(alarming, core, receiver, rule):
    delivery = await given_up(alarming, core, receiver, rule)
    retried = await retry(alarming, delivery, reason="it is back")
    assert retried.state == PENDING
    assert retried.delivery_id == delivery.delivery_id
    assert retried.retry_time == retried.due_time
    assert not retried.HasField("end_time")
    (told,) = await ended(alarming, rule)
    assert [attempt.status for attempt in told.attempts] == [410, 200]
    assert told.create_time == delivery.create_time
    assert [line["id"] for line in receiver.tries] == [delivery.delivery_id.partition("/")[2]] * 2
    assert len(receiver.received) == 1
    assert await changes(core) == [
        {
            "tenant": "acme",
            "account": "acme",
            "method": "RetryAlertDelivery",
            "resource": delivery.delivery_id,
            "actor": "root token (root)",
            "reason": "it is back",
            "before": {"state": "FAILED"},
            "after": {"state": "PENDING"},
        }
    ]


async def test_it_has_another_day_from_the_first_wait_on(alarming, core, receiver, rule):
    receiver.statuses = [500] * 3
    await raised(core, "first")
    for count in (1, 2):
        delivery = await tried(alarming, rule, count)
        core.hot.clock.offset_ms += waits_of(delivery) + 1
    await tried(alarming, rule, 3)
    receiver.statuses = [410, 500, 410]
    core.hot.clock.offset_ms += 3 * DAY_MS
    (delivery,) = await ended(alarming, rule, state=FAILED)
    await retry(alarming, delivery)
    again = await tried(alarming, rule, 5)
    assert again.state == PENDING, "it was raised days ago"
    assert 4_000 <= waits_of(again) <= 6_500, "as after a first try"
    core.hot.clock.offset_ms += DAY_MS
    (delivery,) = await ended(alarming, rule, state=FAILED)
    await retry(alarming, delivery)
    (told,) = await ended(alarming, rule)
    assert [attempt.status for attempt in told.attempts][3:] == [410, 500, 410, 200]


async def test_it_is_given_up_again_a_day_later(alarming, core, receiver, rule):
    delivery = await given_up(alarming, core, receiver, rule)
    receiver.statuses = [500, 500]
    receiver.headers = {"retry-after": "3600"}
    core.hot.clock.offset_ms += DAY_MS
    retried = await retry(alarming, delivery)
    await tried(alarming, rule, 2)
    # For health it has waited since then.
    since_ms = retried.retry_time.ToMilliseconds()
    assert await HealthReader(core.database, core.context.clock.now_ms).untold_alerts() == (
        1,
        since_ms,
    )
    core.hot.clock.offset_ms += DAY_MS
    (delivery,) = await ended(alarming, rule, state=FAILED)
    assert len(delivery.attempts) == 3


async def test_what_is_open_or_told_is_not(alarming, core, receiver, rule):
    receiver.statuses = [500]
    receiver.headers = {"retry-after": "3600"}
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)
    for state in ("PENDING", "DELIVERED"):
        refusal = await refused(retry(alarming, delivery))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "DELIVERY_STATE")
        assert refusal.metadata == {"delivery_id": delivery.delivery_id, "state": state}
        assert f"it is {state}" in refusal.message
        core.hot.clock.offset_ms += 3_600_001
        await ended(alarming, rule)
    assert len(receiver.tries) == 2
    assert await changes(core) == []


@pytest.mark.parametrize("is_rule_gone", [True, False])
async def test_what_a_channel_that_is_gone_had_to_tell_is_not(
    alarming, core, receiver, rule, is_rule_gone
):
    delivery = await given_up(alarming, core, receiver, rule)
    if is_rule_gone:
        await alarming.call("DeleteAlertRule", rule_id=rule.rule_id)
    else:
        changed = messages.AlertRule(rule_id=rule.rule_id, channels=[logged()])
        await alarming.call("UpdateAlertRule", rule=changed, update_mask={"paths": ["channels"]})
    refusal = await refused(retry(alarming, delivery))
    assert (refusal.code, refusal.metadata["state"]) == ("FAILED_PRECONDITION", "FAILED")
    assert "no such channel any more" in refusal.message


async def test_of_many_who_ask_at_once_one_is_heard(alarming, core, receiver, rule, ledger_url):
    delivery = await given_up(alarming, core, receiver, rule)

    async def outcome():
        try:
            await retry(alarming, delivery)
        except grpc.aio.AioRpcError as error:
            return Refusal.of(error).reason
        return "retried"

    async with held_up(ledger_url, delivery, 2):
        tasks = [asyncio.create_task(outcome()) for _ in range(8)]
    heard = sorted([await task for task in tasks])
    assert heard == ["DELIVERY_STATE"] * 7 + ["retried"]
    (told,) = await ended(alarming, rule)
    assert len(told.attempts) == len(receiver.tries) == 2
    assert len(await changes(core)) == 1


async def test_of_what_was_tried_before_the_last_40_are_kept(alarming, core, receiver, rule):
    delivery = await given_up(alarming, core, receiver, rule)
    await core.database.rows(
        "UPDATE webhook_delivery SET attempts = (SELECT jsonb_agg(jsonb_build_array("
        "number, 500, 1, '', 'no')) FROM generate_series(1, 60) AS number)"
        " WHERE delivery_id = %(id)s RETURNING 1",
        {"id": delivery.delivery_id},
    )
    receiver.statuses = [500]
    await retry(alarming, delivery)
    again = await tried(alarming, rule, 41)
    assert [item.attempt_time.ToMilliseconds() for item in again.attempts[:40]] == [*range(21, 61)]
    assert waits_of(again) <= 6_500


async def test_a_tenant_has_its_own_told_anew_alone(alarming, core, receiver, started):
    rule = await alarming.rule("platform", channels=[webhook(receiver.url)])
    receiver.secret = rule.channels[0].secret
    own = await alarming.rule("acme", channels=[webhook("http://127.0.0.1:9/")])
    await started[1].account("globex")
    delivery = await given_up(alarming, core, receiver, rule)
    assert delivery.delivery_id.startswith("platform/")
    acme, globex = [Alarming(await with_key(started[1], name)) for name in ("acme", "globex")]
    (of_acme,) = await acme.deliveries(rule_id=own.rule_id)
    for who, which in ((acme, delivery), (globex, of_acme)):
        assert (await refused(retry(who, which))).code == "PERMISSION_DENIED"
    assert (await retry(alarming, delivery)).state == PENDING
    await ended(alarming, rule)
    # It is the rule's record, which no tenant sees, though the alert is a tenant's.
    assert [(row["tenant"], row["account"]) for row in await changes(core)] == [
        ("platform", "platform")
    ]
    reader = Alarming(await with_key(started[1], "acme", ("READ",)))
    assert (await refused(retry(reader, of_acme))).code == "PERMISSION_DENIED"


async def test_what_is_not_there_is_not_found(alarming):
    missing = messages.AlertDelivery(delivery_id=NEVER)
    assert (await refused(retry(alarming, missing))).code == "NOT_FOUND"
    missing.delivery_id = "x"
    assert await invalid(retry(alarming, missing)) == ["delivery_id"]


async def test_the_log_s_are_told_and_so_not_told_anew(alarming, core):
    await raised(core, "first")
    (delivery,) = await ended(alarming, messages.AlertRule(rule_id=EVERYTHING), state=DELIVERED)
    assert (await refused(retry(alarming, delivery))).reason == "DELIVERY_STATE"
