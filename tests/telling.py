"""Fixtures of tests that have alerts told: an authority, a receiver of webhooks and its rule."""

from __future__ import annotations

import pytest

from alarming import Alarming, webhook
from authorities import make_settings
from receivers import receiving


@pytest.fixture
def receiver(tmp_path):
    """A receiver of webhooks."""
    with receiving(tmp_path) as made:
        yield made


@pytest.fixture
async def started(start_authority, ledger_url, redis_url, tmp_path):
    """An authority whose webhooks may go anywhere, and its services."""
    settings = make_settings(ledger_url, redis_url, tmp_path / "artifacts", alerts_private=True)
    running, stubs = await start_authority(settings)
    await stubs.account("acme")
    return running, stubs


@pytest.fixture
def alarming(started):
    """AlertService."""
    return Alarming(started[1])


@pytest.fixture
async def rule(alarming, receiver):
    """A rule that tells the receiver."""
    made = await alarming.rule(channels=[webhook(receiver.url)])
    receiver.secret = made.channels[0].secret
    return made
