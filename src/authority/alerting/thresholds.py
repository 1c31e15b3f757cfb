"""Looks at budgets whose limit or thresholds were changed.

What a commit crosses is told by the script, by the limits of the policy that it was decided under;
what was passed before a limit was lowered, no commit crosses. Once the hot store refuses older
policies, every later commit goes by the changed limit, and every earlier one is in the counts: so
these are read after that, and what they are past is raised. What both have seen is raised once all
the same. A trigger writes down what is to be looked at, in the transaction of the change, so that
nothing is forgotten when a process dies.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from authority.domain.alerts import Thresholds
from authority.domain.budgets import BudgetWindow
from authority.domain.crossings import Crossing
from authority.domain.errors import PaymasterError, Unavailable
from authority.domain.ports import WindowCounts
from authority.ledger.alerts import raise_alert
from authority.ledger.database import Database
from authority.ledger.queries import statements
from authority.usecases.context import Context

TICK_SECONDS = 1.0
_AT_ONCE = 200

log = structlog.get_logger(__name__)


class _Check(NamedTuple):
    budget_key: int
    change_number: int


class ThresholdChecks:
    """Safe in many processes at once: an alert is raised once."""

    def __init__(self, context: Context, database: Database) -> None:
        self._context = context
        self._database = database
        self._sql = statements("alerts.sql")

    async def run(self) -> None:
        """Look every second until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.check()
            except Unavailable as error:
                log.warning("threshold_checks_postponed", reason=error.message)
            except Exception:
                log.exception("threshold_checks_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def check(self) -> int:
        """Look at what was changed; return how many alerts are new. Raises Unavailable."""
        rows = await self._database.rows(self._sql["due_threshold_checks"], {"limit": _AT_ONCE})
        by_tenant: defaultdict[tuple[str, int], list[_Check]] = defaultdict(list)
        for row in rows:
            check = _Check(row["budget_key"], row["change_number"])
            by_tenant[row["tenant"], row["policy_version"]].append(check)
        count = 0
        for (tenant, version), checks in by_tenant.items():
            try:
                count += await self._check(tenant, version, checks)
            except PaymasterError as error:
                # One tenant that can't be looked at now holds up no other.
                log.warning("threshold_check_postponed", tenant=tenant, reason=error.message)
        return count

    async def _check(self, tenant: str, version: int, checks: Sequence[_Check]) -> int:
        context = self._context
        if not await context.hot.raise_policy_version(tenant, version):
            await context.open_tenant(tenant)
            return 0  # The next tick finds it open.
        context.policies.forget(tenant)
        policy = await context.policies.of(tenant)
        now_ms = context.clock.now_ms()
        budgets = [policy.budget_by_key.get(check.budget_key) for check in checks]
        windows = [policy.window_of(budget, now_ms) for budget in budgets if budget is not None]
        counts = await self._counts(tenant, windows)
        if counts is None:
            return 0
        moment = datetime.fromtimestamp(now_ms / 1000, UTC)
        crossings = [
            crossing
            for window, counted in zip(windows, counts, strict=True)
            for crossing in _passed(window, counted, moment)
        ]
        async with self._database.transaction() as connection:
            raised = [await raise_alert(connection, crossing.alert()) for crossing in crossings]
            for check in checks:
                await connection.execute(self._sql["end_threshold_check"], check._asdict())
        return sum(raised)

    async def _counts(
        self, tenant: str, windows: Sequence[BudgetWindow]
    ) -> list[WindowCounts] | None:
        """Return what is counted, also by what the ledger does not have yet; None: not open."""
        refs = [window.ref for window in windows]
        reading = await self._context.hot.read(tenant, None, refs)
        if reading is None:
            return None
        # What is not in use has no counts in the hot store, and then the ledger has all of them.
        kept = await self._context.ledger.window_counts(refs)
        return [
            kept[ref] if hot is None else hot for ref, hot in zip(refs, reading.counts, strict=True)
        ]


def _passed(window: BudgetWindow, counts: WindowCounts, moment: datetime) -> list[Crossing]:
    budget = window.budget
    net = counts.committed - counts.refunded
    return [
        Crossing(
            window.ref,
            percent,
            net,
            budget.limit,
            0,
            budget.account,
            budget.budget,
            budget.window,
            moment,
        )
        for percent, amount in Thresholds(budget.limit, budget.alert_thresholds).steps
        if net >= amount
    ]
