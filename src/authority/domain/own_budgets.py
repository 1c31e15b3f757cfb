"""The monthly budget that a user sets for itself: lower than its plan's, or as high, never higher.

It is a budget of the account like others. In the month in which it is made it has not counted what
was spent before; so the plan's monthly budget, which has, is held to the lower of both until the
month ends.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from authority.domain.budgets import Budget, Enforcement
from authority.domain.errors import InvalidRequest
from authority.domain.money import Unit
from authority.domain.plans import BUDGET_PREFIX, Plan
from authority.domain.windows import Window

OWN_BUDGET = "own-usd-month"
# In micros of USD.
OWN_LIMITS = (1_000_000, 1_000_000_000)
OWN_LIMIT_DEFAULT = 10_000_000

_PLAN_BUDGET = f"{BUDGET_PREFIX}usd-month"


def own_budget(account: str, plan: Plan | None, limit: int | None, made_at: datetime) -> Budget:
    """Return the own budget of an account with a plan; None is for the default limit.

    Raises InvalidRequest if it would be above the plan's.
    """
    most = next(
        (
            budget.limit
            for budget in (plan.budgets if plan else ())
            if (budget.unit, budget.window) == (Unit.USD, Window.MONTH)
        ),
        None,
    )
    if limit is None:
        limit = OWN_LIMIT_DEFAULT if most is None else min(OWN_LIMIT_DEFAULT, most)
    elif most is not None and limit > most:
        raise InvalidRequest.of(
            "limit",
            f"must be at most {most}, which the account's plan allows in a month, not {limit}",
        )
    return Budget(
        key=0,
        account=account,
        budget=OWN_BUDGET,
        unit=Unit.USD,
        window=Window.MONTH,
        limit=limit,
        enforcement=Enforcement.BLOCK,
        create_time=made_at,
        update_time=made_at,
    )


def held_to_own(budget: Budget, own: Budget | None, start_ms: int) -> Budget:
    """Return a budget as it binds in a window: a plan's monthly one may be held to the user's own.

    `own` is that of the same account, if it has one.
    """
    if (
        own is not None
        and budget.budget == _PLAN_BUDGET
        and own.limit < budget.limit
        and own.create_time.timestamp() * 1000 >= start_ms
    ):
        return replace(budget, limit=own.limit)
    return budget
