"""Budgets whose limit will be passed before their window ends, if use goes on as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from authority.alerting.detectors.base import HOUR_MS, MINUTE_MS, PAGE, Look, Schedule, moment
from authority.domain.alerts import AlertKind, NewAlert, Severity
from authority.domain.budgets import BudgetWindow
from authority.domain.errors import NotFound
from authority.domain.ids import tenant_of
from authority.domain.money import amount_text
from authority.domain.policies import TenantPolicy
from authority.domain.watching import SpendingWindow
from authority.usecases.policies import Policies
from authority.usecases.projection import Projection, Projections, net
from authority.usecases.read import Balance

# Longer than any week or month is.
_SINCE_MS = 32 * 24 * HOUR_MS
# A budget that is spent this many times slower than it would have to be is not looked at closer.
_PACE = 4


class PassingProjections:
    """A budget's window is told once. Windows of a day or less say too little of themselves.

    What is passed already, the thresholds have told.
    """

    schedule = Schedule("projection", 10 * MINUTE_MS)

    def __init__(self, projections: Projections, policies: Policies) -> None:
        self._projections = projections
        self._policies = policies

    async def find(self, look: Look) -> AsyncIterator[NewAlert]:
        """Yield what somebody should know. Raises Unavailable."""
        after = 0
        while True:
            found = await look.store.spending_windows(look.now_ms - _SINCE_MS, after, PAGE)
            accounts = list({spending.account for spending in found})
            params = await look.params(AlertKind.PROJECTION, accounts)
            for spending in found:
                said = await self._project(spending, params[spending.account], look.now_ms)
                if said is not None and _passes(said, params[spending.account]):
                    yield _alert(said, look)
            if len(found) < PAGE:
                return
            after = found[-1].ref.budget_key

    async def _project(
        self, spending: SpendingWindow, params: Mapping[str, int], now_ms: int
    ) -> Projection | None:
        """Project a window that is the present one and spent fast enough to be looked at."""
        try:
            policy = await self._policies.of(spending.account)
        except NotFound:
            return None
        window = _present(policy, spending, now_ms)
        if window is None:
            return None
        start_ms, end_ms = window.span
        spent = net(spending.counts) * (end_ms - start_ms) * _PACE * 100
        if spent < window.budget.limit * params["percent"] * (now_ms - start_ms):
            return None
        return await self._projections.project(policy, Balance(window, spending.counts), now_ms)


def _present(policy: TenantPolicy, spending: SpendingWindow, now_ms: int) -> BudgetWindow | None:
    budget = policy.budget_by_key.get(spending.ref.budget_key)
    if budget is None:
        return None
    window = policy.window_of(budget, now_ms)
    return window if window.ref == spending.ref else None


def _passes(said: Projection, params: Mapping[str, int]) -> bool:
    coming = said.lower if params["sure"] else said.expected
    return (
        coming is not None
        and said.days >= params["history_days"]
        and coming * 100 >= said.balance.window.budget.limit * params["percent"]
    )


def _alert(said: Projection, look: Look) -> NewAlert:
    (budget, span), unit = said.balance.window, said.balance.window.budget.unit
    assert said.expected is not None
    band = ""
    details: dict[str, str | int] = {
        "budget": budget.budget,
        "unit": unit,
        "window": budget.window,
        "window_start_ms": span.start_ms,
        "window_end_ms": span.end_ms,
        "limit": budget.limit,
        "net": net(said.balance.counts),
        "expected": said.expected,
        "exhaust_ms": said.exhaust_ms,
    }
    if said.lower is not None and said.upper is not None:
        details |= {"lower": said.lower, "upper": said.upper}
        band = f" ({amount_text(said.lower, unit)} to {amount_text(said.upper, unit)})"
    reached = ""
    if said.exhaust_ms:
        reached = f", and its limit reached on {moment(said.exhaust_ms):%Y-%m-%d %H:%M} UTC"
    return NewAlert(
        kind=AlertKind.PROJECTION,
        tenant=tenant_of(budget.account),
        account=budget.account,
        dedup_key=f"{budget.key}:{span.start_ms}",
        severity=Severity.WARNING,
        summary=(
            f"Budget {budget.budget} of {budget.account} will have been charged"
            f" {amount_text(said.expected, unit)}{band} of {amount_text(budget.limit, unit)} by the"
            f" end of its {budget.window.lower()}{reached}."
        ),
        details=details,
        raise_time=look.now,
    )
