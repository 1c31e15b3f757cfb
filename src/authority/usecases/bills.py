"""Reconciliation: bills imported, compared with the books, and the books made what was billed.

An adjustment is written down, with all its parts, before its first operation. Each part is then an
ADJUST that charges nobody: the cost of its account grows or shrinks, and what the platform absorbs
with it, so that the entries are balanced. A part of an attempt that was not billed also refunds its
reservation, by an ordinary Refund. The keys of these operations are made of the row, so whoever
dies in between leaves rows that say what is still to do, and recovery/corrections.py, or a repeat
of the call, does it, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import BinaryIO

from authority.domain.bill_files import Summary, model_namer, read_lines, summarise
from authority.domain.bills import (
    Adjustment,
    AdjustRequest,
    Bill,
    BillDay,
    BillDayState,
    BillHeader,
    BillLine,
    BillStore,
    BookedDay,
    Correction,
    DayFilter,
    PresumedAttempt,
    RefundPart,
    corrections,
)
from authority.domain.callers import Cause
from authority.domain.errors import (
    BillStateError,
    InvalidRequest,
    NotFound,
    PaymasterError,
    RefundExceedsCharge,
    ReservationStateError,
    Violation,
)
from authority.domain.ids import BILL_PREFIX, tenant_of
from authority.domain.money import Leg, Unit
from authority.domain.operations import Kind, Move
from authority.domain.ports import Decision, Keyed
from authority.usecases.context import Context
from authority.usecases.decide import decide, new_id
from authority.usecases.locate import Locator
from authority.usecases.settle import refund
from generations.catalogue import Catalogue
from generations.models import Kind as MediaKind

# Bills of providers go by the day of UTC, and nobody compares ten years at once.
DAYS_MAX = 400
DAYS_DEFAULT = 31
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class BillContext:
    """What these use cases work with, wired by `authority.wiring`."""

    context: Context
    locator: Locator
    bills: BillStore
    catalogue: Catalogue
    now: Callable[[], datetime]


async def import_bill(
    context: BillContext, header: BillHeader, file: BinaryIO, sha256: bytes, cause: Cause
) -> tuple[Bill, bool]:
    """Import a file, all of it or nothing; answer the bill that has its content, if there is one.

    Raises:
        InvalidRequest: lines can't be read, or are not of the days that it is said to cover.
        Unavailable: the ledger is away; repeating it is safe.

    """
    summary = await asyncio.to_thread(summarise, file, header.form)
    start, end = _span(header, summary)
    bill = Bill(
        bill_id=new_id(),
        provider=header.provider,
        source=header.source,
        form=header.form,
        file_name=header.file_name,
        content_sha256=sha256,
        line_count=summary.line_count,
        start_day=start,
        end_day=end,
        billed_usd=summary.billed_usd,
        cause=cause,
        create_time=context.now(),
    )
    known = {
        model.name
        for kind in MediaKind
        for model in context.catalogue.models(kind)
        if model.provider == header.provider
    }
    name = model_namer(known.__contains__)

    def read(opened: BinaryIO) -> Iterable[BillLine]:
        return read_lines(opened, header.form, name)

    return await context.bills.add(bill, file, read)


def _span(header: BillHeader, summary: Summary) -> tuple[date, date]:
    """Return the days that a bill covers. Raises InvalidRequest for all that is wrong with it."""
    wrong = [Violation(problem.place, problem.description) for problem in summary.problems]
    start, end = header.start_day or summary.start_day, header.end_day or summary.end_day
    if wrong:
        raise InvalidRequest(wrong)
    if start is None or end is None:
        raise InvalidRequest.of(
            "chunk", "has no lines; for a time in which nothing was used, say which days it covers"
        )
    if start > (summary.start_day or start):
        wrong.append(
            Violation("header.start_day", f"is behind the first line, {summary.start_day}")
        )
    if end < (summary.end_day or end):
        wrong.append(Violation("header.end_day", f"is before the last line, {summary.end_day}"))
    if end < start or end - start >= timedelta(days=DAYS_MAX):
        wrong.append(Violation("header.end_day", f"must be up to {DAYS_MAX} days from the start"))
    if wrong:
        raise InvalidRequest(wrong)
    return start, end


async def list_bills(context: BillContext, provider: str, before: int, limit: int) -> list[Bill]:
    """Return a page of bills, the latest first. Raises Unavailable."""
    return await context.bills.bills(provider, before, limit)


async def withdraw_bill(context: BillContext, bill_id: str, cause: Cause) -> Bill:
    """Take a bill out; repeating it is safe. Raises NotFound and Unavailable."""
    found = await context.bills.withdraw(bill_id, cause, context.now())
    if found is None:
        raise NotFound("bill", bill_id)
    return found


async def list_days(
    context: BillContext, wanted: DayFilter, difference_min: int, after: Sequence[str], limit: int
) -> list[BillDay]:
    """Return a page of comparisons, the latest day first. Raises Unavailable."""
    return await context.bills.days(wanted, difference_min, after, limit)


async def list_presumed(
    context: BillContext, wanted: DayFilter, after: Sequence[str], limit: int
) -> list[PresumedAttempt]:
    """Return a page of attempts that were presumed spent. Raises Unavailable."""
    return await context.bills.presumed(wanted, after, limit)


async def list_adjustments(
    context: BillContext, provider: str, before: str, limit: int
) -> list[Adjustment]:
    """Return a page of adjustments, the latest first. Raises Unavailable."""
    return await context.bills.adjustments(provider, before, limit)


async def adjust_day(
    context: BillContext, request: AdjustRequest, cause: Cause
) -> tuple[Adjustment, bool]:
    """Make the books of a day what was billed; say whether the key was used before.

    Raises:
        NotFound: there is no such account.
        InvalidRequest: an account is needed, as nothing is booked.
        IdempotencyKeyReused: the key was used for another request.
        BillStateError: no bill covers the day, or there is no difference.
        Unavailable: a store is away. What was written down will be done; repeating it is safe.

    """
    if request.account:
        await context.context.policies.of(request.account)

    def plan(booked: BookedDay) -> list[Correction]:
        day = booked.day
        if day.state is BillDayState.NO_BILL:
            raise BillStateError(
                day.state, f"No bill of {day.provider!r} covers {day.day}; import one first."
            )
        parts = corrections(booked, request.account, keep_charges=request.keep_charges)
        if sum(part.cost for part in parts) != day.difference:
            raise InvalidRequest.of(
                "account", "must be given: nothing is booked that says whose books take the cost"
            )
        if not parts:
            raise BillStateError(day.state, f"The books of {day.day} have what was billed already.")
        return parts

    made, replayed = await context.bills.adjust(request, cause, context.now(), plan)
    await carry_out(context, made)
    return await context.bills.adjustment(made.adjustment_id), replayed


async def carry_out(context: BillContext, adjustment: Adjustment) -> None:
    """Write what is left of an adjustment to the ledger. Repeating it is safe.

    Raises Unavailable.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    failed: list[PaymasterError] = []

    async def write(part: Correction) -> None:
        async with places:
            try:
                await _book_cost(context.context, adjustment, part)
                refunded = await _refund(context, adjustment, part)
                await context.bills.finish_part(adjustment.adjustment_id, part.position, refunded)
            except PaymasterError as error:
                failed.append(error)  # The others are finished all the same.

    async with asyncio.TaskGroup() as group:
        for part in adjustment.parts:
            if part.finish_time is None:
                group.create_task(write(part))
    if failed:
        raise failed[0]


async def _book_cost(context: Context, adjustment: Adjustment, part: Correction) -> None:
    """Add to the cost of an account, which the platform absorbs."""
    request = adjustment.request
    labels = {"provider": request.provider, "model": request.model, "day": request.day.isoformat()}
    if part.generation_id:
        labels |= {"generation": part.generation_id, "attempt": str(part.attempt)}
    fields = {
        "kind": Kind.ADJUST,
        "key": _key(adjustment, part, "cost"),
        "account": part.account,
        "legs": [],
        "actual": [Leg(Unit.USD, part.cost)],
        "labels": labels,
        "reason": adjustment.cause.reason,
    }

    async def call(keyed: Keyed) -> Decision:
        return await context.hot.record(keyed, {}, [Move(Unit.USD, part.cost, 0, 0)])

    async def put_right(decision: Decision) -> None:
        raise AssertionError(decision)

    await decide(context, tenant_of(part.account), fields, call, put_right)


async def _refund(context: BillContext, adjustment: Adjustment, part: Correction) -> int:
    """Give an account back what it was charged for what was not billed; return how much of USD."""
    if part.refund is RefundPart.NONE:
        return 0

    async def give_back(verb: str, legs: Sequence[Leg]) -> int:
        answer = await refund(
            context.context,
            context.locator,
            _key(adjustment, part, verb),
            part.reservation_id,
            legs,
            adjustment.cause.reason,
        )
        return sum(move.refunded for move in answer.operation.moves if move.unit is Unit.USD)

    try:
        if part.refund is RefundPart.ALL:
            return await give_back("refund", ())
        try:
            return await give_back("refund", (Leg(Unit.USD, -part.cost),))
        except RefundExceedsCharge:
            # Less was charged, or somebody has refunded it already: then what is left.
            return await give_back("rest", ())
    except (ReservationStateError, RefundExceedsCharge, NotFound):
        return 0  # It was never charged.


def _key(adjustment: Adjustment, part: Correction, verb: str) -> str:
    return f"{BILL_PREFIX}{adjustment.adjustment_id}/{part.position}/{verb}"
