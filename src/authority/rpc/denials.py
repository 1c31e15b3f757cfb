"""The details of a denied Reserve: QuotaFailure and RetryInfo for any client, Denial for ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from authority.domain.budgets import BudgetWindow, WindowRef
from authority.domain.errors import ReserveDenied, SubmissionDenied
from authority.domain.operations import DenialReason, Denied, LimitingWindow
from authority.rpc.convert import (
    denial_reason_to_proto,
    enforcement_to_proto,
    set_time,
    unit_to_proto,
    window_to_proto,
)
from authority.v1 import errors_pb2

# Trailers are small; the count tells how many there were.
_LISTED_MAX = 8


def denial_details(denial: ReserveDenied) -> Iterator[Message]:
    """Yield the details, the tightest limit first."""
    rows = [
        (row, denial.windows[row.ref])
        for row in denial.denied.limiting
        if row.ref in denial.windows
    ]
    if rows:
        yield error_details_pb2.QuotaFailure(
            violations=[_violation(row, window) for row, window in rows[:_LISTED_MAX]]
        )
    delay_ms = _retry_delay_ms(denial, [window for _, window in rows])
    if delay_ms is not None:
        yield error_details_pb2.RetryInfo(retry_delay=_duration(delay_ms))
    yield denial_message(denial.operation.account, denial.denied, denial.windows)


def denial_message(
    account: str, denied: Denied, windows: Mapping[WindowRef, BudgetWindow]
) -> errors_pb2.Denial:
    """Return a denial, the tightest limit first; `windows` says which budget each one is."""
    rows = [(row, windows[row.ref]) for row in denied.limiting if row.ref in windows]
    return errors_pb2.Denial(
        reason=denial_reason_to_proto(denied.reason),
        account=account,
        limiting_budgets=[_limiting(row, window) for row, window in rows[:_LISTED_MAX]],
        limiting_budget_count=len(denied.limiting),
        grant_shortages=[
            errors_pb2.GrantShortage(
                unit=unit_to_proto(row.unit),
                requested=row.requested,
                available=row.available,
                reserved=row.reserved,
                short_by=row.requested - row.available,
            )
            for row in denied.shortages
        ],
    )


def submission_details(denial: SubmissionDenied) -> Iterator[Message]:
    """Yield the details of a submission that was denied, the longest wait first."""
    rates = denial.rates
    if rates:
        yield error_details_pb2.RetryInfo(retry_delay=_duration(rates[0].retry_ms))
    yield errors_pb2.Denial(
        reason=denial_reason_to_proto(denial.denial_reason),
        account=denial.account,
        limiting_rates=[
            errors_pb2.LimitingRate(
                account=rate.account,
                api_key_id=rate.api_key_id,
                per_minute=rate.per_minute,
                retry_delay=_duration(rate.retry_ms),
            )
            for rate in rates[:_LISTED_MAX]
        ],
    )


def _duration(milliseconds: int) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(milliseconds)
    return duration


def _retry_delay_ms(denial: ReserveDenied, windows: list[BudgetWindow]) -> int | None:
    """Return when a new attempt may succeed; None if time alone does not help.

    A busy budget may be free when the earliest open reservation ends; exhausted ones are free when
    the last of their windows has ended. What is above a limit itself never fits.
    """
    if any(row.requested > row.limit and not row.is_leased for row in denial.denied.limiting):
        return None
    passed_ms = denial.now_ms - denial.operation.decide_ms
    match denial.denied.reason:
        case DenialReason.RATE_LIMITED:
            return max(denial.denied.retry_ms - passed_ms, 1)
        case DenialReason.BUDGET_BUSY | DenialReason.CONCURRENCY_CAP:
            return max(denial.denied.next_expiry_ms - denial.now_ms, 1)
        case DenialReason.BUDGET_EXHAUSTED:
            exhausted = {
                row.ref
                for row in denial.denied.limiting
                if row.reason is DenialReason.BUDGET_EXHAUSTED
            }
            ends = [window.span.end_ms for window in windows if window.ref in exhausted]
            if not ends or 0 in ends:
                return None
            return max(max(ends) - denial.now_ms, 1)
        case _:
            return None


def _violation(
    row: LimitingWindow, window: BudgetWindow
) -> error_details_pb2.QuotaFailure.Violation:
    budget = window.budget
    return error_details_pb2.QuotaFailure.Violation(
        subject=f"account:{budget.account}",
        description=(
            f"{budget.budget}: {row.requested} {budget.unit} requested, short by {row.short_by}; "
            f"limit {row.limit}, reserved {row.reserved}, committed {row.committed}"
        ),
    )


def _limiting(row: LimitingWindow, window: BudgetWindow) -> errors_pb2.LimitingBudget:
    budget = window.budget
    message = errors_pb2.LimitingBudget(
        account=budget.account,
        budget=budget.budget,
        unit=unit_to_proto(budget.unit),
        window=window_to_proto(budget.window),
        limit=row.limit,
        reserved=row.reserved,
        committed=row.committed - row.refunded,
        requested=row.requested,
        short_by=row.short_by,
        reason=denial_reason_to_proto(row.reason),
        enforcement=enforcement_to_proto(budget.enforcement),
    )
    set_time(message.reset_time, window.span.end_ms)
    return message
