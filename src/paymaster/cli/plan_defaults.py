"""The plans that an installation begins with: made where they are missing, and never changed."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from clients import AdminClient
from clients.errors import AlreadyExists
from clients.plan_types import Plan, PlanBudget
from paymaster.cli.accounts import read_leg
from paymaster.cli.plan_terms import read_abuse, read_budget, read_grant

_THRESHOLDS = (75, 80, 90, 100)  # of a budget that does not say
_REASON = "a default plan"


class Outcome(StrEnum):
    """What became of a default plan."""

    MADE = "made"
    THERE = "there"
    # Somebody has changed it, which stays.
    EDITED = "edited"


class Default(NamedTuple):
    """A default plan as it is now, and what became of it."""

    plan: Plan
    outcome: Outcome


@cache
def default_terms() -> dict[str, dict[str, Any]]:
    """Return the terms of each default plan, as `AdminClient.create_plan` takes them."""
    text = resources.files("paymaster.cli").joinpath("default_plans.toml").read_text("utf-8")
    return {plan: _terms(words) for plan, words in tomllib.loads(text).items()}


def _terms(words: dict[str, Any]) -> dict[str, Any]:
    return {
        "budgets": [_with_thresholds(read_budget(text)) for text in words.get("budgets", ())],
        "grants": list(map(read_grant, words.get("grants", ()))),
        "per_request_limits": list(map(read_leg, words.get("per_request_limits", ()))),
        "reserves_per_minute": words.get("reserves_per_minute", 0),
        "tier": words.get("tier", ""),
        "submissions_per_minute": words["submissions_per_minute"],
        "abuse": read_abuse(words["abuse"]) if "abuse" in words else None,
    }


def _with_thresholds(budget: PlanBudget) -> PlanBudget:
    """Say what is meant by saying nothing, so that the plan can be compared with what is there."""
    return budget if budget.alert_thresholds else replace(budget, alert_thresholds=_THRESHOLDS)


async def make_default_plans(admin: AdminClient) -> Sequence[Default]:
    """Make the default plans that are not there; what is there is left as it is."""
    found = {plan.plan: plan async for plan in admin.list_plans()}
    return [await _make(admin, plan, terms, found) for plan, terms in default_terms().items()]


async def _make(
    admin: AdminClient, plan: str, terms: dict[str, Any], found: dict[str, Plan]
) -> Default:
    there = found.get(plan)
    if there is None:
        try:
            made = await admin.create_plan(plan, **terms, reason=_REASON)
        except AlreadyExists:
            there = await admin.get_plan(plan)  # Another one was quicker.
        else:
            return Default(made, Outcome.MADE)
    same = all(_plain(getattr(there, name)) == _plain(value) for name, value in terms.items())
    return Default(there, Outcome.THERE if same else Outcome.EDITED)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
