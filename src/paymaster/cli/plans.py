"""`paymaster plans`: named sets of budgets, grants and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from clients.amounts import Unit
from clients.plan_types import AbusePolicy, Plan, PlanBudget
from paymaster.cli.accounts import limit_option, rate_option, read_leg
from paymaster.cli.base import command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.output import Column, Output, Table, minor, one_line, right, wide
from paymaster.cli.plan_defaults import make_default_plans
from paymaster.cli.plan_terms import (
    abuse_text,
    budget_text,
    concurrency_budget,
    grant_text,
    leg_text,
    read_abuse,
    read_budget,
    read_grant,
)

_COLUMNS = (
    Column("plan"),
    right("version"),
    wide("budgets"),
    wide("grants"),
    Column("per_request_limits"),
    Column("tier"),
    right("submissions_per_minute"),
    Column("reserves_per_minute", right=True, minor=True),
    minor("abuse"),
)
_HISTORY_COLUMNS = (
    right("version"),
    Column("from"),
    Column("actor"),
    wide("reason"),
    *(column for column in _COLUMNS if column.name not in {"plan", "version"}),
)
_DEFAULT_COLUMNS = (Column("outcome"), *_COLUMNS)
_Read = TypeVar("_Read")

_plan_argument = click.argument("plan")
_budget_option = click.option(
    "--budget",
    "budgets",
    metavar="UNIT-WINDOW=AMOUNT[:ENFORCEMENT][@PERCENTS]",
    multiple=True,
    help="A budget of the plan, such as usd-day=5.00 or usd-month=50:notify@80,100, which raises"
    " alerts at 80 and 100 %; more than once for more.",
)
_concurrency_option = click.option(
    "--concurrency",
    type=int,
    metavar="N",
    help="How many reservations may be open at once: the budget reservations-total.",
)
_tier_option = click.option(
    "--tier",
    type=click.Choice(["premium", "standard", "none"], case_sensitive=False),
    help="The highest quality class of models that is made; none for no limit.",
)
_submissions_option = click.option(
    "--submissions-per-minute",
    type=int,
    metavar="N",
    help="How many generations a minute may be submitted: 10 if never given, 0 for no limit.",
)
_abuse_option = click.option(
    "--abuse",
    metavar="refusals=N,bursts=N,within=SPAN[,freeze=SPAN]",
    help="What raises an alert for abuse, and freezes the account for a time.",
)
_grant_option = click.option(
    "--grant",
    "grants",
    metavar="UNIT[-WINDOW]=AMOUNT[:PRIORITY]",
    multiple=True,
    help="A grant of the plan, such as credits=10 once or images-day=3 every day; more than once"
    " for more.",
)


@group
def plans() -> None:
    """List, read, create and change plans."""


@command(plans, "list")
async def list_plans(*, output: Output, data_dir: Path | None) -> None:
    """List the plans in the order of their ids."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.admin.list_plans()]
    output.show({"plans": document_of(found)}, _table(found))


@command(plans, "get")
@_plan_argument
@click.option("--version", type=int, default=0, metavar="N", help="As this version of it was.")
async def get_plan(*, output: Output, data_dir: Path | None, plan: str, version: int) -> None:
    """Show a plan, as it is or as it was."""
    async with connected(data_dir) as connection:
        found = await connection.admin.get_plan(plan, version)
    output.show({"plan": document_of(found)}, _table([found]))


@command(plans, "history")
@_plan_argument
async def list_versions(*, output: Output, data_dir: Path | None, plan: str) -> None:
    """List the versions of a plan, the latest first, with who made each and why."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.admin.list_plan_versions(plan)]
    rows = [
        [
            str(item.plan.version),
            time_text(item.plan.update_time),
            item.actor or "-",
            item.reason or "-",
            *_cells(item.plan)[2:],
        ]
        for item in found
    ]
    output.show({"versions": document_of(found)}, Table(_HISTORY_COLUMNS, rows))


@command(plans, "defaults")
async def make_defaults(*, output: Output, data_dir: Path | None) -> None:
    """Make the default plans that are missing; what is there, edited or not, is left as it is."""
    async with connected(data_dir) as connection:
        found = await make_default_plans(connection.admin)
    output.show(
        {"plans": [{"outcome": item.outcome, "plan": document_of(item.plan)} for item in found]},
        Table(_DEFAULT_COLUMNS, [[item.outcome, *_cells(item.plan)] for item in found]),
    )


@command(plans, "create")
@_plan_argument
@_budget_option
@_concurrency_option
@_grant_option
@limit_option
@rate_option
@_tier_option
@_submissions_option
@_abuse_option
@reason_option
async def create_plan(
    *,
    output: Output,
    data_dir: Path | None,
    plan: str,
    budgets: Sequence[str],
    concurrency: int | None,
    grants: Sequence[str],
    limits: Sequence[str],
    reserves_per_minute: int | None,
    tier: str | None,
    submissions_per_minute: int | None,
    abuse: str | None,
    reason: str,
) -> None:
    """Make a plan; an account gets it by `paymaster accounts set --plan`."""
    terms: dict[str, Any] = {
        "budgets": [*map(read_budget, budgets), *_concurrency(concurrency)],
        "grants": list(map(read_grant, grants)),
        "per_request_limits": list(map(read_leg, limits)),
        "reserves_per_minute": reserves_per_minute or 0,
        "tier": _tier(tier) or "",
        "submissions_per_minute": submissions_per_minute,
        "abuse": read_abuse(abuse) if abuse else None,
    }
    async with connected(data_dir) as connection:
        made = await connection.admin.create_plan(plan, **terms, reason=reason)
    output.show({"plan": document_of(made)}, _table([made]))


@command(plans, "set")
@_plan_argument
@_budget_option
@_concurrency_option
@click.option("--no-budgets", is_flag=True, help="Take all of them away.")
@_grant_option
@click.option("--no-grants", is_flag=True, help="Take all of them away.")
@limit_option
@click.option("--no-per-request-limits", is_flag=True, help="Take all of them away.")
@rate_option
@_tier_option
@_submissions_option
@_abuse_option
@click.option("--no-abuse", is_flag=True, help="Watch for none.")
@reason_option
async def set_plan(
    *,
    output: Output,
    data_dir: Path | None,
    plan: str,
    budgets: Sequence[str],
    concurrency: int | None,
    no_budgets: bool,
    grants: Sequence[str],
    no_grants: bool,
    limits: Sequence[str],
    no_per_request_limits: bool,
    reserves_per_minute: int | None,
    tier: str | None,
    submissions_per_minute: int | None,
    abuse: str | None,
    no_abuse: bool,
    reason: str,
) -> None:
    """Change a plan, and with it all accounts that have it.

    The budgets, grants and limits given take the place of all that there were; --concurrency given
    alone leaves the other budgets.
    """
    if abuse and no_abuse:
        raise click.UsageError("Give either --abuse or --no-abuse.")
    terms: dict[str, Any] = {
        "budgets": _replaced("budget", budgets, no_budgets, read_budget),
        "grants": _replaced("grant", grants, no_grants, read_grant),
        "per_request_limits": _replaced(
            "per-request-limit", limits, no_per_request_limits, read_leg
        ),
        "reserves_per_minute": reserves_per_minute,
        "tier": _tier(tier),
        "submissions_per_minute": submissions_per_minute,
        "abuse": AbusePolicy() if no_abuse else read_abuse(abuse) if abuse else None,
    }
    if concurrency is None and all(value is None for value in terms.values()):
        raise click.UsageError("Nothing to change: give --budget, --grant or another option.")
    async with connected(data_dir) as connection:
        if concurrency is not None:
            given = terms["budgets"]
            if given is None:
                given = (await connection.admin.get_plan(plan)).budgets
            terms["budgets"] = [
                *(budget for budget in given if budget.unit is not Unit.RESERVATIONS),
                *_concurrency(concurrency),
            ]
        changed = await connection.admin.update_plan(plan, **terms, reason=reason)
    output.show({"plan": document_of(changed)}, _table([changed]))


def _replaced(
    option: str,
    texts: Sequence[str],
    none: bool,  # a flag of the command line
    read: Callable[[str], _Read],
) -> list[_Read] | None:
    """Return what is to take the place of what there was; None to leave it."""
    if texts and none:
        raise click.UsageError(f"Give either --{option} or --no-{option}s.")
    return [read(text) for text in texts] if texts or none else None


def _concurrency(count: int | None) -> list[PlanBudget]:
    return [] if count is None else [concurrency_budget(count)]


def _tier(word: str | None) -> str | None:
    """Return the tier that was given; '' for none of it, None if nothing was."""
    return "" if word == "none" else word


def _table(found: Sequence[Plan]) -> Table:
    return Table(_COLUMNS, [_cells(item) for item in found])


def _cells(plan: Plan) -> list[str]:
    return [
        plan.plan,
        str(plan.version),
        one_line(map(budget_text, plan.budgets)),
        one_line(map(grant_text, plan.grants)),
        one_line(map(leg_text, plan.per_request_limits)),
        plan.tier or "-",
        str(plan.submissions_per_minute),
        str(plan.reserves_per_minute),
        abuse_text(plan.abuse),
    ]
