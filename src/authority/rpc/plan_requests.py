"""Reads requests about plans."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from authority.domain.accounts import RESERVES_PER_MINUTE_MAX
from authority.domain.budgets import Enforcement
from authority.domain.grants import PRIORITY_MAX
from authority.domain.ids import is_plan
from authority.domain.money import Unit
from authority.domain.plans import (
    PLAN_BUDGETS_MAX,
    PLAN_GRANTS_MAX,
    SUBMISSIONS_PER_MINUTE,
    AbusePolicy,
    Plan,
    PlanBudget,
    PlanChange,
    PlanGrant,
)
from authority.domain.windows import Window
from authority.rpc.requests import Reader, enum_name
from authority.rpc.threshold_requests import read_thresholds
from authority.v1 import admin_service_pb2 as messages
from authority.v1 import resources_pb2
from generations.models import Quality

_Value = TypeVar("_Value")
_NOT_YET = datetime.fromtimestamp(0, UTC)
_MASK = (
    "abuse",
    "budgets",
    "grants",
    "per_request_limits",
    "reserves_per_minute",
    "submissions_per_minute",
    "tier",
)
_ABUSES_MAX = 10_000
_WITHIN_MS = (60_000, 86_400_000)
_FREEZE_MS_MAX = 31 * 86_400_000


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
        reserves_per_minute=_read_rate(reader, message, "reserves_per_minute"),
        version=0,
        create_time=_NOT_YET,
        update_time=_NOT_YET,
        tier=_read_tier(reader, message),
        submissions_per_minute=_read_submissions(reader, message),
        abuse=_read_abuse(reader, message),
    )


def read_plan_change(reader: Reader, request: messages.UpdatePlanRequest) -> PlanChange:
    """Read what to change of a plan; what the mask does not name is not looked at."""
    wanted = request.plan
    mask = reader.mask(request.update_mask, _MASK)

    def masked(name: str, read: Callable[[], _Value]) -> _Value | None:
        return read() if name in mask else None

    return PlanChange(
        budgets=masked("budgets", lambda: _read_budgets(reader, wanted)),
        grants=masked("grants", lambda: _read_grants(reader, wanted)),
        per_request_limits=masked("per_request_limits", lambda: _read_limits(reader, wanted)),
        reserves_per_minute=masked(
            "reserves_per_minute", lambda: _read_rate(reader, wanted, "reserves_per_minute")
        ),
        tier=masked("tier", lambda: _read_tier(reader, wanted)),
        submissions_per_minute=masked(
            "submissions_per_minute", lambda: _read_submissions(reader, wanted)
        ),
        abuse=masked("abuse", lambda: _read_abuse(reader, wanted)),
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
                alert_thresholds=read_thresholds(reader, f"{field}.alert_thresholds", budget),
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


def _read_tier(reader: Reader, message: resources_pb2.Plan) -> str:
    words = [str(quality) for quality in Quality]
    if message.tier not in {"", *words}:
        reader.wrong("plan.tier", f"must be {' or '.join(words)}, or empty for no limit")
    return message.tier


def _read_submissions(reader: Reader, message: resources_pb2.Plan) -> int:
    if not message.HasField("submissions_per_minute"):
        return SUBMISSIONS_PER_MINUTE
    return _read_rate(reader, message, "submissions_per_minute")


def _read_abuse(reader: Reader, message: resources_pb2.Plan) -> AbusePolicy:
    """Read what is watched for abuse; what watches nothing is none."""
    given = message.abuse
    abuse = AbusePolicy(
        given.refusals, given.bursts, _milliseconds(given.within), _milliseconds(given.freeze)
    )
    for name in ("refusals", "bursts"):
        if not 0 <= getattr(abuse, name) <= _ABUSES_MAX:
            reader.wrong(f"plan.abuse.{name}", f"must be from 1 to {_ABUSES_MAX}, or 0 for none")
    watches = bool(abuse.refusals or abuse.bursts)
    least, most = _WITHIN_MS
    if watches and not least <= abuse.within_ms <= most:
        reader.wrong("plan.abuse.within", "must be from 1 minute to 1 day")
    if not 0 <= abuse.freeze_ms <= _FREEZE_MS_MAX:
        reader.wrong("plan.abuse.freeze", "must be from 0 to 31 days")
    if not watches and (abuse.within_ms or abuse.freeze_ms):
        reader.wrong("plan.abuse", "watches nothing: set `refusals` or `bursts`")
    return abuse


def _milliseconds(duration: Duration) -> int:
    return duration.seconds * 1000 + duration.nanos // 1_000_000


def _read_rate(reader: Reader, message: resources_pb2.Plan, name: str) -> int:
    rate: int = getattr(message, name)
    if not 0 <= rate <= RESERVES_PER_MINUTE_MAX:
        reader.wrong(
            f"plan.{name}",
            f"must be from 1 to {RESERVES_PER_MINUTE_MAX}, or 0 for no limit, not {rate}",
        )
    return rate
