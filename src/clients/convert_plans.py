"""Plans, between the proto's messages and the values that callers see."""

from __future__ import annotations

from collections.abc import Sequence

from authority.v1 import admin_service_pb2, resources_pb2
from clients.amounts import Leg
from clients.convert import time_from_proto, unit_from_proto, window_from_proto, word
from clients.plan_types import AbusePolicy, Plan, PlanBudget, PlanGrant, PlanVersion
from clients.requests import (
    duration_to_proto,
    enforcement_to_proto,
    legs_to_proto,
    message,
    optional_window_to_proto,
    thresholds_to_proto,
    unit_to_proto,
    window_to_proto,
)
from clients.types import Enforcement


def plan_to_proto(
    plan: str,
    budgets: Sequence[PlanBudget],
    grants: Sequence[PlanGrant],
    per_request_limits: Sequence[Leg],
    reserves_per_minute: int,
    tier: str,
    submissions_per_minute: int | None,
    abuse: AbusePolicy | None,
) -> resources_pb2.Plan:
    """Return the proto's message. Raises InvalidRequest."""
    return message(
        resources_pb2.Plan,
        plan=plan,
        budgets=[
            message(
                resources_pb2.PlanBudget,
                unit=unit_to_proto(budget.unit),
                window=window_to_proto(budget.window),
                limit=budget.limit,
                enforcement=enforcement_to_proto(budget.enforcement),
                alert_thresholds=thresholds_to_proto(budget.alert_thresholds),
            )
            for budget in budgets
        ],
        grants=[
            message(
                resources_pb2.PlanGrant,
                unit=unit_to_proto(grant.unit),
                amount=grant.amount,
                priority=grant.priority,
                recurrence=optional_window_to_proto(grant.recurrence),
            )
            for grant in grants
        ],
        per_request_limits=legs_to_proto(per_request_limits),
        reserves_per_minute=reserves_per_minute,
        tier=tier,
        submissions_per_minute=submissions_per_minute,
        abuse=_abuse_to_proto(abuse),
    )


def _abuse_to_proto(abuse: AbusePolicy | None) -> resources_pb2.AbusePolicy | None:
    if abuse is None or abuse == AbusePolicy():
        return None
    return message(
        resources_pb2.AbusePolicy,
        refusals=abuse.refusals,
        bursts=abuse.bursts,
        within=duration_to_proto(abuse.within),
        freeze=duration_to_proto(abuse.freeze),
    )


def _abuse_from_proto(message: resources_pb2.AbusePolicy) -> AbusePolicy:
    return AbusePolicy(
        message.refusals,
        message.bursts,
        message.within.ToTimedelta(),
        message.freeze.ToTimedelta() if message.HasField("freeze") else None,
    )


def version_from_proto(message: admin_service_pb2.PlanVersion) -> PlanVersion:
    """Return the version of a plan."""
    return PlanVersion(plan_from_proto(message.plan), message.actor, message.reason)


def plan_from_proto(message: resources_pb2.Plan) -> Plan:
    """Return the plan."""
    return Plan(
        plan=message.plan,
        budgets=tuple(
            PlanBudget(
                unit_from_proto(budget.unit),
                window_from_proto(budget.window),
                budget.limit,
                word(Enforcement, resources_pb2.Enforcement, "ENFORCEMENT_", budget.enforcement),
                tuple(budget.alert_thresholds.percents),
            )
            for budget in message.budgets
        ),
        grants=tuple(
            PlanGrant(
                unit_from_proto(grant.unit),
                grant.amount,
                grant.priority,
                window_from_proto(grant.recurrence) if grant.recurrence else None,
            )
            for grant in message.grants
        ),
        per_request_limits=tuple(
            Leg(unit_from_proto(leg.unit), leg.amount) for leg in message.per_request_limits
        ),
        reserves_per_minute=message.reserves_per_minute,
        version=message.version,
        create_time=time_from_proto(message.create_time),
        update_time=time_from_proto(message.update_time),
        tier=message.tier,
        submissions_per_minute=message.submissions_per_minute,
        abuse=_abuse_from_proto(message.abuse) if message.HasField("abuse") else None,
    )
