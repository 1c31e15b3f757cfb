"""The terms of plans as people write and read them: budgets, grants, and what looks like abuse."""

from __future__ import annotations

import re

import click

from clients.amounts import Leg, Unit
from clients.plan_types import AbusePolicy, PlanBudget, PlanGrant
from clients.types import Enforcement, Window
from paymaster.cli.base import choice
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.times import parse_span, span_word

_DEFAULT_THRESHOLDS = (75, 80, 90, 100)
_BUDGET = re.compile(r"([^-=]+)-([^=]+)=([^:@]+)(?::([^@]*))?(?:@(.*))?")
_NO_THRESHOLDS = "none"
_ABUSE_WORDS = ("refusals", "bursts", "within", "freeze")


def read_budget(text: str) -> PlanBudget:
    """Read a budget such as `usd-day=5.00`, `usd-month=50:notify` or `usd-month=100@80,100`."""
    read = _BUDGET.fullmatch(text)
    if read is None:
        raise click.BadParameter(
            f"{text!r}: write UNIT-WINDOW=AMOUNT, such as usd-day=5.00.", param_hint="--budget"
        )
    try:
        unit_name, window, amount, enforcement, thresholds = read.groups()
        unit = choice(Unit).convert(unit_name, None, None)
        return PlanBudget(
            unit,
            choice(Window).convert(window, None, None),
            parse_amount(amount, unit),
            choice(Enforcement).convert(enforcement or "block", None, None),
            None if thresholds is None else _read_thresholds(thresholds),
        )
    except (click.BadParameter, BadAmount) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--budget") from None


def _read_thresholds(text: str) -> tuple[int, ...]:
    """Read percentages such as `80,100`."""
    try:
        return () if text == _NO_THRESHOLDS else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} are no percentages; write 80,100, or none for no alert."
        ) from None


def concurrency_budget(count: int) -> PlanBudget:
    """Return the budget that lets so many reservations be open at once."""
    return PlanBudget(Unit.RESERVATIONS, Window.TOTAL, count)


def budget_text(budget: PlanBudget) -> str:
    """Return a budget as `read_budget` reads it."""
    amount = format_amount(budget.limit, budget.unit).removeprefix("$")
    text = f"{budget.unit}-{budget.window}={amount}:{budget.enforcement}".lower()
    if budget.alert_thresholds in (None, _DEFAULT_THRESHOLDS):
        return text
    return f"{text}@{','.join(map(str, budget.alert_thresholds)) or _NO_THRESHOLDS}"


def read_grant(text: str) -> PlanGrant:
    """Read a grant such as `images-day=3` or `credits=10:5`."""
    name, _, value = text.partition("=")
    unit_name, _, window = name.partition("-")
    amount, _, priority = value.partition(":")
    try:
        unit = choice(Unit).convert(unit_name, None, None)
        return PlanGrant(
            unit,
            parse_amount(amount, unit),
            int(priority or 0),
            choice(Window).convert(window, None, None) if window else None,
        )
    except (click.BadParameter, BadAmount, ValueError) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--grant") from None


def grant_text(grant: PlanGrant) -> str:
    """Return a grant as `read_grant` reads it."""
    every = f"-{grant.recurrence}" if grant.recurrence else ""
    priority = f":{grant.priority}" if grant.priority else ""
    amount = format_amount(grant.amount, grant.unit).removeprefix("$")
    return f"{grant.unit}{every}={amount}{priority}".lower()


def leg_text(leg: Leg) -> str:
    """Return a limit of a request, such as `usd=0.50`."""
    return f"{leg.unit.lower()}={format_amount(leg.amount, leg.unit).removeprefix('$')}"


def read_abuse(text: str) -> AbusePolicy:
    """Read what looks like abuse, such as `refusals=5,bursts=30,within=1h,freeze=2h`."""
    words = dict(part.partition("=")[::2] for part in text.split(","))
    if unknown := words.keys() - set(_ABUSE_WORDS):
        raise click.BadParameter(
            f"{', '.join(sorted(unknown))}: write some of {', '.join(_ABUSE_WORDS)}.",
            param_hint="--abuse",
        )
    try:
        return AbusePolicy(
            refusals=int(words.get("refusals", 0)),
            bursts=int(words.get("bursts", 0)),
            within=parse_span(words["within"]) if "within" in words else None,
            freeze=parse_span(words["freeze"]) if "freeze" in words else None,
        )
    except (click.BadParameter, ValueError) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--abuse") from None


def abuse_text(abuse: AbusePolicy | None) -> str:
    """Return what looks like abuse as `read_abuse` reads it; a dash for nothing."""
    if abuse is None:
        return "-"
    counts = {"refusals": abuse.refusals, "bursts": abuse.bursts}
    spans = {"within": abuse.within, "freeze": abuse.freeze}
    return ",".join(
        [f"{name}={count}" for name, count in counts.items() if count]
        + [f"{name}={span_word(span)}" for name, span in spans.items() if span]
    )
