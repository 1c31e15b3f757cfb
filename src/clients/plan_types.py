"""What callers see of plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from clients.amounts import Leg, Unit
from clients.types import Enforcement, Window


@dataclass(frozen=True, slots=True)
class PlanBudget:
    """A budget of every account that has the plan, where its id is as `plan-usd-day`."""

    unit: Unit
    window: Window
    limit: int
    enforcement: Enforcement = Enforcement.BLOCK
    alert_thresholds: tuple[int, ...] | None = None  # percent; None for the default ones


@dataclass(frozen=True, slots=True)
class PlanGrant:
    """A grant to every account that has the plan; made once if there is no `recurrence`."""

    unit: Unit
    amount: int
    priority: int = 0
    recurrence: Window | None = None


@dataclass(frozen=True, slots=True)
class AbusePolicy:
    """What looks like abuse within a time, and how long it freezes the account.

    Generations that were refused for their content, and submissions that were refused for their
    rate; 0 for not watched. Without a `freeze` there is an alert and no more.
    """

    refusals: int = 0
    bursts: int = 0
    within: timedelta | None = None
    freeze: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A named set of budgets, grants and limits. `version` counts its changes.

    `tier` is the highest quality class of models that is made, '' for no limit; numbers a minute
    are 0 for no limit; `abuse` is None where nothing is watched.
    """

    plan: str
    budgets: tuple[PlanBudget, ...]
    grants: tuple[PlanGrant, ...]
    per_request_limits: tuple[Leg, ...]
    reserves_per_minute: int
    version: int
    create_time: datetime | None
    update_time: datetime | None
    tier: str = ""
    submissions_per_minute: int = 0
    abuse: AbusePolicy | None = None


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A plan as it was from one change to the next; who made it so and why, for the platform."""

    plan: Plan
    actor: str
    reason: str
