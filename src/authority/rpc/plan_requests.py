"""Reads requests about plans."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import UTC, datetime

from authority.domain.accounts import RESERVES_PER_MINUTE_MAX
from authority.domain.budgets import Enforcement
from authority.domain.grants import PRIORITY_MAX
from authority.domain.ids import is_plan
from authority.domain.money import Unit
from authority.domain.plans import (
    PLAN_BUDGETS_MAX,
    PLAN_GRANTS_MAX,
    Plan,
    PlanBudget,
    PlanChange,
    PlanGrant,
)
from authority.domain.windows import Window
from authority.rpc.requests import Reader, enum_name
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2

_NOT_YET = datetime.fromtimestamp(0, UTC)
_MASK = ("budgets", "grants", "per_request_limits", "reserves_per_minute")


def read_plan_id(reader: Reader, plan: str, field: str = "plan") -> str:
    """Read a plan's id."""
    if not is_plan(plan):
        reader.wrong(
            field, "must be 1 to 40 lower-case letters, digits and hyphens, such as `premium`"
        )
    return plan


def read_plan(reader: Reader, message: resources_pb2.Plan) -> Plan:
    """Read a plan to be made."""
    return Plan(
        plan=read_plan_id(reader, message.plan, "plan.plan"),
        budgets=_read_budgets(reader, message),
        grants=_read_grants(reader, message),
        per_request_limits=_read_limits(reader, message),
        reserves_per_minute=_read_rate(reader, message),
        version=0,
        create_time=_NOT_YET,
        update_time=_NOT_YET,
    )


def read_plan_change(reader: Reader, request: messages.UpdatePlanRequest) -> PlanChange:
    """Read what to change of a plan; what the mask does not name is not looked at."""
    wanted = request.plan
    mask = reader.mask(request.update_mask, _MASK)
    return PlanChange(
        budgets=_read_budgets(reader, wanted) if "budgets" in mask else None,
        grants=_read_grants(reader, wanted) if "grants" in mask else None,
        per_request_limits=(_read_limits(reader, wanted) if "per_request_limits" in mask else None),
        reserves_per_minute=_read_rate(reader, wanted) if "reserves_per_minute" in mask else None,
    )


def _read_budgets(reader: Reader, message: resources_pb2.Plan) -> tuple[PlanBudget, ...]:
    if len(message.budgets) > PLAN_BUDGETS_MAX:
        reader.wrong("plan.budgets", f"must be at most {PLAN_BUDGETS_MAX}")
        return ()
    read = []
    for index, budget in enumerate(message.budgets):
        field = f"plan.budgets[{index}]"
        unit_name = enum_name(resources_pb2.Unit, budget.unit)
        window_name = enum_name(resources_pb2.Window, budget.window)
        enforcement_name = enum_name(resources_pb2.Enforcement, budget.enforcement)
        read.append(
            PlanBudget(
                unit=reader.word(f"{field}.unit", "UNIT", unit_name, Unit, None),
                window=reader.word(f"{field}.window", "WINDOW", window_name, Window, None),
                limit=reader.amount(f"{field}.limit", budget.limit, least=0),
                enforcement=reader.word(
                    f"{field}.enforcement",
                    "ENFORCEMENT",
                    enforcement_name,
                    Enforcement,
                    Enforcement.BLOCK,
                ),
            )
        )
        _check_cap(reader, field, read[-1])
    _check_once(reader, "budgets", "unit and window", ((row.unit, row.window) for row in read))
    return tuple(read)


def _check_cap(reader: Reader, field: str, budget: PlanBudget) -> None:
    """Note what is wrong with a cap on open reservations that does not count and deny them."""
    if budget.unit is not Unit.RESERVATIONS:
        return
    if budget.window is not Window.TOTAL:
        reader.wrong(f"{field}.window", "must be WINDOW_TOTAL for a budget in UNIT_RESERVATIONS")
    if budget.enforcement is not Enforcement.BLOCK:
        reader.wrong(
            f"{field}.enforcement", "must be ENFORCEMENT_BLOCK for a budget in UNIT_RESERVATIONS"
        )


def _read_grants(reader: Reader, message: resources_pb2.Plan) -> tuple[PlanGrant, ...]:
    if len(message.grants) > PLAN_GRANTS_MAX:
        reader.wrong("plan.grants", f"must be at most {PLAN_GRANTS_MAX}")
        return ()
    read = []
    for index, grant in enumerate(message.grants):
        field = f"plan.grants[{index}]"
        if not 0 <= grant.priority <= PRIORITY_MAX:
            reader.wrong(f"{field}.priority", f"must be from 0 to {PRIORITY_MAX}")
        recurrence_name = enum_name(resources_pb2.Window, grant.recurrence)
        read.append(
            PlanGrant(
                unit=reader.unit(f"{field}.unit", enum_name(resources_pb2.Unit, grant.unit)),
                amount=reader.amount(f"{field}.amount", grant.amount, least=1),
                priority=grant.priority,
                recurrence=reader.word(
                    f"{field}.recurrence", "WINDOW", recurrence_name, Window, Window.TOTAL
                ),
            )
        )
    _check_once(
        reader, "grants", "unit and recurrence", ((row.unit, row.recurrence) for row in read)
    )
    return tuple(read)


def _check_once(reader: Reader, field: str, what: str, keys: Iterable[Hashable]) -> None:
    seen = set()
    for index, key in enumerate(keys):
        if key in seen:
            reader.wrong(
                f"plan.{field}[{index}]", f"has the {what} of an earlier one; each may stand once"
            )
        seen.add(key)


def _read_limits(reader: Reader, message: resources_pb2.Plan) -> dict[Unit, int]:
    legs = reader.legs("plan.per_request_limits", message.per_request_limits, least=1)
    return {leg.unit: leg.amount for leg in legs}


def _read_rate(reader: Reader, message: resources_pb2.Plan) -> int:
    rate = message.reserves_per_minute
    if not 0 <= rate <= RESERVES_PER_MINUTE_MAX:
        reader.wrong(
            "plan.reserves_per_minute",
            f"must be from 1 to {RESERVES_PER_MINUTE_MAX}, or 0 for no limit, not {rate}",
        )
    return rate
