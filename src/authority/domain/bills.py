"""Reconciliation: what providers have billed beside what is booked, and what makes them the same.

A bill says what a model came to on a day; which call cost what, it does not. Of most calls the cost
is known. Of some nobody knows what became of them: they are booked at their estimate, as presumed
spent. What a bill has beyond the calls of known cost therefore belongs to those first, in the order
in which they were made; what is left of either side is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import BinaryIO, NamedTuple, Protocol

from authority.domain.callers import Cause
from authority.domain.ids import tenant_of

MICROS = 1_000_000


class BillFormat(StrEnum):
    """The form of a bill's file."""

    OPENAI = "OPENAI"
    FAL = "FAL"


class BillHeader(NamedTuple):
    """What a file is said to be. The days are those that it covers, None for as its lines say."""

    provider: str
    form: BillFormat
    source: str
    file_name: str
    start_day: date | None
    end_day: date | None


class BillLine(NamedTuple):
    """A line that says that something was billed; `model` is as the catalogue has it."""

    line_number: int
    day: date
    model: str
    billed_model: str
    item: str
    quantity: Decimal | None
    billed_usd: Decimal


class Bill(NamedTuple):
    """A provider's bill. `billed_usd` is exact."""

    bill_id: str
    provider: str
    source: str
    form: BillFormat
    file_name: str
    content_sha256: bytes
    line_count: int
    start_day: date
    end_day: date
    billed_usd: Decimal
    cause: Cause
    create_time: datetime
    withdraw_time: datetime | None = None
    bill_number: int = 0  # until the ledger has numbered it

    @property
    def billed(self) -> int:
        """What it comes to, in micros of USD."""
        return round(Fraction(self.billed_usd) * MICROS)


class BillDayState(StrEnum):
    """What the books and the bill of a day have come to."""

    MATCHED = "MATCHED"
    BILLED_MORE = "BILLED_MORE"
    BILLED_LESS = "BILLED_LESS"
    NOT_BOOKED = "NOT_BOOKED"
    NOT_BILLED = "NOT_BILLED"
    NO_BILL = "NO_BILL"


class BillDay(NamedTuple):
    """A model's day: what was billed, booked and adjusted, in micros of USD.

    `known` is booked of calls whose cost is known, `estimated` of those presumed spent. What was
    adjusted of the latter is `adjusted_presumed`, all else `adjusted_other`.
    """

    day: date
    provider: str
    model: str
    covered: bool
    billed: int = 0
    known: int = 0
    estimated: int = 0
    adjusted_presumed: int = 0
    adjusted_other: int = 0
    call_count: int = 0
    presumed_count: int = 0

    @property
    def booked(self) -> int:
        """What the books had before anything was adjusted."""
        return self.known + self.estimated

    @property
    def adjusted(self) -> int:
        """What was adjusted so far."""
        return self.adjusted_presumed + self.adjusted_other

    @property
    def presumed(self) -> int:
        """What is still booked for calls that are presumed spent."""
        return self.estimated + self.adjusted_presumed

    @property
    def difference(self) -> int:
        """How much more was billed than the books have; 0 where nothing says what was billed."""
        return self.billed - self.booked - self.adjusted if self.covered else 0

    @property
    def beyond_known(self) -> int:
        """What was billed beyond the calls of known cost; below 0 if less."""
        return self.billed - self.known - self.adjusted_other

    @property
    def presumed_billed(self) -> int:
        """What of the calls that are presumed spent was billed."""
        return min(max(self.beyond_known, 0), self.presumed) if self.covered else 0

    @property
    def state(self) -> BillDayState:
        """What the two have come to."""
        if not self.covered:
            return BillDayState.NO_BILL
        if not self.difference:
            return BillDayState.MATCHED
        if not self.booked and not self.adjusted:
            return BillDayState.NOT_BOOKED
        if not self.billed:
            return BillDayState.NOT_BILLED
        return BillDayState.BILLED_MORE if self.difference > 0 else BillDayState.BILLED_LESS


class PresumedAttempt(NamedTuple):
    """An attempt whose call may have been paid for. `billed` is what the bill has for it."""

    generation_id: str
    attempt: int
    account: str
    provider: str
    model: str
    call_time: datetime
    booked: int
    adjusted: int
    charged: int
    reservation_id: str
    remote_id: str
    covered: bool
    billed: int = 0

    @property
    def left(self) -> int:
        """What is still booked for it."""
        return self.booked + self.adjusted


class RefundPart(StrEnum):
    """What an account gets back for an attempt that was not billed, or not all of it."""

    ALL = "ALL"
    PART = "PART"
    NONE = "NONE"


class Correction(NamedTuple):
    """What is added to the cost of an account, and why: an attempt, or '' for none.

    `refunded` is None until the account has got back what it is to get.
    """

    account: str
    cost: int
    generation_id: str = ""
    attempt: int = 0
    reservation_id: str = ""
    refund: RefundPart = RefundPart.NONE
    position: int = 0  # from 1 on, once it is written down
    refunded: int | None = None
    finish_time: datetime | None = None


class AdjustRequest(NamedTuple):
    """A valid request; `account` is '' for whoever the day is booked for."""

    idempotency_key: str
    day: date
    provider: str
    model: str
    account: str
    keep_charges: bool


class Adjustment(NamedTuple):
    """What the books of a day were corrected by."""

    adjustment_id: str
    request: AdjustRequest
    cause: Cause
    create_time: datetime
    finish_time: datetime | None
    parts: tuple[Correction, ...]

    @property
    def amount(self) -> int:
        """What was added to the cost in the books."""
        return sum(part.cost for part in self.parts)

    @property
    def refunded(self) -> int:
        """What was refunded to accounts."""
        return sum(part.refunded or 0 for part in self.parts)


class BookedDay(NamedTuple):
    """A day with its presumed attempts, and what is booked of known cost by tenant."""

    day: BillDay
    attempts: Sequence[PresumedAttempt]
    by_tenant: Mapping[str, int]


def corrections(booked: BookedDay, account: str, *, keep_charges: bool) -> list[Correction]:
    """Return what makes the books of a day what was billed; nothing if they are.

    What is of no single attempt goes to `account`, else to the tenants by what is booked for them:
    their known cost, or what was billed of their presumed attempts where there is no other. Nobody
    is in the list where neither is; then there must be an account.
    """
    made = []
    for attempt in booked.attempts:
        if over := attempt.left - attempt.billed:
            refund = RefundPart.PART if attempt.billed or attempt.adjusted else RefundPart.ALL
            made.append(
                Correction(
                    attempt.account,
                    -over,
                    attempt.generation_id,
                    attempt.attempt,
                    attempt.reservation_id,
                    RefundPart.NONE if keep_charges else refund,
                )
            )
    rest = booked.day.difference - sum(part.cost for part in made)
    weights: Mapping[str, int] = {account: 1} if account else booked.by_tenant
    if not any(weights.values()):
        billed: dict[str, int] = {}
        for attempt in booked.attempts:
            tenant = tenant_of(attempt.account)
            billed[tenant] = billed.get(tenant, 0) + attempt.billed
        weights = billed
    made += [Correction(name, part) for name, part in share_out(rest, weights).items() if part]
    return [part._replace(position=position) for position, part in enumerate(made, 1)]


def share_out(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Share an amount out by weights, to the micro: what divisions leave goes to the largest rests.

    Nothing is shared out where there are no weights.
    """
    whole = sum(weights.values())
    if not whole:
        return {}
    sign = -1 if amount < 0 else 1
    parts = {name: divmod(abs(amount) * weight, whole) for name, weight in weights.items()}
    left = abs(amount) - sum(part for part, _ in parts.values())
    first = sorted(parts, key=lambda name: (-parts[name][1], name))[:left]
    return {name: sign * (part + (name in first)) for name, (part, _) in parts.items()}


class DayFilter(NamedTuple):
    """Which days to compare; '' is for any."""

    start_day: date
    end_day: date
    provider: str
    model: str


class BillStore(Protocol):
    """The bills in the ledger. Every method raises Unavailable."""

    async def add(
        self, bill: Bill, file: BinaryIO, read: Callable[[BinaryIO], Iterable[BillLine]]
    ) -> tuple[Bill, bool]:
        """Add a bill with the lines of its file, and record it.

        Returns the bill of the same content instead, and True, if there is one.
        """
        ...

    async def bills(self, provider: str, before: int, limit: int) -> list[Bill]:
        """Return a page, the latest first, of those before a number; of all for 0."""
        ...

    async def withdraw(self, bill_id: str, cause: Cause, now: datetime) -> Bill | None:
        """Take a bill out and record it, once; None if there is none."""
        ...

    async def days(
        self, wanted: DayFilter, difference_min: int, after: Sequence[str], limit: int
    ) -> list[BillDay]:
        """Return a page of those behind a day, provider and model; of all if they are ''."""
        ...

    async def presumed(
        self, wanted: DayFilter, after: Sequence[str], limit: int
    ) -> list[PresumedAttempt]:
        """Return a page of attempts, matched with the bills.

        They are those behind a day, provider, model, time of call, generation and attempt.
        """
        ...

    async def adjust(
        self,
        request: AdjustRequest,
        cause: Cause,
        now: datetime,
        plan: Callable[[BookedDay], list[Correction]],
    ) -> tuple[Adjustment, bool]:
        """Write down what is to be corrected, and record it.

        Returns what was written under the key before, and True, if anything was. Raises
        IdempotencyKeyReused, and what `plan` raises.
        """
        ...

    async def finish_part(self, adjustment_id: str, position: int, refunded: int) -> None:
        """Write down that a part is in the ledger; and the whole, if it was the last."""
        ...

    async def adjustments(self, provider: str, before: str, limit: int) -> list[Adjustment]:
        """Return a page, the latest first, of those before an id; of all for ''."""
        ...

    async def adjustment(self, adjustment_id: str) -> Adjustment:
        """Return one with all its parts."""
        ...

    async def unfinished(self, but: Sequence[str], limit: int) -> list[str]:
        """Return the ids of adjustments that are not finished, the oldest first."""
        ...
