"""What the scripts are told, as JSON. Amounts and times are strings: cjson keeps 14 digits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from authority.domain.budgets import BudgetWindow, WindowRef
from authority.domain.grants import Lot
from authority.domain.money import Leg
from authority.domain.operations import DenialReason
from authority.domain.policies import Money
from authority.domain.ports import (
    AdjustCommand,
    CommitCommand,
    ExtendCommand,
    HeldOn,
    RefundCommand,
    ReserveCommand,
)
from authority.domain.reservations import LIFE_MS_MAX


def compact(value: object) -> str:
    """Return JSON without blanks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def further_lots(money: Money, held: HeldOn) -> list[WindowRef]:
    """Return the lots that may be spent and that the reservation did not take from, in order."""
    known = set(held.lots)
    return [lot.ref for lot in money.lots if lot.ref not in known]


def reserve_command(command: ReserveCommand) -> str:
    """Return what reserve.lua is told."""
    terms = command.terms
    capped = all(reason is DenialReason.PER_REQUEST_CAP for reason in command.refusals)
    return compact(
        {
            "policy": str(terms.policy_version),
            "id": command.reservation_id,
            "account": terms.account,
            "ttl": str(command.ttl_ms),
            "labels": compact(command.labels),
            "mode": command.mode,
            "may_reclaim": command.may_reclaim,
            "refusal": terms.refusal or "",
            "capped": capped,
            "windows": [
                {**_window(window), "may_owe": window.budget.account in terms.debtors}
                for window in terms.windows
            ],
            **_money(terms.money),
            "rates": [str(per_minute) for per_minute in terms.rates.values()],
            "options": [
                {
                    "refusal": refusal or "",
                    "units": [leg.unit for leg in option.legs],
                    "amounts": _amounts(option.legs),
                }
                for option, refusal in zip(command.options, command.refusals, strict=True)
            ],
        }
    )


def commit_command(command: CommitCommand, key: str) -> str:
    """Return what commit.lua is told."""
    return compact(
        {
            "policy": str(command.policy_version),
            "key": key,
            "overage": command.overage,
            "final": command.final,
            "force": command.force,
            "receipt": command.receipt,
            "actual": _amounts(command.actual),
            "limits": _limits(command.limits),
            **_money(command.money),
            "more": [str(ref) for ref in further_lots(command.money, command.held)],
        }
    )


def extend_command(command: ExtendCommand) -> str:
    """Return what extend.lua is told."""
    return compact(
        {
            "policy": str(command.policy_version),
            "ttl": str(command.ttl_ms),
            "life": str(LIFE_MS_MAX),
            "legs": _amounts(command.legs),
            "limits": _limits(command.limits),
            **_money(command.money),
            "more": [str(ref) for ref in further_lots(command.money, command.held)],
        }
    )


def refund_command(command: RefundCommand) -> str:
    """Return what refund.lua is told."""
    return compact(
        {
            "legs": _amounts(command.legs) if command.legs else False,
            "restore": {
                str(ref): {
                    "expires": str(restore.expire_ms),
                    "grace": str(restore.grace_ms),
                    "id": restore.grant_id,
                }
                for ref, restore in command.restores.items()
            },
        }
    )


def adjust_command(command: AdjustCommand) -> str:
    """Return what adjust.lua is told."""
    return compact(
        {
            "policy": str(command.policy_version),
            "amounts": _amounts(command.legs),
            "windows": [_window(window) for window in command.windows],
            **_money(command.money),
        }
    )


def _amounts(legs: Sequence[Leg]) -> Mapping[str, str]:
    return {leg.unit: str(leg.amount) for leg in legs}


def _limits(limits: Sequence[int | None]) -> list[str | bool]:
    # Not null: cjson makes that a value which is not false.
    return [False if limit is None else str(limit) for limit in limits]


def _window(window: BudgetWindow) -> dict[str, str]:
    budget, span = window
    return {
        "ref": str(window.ref),
        "unit": budget.unit,
        "limit": str(budget.limit),
        "enforcement": budget.enforcement,
        "start": str(span.start_ms),
        "finish": str(span.end_ms),
    }


def _money(money: Money) -> dict[str, Any]:
    return {"lots": [_lot(lot) for lot in money.lots], "prepaid": sorted(money.prepaid)}


def _lot(lot: Lot) -> dict[str, str]:
    grant, span = lot
    return {
        "ref": str(lot.ref),
        "id": grant.grant_id.partition("/")[2],
        "unit": grant.unit,
        "amount": str(grant.amount),
        "effective": str(grant.effective_ms),
        "expires": str(lot.expire_ms),
        "start": str(span.start_ms),
        "finish": str(span.end_ms),
    }
