"""What had to be covered by grants at a moment, of a policy that is replayed."""

from __future__ import annotations

from datetime import UTC, datetime

from authority.domain.budgets import Account, AccountState, OveragePolicy
from authority.domain.grants import Grant
from authority.domain.money import Unit
from authority.domain.policies import TenantPolicy
from authority.domain.replay.eras import Eras
from authority.domain.windows import Window

FIRST_MS = 60_000
CREDITS = frozenset([Unit.CREDITS])


def test_a_first_grant_binds_from_then_on_within_the_same_quarter_of_an_hour():
    account = Account(
        account="acme",
        parent="platform",
        display_name="",
        time_zone="UTC",
        state=AccountState.ACTIVE,
        overage_policy=OveragePolicy.CAP,
        create_time=datetime.fromtimestamp(0, UTC),
    )
    grant = Grant(
        grant_id="acme/first",
        key=1,
        account="acme",
        unit=Unit.CREDITS,
        amount=10,
        priority=0,
        effective_ms=FIRST_MS,
        expire_ms=0,
        recurrence=Window.TOTAL,
        refund_grace_ms=0,
        source="",
        create_ms=FIRST_MS,
        void_ms=0,
        price_micros=0,
    )
    policy = TenantPolicy(
        "acme", 1, {"acme": account}, {}, {"acme": (grant,)}, {"acme": frozenset(CREDITS)}
    )
    eras = Eras(policy)
    found = [
        eras.at("acme", moment_ms).terms("acme", CREDITS, moment_ms).money.prepaid
        for moment_ms in (FIRST_MS - 1, FIRST_MS, FIRST_MS - 1)
    ]
    assert found == [frozenset(), CREDITS, frozenset()]
