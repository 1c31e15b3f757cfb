"""When an alert that was not told is tried again, and what a signature is."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from standardwebhooks import Webhook

from alarming import new_alert
from authority.alerting.emails import MailServer
from authority.alerting.webhooks import body_of, signature_of
from authority.domain.alerts import Alert, Channel, ChannelType, DeliveryState, Thresholds
from authority.domain.deliveries import GIVE_UP_MS, Answer, ClaimedDelivery, outcome_of
from authority.domain.money import Unit, amount_text
from authority.domain.secrets import new_webhook_secret, secret_bytes

START = 1_700_000_000_000
ALERT = Alert(
    "acme/1",
    *(getattr(new_alert("x"), name) for name in ("kind", "tenant", "account", "dedup_key")),
    *(getattr(new_alert("x"), name) for name in ("severity", "summary", "details", "raise_time")),
    is_silenced=False,
)
FAILS = Answer(500, error="answered with HTTP 500")


def claimed(attempts):
    """Return a delivery that was tried so often."""
    channel = Channel(ChannelType.WEBHOOK, "https://example.com")
    return ClaimedDelivery(
        "acme/2", channel, is_gone=False, attempt_count=attempts, begin_ms=START, alert=ALERT
    )


def schedule(random):
    """Return the times of all tries, in seconds from the first."""
    now, times = START, []
    while True:
        times.append((now - START) // 1_000)
        outcome = outcome_of(claimed(len(times) - 1), FAILS, now, lambda: random)
        if outcome.state is not DeliveryState.PENDING:
            return times
        now = outcome.due_ms


def test_tries_are_farther_and_farther_apart_for_a_day():
    times = schedule(0.5)
    assert times[:6] == [0, 5, 15, 35, 75, 155]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == 3_600
    assert 86_400 - 3_600 < times[-1] <= 86_400


@pytest.mark.parametrize("random", [0.0, 1.0])
def test_each_is_as_much_as_a_fifth_earlier_or_later(random):
    times = schedule(random)
    assert times[1] == (4 if random == 0 else 6)
    assert 25 < len(times) < 45


def test_what_was_told_and_what_no_try_helps_has_ended():
    assert outcome_of(claimed(3), Answer(200), START, float).state is DeliveryState.DELIVERED
    final = Answer(410, error="gone", is_final=True)
    assert outcome_of(claimed(0), final, START, float).state is DeliveryState.FAILED


def test_a_receiver_is_left_alone_for_as_long_as_it_asks_and_not_for_ever():
    asks = FAILS._replace(retry_ms=60_000)
    assert outcome_of(claimed(0), asks, START, float).due_ms == START + 60_000
    asks = FAILS._replace(retry_ms=GIVE_UP_MS * 10)
    assert outcome_of(claimed(0), asks, START, float).due_ms == START + 3_600_000


def test_a_signature_is_what_the_reference_library_makes():
    secret = new_webhook_secret()
    assert len(secret_bytes(secret)) == 32
    body = body_of(ALERT)
    ours = signature_of(secret, "id-1", 1_700_000_000, body)
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    assert ours == Webhook(secret).sign("id-1", moment, body.decode())
    assert ours != signature_of(new_webhook_secret(), "id-1", 1_700_000_000, body)


def test_no_secret_is_in_a_repr():
    secret = new_webhook_secret()
    assert secret not in repr(Channel(ChannelType.WEBHOOK, "https://example.com", (), 1, secret))
    server = MailServer.of("smtps://user:p%40ss@mail.example.com", "a@example.com")
    assert (server.port, server.password, server.is_tls) == (465, "p@ss", True)
    assert "p@ss" not in repr(server)
    assert MailServer.of("smtp://mail.example.com", "a@example.com").port == 587


@pytest.mark.parametrize(
    ("limit", "steps"),
    [
        (100, [(33, 33), (100, 100)]),
        (10, [(33, 4), (100, 10)]),
        (1, [(33, 1), (100, 1)]),
        (0, [(33, 1), (100, 1)]),
        (2**53 - 1, [(33, 2972375754064528), (100, 2**53 - 1)]),
    ],
)
def test_a_percentage_is_reached_by_the_first_whole_step(limit, steps):
    assert Thresholds(limit, (33, 100)).steps == steps


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (40_800, Unit.USD, "$0.0408"),
        (-1_500_000, Unit.USD, "-$1.50"),
        (1_500_000, Unit.CREDITS, "1.50 CREDITS"),
        (25, Unit.IMAGES, "25 IMAGES"),
    ],
)
def test_amounts_for_people(amount, unit, text):
    assert amount_text(amount, unit) == text
