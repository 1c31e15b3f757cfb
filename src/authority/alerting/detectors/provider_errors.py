"""Providers that fail more often than they are used to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from authority.alerting.detectors.base import MINUTE_MS, Look, Schedule
from authority.domain.alert_params import params_of
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.error_rates import Cases, RateBounds, fails_unusually
from authority.domain.ids import PLATFORM

_USUAL = timedelta(days=7)
_PER_MILLE = 1_000


class FailingProviders:
    """A provider is told once a day (UTC). Providers are the platform's, and so are the params."""

    schedule = Schedule("provider_errors", MINUTE_MS)

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        params = params_of(AlertKind.PROVIDER_ERRORS, [PLATFORM], look.rules)
        since = look.now - timedelta(minutes=params["minutes"])
        # What is kept are quarters of hours, and hours: what is looked at now is not usual yet.
        start = since.replace(minute=since.minute // 15 * 15, second=0)
        seen = await look.store.provider_cases(start, look.now + timedelta(seconds=1))
        if not seen:
            return
        before = start.replace(minute=0)
        usual = await look.store.usual_cases(before - _USUAL, before)
        bounds = RateBounds(params["cases"], params["percent"], params["percent_of_usual"])
        for provider, cases in sorted(seen.items()):
            as_ever = usual.get(provider, Cases(0, 0))
            if fails_unusually(cases, as_ever, bounds):
                yield _alert(provider, cases, as_ever, params["minutes"], look)


def _alert(provider: str, cases: Cases, usual: Cases, minutes: int, look: Look) -> NewAlert:
    before = f"{_percent(usual)} % of {usual.total} in the week before" if usual.total else "unused"
    return NewAlert(
        kind=AlertKind.PROVIDER_ERRORS,
        tenant=PLATFORM,
        account=PLATFORM,
        dedup_key=f"{provider}:{look.now:%Y-%m-%d}",
        severity=Severity.CRITICAL,
        summary=(
            f"Provider {provider} has failed {cases.failed} of {cases.total} times"
            f" ({_percent(cases)} %) in {minutes} minutes; {before}."
        ),
        details={
            "provider": provider,
            "minutes": minutes,
            "cases": cases.total,
            "failed": cases.failed,
            "usual_cases": usual.total,
            "usual_failed": usual.failed,
        },
        raise_time=look.now,
    )


def _percent(cases: Cases) -> str:
    tenths = cases.failed * _PER_MILLE // cases.total
    return f"{tenths // 10}.{tenths % 10}"
