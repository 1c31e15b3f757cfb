"""What callers see of plans."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from clients.amounts import Leg, Unit
from clients.types import Enforcement, Window


@dataclass(frozen=True, slots=True)
class PlanBudget:
    """A budget of every account that has the plan, where its id is as `plan-usd-day`."""

    unit: Unit
    window: Window
    limit: int
    enforcement: Enforcement = Enforcement.BLOCK


@dataclass(frozen=True, slots=True)
class PlanGrant:
    """A grant to every account that has the plan; made once if there is no `recurrence`."""

    unit: Unit
    amount: int
    priority: int = 0
    recurrence: Window | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A named set of budgets, grants and limits. `version` counts its changes."""

    plan: str
    budgets: tuple[PlanBudget, ...]
    grants: tuple[PlanGrant, ...]
    per_request_limits: tuple[Leg, ...]
    reserves_per_minute: int
    version: int
    create_time: datetime | None
    update_time: datetime | None
