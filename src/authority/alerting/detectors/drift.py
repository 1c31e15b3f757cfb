"""Books that do not balance: an audit of each tenant every few hours."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from authority.alerting.detectors.base import HOUR_MS, MINUTE_MS, Look, Schedule
from authority.domain.alert_params import params_of
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.ids import PLATFORM
from authority.domain.watching import WatchRun

# An audit takes its time, and others wait for their turn: the next look takes the next tenants.
_TENANTS_AT_ONCE = 20
_SHOWN = 3

Found = tuple[str, str, str, str, str]
Audit = Callable[[str, int], Awaitable[Sequence[Found]]]
"""Audits a tenant at a time in ms; each difference is place, subject, field, expected, found."""


class LedgerDrift:
    """The same differences are told once, however often they are found.

    Each is found by two audits in a row.
    """

    schedule = Schedule("ledger_drift", MINUTE_MS)

    def __init__(self, audit: Audit, tenants: Callable[[], Awaitable[Sequence[str]]]) -> None:
        self._audit = audit
        self._tenants = tenants

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        for tenant in await self._due(look):
            differences = await self._found_twice(tenant, look.now_ms)
            if differences:
                yield _alert(tenant, differences, look)
            name = self.schedule.name
            run = WatchRun(name, tenant, look.now_ms, 0, len(differences))
            await look.store.note_run(run)

    async def _found_twice(self, tenant: str, now_ms: int) -> Sequence[Found]:
        """Return what two audits in a row have found: what is put right by then is no drift."""
        first = {difference[:3] for difference in await self._audit(tenant, now_ms)}
        if not first:
            return []
        again = await self._audit(tenant, now_ms)
        return [difference for difference in again if difference[:3] in first]

    async def _due(self, look: Look) -> list[str]:
        """Return the tenants that were audited too long ago, the longest first."""
        last = {
            run.subject: run.run_ms
            for run in await look.store.runs()
            if run.detector == self.schedule.name and run.subject
        }
        hours = params_of(AlertKind.LEDGER_DRIFT, [PLATFORM], look.rules)["hours"]
        before = look.now_ms - hours * HOUR_MS
        due = [tenant for tenant in await self._tenants() if last.get(tenant, 0) <= before]
        return sorted(due, key=lambda tenant: last.get(tenant, 0))[:_TENANTS_AT_ONCE]


def _alert(tenant: str, differences: Sequence[Found], look: Look) -> NewAlert:
    subjects = sorted(difference[:3] for difference in differences)
    digest = hashlib.sha256(repr(subjects).encode()).hexdigest()[:32]
    shown = "; ".join(
        f"{subject}: {field} is {found}, not {expected} ({place})"
        for place, subject, field, expected, found in differences[:_SHOWN]
    )
    more = len(differences) - _SHOWN
    return NewAlert(
        kind=AlertKind.LEDGER_DRIFT,
        tenant=tenant,
        account=tenant,
        dedup_key=f"{tenant}:{digest}",
        severity=Severity.CRITICAL,
        summary=(
            f"The books of {tenant} differ in {len(differences)} places: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. See `paymaster audit --tenant {tenant}`."
        ),
        details={"differences": len(differences), "first": shown[:500]},
        raise_time=look.now,
    )
