"""Balances and the grants in them as callers see them. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from clients.amounts import Unit
from clients.types import BudgetBalance, Window


class GrantState(StrEnum):
    """The life of a grant, by the hot store's clock."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    VOIDED = "VOIDED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Grant:
    """A lot of prepaid or free amount on an account, which it and those below it may spend.

    Lower priorities are spent first, then the earliest expiry. With a `recurrence` the amount is
    granted anew in every such period, and the numbers are of the present one. `expired` is what was
    left when it expired or was voided. `price` is what was paid for the amount, in micros of USD; 0
    for one that was given. `replayed` answers an earlier call with the same key.
    """

    grant_id: str
    account: str
    unit: Unit
    amount: int
    priority: int
    effective_time: datetime | None
    expire_time: datetime | None
    recurrence: Window | None
    refund_grace: timedelta | None
    source: str
    create_time: datetime | None
    void_time: datetime | None
    state: GrantState
    reserved: int
    committed: int
    refunded: int
    available: int
    expired: int
    price: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Balance:
    """What a Reserve by an account would be checked against, by the time that it was read.

    `balances` are the budgets of the account, its own first, and of those above it; `grants` are
    those that are not spent, in the order in which they are spent. Two balances are equal if their
    numbers are.
    """

    balances: tuple[BudgetBalance, ...]
    grants: tuple[Grant, ...]
    read_time: datetime | None = field(compare=False)
