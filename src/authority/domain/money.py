"""Amounts: integers in the smallest step of their unit, money in micros. No float is ever one."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

# The largest integer that a Lua number holds exactly; Lua, SQL and Python all refuse what is above.
AMOUNT_MAX = 2**53 - 1
LEGS_MAX = 8


class Unit(StrEnum):
    """What an amount counts."""

    USD = "USD"
    CREDITS = "CREDITS"
    IMAGES = "IMAGES"
    VIDEOS = "VIDEOS"
    MESSAGES = "MESSAGES"
    # Open reservations. Every reservation holds one, so no leg names it; a budget in it caps them.
    RESERVATIONS = "RESERVATIONS"


UNITS = {unit.value: unit for unit in Unit}

# A leg in one of these must be metered by a budget; a count that nothing meters is only recorded.
MONEY_UNITS = frozenset({Unit.USD, Unit.CREDITS})


def amount_text(amount: int, unit: Unit) -> str:
    """Return an amount for people: `$0.0408`, `1.50 CREDITS`, `25 IMAGES`."""
    if unit not in MONEY_UNITS:
        return f"{amount} {unit}"
    whole, micros = divmod(abs(amount), 1_000_000)
    text = f"{whole}.{micros // 10_000:02}" + f"{micros % 10_000:04}".rstrip("0")
    sign = "-" if amount < 0 else ""
    return f"{sign}${text}" if unit is Unit.USD else f"{sign}{text} {unit}"


class Leg(NamedTuple):
    """One (unit, amount) of a reservation, a commit or a refund."""

    unit: Unit
    amount: int


class Option(NamedTuple):
    """One of the ordered alternatives in a Reserve."""

    name: str
    legs: tuple[Leg, ...]
