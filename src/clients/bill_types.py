"""Providers' bills as callers see them. Amounts are in micros of USD, days and times in UTC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class BillFormat(StrEnum):
    """The form of a bill's file."""

    OPENAI = "OPENAI"
    FAL = "FAL"
    UNKNOWN = "UNKNOWN"


class BillDayState(StrEnum):
    """What the books and the bill of a day have come to."""

    MATCHED = "MATCHED"
    BILLED_MORE = "BILLED_MORE"
    BILLED_LESS = "BILLED_LESS"
    NOT_BOOKED = "NOT_BOOKED"
    NOT_BILLED = "NOT_BILLED"
    NO_BILL = "NO_BILL"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Bill:
    """A provider's bill, which covers every day from `start_day` to `end_day`."""

    bill_id: str
    provider: str
    source: str
    format: BillFormat
    file_name: str
    content_sha256: str
    line_count: int
    start_day: date
    end_day: date
    billed: int
    actor: str
    reason: str
    create_time: datetime | None
    withdraw_time: datetime | None


@dataclass(frozen=True, slots=True)
class BillImport:
    """A bill that is in the books; `replayed` if its content was imported before."""

    bill: Bill
    replayed: bool


@dataclass(frozen=True, slots=True)
class BillDay:
    """What was billed for a model on a day, beside what is booked.

    `presumed` is what is booked, less what was adjusted, for calls of which nobody knows what
    became of them; `presumed_billed` is what the bill has for these.
    """

    day: date
    provider: str
    model: str
    billed: int
    booked: int
    adjusted: int
    difference: int
    call_count: int
    presumed_count: int
    presumed: int
    presumed_billed: int
    state: BillDayState


@dataclass(frozen=True, slots=True)
class PresumedAttempt:
    """An attempt whose call may have been paid for. Without `covered`, `billed` says nothing."""

    generation_id: str
    attempt: int
    account: str
    provider: str
    model: str
    call_time: datetime | None
    booked: int
    adjusted: int
    billed: int
    charged: int
    reservation_id: str
    remote_id: str
    covered: bool


@dataclass(frozen=True, slots=True)
class BillAdjustmentPart:
    """What was added to the cost of an account; of an attempt, if it names one."""

    account: str
    amount: int
    generation_id: str
    attempt: int
    reservation_id: str
    refunded: int
    finish_time: datetime | None


@dataclass(frozen=True, slots=True)
class BillAdjustment:
    """Books that were made what was billed; at most the first 100 parts."""

    adjustment_id: str
    day: date
    provider: str
    model: str
    amount: int
    refunded: int
    actor: str
    reason: str
    create_time: datetime | None
    finish_time: datetime | None
    parts: Sequence[BillAdjustmentPart]
    replayed: bool = False
