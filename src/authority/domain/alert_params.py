"""What the detectors go by, by name: rules of alerts may set each for an account and all below it.

docs/detectors.md says what each means. A name begins with the kind of alert that it is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from authority.domain.alerts import AlertKind
from authority.domain.money import AMOUNT_MAX


class Param(NamedTuple):
    """What a param is where no rule sets it, and what it may be."""

    default: int
    least: int
    most: int


PARAMS: Mapping[str, Param] = {
    "grant_expiring.days": Param(7, 1, 365),
    "grant_expiring.percent": Param(1, 0, 100),
    "projection.percent": Param(100, 10, 1_000),
    "projection.history_days": Param(14, 3, 91),
    "projection.sure": Param(0, 0, 1),
    "idle_holds.minutes": Param(60, 1, 10_080),
    "idle_holds.reservations": Param(1, 1, 1_000_000),
    "provider_errors.minutes": Param(30, 5, 1_440),
    "provider_errors.cases": Param(20, 5, 1_000_000),
    "provider_errors.percent": Param(20, 1, 100),
    "provider_errors.percent_of_usual": Param(300, 100, 10_000),
    "unusual_spend.weeks": Param(8, 4, 12),
    "unusual_spend.score": Param(8, 2, 1_000),
    "unusual_spend.percent_of_highest": Param(200, 100, 10_000),
    "unusual_spend.micros": Param(1_000_000, 0, AMOUNT_MAX),
    "ledger_drift.hours": Param(6, 1, 168),
}


def problem_with(name: str, value: int) -> str:
    """Return what is wrong with a param of a rule, or '' if nothing is."""
    param = PARAMS.get(name)
    if param is None:
        return f"must be one of {', '.join(PARAMS)}"
    if not param.least <= value <= param.most:
        return f"{name} must be {param.least} to {param.most}"
    return ""


class RuleParams(NamedTuple):
    """What an enabled rule sets, for an account and all below it."""

    account: str
    params: Mapping[str, int]


def params_of(
    kind: AlertKind, chain: Sequence[str], rules: Sequence[RuleParams]
) -> Mapping[str, int]:
    """Return the params of a kind for an account, by their names without the kind.

    Args:
        kind: the kind of alert.
        chain: the account and those above it, from the inside out; `platform` is the last.
        rules: what rules set, in the order of their ids: of two for one account, the first counts.

    """
    prefix = f"{kind.lower()}."
    found = {
        name.removeprefix(prefix): param.default
        for name, param in PARAMS.items()
        if name.startswith(prefix)
    }
    for account in reversed(chain):
        for rule in reversed(rules):
            if rule.account == account:
                found |= {
                    name.removeprefix(prefix): value
                    for name, value in rule.params.items()
                    if name in PARAMS and name.startswith(prefix)
                }
    return found


def widest(name: str, rules: Sequence[RuleParams], *, largest: bool = True) -> int:
    """Return the largest or the least that a param is for anybody: what to look through."""
    values = [PARAMS[name].default, *(rule.params[name] for rule in rules if name in rule.params)]
    return max(values) if largest else min(values)
