"""Bills, between the domain's values and the proto's messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from authority.domain.bills import Adjustment, Bill, BillDay, Correction, PresumedAttempt
from authority.v1 import reconciliation_service_pb2 as messages

PARTS_SHOWN_MAX = 100


def bill_to_proto(bill: Bill) -> messages.Bill:
    """Return the proto's message."""
    return messages.Bill(
        bill_id=bill.bill_id,
        provider=bill.provider,
        source=bill.source,
        format=messages.BillFormat.Value(f"BILL_FORMAT_{bill.form}"),
        file_name=bill.file_name,
        content_sha256=bill.content_sha256.hex(),
        line_count=bill.line_count,
        start_day=bill.start_day.isoformat(),
        end_day=bill.end_day.isoformat(),
        billed=bill.billed,
        actor=bill.cause.actor,
        reason=bill.cause.reason,
        create_time=_time(bill.create_time),
        withdraw_time=_time(bill.withdraw_time),
    )


def day_to_proto(day: BillDay) -> messages.BillDay:
    """Return the proto's message."""
    return messages.BillDay(
        day=day.day.isoformat(),
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
        state=messages.BillDayState.Value(f"BILL_DAY_STATE_{day.state}"),
    )


def attempt_to_proto(attempt: PresumedAttempt) -> messages.PresumedAttempt:
    """Return the proto's message."""
    return messages.PresumedAttempt(
        generation_id=attempt.generation_id,
        attempt=attempt.attempt,
        account=attempt.account,
        provider=attempt.provider,
        model=attempt.model,
        call_time=_time(attempt.call_time),
        booked=attempt.booked,
        adjusted=attempt.adjusted,
        billed=attempt.billed,
        charged=attempt.charged,
        reservation_id=attempt.reservation_id,
        remote_id=attempt.remote_id,
        covered=attempt.covered,
    )


def adjustment_to_proto(adjustment: Adjustment) -> messages.BillAdjustment:
    """Return the proto's message, with the first parts."""
    request = adjustment.request
    return messages.BillAdjustment(
        adjustment_id=adjustment.adjustment_id,
        day=request.day.isoformat(),
        provider=request.provider,
        model=request.model,
        amount=adjustment.amount,
        refunded=adjustment.refunded,
        actor=adjustment.cause.actor,
        reason=adjustment.cause.reason,
        create_time=_time(adjustment.create_time),
        finish_time=_time(adjustment.finish_time),
        parts=map(_part, adjustment.parts[:PARTS_SHOWN_MAX]),
    )


def _part(part: Correction) -> messages.BillAdjustmentPart:
    return messages.BillAdjustmentPart(
        account=part.account,
        amount=part.cost,
        generation_id=part.generation_id,
        attempt=part.attempt,
        reservation_id=part.reservation_id,
        refunded=part.refunded or 0,
        finish_time=_time(part.finish_time),
    )


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    made = Timestamp()
    made.FromDatetime(moment)
    return made
