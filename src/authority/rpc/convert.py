"""Between the proto's messages and the domain's values. Requests are read in rpc/requests.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from authority.domain.budgets import Account, AccountState, Budget, Enforcement, OveragePolicy
from authority.domain.ids import tenant_of
from authority.domain.money import Unit
from authority.domain.operations import DenialReason
from authority.domain.plans import Plan
from authority.domain.reservations import Reservation, ReservationState
from authority.domain.windows import Window
from authority.usecases.grants import GrantBalance
from authority.usecases.read import AccountBalance, Balance
from authority.v1 import budget_service_pb2, errors_pb2, resources_pb2

# Every enum's value is the domain's word behind the enum's name: Unit.USD is UNIT_USD.


@cache
def unit_to_proto(unit: Unit) -> resources_pb2.Unit.ValueType:
    """Return the proto's value."""
    return resources_pb2.Unit.Value(f"UNIT_{unit}")


def window_to_proto(window: Window) -> resources_pb2.Window.ValueType:
    """Return the proto's value."""
    return resources_pb2.Window.Value(f"WINDOW_{window}")


def denial_reason_to_proto(reason: DenialReason) -> errors_pb2.DenialReason.ValueType:
    """Return the proto's value."""
    return errors_pb2.DenialReason.Value(f"DENIAL_REASON_{reason}")


def enforcement_to_proto(enforcement: Enforcement) -> resources_pb2.Enforcement.ValueType:
    """Return the proto's value."""
    return resources_pb2.Enforcement.Value(f"ENFORCEMENT_{enforcement}")


def _overage(policy: OveragePolicy) -> resources_pb2.OveragePolicy.ValueType:
    return resources_pb2.OveragePolicy.Value(f"OVERAGE_POLICY_{policy}")


def _account_state(state: AccountState) -> resources_pb2.AccountState.ValueType:
    return resources_pb2.AccountState.Value(f"ACCOUNT_STATE_{state}")


@cache
def _reservation_state(state: ReservationState) -> resources_pb2.ReservationState.ValueType:
    return resources_pb2.ReservationState.Value(f"RESERVATION_STATE_{state}")


def set_time(field: Timestamp, milliseconds: int) -> None:
    """Set a time field from Unix milliseconds; 0 leaves it unset."""
    if milliseconds:
        field.seconds, rest = divmod(milliseconds, 1000)
        field.nanos = rest * 1_000_000


def _time_fields(milliseconds: int) -> Mapping[str, int] | None:
    """Return what a time field takes for Unix milliseconds; 0 leaves it unset."""
    if not milliseconds:
        return None
    seconds, rest = divmod(milliseconds, 1000)
    return {"seconds": seconds, "nanos": rest * 1_000_000}


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def account_to_proto(account: Account) -> resources_pb2.Account:
    """Return the proto's message."""
    message = resources_pb2.Account(
        account=account.account,
        parent=account.parent,
        display_name=account.display_name,
        time_zone=account.time_zone,
        state=_account_state(account.state),
        overage_policy=_overage(account.overage_policy),
        create_time=_timestamp(account.create_time),
        per_request_limits=_limits(account.per_request_limits),
        reserves_per_minute=account.reserves_per_minute,
        plan=account.plan,
        submissions_per_minute=account.submissions_per_minute,
    )
    set_time(message.end_time, account.end_ms)
    set_time(message.freeze_end_time, account.freeze_end_ms)
    return message


def _limits(limits: Mapping[Unit, int]) -> list[resources_pb2.Leg]:
    return [
        resources_pb2.Leg(unit=unit_to_proto(unit), amount=limits[unit])
        for unit in Unit
        if unit in limits
    ]


def plan_to_proto(plan: Plan) -> resources_pb2.Plan:
    """Return the proto's message."""
    message = resources_pb2.Plan(
        plan=plan.plan,
        budgets=[
            resources_pb2.PlanBudget(
                unit=unit_to_proto(budget.unit),
                window=window_to_proto(budget.window),
                limit=budget.limit,
                enforcement=enforcement_to_proto(budget.enforcement),
                alert_thresholds=resources_pb2.AlertThresholds(percents=budget.alert_thresholds),
            )
            for budget in plan.budgets
        ],
        grants=[
            resources_pb2.PlanGrant(
                unit=unit_to_proto(grant.unit),
                amount=grant.amount,
                priority=grant.priority,
                recurrence=(
                    resources_pb2.WINDOW_UNSPECIFIED
                    if grant.recurrence is Window.TOTAL
                    else window_to_proto(grant.recurrence)
                ),
            )
            for grant in plan.grants
        ],
        per_request_limits=_limits(plan.per_request_limits),
        reserves_per_minute=plan.reserves_per_minute,
        version=plan.version,
        create_time=_timestamp(plan.create_time),
        update_time=_timestamp(plan.update_time),
        tier=plan.tier,
        submissions_per_minute=plan.submissions_per_minute,
    )
    if plan.abuse.within_ms:
        message.abuse.refusals = plan.abuse.refusals
        message.abuse.bursts = plan.abuse.bursts
        message.abuse.within.FromMilliseconds(plan.abuse.within_ms)
        if plan.abuse.freeze_ms:
            message.abuse.freeze.FromMilliseconds(plan.abuse.freeze_ms)
    return message


def budget_to_proto(budget: Budget) -> resources_pb2.Budget:
    """Return the proto's message."""
    return resources_pb2.Budget(
        account=budget.account,
        budget=budget.budget,
        unit=unit_to_proto(budget.unit),
        window=window_to_proto(budget.window),
        limit=budget.limit,
        enforcement=enforcement_to_proto(budget.enforcement),
        create_time=_timestamp(budget.create_time),
        update_time=_timestamp(budget.update_time),
        alert_thresholds=resources_pb2.AlertThresholds(percents=budget.alert_thresholds),
    )


def balance_to_proto(balance: Balance) -> resources_pb2.BudgetBalance:
    """Return the proto's message."""
    reserved, committed, refunded = balance.counts
    message = resources_pb2.BudgetBalance(
        budget=budget_to_proto(balance.window.budget),
        reserved=reserved,
        committed=committed,
        refunded=refunded,
        available=balance.available,
    )
    set_time(message.window_start_time, balance.window.span.start_ms)
    set_time(message.window_end_time, balance.window.span.end_ms)
    return message


def grant_to_proto(balance: GrantBalance) -> resources_pb2.Grant:
    """Return the proto's message."""
    grant, (reserved, committed, refunded) = balance.lot.grant, balance.counts
    message = resources_pb2.Grant(
        grant_id=grant.grant_id,
        account=grant.account,
        unit=unit_to_proto(grant.unit),
        amount=grant.amount,
        priority=grant.priority,
        recurrence=_recurrence(grant.recurrence),
        source=grant.source,
        state=_grant_state(balance),
        reserved=reserved,
        committed=committed,
        refunded=refunded,
        # What is owed stays owed; what is left of a grant that has ended can't be spent.
        available=balance.left if balance.is_active else min(balance.left, 0),
        expired=max(balance.left, 0) if balance.has_ended else 0,
        price=grant.price_micros,
    )
    set_time(message.effective_time, grant.effective_ms)
    set_time(message.expire_time, grant.expire_ms)
    set_time(message.create_time, grant.create_ms)
    set_time(message.void_time, grant.void_ms)
    if grant.refund_grace_ms:
        message.refund_grace.FromMilliseconds(grant.refund_grace_ms)
    return message


def _recurrence(window: Window) -> resources_pb2.Window.ValueType:
    return resources_pb2.WINDOW_UNSPECIFIED if window is Window.TOTAL else window_to_proto(window)


def _grant_state(balance: GrantBalance) -> resources_pb2.GrantState.ValueType:
    if balance.lot.grant.void_ms:
        return resources_pb2.GRANT_STATE_VOIDED
    if balance.has_ended:
        return resources_pb2.GRANT_STATE_EXPIRED
    if balance.is_active:
        return resources_pb2.GRANT_STATE_ACTIVE
    return resources_pb2.GRANT_STATE_PENDING


def reservation_to_proto(reservation: Reservation) -> resources_pb2.Reservation:
    """Return the proto's message."""
    return resources_pb2.Reservation(**reservation_fields(reservation))


def reservation_fields(reservation: Reservation) -> Any:
    """Return the fields of the proto's message, for a message that is to hold it.

    The outer message takes them as it takes the inner one, which would be made only to be copied.
    """
    tenant = tenant_of(reservation.account)
    return {
        "reservation_id": reservation.reservation_id,
        "account": reservation.account,
        "state": _reservation_state(reservation.state),
        "legs": [
            {
                "unit": unit_to_proto(leg.unit),
                "reserved": leg.reserved,
                "held": leg.held,
                "actual": leg.actual,
                "charged": leg.charged,
                "absorbed": leg.absorbed,
                "refunded": leg.refunded,
            }
            for leg in reservation.legs
            if leg.unit is not Unit.RESERVATIONS  # every reservation is one
        ],
        "grants": [
            {
                "grant_id": f"{tenant}/{receipt.grant_id}",
                "unit": unit_to_proto(receipt.ref.unit),
                "reserved": receipt.reserved,
                "held": receipt.held,
                "charged": receipt.charged,
                "refunded": receipt.refunded,
                "period_start_time": _time_fields(receipt.ref.start_ms),
            }
            for receipt in reservation.grants
        ],
        "receipt": reservation.receipt,
        "option_index": reservation.option_index,
        "late": reservation.late,
        "labels": reservation.labels or None,  # An empty map costs as much as the legs.
        "create_time": _time_fields(reservation.create_ms),
        "expire_time": _time_fields(reservation.expire_ms),
        "settle_time": _time_fields(reservation.settle_ms),
    }


def account_balance_to_proto(balance: AccountBalance) -> budget_service_pb2.GetBalanceResponse:
    """Return the proto's message."""
    response = budget_service_pb2.GetBalanceResponse(
        balances=map(balance_to_proto, balance.budgets),
        grants=map(grant_to_proto, balance.grants),
    )
    set_time(response.read_time, balance.read_ms)
    return response
