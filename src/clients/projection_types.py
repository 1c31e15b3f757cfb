"""What callers see of projections."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from clients.types import BudgetBalance


class ProjectionBasis(StrEnum):
    """What a projection is made of."""

    NONE = "NONE"
    DAYS = "DAYS"
    WEEKDAYS = "WEEKDAYS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Projection:
    """What a budget will have been charged, less refunds, by the end of its window.

    `expected` is None without a basis, and for a budget without an end. Four times out of five it
    will lie between `lower` and `upper`, which are None where too few past forecasts can be
    compared. `exhaust_time` is when the limit will be reached, None where that is not before the
    end of the window; `earliest_exhaust_time` is when at the upper rate.
    """

    balance: BudgetBalance
    basis: ProjectionBasis
    history_days: int
    expected: int | None
    lower: int | None
    upper: int | None
    exhaust_time: datetime | None
    earliest_exhaust_time: datetime | None


@dataclass(frozen=True, slots=True)
class Projections:
    """What is said of budgets, the account's own first, at one moment."""

    projections: tuple[Projection, ...]
    read_time: datetime | None
