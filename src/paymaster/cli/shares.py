"""Shares as people write and read them: `0.5%`, or `0.005`. Inside they are whole millionths."""

from __future__ import annotations

from decimal import Context, DecimalException, Inexact, InvalidOperation, Overflow, Underflow

import click

PPM = 1_000_000
# Refuses what it would have to round, such as 1e-999999999.
_EXACT = Context(prec=50, traps=[InvalidOperation, Inexact, Overflow, Underflow])


def parse_share(text: str) -> int:
    """Return a share in millionths. Raises click.BadParameter."""
    plain = text.strip()
    is_percent = plain.endswith("%")
    try:
        value = _EXACT.create_decimal(plain.removesuffix("%").strip())
        millionths = _EXACT.scaleb(value, 4 if is_percent else 6)
    except DecimalException:
        raise _bad(text) from None
    if not millionths.is_finite() or not 0 <= millionths <= PPM or millionths != int(millionths):
        raise _bad(text)
    return int(millionths)


def share_text(ppm: int | None) -> str:
    """Return a share for people, such as `0.5%`; a dash for none."""
    if ppm is None:
        return "-"
    whole, rest = divmod(ppm, 10_000)
    decimals = f"{rest:04}".rstrip("0")
    return f"{whole}.{decimals}%" if decimals else f"{whole}%"


def _bad(text: str) -> click.BadParameter:
    return click.BadParameter(
        f"{text!r} is no share; write 0.5% or 0.005: from 0 to 100%, to the millionth."
    )
