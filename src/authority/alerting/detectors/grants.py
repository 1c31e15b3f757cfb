"""Grants that expire soon with something left."""

from __future__ import annotations

from collections.abc import AsyncIterator

from authority.alerting.detectors.base import HOUR_MS, MINUTE_MS, PAGE, Look, Schedule, moment
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.ids import tenant_of
from authority.domain.money import amount_text
from authority.domain.watching import ExpiringGrant

_DAY_MS = 24 * HOUR_MS


class ExpiringGrants:
    """A grant is told once, whenever it comes near enough to its end.

    What recurs is left out: it is meant to expire in each of its periods.
    """

    schedule = Schedule("grant_expiring", 10 * MINUTE_MS)

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        until_ms = look.now_ms + look.widest("grant_expiring.days") * _DAY_MS
        after = (0, "")
        while True:
            grants = await look.store.expiring_grants(look.now_ms, until_ms, after, PAGE)
            accounts = list({grant.account for grant in grants})
            params = await look.params(AlertKind.GRANT_EXPIRING, accounts)
            for grant in grants:
                days, percent = (params[grant.account][name] for name in ("days", "percent"))
                near = grant.expire_ms <= look.now_ms + days * _DAY_MS
                if near and grant.left * 100 >= grant.amount * percent:
                    yield _alert(grant, look)
            if len(grants) < PAGE:
                return
            after = grants[-1].expire_ms, grants[-1].grant_id


def _alert(grant: ExpiringGrant, look: Look) -> NewAlert:
    left = amount_text(grant.left, grant.unit)
    whole = amount_text(grant.amount, grant.unit)
    return NewAlert(
        kind=AlertKind.GRANT_EXPIRING,
        tenant=tenant_of(grant.account),
        account=grant.account,
        dedup_key=grant.grant_id,
        severity=Severity.INFO,
        summary=(
            f"A grant of {grant.account} expires on {moment(grant.expire_ms):%Y-%m-%d %H:%M} UTC"
            f" with {left} of {whole} left."
        ),
        details={
            "grant_id": grant.grant_id,
            "unit": grant.unit,
            "amount": grant.amount,
            "left": grant.left,
            "expire_ms": grant.expire_ms,
        },
        raise_time=look.now,
    )
