"""How alerts are told: signed webhooks that are tried again, e-mail, the log."""

from __future__ import annotations

import asyncio
import email
import email.policy
import threading
from contextlib import ExitStack

import pytest
from structlog.testing import capture_logs

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
from alarming import email as by_email
from authorities import make_settings
from authority.alerting.addresses import is_public
from authority.ledger.deliveries import PostgresDeliveries
from authority.v1 import alert_service_pb2 as messages
from mailboxes import receiving_mail
from receivers import receiving


@pytest.fixture
def core(started):
    """The inside of the authority."""
    return started[0].core


async def test_a_webhook_is_signed_and_told_once(alarming, core, receiver, rule):
    await raised(core, "first", account="acme")
    (delivery,) = await ended(alarming, rule)
    (message,) = receiver.received
    assert [line["verified"] for line in receiver.tries] == [True]
    assert message["id"] == delivery.delivery_id.partition("/")[2]
    (alert,) = await alarming.alerts()
    assert message["body"]["type"] == "alert.raised"
    assert message["body"]["data"] == {
        "alert_id": alert.alert_id,
        "kind": "IDLE_HOLDS",
        "account": "acme",
        "severity": "WARNING",
        "summary": "It is first.",
        "details": {"key": "first"},
    }
    (attempt,) = delivery.attempts
    assert (attempt.status, attempt.answer, attempt.error) == (200, "thank you", "")
    assert delivery.target == receiver.url
    assert delivery.HasField("end_time")
    assert not delivery.HasField("due_time")


async def test_what_fails_is_tried_again_under_the_same_id(alarming, core, receiver, rule):
    receiver.statuses = [500, 429, 302]
    await raised(core, "first")
    for count, seconds in ((1, 4), (2, 8), (3, 16)):
        delivery = await tried(alarming, rule, count)
        assert delivery.state == PENDING
        waits = waits_of(delivery)
        assert seconds * 1_000 <= waits <= seconds * 1_500
        core.hot.clock.offset_ms += waits + 1
    (delivery,) = await ended(alarming, rule)
    assert [attempt.status for attempt in delivery.attempts] == [500, 429, 302, 200]
    assert delivery.attempts[2].error == "it leads elsewhere, where no alert is sent"
    assert len({line["id"] for line in receiver.tries}) == 1
    assert all(line["verified"] for line in receiver.tries)
    assert len(receiver.received) == 1


async def test_a_receiver_says_how_long_it_wants_to_be_left_alone(alarming, core, receiver, rule):
    receiver.statuses = [503]
    receiver.headers = {"retry-after": "120"}
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)
    assert waits_of(delivery) == 120_000


async def test_a_receiver_that_is_gone_is_told_no_more(alarming, core, receiver, rule):
    receiver.statuses = [410]
    await raised(core, "first")
    (delivery,) = await ended(alarming, rule, state=FAILED)
    assert delivery.attempts[0].error == "answered with HTTP 410"


async def test_what_nobody_has_taken_in_a_day_is_given_up(alarming, core, receiver, rule):
    receiver.statuses = [500, 500]
    await raised(core, "first")
    await tried(alarming, rule, 1)
    core.hot.clock.offset_ms += 86_400_000
    (delivery,) = await ended(alarming, rule, state=FAILED)
    assert [attempt.status for attempt in delivery.attempts] == [500, 500]
    assert not delivery.HasField("due_time")


async def test_an_answer_is_kept_by_its_head_alone(alarming, core, receiver, rule):
    receiver.answer = b"\x00\xff<b>\n" + b"x" * 100_000
    await raised(core, "first")
    (delivery,) = await ended(alarming, rule)
    assert len(delivery.attempts[0].answer) == 512
    assert delivery.attempts[0].answer.startswith(" \ufffd<b> xxx")


async def test_nobody_there_is_tried_again(alarming, core):
    rule = await alarming.rule(channels=[webhook("http://127.0.0.1:9/")])
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)
    assert delivery.attempts[0].status == 0
    assert "ConnectError" in delivery.attempts[0].error


async def test_a_receiver_that_hangs_keeps_nobody_else_waiting(
    alarming, core, receiver, rule, tmp_path
):
    receiver.hold = threading.Event()
    (tmp_path / "other").mkdir()
    with receiving(tmp_path / "other") as other:
        second = await alarming.rule(channels=[webhook(other.url)])
        other.secret = second.channels[0].secret
        for number in range(20):
            await raised(core, str(number))
        await ended(alarming, second, 20)
        listed = await alarming.deliveries(rule_id=rule.rule_id)
        assert not any(item.attempts for item in listed)
        # Of one channel few are under way at once.
        assert len(receiver.tries) <= 4
        receiver.hold.set()
    await ended(alarming, rule, 20)
    assert len(receiver.received) == 20


async def test_a_tenant_whose_receivers_hang_keeps_no_other_waiting(alarming, core, tmp_path):
    with ExitStack() as stack:
        hanging = []
        for name in ("first", "second", "third", "quick"):
            (tmp_path / name).mkdir()
            made = stack.enter_context(receiving(tmp_path / name))
            account = "platform" if name == "quick" else "acme"
            rule = await alarming.rule(account=account, channels=[webhook(made.url)])
            made.secret = rule.channels[0].secret
            if account == "acme":
                made.hold = threading.Event()
                hanging.append(made)
        for number in range(10):
            await raised(core, str(number))
        await ended(alarming, rule, 10)
        assert 1 <= sum(len(made.tries) for made in hanging) <= 8


async def test_many_are_told_by_two_processes_each_once(
    alarming, core, receiver, rule, start_authority, ledger_url, redis_url, tmp_path
):
    settings = make_settings(ledger_url, redis_url, tmp_path / "artifacts", alerts_private=True)
    await start_authority(settings)
    for number in range(100):
        await raised(core, str(number))
    await ended(alarming, rule, 100)
    assert len(receiver.tries) == 100
    assert len({line["id"] for line in receiver.tries}) == 100


async def test_of_two_who_take_a_delivery_at_once_one_has_it(
    alarming, core, receiver, rule, ledger_url
):
    receiver.statuses = [500]
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)  # It is due again some seconds from now.
    due_ms = delivery.due_time.ToMilliseconds()

    def taken():
        claim = PostgresDeliveries(core.database).claim(
            due_ms, lease_ms=60_000, limit=10, of_channel=10, of_tenant=10
        )
        return asyncio.create_task(claim)

    async with held_up(ledger_url, delivery, 2):
        takers = [taken(), taken()]
    assert sorted([len(await taker) for taker in takers]) == [0, 1]


async def test_a_test_tells_at_once_what_became_of_it(alarming, core, receiver, rule):
    receiver.statuses = [200, 500]
    tested = await alarming.call("TestAlertRule", rule_id=rule.rule_id)
    assert tested.alert.kind == messages.ALERT_KIND_TEST
    assert [item.state for item in tested.deliveries] == [DELIVERED]
    assert tested.alert.summary == f"This is a test of the rule {rule.rule_id}."
    failed = await alarming.call("TestAlertRule", rule_id=rule.rule_id)
    assert [item.attempts[0].status for item in failed.deliveries] == [500]
    assert failed.deliveries[0].state == PENDING
    # Nobody else is told of it.
    assert await alarming.deliveries(rule_id=EVERYTHING) == []


async def test_a_rule_that_tells_nobody_now_can_be_tried(alarming, core, receiver):
    rule = await alarming.rule(
        channels=[webhook(receiver.url), logged()], disabled=True, kinds=["ALERT_KIND_ABUSE"]
    )
    receiver.secret = rule.channels[0].secret
    tested = await alarming.call("TestAlertRule", rule_id=rule.rule_id)
    assert [item.state for item in tested.deliveries] == [DELIVERED, DELIVERED]


async def test_a_channel_that_is_gone_is_told_nothing_more(alarming, core, receiver, rule):
    receiver.statuses = [500]
    await raised(core, "first")
    await tried(alarming, rule, 1)
    changed = messages.AlertRule(rule_id=rule.rule_id, channels=[logged()])
    await alarming.call("UpdateAlertRule", rule=changed, update_mask={"paths": ["channels"]})
    (delivery,) = await ended(alarming, rule, state=FAILED)
    core.hot.clock.offset_ms += 60_000
    await raised(core, "second")
    assert [item.type for item in await ended(alarming, rule, 1)] == [
        delivery.type,
        messages.ALERT_CHANNEL_TYPE_LOG,
    ]
    assert len(receiver.tries) == 1


async def test_the_log_has_it(alarming, core):
    with capture_logs() as entries:
        await raised(core, "first")
        await ended(alarming, messages.AlertRule(rule_id=EVERYTHING))
    (entry,) = [entry for entry in entries if entry["event"] == "alert_raised"]
    assert entry["summary"] == "It is first."
    assert entry["log_level"] == "warning"


async def test_addresses_within_the_network_are_refused(start_authority, tmp_path):
    running, stubs = await start_authority()
    await stubs.account("acme")
    alarming = Alarming(stubs)
    rule = await alarming.rule(channels=[webhook("https://localhost:1/")])
    await raised(running.core, "first")
    (delivery,) = await ended(alarming, rule, state=FAILED)
    assert (
        delivery.attempts[0].error == "localhost is within the network, where webhooks may not go"
    )


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_what_is_an_address_of_the_public_internet(address, public):
    assert is_public(address) == public


@pytest.fixture
def mailbox():
    """A mail server."""
    with receiving_mail() as made:
        yield made


@pytest.fixture
async def mailing(start_authority, ledger_url, redis_url, tmp_path, mailbox):
    """An authority with a mail server: its inside and AlertService."""
    settings = make_settings(
        ledger_url,
        redis_url,
        tmp_path / "artifacts",
        smtp_url=f"smtp://127.0.0.1:{mailbox.port}",
        smtp_from="alerts@example.com",
    )
    running, stubs = await start_authority(settings)
    await stubs.account("acme")
    return running.core, Alarming(stubs)


async def test_an_e_mail_says_what_it_is(mailing, mailbox):
    core, alarming = mailing
    rule = await alarming.rule(channels=[by_email("a@example.com", "b@example.com")])
    await raised(core, "first", summary="Zürich is über the limit.")
    (delivery,) = await ended(alarming, rule)
    (envelope,) = mailbox.messages
    assert envelope.mail_from == "alerts@example.com"
    assert envelope.rcpt_tos == ["a@example.com", "b@example.com"]
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Subject"] == "[warning] Zürich is über the limit."
    assert message["To"] == "a@example.com, b@example.com"
    assert delivery.delivery_id.partition("/")[2] in message["Message-ID"]
    assert "Zürich is über the limit." in message.get_content()
    assert "key: first" in message.get_content()
    assert (delivery.attempts[0].status, delivery.attempts[0].error) == (250, "")


async def test_a_mail_server_that_is_busy_is_asked_again(mailing, mailbox):
    core, alarming = mailing
    rule = await alarming.rule(channels=[by_email("a@example.com")])
    mailbox.busy = 1
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)
    assert (delivery.attempts[0].status, delivery.state) == (451, PENDING)
    core.hot.clock.offset_ms += 10_000
    (delivery,) = await ended(alarming, rule)
    assert len(delivery.attempts) == 2
    assert len(mailbox.messages) == 1


async def test_who_is_refused_is_told_of(mailing, mailbox):
    core, alarming = mailing
    mailbox.refuses = {"b@example.com": "550 no such user"}
    rule = await alarming.rule(channels=[by_email("a@example.com", "b@example.com")])
    only = await alarming.rule(channels=[by_email("b@example.com")])
    await raised(core, "first")
    (delivery,) = await ended(alarming, rule)
    assert delivery.attempts[0].answer.endswith("refused b@example.com: 550")
    (delivery,) = await ended(alarming, only, state=FAILED)
    assert delivery.attempts[0].error == "b@example.com: no such user"


async def test_a_mail_server_that_is_away_is_tried_again(mailing, mailbox):
    core, alarming = mailing
    rule = await alarming.rule(channels=[by_email("a@example.com")])
    mailbox.refuses = {"a@example.com": "421 going down"}
    await raised(core, "first")
    delivery = await tried(alarming, rule, 1)
    assert delivery.state == PENDING
