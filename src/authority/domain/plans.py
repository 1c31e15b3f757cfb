"""Plans: named sets of budgets, grants and limits that accounts get by their name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import NamedTuple

from authority.domain.alerts import DEFAULT_THRESHOLDS
from authority.domain.budgets import Enforcement
from authority.domain.callers import Cause
from authority.domain.grants import Grant
from authority.domain.money import Unit
from authority.domain.windows import Window

PLAN_BUDGETS_MAX = 16
PLAN_GRANTS_MAX = 8
SUBMISSIONS_PER_MINUTE = 10  # of a plan that does not say
# What begins with these is made by plans alone.
BUDGET_PREFIX = "plan-"
KEY_PREFIXES = ("plan/", "plan-end/")
SOURCE_PREFIX = "plan "


class PlanBudget(NamedTuple):
    """A budget of every account that has the plan."""

    unit: Unit
    window: Window
    limit: int
    enforcement: Enforcement
    alert_thresholds: tuple[int, ...] = DEFAULT_THRESHOLDS  # percent; () raises no alert

    @property
    def budget(self) -> str:
        """Return the budget's id."""
        return f"{BUDGET_PREFIX}{self.unit}-{self.window}".lower()


class PlanGrant(NamedTuple):
    """A grant to every account that has the plan; `recurrence` is TOTAL for one made once."""

    unit: Unit
    amount: int
    priority: int
    recurrence: Window

    @classmethod
    def of(cls, grant: Grant) -> PlanGrant:
        """Return the terms on which a grant was made."""
        return cls(grant.unit, grant.amount, grant.priority, grant.recurrence)


class AbusePolicy(NamedTuple):
    """What looks like abuse within a time, and how long it freezes the account.

    `refusals` and `bursts` are 0 where they are not watched; `freeze_ms` is 0 for an alert alone.
    """

    refusals: int = 0
    bursts: int = 0
    within_ms: int = 0
    freeze_ms: int = 0


NOT_WATCHED = AbusePolicy()


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. `version` counts its changes; a number a minute is 0 for no limit.

    `tier` is the highest quality class of models that is made, '' for no limit.
    """

    plan: str
    budgets: tuple[PlanBudget, ...]
    grants: tuple[PlanGrant, ...]
    per_request_limits: Mapping[Unit, int]
    reserves_per_minute: int
    version: int
    create_time: datetime
    update_time: datetime
    tier: str = ""
    submissions_per_minute: int = SUBMISSIONS_PER_MINUTE
    abuse: AbusePolicy = NOT_WATCHED


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What to change of a plan; None leaves it as it is."""

    budgets: tuple[PlanBudget, ...] | None = None
    grants: tuple[PlanGrant, ...] | None = None
    per_request_limits: Mapping[Unit, int] | None = None
    reserves_per_minute: int | None = None
    tier: str | None = None
    submissions_per_minute: int | None = None
    abuse: AbusePolicy | None = None

    def apply(self, plan: Plan, change_time: datetime) -> Plan:
        """Return the plan as it is to be; the same one if nothing changes."""
        given = {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        wanted = replace(plan, **given)
        if wanted == plan:
            return plan
        return replace(wanted, version=plan.version + 1, update_time=change_time)


class PlanVersion(NamedTuple):
    """A plan as it was from one change to the next, with who made it so and why."""

    plan: Plan
    cause: Cause


class PlanWork(NamedTuple):
    """What an account's plan grants, and what plans have granted the account, as of one moment.

    `pending` is the policy version of the change that is still to be carried out; 0 if none is.
    """

    plan: str
    pending: int
    wanted: tuple[PlanGrant, ...]
    given: tuple[Grant, ...]

    def to_void(self) -> list[Grant]:
        """Return what was granted and is of the account's plan no more."""
        return [grant for grant in self.given if not grant.void_ms and not self._is_wanted(grant)]

    def to_make(self) -> list[tuple[int, PlanGrant]]:
        """Return what is still to be granted, with its place in the plan.

        What does not recur is granted once, however often an account comes back to a plan.
        """
        had = {
            PlanGrant.of(grant)
            for grant in self.given
            if grant.source == self.source
            and (not grant.void_ms or grant.recurrence is Window.TOTAL)
        }
        return [(place, terms) for place, terms in enumerate(self.wanted) if terms not in had]

    @property
    def source(self) -> str:
        """Return the source of the plan's grants."""
        return f"{SOURCE_PREFIX}{self.plan}"

    def _is_wanted(self, grant: Grant) -> bool:
        return grant.source == self.source and PlanGrant.of(grant) in self.wanted
