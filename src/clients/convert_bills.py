"""Bills, from the proto's messages to the values that callers see."""

from __future__ import annotations

from datetime import date

from authority.v1 import reconciliation_service_pb2 as messages
from clients import bill_types as types
from clients.convert import time_from_proto, word


def bill_from_proto(bill: messages.Bill) -> types.Bill:
    """Return the bill."""
    return types.Bill(
        bill_id=bill.bill_id,
        provider=bill.provider,
        source=bill.source,
        format=word(types.BillFormat, messages.BillFormat, "BILL_FORMAT_", bill.format),
        file_name=bill.file_name,
        content_sha256=bill.content_sha256,
        line_count=bill.line_count,
        start_day=date.fromisoformat(bill.start_day),
        end_day=date.fromisoformat(bill.end_day),
        billed=bill.billed,
        actor=bill.actor,
        reason=bill.reason,
        create_time=time_from_proto(bill.create_time),
        withdraw_time=time_from_proto(bill.withdraw_time),
    )


def day_from_proto(day: messages.BillDay) -> types.BillDay:
    """Return the comparison."""
    return types.BillDay(
        day=date.fromisoformat(day.day),
        provider=day.provider,
        model=day.model,
        billed=day.billed,
        booked=day.booked,
        adjusted=day.adjusted,
        difference=day.difference,
        call_count=day.call_count,
        presumed_count=day.presumed_count,
        presumed=day.presumed,
        presumed_billed=day.presumed_billed,
        state=word(types.BillDayState, messages.BillDayState, "BILL_DAY_STATE_", day.state),
    )


def attempt_from_proto(attempt: messages.PresumedAttempt) -> types.PresumedAttempt:
    """Return the attempt."""
    return types.PresumedAttempt(
        generation_id=attempt.generation_id,
        attempt=attempt.attempt,
        account=attempt.account,
        provider=attempt.provider,
        model=attempt.model,
        call_time=time_from_proto(attempt.call_time),
        booked=attempt.booked,
        adjusted=attempt.adjusted,
        billed=attempt.billed,
        charged=attempt.charged,
        reservation_id=attempt.reservation_id,
        remote_id=attempt.remote_id,
        covered=attempt.covered,
    )


def adjustment_from_proto(
    adjustment: messages.BillAdjustment, *, replayed: bool = False
) -> types.BillAdjustment:
    """Return the adjustment."""
    return types.BillAdjustment(
        adjustment_id=adjustment.adjustment_id,
        day=date.fromisoformat(adjustment.day),
        provider=adjustment.provider,
        model=adjustment.model,
        amount=adjustment.amount,
        refunded=adjustment.refunded,
        actor=adjustment.actor,
        reason=adjustment.reason,
        create_time=time_from_proto(adjustment.create_time),
        finish_time=time_from_proto(adjustment.finish_time),
        parts=tuple(map(_part, adjustment.parts)),
        replayed=replayed,
    )


def _part(part: messages.BillAdjustmentPart) -> types.BillAdjustmentPart:
    return types.BillAdjustmentPart(
        account=part.account,
        amount=part.amount,
        generation_id=part.generation_id,
        attempt=part.attempt,
        reservation_id=part.reservation_id,
        refunded=part.refunded,
        finish_time=time_from_proto(part.finish_time),
    )
