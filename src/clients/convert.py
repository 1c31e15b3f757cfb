"""From the proto's messages to the values that callers see. Requests are built in requests.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from authority.v1 import (
    admin_service_pb2,
    budget_service_pb2,
    errors_pb2,
    resources_pb2,
)
from clients import change_types, key_types, types
from clients.amounts import Leg, Unit

_Word = TypeVar("_Word", bound=StrEnum)


def word(words: type[_Word], proto_enum: Any, prefix: str, number: int) -> _Word:
    """Return the word for an enum's number; UNKNOWN for one that is not set or not known here."""
    found: _Word = _word(words, proto_enum, prefix, number)
    return found


@lru_cache(maxsize=1024)
def _word(words: type[StrEnum], proto_enum: Any, prefix: str, number: int) -> Any:
    try:
        return words(str(proto_enum.Name(number)).removeprefix(prefix))
    except ValueError:
        return words("UNKNOWN")


def unit_from_proto(number: int) -> Unit:
    """Return the unit."""
    return word(Unit, resources_pb2.Unit, "UNIT_", number)


def window_from_proto(number: int) -> types.Window:
    """Return the window."""
    return word(types.Window, resources_pb2.Window, "WINDOW_", number)


def _denial_reason(number: int) -> types.DenialReason:
    return word(types.DenialReason, errors_pb2.DenialReason, "DENIAL_REASON_", number)


def time_from_proto(timestamp: Timestamp) -> datetime | None:
    """Return the time; None if the field is not set, which in a message reads as 1970."""
    return timestamp.ToDatetime(tzinfo=UTC) if timestamp.ByteSize() else None


def account_from_proto(message: resources_pb2.Account) -> types.Account:
    """Return the account."""
    return types.Account(
        account=message.account,
        parent=message.parent,
        display_name=message.display_name,
        time_zone=message.time_zone,
        state=word(types.AccountState, resources_pb2.AccountState, "ACCOUNT_STATE_", message.state),
        overage_policy=word(
            types.OveragePolicy,
            resources_pb2.OveragePolicy,
            "OVERAGE_POLICY_",
            message.overage_policy,
        ),
        create_time=time_from_proto(message.create_time),
        per_request_limits=tuple(
            Leg(unit_from_proto(leg.unit), leg.amount) for leg in message.per_request_limits
        ),
        reserves_per_minute=message.reserves_per_minute,
        plan=message.plan,
        end_time=time_from_proto(message.end_time),
        freeze_end_time=time_from_proto(message.freeze_end_time),
        submissions_per_minute=message.submissions_per_minute,
    )


def change_from_proto(message: admin_service_pb2.Change) -> change_types.Change:
    """Return the change."""
    return change_types.Change(
        change_number=message.change_number,
        tenant=message.tenant,
        method=message.method,
        resource_type=message.resource_type,
        resource=message.resource,
        actor=message.actor,
        reason=message.reason,
        before=json.loads(message.before) if message.before else None,
        after=json.loads(message.after),
        change_time=time_from_proto(message.change_time),
    )


def api_key_from_proto(message: admin_service_pb2.ApiKey) -> key_types.ApiKey:
    """Return the API key."""
    return key_types.ApiKey(
        api_key_id=message.api_key_id,
        tenant=message.tenant,
        scopes=tuple(
            word(key_types.Scope, admin_service_pb2.Scope, "SCOPE_", number)
            for number in message.scopes
        ),
        display_name=message.display_name,
        create_time=time_from_proto(message.create_time),
        expire_time=time_from_proto(message.expire_time),
        revoke_time=time_from_proto(message.revoke_time),
        submissions_per_minute=message.submissions_per_minute,
    )


def budget_from_proto(message: resources_pb2.Budget) -> types.Budget:
    """Return the budget."""
    return types.Budget(
        account=message.account,
        budget=message.budget,
        unit=unit_from_proto(message.unit),
        window=window_from_proto(message.window),
        limit=message.limit,
        enforcement=word(
            types.Enforcement, resources_pb2.Enforcement, "ENFORCEMENT_", message.enforcement
        ),
        create_time=time_from_proto(message.create_time),
        update_time=time_from_proto(message.update_time),
        alert_thresholds=tuple(message.alert_thresholds.percents),
    )


def budget_balance_from_proto(message: resources_pb2.BudgetBalance) -> types.BudgetBalance:
    """Return a budget with its numbers."""
    return types.BudgetBalance(
        budget=budget_from_proto(message.budget),
        window_start_time=time_from_proto(message.window_start_time),
        window_end_time=time_from_proto(message.window_end_time),
        reserved=message.reserved,
        committed=message.committed,
        refunded=message.refunded,
        available=message.available,
    )


def reservation_from_proto(
    message: resources_pb2.Reservation,
    *,
    replayed: bool = False,
    passed_over: types.Denial | None = None,
) -> types.Reservation:
    """Return the reservation."""
    return types.Reservation(
        reservation_id=message.reservation_id,
        account=message.account,
        state=word(
            types.ReservationState,
            resources_pb2.ReservationState,
            "RESERVATION_STATE_",
            message.state,
        ),
        legs=tuple(
            types.ReservationLeg(
                unit=unit_from_proto(leg.unit),
                reserved=leg.reserved,
                held=leg.held,
                actual=leg.actual,
                charged=leg.charged,
                absorbed=leg.absorbed,
                refunded=leg.refunded,
            )
            for leg in message.legs
        ),
        option_index=message.option_index,
        late=message.late,
        labels=dict(message.labels),
        create_time=time_from_proto(message.create_time),
        expire_time=time_from_proto(message.expire_time),
        settle_time=time_from_proto(message.settle_time),
        grants=tuple(
            types.GrantReceipt(
                grant_id=receipt.grant_id,
                period_start_time=time_from_proto(receipt.period_start_time),
                unit=unit_from_proto(receipt.unit),
                reserved=receipt.reserved,
                held=receipt.held,
                charged=receipt.charged,
                refunded=receipt.refunded,
            )
            for receipt in message.grants
        ),
        receipt=message.receipt,
        replayed=replayed,
        passed_over=passed_over,
    )


def reservation_from_answer(answer: Any) -> types.Reservation:
    """Return the reservation of an operation's response, of which but little is read for now."""
    message, replayed = answer.reservation, answer.replayed
    # As bytes, since a message would keep all of the frame that it came in.
    passed = b""
    if isinstance(answer, budget_service_pb2.ReserveResponse) and answer.HasField("passed_over"):
        passed = answer.passed_over.SerializeToString()
    read = partial(_read_reservation, message.SerializeToString(), replayed, passed)
    return types.Reservation.unread(read, reservation_id=message.reservation_id, replayed=replayed)


def _read_reservation(wire: bytes, replayed: bool, passed: bytes) -> types.Reservation:
    return reservation_from_proto(
        resources_pb2.Reservation.FromString(wire),
        replayed=replayed,
        passed_over=denial_from_proto(errors_pb2.Denial.FromString(passed)) if passed else None,
    )


def denial_from_proto(message: errors_pb2.Denial) -> types.Denial:
    """Return why a Reserve was denied."""
    return types.Denial(
        reason=_denial_reason(message.reason),
        account=message.account,
        limiting_budgets=tuple(
            types.LimitingBudget(
                account=budget.account,
                budget=budget.budget,
                unit=unit_from_proto(budget.unit),
                window=window_from_proto(budget.window),
                limit=budget.limit,
                reserved=budget.reserved,
                committed=budget.committed,
                requested=budget.requested,
                short_by=budget.short_by,
                reset_time=time_from_proto(budget.reset_time),
                reason=_denial_reason(budget.reason),
                enforcement=word(
                    types.Enforcement,
                    resources_pb2.Enforcement,
                    "ENFORCEMENT_",
                    budget.enforcement,
                ),
            )
            for budget in message.limiting_budgets
        ),
        limiting_budget_count=message.limiting_budget_count,
        grant_shortages=tuple(
            types.GrantShortage(
                unit=unit_from_proto(shortage.unit),
                requested=shortage.requested,
                available=shortage.available,
                reserved=shortage.reserved,
                short_by=shortage.short_by,
            )
            for shortage in message.grant_shortages
        ),
        limiting_rates=tuple(
            types.LimitingRate(
                account=rate.account,
                api_key_id=rate.api_key_id,
                per_minute=rate.per_minute,
                retry_after=rate.retry_delay.ToTimedelta(),
            )
            for rate in message.limiting_rates
        ),
    )


def report_from_proto(message: admin_service_pb2.AuditResponse) -> types.AuditReport:
    """Return what an audit found."""
    return types.AuditReport(
        differences=tuple(
            types.AuditDifference(
                tenant=difference.tenant,
                place=difference.place,
                subject=difference.subject,
                field=difference.field,
                expected=difference.expected,
                found=difference.found,
            )
            for difference in message.differences
        ),
        tenant_count=message.tenant_count,
        operation_count=message.operation_count,
        window_count=message.window_count,
        reservation_count=message.reservation_count,
    )


def status_from_proto(message: admin_service_pb2.GetStatusResponse) -> types.Status:
    """Return how things are."""
    return types.Status(
        version=message.version,
        epoch=message.epoch,
        hot_store_ok=message.hot_store_ok,
        ledger_ok=message.ledger_ok,
        queued_count=message.queued_count,
        running_count=message.running_count,
        workers=tuple(
            types.WorkerStatus(
                worker=worker.worker,
                slot_count=worker.slot_count,
                running_count=worker.running_count,
                providers=tuple(worker.providers),
            )
            for worker in message.workers
        ),
    )
