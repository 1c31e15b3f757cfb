"""Health of the books: what waits to be written, counted or expired, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from authority.domain.health import HealthCheck, HealthStatus, checked, grade, span
from authority.hotstate.store import HotStore
from authority.ledger.health import HealthReader
from authority.ledger.journal import Journal
from authority.ledger.store import LedgerStore
from authority.recovery.outbox import Outbox

_WAITING_DEGRADED, _WAITING_UNHEALTHY = 1_000, 5_000
_OUTBOX_SECONDS = (15.0, 120.0)
_EXPIRY_SECONDS = (15.0, 300.0)
_USAGE_SECONDS = (120.0, 3_600.0)
_TELLING_SECONDS = (900.0, 86_400.0)
_AUDIT_SECONDS = 2 * 86_400.0
_NAMED = 3


async def journal(waiting: Journal) -> Sequence[HealthCheck]:
    """Look how many operations wait in this process to be written to the ledger."""
    count = waiting.waiting_count
    return [
        checked(
            "journal",
            grade(count, _WAITING_DEGRADED, _WAITING_UNHEALTHY),
            _count(count, "operation waits", "operations wait"),
            "Postgres writes more slowly than is decided: look at its disk, and at long "
            "transactions.",
        )
    ]


async def outbox(hot: HotStore, ledger: LedgerStore, box: Outbox) -> Sequence[HealthCheck]:
    """Look how old what is decided, and not known to be in the ledger, is."""
    oldest = await box.oldest_ms(await ledger.opened_tenants())
    age = max(0.0, (await hot.time_ms() - min(oldest.values(), default=0)) / 1000)
    age = age if oldest else 0.0
    named = ", ".join(sorted(oldest, key=lambda tenant: oldest[tenant])[:_NAMED])
    return [
        checked(
            "outbox",
            grade(age, *_OUTBOX_SECONDS),
            f"oldest entry {span(age)}" if oldest else "empty",
            f"What these tenants decided is not in the ledger yet: {named}. The sweepers write it "
            "within seconds; the log (outbox_drained, outbox_unreadable) says what is in the way.",
        )
    ]


async def expiry(reader: HealthReader, now_ms: Callable[[], int]) -> Sequence[HealthCheck]:
    """Look for reservations whose time has passed, and that nobody has given back."""
    now = now_ms()
    count, first_ms = await reader.expired(now)
    late = max(0.0, (now - first_ms) / 1000) if count else 0.0
    return [
        checked(
            "expired_reservations",
            grade(late, *_EXPIRY_SECONDS),
            f"{_count(count, 'waits', 'wait')}, {span(late)} late" if count else "none waits",
            "Sweepers expire them within two seconds: see that an authority runs, and what its log "
            "says (sweep_postponed, reservation_set_aside).",
        )
    ]


async def usage_log(reader: HealthReader, now_ms: Callable[[], int]) -> Sequence[HealthCheck]:
    """Look how far the usage log is behind the ledger."""
    count, first_ms = await reader.usage_lag()
    late = max(0.0, (now_ms() - first_ms) / 1000) if count else 0.0
    return [
        checked(
            "usage_log",
            grade(late, *_USAGE_SECONDS),
            f"{_count(count, 'tenant', 'tenants')} behind, {span(late)}" if count else "up to date",
            "Figures of usage, thresholds and alerts are late by as much. Every authority brings "
            "the log up; its own log (usage_postponed, usage_failed) says what is in the way.",
        )
    ]


async def drift(reader: HealthReader, now_ms: Callable[[], int]) -> Sequence[HealthCheck]:
    """Look what the last audit of each tenant found, and how long ago that was."""
    found = await reader.audits(now_ms() - int(_AUDIT_SECONDS * 1000))
    if found.differing:
        named = ", ".join(tenant or "all tenants" for tenant in found.differing[:_NAMED])
        return [
            HealthCheck(
                "drift",
                HealthStatus.UNHEALTHY,
                f"{_count(found.difference_count, 'difference', 'differences')}: {named}",
                "Run `paymaster audit`, which names each; where the ledger is right, `paymaster "
                "rebuild` makes the hot state anew.",
            )
        ]
    overdue = found.overdue_count
    return [
        checked(
            "drift",
            HealthStatus.DEGRADED if overdue else HealthStatus.HEALTHY,
            f"{_count(overdue, 'tenant', 'tenants')} not audited for two days"
            if overdue
            else "none at the last audits",
            "Run `paymaster audit`. Authorities audit by themselves every few hours.",
        )
    ]


async def telling(reader: HealthReader, now_ms: Callable[[], int]) -> Sequence[HealthCheck]:
    """Look for alerts that could not be told for long."""
    count, first_ms = await reader.untold_alerts()
    late = max(0.0, (now_ms() - first_ms) / 1000) if count else 0.0
    return [
        checked(
            "alert_deliveries",
            grade(late, *_TELLING_SECONDS),
            f"{_count(count, 'waits', 'wait')}, {span(late)}" if count else "none waits",
            "See `paymaster alerts deliveries` for what their receivers answer.",
        )
    ]


def _count(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"
