"""`paymaster plans`: named sets of budgets, grants and limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from clients.amounts import Unit
from clients.plan_types import Plan, PlanBudget, PlanGrant
from clients.types import Enforcement, Window
from paymaster.cli.accounts import limit_option, rate_option, read_leg
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.output import Column, Output, Table, one_line, right, wide

_COLUMNS = (
    Column("plan"),
    right("version"),
    wide("budgets"),
    wide("grants"),
    Column("per_request_limits"),
    right("reserves_per_minute"),
)
_Read = TypeVar("_Read")

_plan_argument = click.argument("plan")
_budget_option = click.option(
    "--budget",
    "budgets",
    metavar="UNIT-WINDOW=AMOUNT[:ENFORCEMENT]",
    multiple=True,
    help="A budget of the plan, such as usd-day=5.00 or usd-month=50:notify; more than once for"
    " more.",
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
async def get_plan(*, output: Output, data_dir: Path | None, plan: str) -> None:
    """Show a plan."""
    async with connected(data_dir) as connection:
        found = await connection.admin.get_plan(plan)
    output.show({"plan": document_of(found)}, _table([found]))


@command(plans, "create")
@_plan_argument
@_budget_option
@_grant_option
@limit_option
@rate_option
@reason_option
async def create_plan(
    *,
    output: Output,
    data_dir: Path | None,
    plan: str,
    budgets: Sequence[str],
    grants: Sequence[str],
    limits: Sequence[str],
    reserves_per_minute: int | None,
    reason: str,
) -> None:
    """Make a plan; an account gets it by `paymaster accounts set --plan`."""
    terms: dict[str, Any] = {
        "budgets": [_budget(text) for text in budgets],
        "grants": [_grant(text) for text in grants],
        "per_request_limits": [read_leg(text) for text in limits],
        "reserves_per_minute": reserves_per_minute or 0,
    }
    async with connected(data_dir) as connection:
        made = await connection.admin.create_plan(plan, **terms, reason=reason)
    output.show({"plan": document_of(made)}, _table([made]))


@command(plans, "set")
@_plan_argument
@_budget_option
@click.option("--no-budgets", is_flag=True, help="Take all of them away.")
@_grant_option
@click.option("--no-grants", is_flag=True, help="Take all of them away.")
@limit_option
@click.option("--no-per-request-limits", is_flag=True, help="Take all of them away.")
@rate_option
@reason_option
async def set_plan(
    *,
    output: Output,
    data_dir: Path | None,
    plan: str,
    budgets: Sequence[str],
    no_budgets: bool,
    grants: Sequence[str],
    no_grants: bool,
    limits: Sequence[str],
    no_per_request_limits: bool,
    reserves_per_minute: int | None,
    reason: str,
) -> None:
    """Change a plan, and with it all accounts that have it.

    The budgets, grants and limits given take the place of all that there were.
    """
    terms: dict[str, Any] = {
        "budgets": _replaced("budget", budgets, no_budgets, _budget),
        "grants": _replaced("grant", grants, no_grants, _grant),
        "per_request_limits": _replaced(
            "per-request-limit", limits, no_per_request_limits, read_leg
        ),
        "reserves_per_minute": reserves_per_minute,
    }
    if all(value is None for value in terms.values()):
        raise click.UsageError("Nothing to change: give --budget, --grant or another option.")
    async with connected(data_dir) as connection:
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


def _budget(text: str) -> PlanBudget:
    """Read a budget such as `usd-day=5.00:notify`."""
    name, _, value = text.partition("=")
    unit_name, _, window = name.partition("-")
    amount, _, enforcement = value.partition(":")
    try:
        unit = choice(Unit).convert(unit_name, None, None)
        return PlanBudget(
            unit,
            choice(Window).convert(window, None, None),
            parse_amount(amount, unit),
            choice(Enforcement).convert(enforcement or "block", None, None),
        )
    except (click.BadParameter, BadAmount) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--budget") from None


def _grant(text: str) -> PlanGrant:
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


def _table(found: Sequence[Plan]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                item.plan,
                str(item.version),
                one_line(_budget_text(budget) for budget in item.budgets),
                one_line(_grant_text(grant) for grant in item.grants),
                one_line(
                    f"{leg.unit.lower()}={format_amount(leg.amount, leg.unit)}"
                    for leg in item.per_request_limits
                ),
                str(item.reserves_per_minute),
            ]
            for item in found
        ],
    )


def _budget_text(budget: PlanBudget) -> str:
    amount = format_amount(budget.limit, budget.unit)
    return f"{budget.unit}-{budget.window}={amount}:{budget.enforcement}".lower()


def _grant_text(grant: PlanGrant) -> str:
    every = f"-{grant.recurrence}" if grant.recurrence else ""
    return f"{grant.unit}{every}={format_amount(grant.amount, grant.unit)}".lower()
