"""Accounts that hold money open and do nothing with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from authority.alerting.detectors.base import MINUTE_MS, PAGE, Look, Schedule, moment
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.ids import tenant_of
from authority.domain.money import Unit, amount_text
from authority.domain.watching import IdleHolds

_ACCOUNTS_MAX = 20 * PAGE


class AccountsWithIdleHolds:
    """An account is told once for each time that it falls idle."""

    schedule = Schedule("idle_holds", 5 * MINUTE_MS)

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        least = look.widest("idle_holds.minutes", largest=False) * MINUTE_MS
        found = await look.store.idle_holds(look.now_ms, look.now_ms - least, _ACCOUNTS_MAX)
        params = await look.params(AlertKind.IDLE_HOLDS, [holds.account for holds in found])
        for holds in found:
            minutes, least_count = (
                params[holds.account][name] for name in ("minutes", "reservations")
            )
            is_idle = holds.active_ms <= look.now_ms - minutes * MINUTE_MS
            if is_idle and holds.open_count >= least_count:
                yield _alert(holds, look)


def _alert(holds: IdleHolds, look: Look) -> NewAlert:
    minutes = (look.now_ms - holds.active_ms) // MINUTE_MS
    return NewAlert(
        kind=AlertKind.IDLE_HOLDS,
        tenant=tenant_of(holds.account),
        account=holds.account,
        dedup_key=f"{holds.account}:{holds.active_ms}",
        severity=Severity.INFO,
        summary=(
            f"{holds.account} has done nothing for {minutes} minutes and holds"
            f" {amount_text(holds.micros, Unit.USD)} in {holds.open_count} open reservations, the"
            f" oldest from {moment(holds.oldest_ms):%Y-%m-%d %H:%M} UTC."
        ),
        details={
            "reservations": holds.open_count,
            "held_micros": holds.micros,
            "oldest_ms": holds.oldest_ms,
            "active_ms": holds.active_ms,
        },
        raise_time=look.now,
    )
