"""What detectors look through: candidates for an alert, before anybody's params are looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from authority.domain.alert_params import RuleParams
from authority.domain.alerts import NewAlert
from authority.domain.budgets import WindowRef
from authority.domain.error_rates import Cases
from authority.domain.money import Unit
from authority.domain.ports import WindowCounts

# What the request has the fault of, or nobody wanted any more: no failure of a provider.
EXCUSED = (
    *("content_refused", "invalid_request", "job_cancelled"),
    *("cancelled", "deadline_exceeded"),
)


class ExpiringGrant(NamedTuple):
    """A grant that expires soon, with what is left of it."""

    grant_id: str
    account: str
    unit: Unit
    amount: int
    expire_ms: int
    left: int


class SpendingWindow(NamedTuple):
    """The last window of a budget that something was charged to."""

    account: str
    ref: WindowRef
    counts: WindowCounts


class IdleHolds(NamedTuple):
    """Open reservations of an account that does nothing; `active_ms` is when it last did."""

    account: str
    open_count: int
    oldest_ms: int
    active_ms: int
    micros: int


class DaySpend(NamedTuple):
    """What an account was charged since its own midnight; a tenant with all below it."""

    account: str
    time_zone: str
    charged: int


class WatchRun(NamedTuple):
    """When a detector last looked, at one subject or at everything (''), and what it found."""

    detector: str
    subject: str
    run_ms: int
    duration_ms: int
    found: int


class Retention(Protocol):
    """Lets go of alerts that were kept for long enough."""

    async def delete_some(self, now: datetime) -> int:
        """Delete some of what is due; return how many rows, 0 once it is done.

        Raises Unavailable.
        """
        ...


class WatchStore(Protocol):
    """What detectors read, and where they say what they found. Every method raises Unavailable."""

    async def rule_params(self) -> list[RuleParams]:
        """Return what enabled rules set."""
        ...

    async def chains(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the accounts above each, itself first and `platform` last."""
        ...

    async def runs(self) -> list[WatchRun]:
        """Return when which detector last looked."""
        ...

    async def note_run(self, run: WatchRun) -> None:
        """Say that a detector has looked."""
        ...

    async def raise_alert(self, alert: NewAlert) -> bool:
        """Raise an alert; False: its like had been raised."""
        ...

    async def expiring_grants(
        self, now_ms: int, until_ms: int, after: tuple[int, str], limit: int
    ) -> list[ExpiringGrant]:
        """Return grants by their expiry, of which none was said yet, behind an expiry and id."""
        ...

    async def spending_windows(self, since_ms: int, after: int, limit: int) -> list[SpendingWindow]:
        """Return windows of weeks and months by budget, behind a budget's key."""
        ...

    async def idle_holds(self, now_ms: int, before_ms: int, limit: int) -> list[IdleHolds]:
        """Return accounts whose open reservations were all made before a time."""
        ...

    async def provider_cases(self, start: datetime, end: datetime) -> Mapping[str, Cases]:
        """Count what providers were asked, by the quarter of an hour."""
        ...

    async def usual_cases(self, start: datetime, end: datetime) -> Mapping[str, Cases]:
        """Count what providers were asked, by the hour."""
        ...

    async def spent_today(self, now: datetime, least: int, limit: int) -> list[DaySpend]:
        """Return who was charged at least so much today."""
        ...
