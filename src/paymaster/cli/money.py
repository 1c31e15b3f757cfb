"""Amounts as people write and read them. Inside they are integers of the unit's smallest step."""

from __future__ import annotations

from decimal import Context, DecimalException, Inexact, InvalidOperation, Overflow, Underflow

MICROS = 1_000_000
AMOUNT_MAX = 2**53 - 1
_MONEY_UNITS = frozenset({"USD", "CREDITS"})
_DECIMALS_MAX = 6
_DECIMALS_SHOWN_MIN = 2
# Refuses what it would have to round, such as a hundred decimals or 1e-999999999.
_EXACT = Context(prec=50, traps=[InvalidOperation, Inexact, Overflow, Underflow])


class BadAmount(ValueError):
    """The text is no amount of that unit; the message says what would be."""


def parse_amount(text: str, unit: str) -> int:
    """Return the amount that a person wrote: decimal for money, whole for counts.

    Raises BadAmount.
    """
    plain = text.strip().removeprefix("$") if unit == "USD" else text.strip()
    try:
        value = _EXACT.create_decimal(plain)
        steps = _EXACT.scaleb(value, _DECIMALS_MAX if unit in _MONEY_UNITS else 0)
    except DecimalException:
        raise BadAmount(f"{text!r} is not an amount; write {_example(unit)}.") from None
    if not value.is_finite() or value < 0:
        raise BadAmount(f"{text!r} is not an amount; write {_example(unit)}.")
    if steps > AMOUNT_MAX:
        largest = format_amount(AMOUNT_MAX, unit)
        raise BadAmount(f"{text!r} is too large; the largest amount of {unit} is {largest}.")
    if steps != int(steps):
        finest = f"at most {_DECIMALS_MAX} decimals" if unit in _MONEY_UNITS else "a whole number"
        raise BadAmount(f"{text!r} is finer than {unit} can be; write {finest}.")
    return int(steps)


def format_amount(amount: int, unit: str) -> str:
    """Return an amount for people: `$0.0408` for USD, `1.50` for CREDITS, `25` for counts."""
    if unit not in _MONEY_UNITS:
        return str(amount)
    whole, micros = divmod(abs(amount), MICROS)
    decimals = f"{micros:06}".rstrip("0").ljust(_DECIMALS_SHOWN_MIN, "0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{'$' if unit == 'USD' else ''}{whole}.{decimals}"


def format_usd(micros: int) -> str:
    """Return micros of USD for people, such as `$0.0408`."""
    return format_amount(micros, "USD")


def _example(unit: str) -> str:
    return "an amount such as 0.50" if unit in _MONEY_UNITS else "a whole number such as 25"
