"""Providers' bills beside the books, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from clients.bill_types import Bill, BillAdjustment, BillDay, PresumedAttempt
from paymaster.cli.documents import time_text
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Table, minor, right, wide

_BILLS = (
    Column("bill_id"),
    Column("provider"),
    minor("source"),
    Column("start_day"),
    Column("end_day"),
    right("lines"),
    right("billed"),
    minor("create_time"),
    minor("withdraw_time"),
    wide("file_name"),
    wide("actor"),
    wide("reason"),
)
_DAYS = (
    Column("day"),
    Column("provider"),
    Column("model"),
    right("billed"),
    right("booked"),
    right("adjusted"),
    right("difference"),
    Column("state"),
    Column("calls", right=True, minor=True),
    Column("presumed", right=True, minor=True),
    Column("presumed_amount", right=True, minor=True),
    Column("presumed_billed", right=True, minor=True),
)
_ATTEMPTS = (
    Column("generation_id"),
    right("attempt"),
    minor("account"),
    Column("model"),
    Column("call_time"),
    right("booked"),
    right("adjusted"),
    right("billed"),
    Column("charged", right=True, minor=True),
    wide("remote_id"),
    wide("reservation_id"),
)
_ADJUSTMENTS = (
    Column("adjustment_id"),
    Column("day"),
    Column("provider"),
    Column("model"),
    right("amount"),
    right("refunded"),
    minor("create_time"),
    minor("finish_time"),
    wide("actor"),
    wide("reason"),
)
_PARTS = (
    Column("account"),
    right("amount"),
    right("refunded"),
    minor("finish_time"),
    wide("generation_id"),
)


def bill_table(bills: Sequence[Bill]) -> Table:
    """Return a row for each bill."""
    return Table(
        _BILLS,
        [
            [
                *(bill.bill_id, bill.provider, bill.source),
                *(bill.start_day.isoformat(), bill.end_day.isoformat()),
                *(str(bill.line_count), format_usd(bill.billed)),
                *(time_text(bill.create_time), time_text(bill.withdraw_time)),
                *(bill.file_name, bill.actor, bill.reason),
            ]
            for bill in bills
        ],
    )


def day_table(days: Sequence[BillDay]) -> Table:
    """Return a row for each comparison."""
    return Table(
        _DAYS,
        [
            [
                *(day.day.isoformat(), day.provider, day.model),
                *map(format_usd, (day.billed, day.booked, day.adjusted, day.difference)),
                *(day.state, str(day.call_count), str(day.presumed_count)),
                *map(format_usd, (day.presumed, day.presumed_billed)),
            ]
            for day in days
        ],
    )


def attempt_table(attempts: Sequence[PresumedAttempt]) -> Table:
    """Return a row for each attempt."""
    return Table(
        _ATTEMPTS,
        [
            [
                *(item.generation_id, str(item.attempt), item.account, item.model),
                *(time_text(item.call_time), format_usd(item.booked), format_usd(item.adjusted)),
                format_usd(item.billed) if item.covered else "-",
                *(format_usd(item.charged), item.remote_id, item.reservation_id),
            ]
            for item in attempts
        ],
    )


def adjustment_table(adjustments: Sequence[BillAdjustment]) -> Table:
    """Return a row for each adjustment."""
    return Table(
        _ADJUSTMENTS,
        [
            [
                *(item.adjustment_id, item.day.isoformat(), item.provider, item.model),
                *(format_usd(item.amount), format_usd(item.refunded)),
                *(time_text(item.create_time), time_text(item.finish_time)),
                *(item.actor, item.reason),
            ]
            for item in adjustments
        ],
    )


def part_table(adjustment: BillAdjustment) -> Table:
    """Return a row for each part of an adjustment."""
    return Table(
        _PARTS,
        [
            [
                *(part.account, format_usd(part.amount), format_usd(part.refunded)),
                *(time_text(part.finish_time), part.generation_id),
            ]
            for part in adjustment.parts
        ],
    )
