"""What budgets will have been charged by the end of their windows, and when they are exhausted."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from authority.domain.budgets import BudgetWindow
from authority.domain.errors import NotFound
from authority.domain.money import Unit
from authority.domain.past_days import DAY_MS, Horizon, PastDay, boundaries, horizon, past_days
from authority.domain.past_use import PastUse
from authority.domain.policies import TenantPolicy
from authority.domain.ports import WindowCounts
from authority.domain.projection import (
    HISTORY_DAYS,
    Forecast,
    day_length,
    days_to_spend,
    forecast,
)
from authority.usecases.context import Context
from authority.usecases.read import Balance, get_balance

# Of a budget without an end the week to come says how sure the rate is.
_WEEK = Horizon(7, 0)
_FAR_MS = 3_653 * DAY_MS
# Days by account, unit, and the part of a day that they are cut at: most windows end at midnight.
_Histories = dict[tuple[str, Unit, int], list[PastDay]]


class Projection(NamedTuple):
    """What is said of one budget. `forecast` is None where there is too little history.

    `expected`, and `lower` and `upper` if there is a band, are what will have been charged, less
    refunds, by the end of the window; they are None where it has none. Times are Unix milliseconds,
    0 where the limit is not reached.
    """

    balance: Balance
    days: int
    forecast: Forecast | None
    expected: int | None = None
    lower: int | None = None
    upper: int | None = None
    exhaust_ms: int = 0
    earliest_exhaust_ms: int = 0


class Projections:
    """Projects budgets. Every method raises NotFound (the account, the budget) and Unavailable."""

    def __init__(self, context: Context, past: PastUse) -> None:
        self._context = context
        self._past = past

    async def of(self, account: str, budget: str) -> tuple[list[Projection], int]:
        """Project one of the account's own budgets, or all that bind it if `budget` is ''.

        The second value is the time that windows were chosen by, in Unix milliseconds.
        """
        balances, _, now_ms = await get_balance(self._context, account)
        wanted = [
            balance for balance in balances if balance.window.budget.unit is not Unit.RESERVATIONS
        ]
        if budget:
            wanted = [
                balance
                for balance in wanted
                if (balance.window.budget.account, balance.window.budget.budget)
                == (account, budget)
            ]
            if not wanted:
                raise NotFound("budget", f"{account} {budget}")
        policy = await self._context.policies.of(account)
        known: _Histories = {}
        return [await self.project(policy, item, now_ms, known) for item in wanted], now_ms

    async def project(
        self,
        policy: TenantPolicy,
        balance: Balance,
        now_ms: int,
        known: _Histories | None = None,
    ) -> Projection:
        """Project a budget of a tenant, given what it has counted.

        `known` keeps histories for other budgets of the same moment.
        """
        budget = balance.window.budget
        zone = policy.accounts[budget.account].time_zone
        ahead = time_to_come(balance.window, zone, now_ms)
        known = {} if known is None else known
        key = budget.account, budget.unit, ahead.part_ms
        if key not in known:
            cuts = boundaries(zone, now_ms, ahead.part_ms, HISTORY_DAYS)
            accounts = policy.below(budget.account)
            known[key] = past_days(await self._past.spent(accounts, budget.unit, cuts))
        return project(balance, known[key], zone, now_ms)


def time_to_come(window: BudgetWindow, time_zone: str, now_ms: int) -> Horizon:
    """Return what is left of a window; a week where it never ends."""
    end_ms = window.span.end_ms
    return horizon(time_zone, now_ms, end_ms) if end_ms else _WEEK


def project(balance: Balance, days: Sequence[PastDay], time_zone: str, now_ms: int) -> Projection:
    """Say what a budget will have been charged, from the days behind it."""
    ahead = time_to_come(balance.window, time_zone, now_ms)
    found = forecast(days, ahead)
    left = balance.window.budget.limit - net(balance.counts)
    if found is None:
        return Projection(balance, len(days), None, exhaust_ms=now_ms if left <= 0 else 0)
    times = _Times(days, balance.window.span.end_ms, now_ms)
    said = Projection(
        balance,
        len(days),
        found,
        exhaust_ms=times.reached(left, found.expected, found.expected),
        earliest_exhaust_ms=(
            times.reached(left, found.expected, found.band.upper) if found.band else 0
        ),
    )
    if not balance.window.span.end_ms:
        return said
    so_far = net(balance.counts)
    said = said._replace(expected=so_far + found.expected)
    if found.band is None:
        return said
    return said._replace(lower=so_far + found.band.lower, upper=so_far + found.band.upper)


def net(counts: WindowCounts) -> int:
    """Return what was charged less what was refunded."""
    return counts.committed - counts.refunded


class _Times(NamedTuple):
    """When amounts are reached."""

    days: Sequence[PastDay]
    end_ms: int
    now_ms: int

    def reached(self, left: int, expected: int, coming: int) -> int:
        """Return when what is left is spent if `coming` is spent where `expected` is; 0 for never.

        Whether it is spent before the window ends, the forecast of the window says; when, the days.
        """
        if left <= 0:
            return self.now_ms
        if not expected or not coming or (self.end_ms and coming < left):
            return 0
        slowed = left * Fraction(expected, coming)
        days = days_to_spend(self.days, slowed)
        reached = self.now_ms + (_FAR_MS if days is None else day_length(days))
        if self.end_ms:
            return min(reached, self.end_ms)
        return reached if reached < self.now_ms + _FAR_MS else 0
