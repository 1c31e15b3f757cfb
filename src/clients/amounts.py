"""Amounts: integers in the smallest step of their unit, money in micros. No float is ever one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from enum import StrEnum

AMOUNT_MAX = 2**53 - 1
MICROS = 1_000_000

# Raises where it would have to round, so that no digit of a price is lost unseen.
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation, Overflow])


class Unit(StrEnum):
    """What an amount counts. UNKNOWN is one that this client is too old to know.

    RESERVATIONS are those that are open: budgets may cap them, no leg names them.
    """

    USD = "USD"
    CREDITS = "CREDITS"
    IMAGES = "IMAGES"
    VIDEOS = "VIDEOS"
    MESSAGES = "MESSAGES"
    RESERVATIONS = "RESERVATIONS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Leg:
    """One (unit, amount); the amount is in the unit's smallest step.

    Only Adjust takes one below 0: `-usd("0.05")`. Raises TypeError if the amount is no int,
    ValueError if it is further from 0 than 2^53 - 1.
    """

    unit: Unit
    amount: int

    def __post_init__(self) -> None:
        check_amount("amount", self.amount, least=-AMOUNT_MAX)

    def __neg__(self) -> Leg:
        return Leg(self.unit, -self.amount)


@dataclass(frozen=True, slots=True)
class Option:
    """One of the ordered alternatives in a Reserve; those of one name are of one tier."""

    legs: tuple[Leg, ...]
    name: str = ""


def usd(amount: str | Decimal | int) -> Leg:
    """Return a leg of dollars: `usd("0.04")` is 40,000 micros, `usd(1)` is one dollar.

    Raises TypeError for a float, ValueError for more than 6 decimals.
    """
    return Leg(Unit.USD, _micros(amount))


# It hides nothing but a help text of the interactive Python.
def credits(amount: str | Decimal | int) -> Leg:  # noqa: A001
    """Return a leg of credits: `credits("1.5")` is 1,500,000 micros. Raises as `usd` does."""
    return Leg(Unit.CREDITS, _micros(amount))


def images(count: int) -> Leg:
    """Return a leg of images."""
    return Leg(Unit.IMAGES, check_amount("amount", count))


def videos(count: int) -> Leg:
    """Return a leg of videos."""
    return Leg(Unit.VIDEOS, check_amount("amount", count))


def messages(count: int) -> Leg:
    """Return a leg of chat messages."""
    return Leg(Unit.MESSAGES, check_amount("amount", count))


def check_amount(name: str, amount: int, *, least: int = 0) -> int:
    """Return the amount. Raises TypeError if it is no int, ValueError if out of range."""
    if type(amount) is not int:  # a bool is an int by inheritance, and no amount
        raise TypeError(
            f"{name} must be an int in the unit's smallest step, not {amount!r}; "
            'usd("0.04") and credits("1.5") make one from decimals'
        )
    if not least <= amount <= AMOUNT_MAX:
        raise ValueError(f"{name} must be from {least} to {AMOUNT_MAX}, not {amount}")
    return amount


def _micros(amount: str | Decimal | int) -> int:
    if type(amount) not in {str, Decimal, int}:
        raise TypeError(
            f'an amount of money must be a str, a Decimal or an int, such as "0.04", not {amount!r}'
        )
    try:
        micros = _EXACT.multiply(_EXACT.create_decimal(amount), MICROS)
        whole = _EXACT.to_integral_exact(micros)
    except DecimalException:
        raise ValueError(
            f'{amount!r} is not an amount of money; write a decimal such as "0.04", '
            "with at most 6 decimals"
        ) from None
    if not whole.is_finite() or not 0 <= whole <= AMOUNT_MAX:
        raise ValueError(f"an amount of money must be from 0 to {AMOUNT_MAX} micros, not {amount}")
    return int(whole)
