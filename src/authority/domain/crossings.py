"""What a budget's thresholds tell: one alert for each budget, window and percentage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.budgets import WindowRef
from authority.domain.ids import tenant_of
from authority.domain.money import amount_text
from authority.domain.windows import Window

_WARNS_FROM = 80
_FULL = 100


class Crossing(NamedTuple):
    """A budget that has reached a percentage of its limit in one of its windows.

    `net` is what was charged less what was refunded. `requested` is 0, or what a Reserve has asked
    and was denied, so that the limit is as good as reached.
    """

    ref: WindowRef
    percent: int
    net: int
    limit: int
    requested: int
    account: str
    budget: str
    window: Window
    time: datetime

    def alert(self) -> NewAlert:
        """Return the alert to be raised."""
        ref, percent = self.ref, self.percent
        return NewAlert(
            kind=AlertKind.BUDGET_THRESHOLD,
            tenant=tenant_of(self.account),
            account=self.account,
            dedup_key=f"{ref.budget_key}:{ref.start_ms}:{percent}",
            severity=_severity(percent),
            summary=self._summary(),
            details={
                "budget": self.budget,
                "unit": ref.unit,
                "window": self.window,
                "window_start_ms": ref.start_ms,
                "threshold": percent,
                "net": self.net,
                "limit": self.limit,
                "requested": self.requested,
            },
            raise_time=self.time,
        )

    def _summary(self) -> str:
        unit = self.ref.unit
        name = f"Budget {self.budget} of {self.account}"
        spent = f"{amount_text(self.net, unit)} of {amount_text(self.limit, unit)} charged"
        if self.window is not Window.TOTAL:
            start = datetime.fromtimestamp(self.ref.start_ms / 1000, UTC)
            spent += f" in the {self.window.lower()} from {start:%Y-%m-%d %H:%M} UTC"
        if self.requested:
            asked = amount_text(self.requested, unit)
            return f"{name} is exhausted: {asked} was denied, with {spent}."
        return f"{name} has reached {self.percent} %: {spent}."


def _severity(percent: int) -> Severity:
    if percent >= _FULL:
        return Severity.CRITICAL
    return Severity.WARNING if percent >= _WARNS_FROM else Severity.INFO
