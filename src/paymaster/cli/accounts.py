"""`paymaster accounts`: who may spend."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from clients.amounts import Leg, Unit
from clients.types import Account, AccountState, BudgetBalance, OveragePolicy
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import BadAmount, format_amount, parse_amount
from paymaster.cli.output import Column, Output, Table, minor, one_line, right, wide
from paymaster.cli.times import time_option

_COLUMNS = (
    Column("account"),
    Column("parent"),
    wide("display_name"),
    Column("state"),
    minor("overage_policy"),
    minor("time_zone"),
    minor("plan"),
    minor("per_request_limits"),
    Column("reserves_per_minute", right=True, minor=True),
    Column("submissions_per_minute", right=True, minor=True),
    minor("end_time"),
    minor("freeze_end_time"),
    minor("create_time"),
)
_BALANCE_COLUMNS = (
    Column("account"),
    Column("budget"),
    minor("enforcement"),
    right("limit"),
    right("reserved"),
    right("committed"),
    right("refunded"),
    right("available"),
    minor("window_end_time"),
)
account_argument = click.argument("account")
_name_option = click.option("--display-name", metavar="TEXT", help="A name for people.")
_overage_option = click.option(
    "--overage-policy",
    type=choice(OveragePolicy),
    help="What happens to costs above the held amount: the platform carries them (cap), what is"
    " available is charged (available), or all is charged (debt).",
)
limit_option = click.option(
    "--per-request-limit",
    "limits",
    metavar="UNIT=AMOUNT",
    multiple=True,
    help="The most that one Reserve may ask, such as usd=0.50; more than once for more units.",
)
rate_option = click.option(
    "--reserves-per-minute",
    type=int,
    metavar="N",
    help="How many Reserves a minute, by the account and those below it; 0 for no limit.",
)
submissions_option = click.option(
    "--submissions-per-minute",
    type=int,
    metavar="N",
    help="How many generations a minute, by the account and those below it; 0 for the plan's"
    " number.",
)
_end_option = time_option(
    "--end-time", help="From when on it is closed, as a session is: 2026-11-21T10:30:00Z."
)
_plan_option = click.option(
    "--plan", metavar="ID", help="The plan that it gets budgets, grants and limits of."
)


@group
def accounts() -> None:
    """List, read, create and change accounts."""


@command(accounts, "list")
@click.option("--tenant", default="", metavar="ID", help="Only accounts of this tenant.")
@click.option(
    "--parent", default="", metavar="ID", help="Only accounts right below this one, or `platform`."
)
@click.option("--state", type=choice(AccountState), help="Only accounts in this state.")
@click.option("--descending", is_flag=True, help="The other way round.")
async def list_accounts(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    parent: str,
    state: AccountState | None,
    descending: bool,
) -> None:
    """List the accounts in the order of their ids."""
    async with connected(data_dir) as connection:
        listed = connection.admin.list_accounts(
            tenant=tenant, parent=parent, state=state, descending=descending
        )
        found = [item async for item in listed]
    output.show({"accounts": document_of(found)}, _table(found))


@command(accounts, "get")
@account_argument
async def get_account(*, output: Output, data_dir: Path | None, account: str) -> None:
    """Show an account, and the budgets that bind it with their numbers in the windows of now."""
    async with connected(data_dir) as connection:
        found = await connection.admin.get_account(account)
        balances = (await connection.authority.get_balance(account)).balances
    output.show(
        {"account": document_of(found), "balances": document_of(balances)},
        _table([found]),
        balance_table(balances),
    )


@command(accounts, "create")
@account_argument
@click.option(
    "--parent", default="", metavar="ID", help="The account above; the tenant if not given."
)
@_name_option
@click.option("--time-zone", default="", metavar="IANA", help="UTC if not given.")
@_overage_option
@limit_option
@rate_option
@submissions_option
@_plan_option
@_end_option
@reason_option
async def create_account(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    parent: str,
    display_name: str | None,
    time_zone: str,
    overage_policy: OveragePolicy | None,
    limits: Sequence[str],
    reserves_per_minute: int | None,
    submissions_per_minute: int | None,
    plan: str | None,
    end_time: datetime | None,
    reason: str,
) -> None:
    """Make an account: a tenant such as acme, or an account below one such as acme/alice."""
    async with connected(data_dir) as connection:
        made = await connection.admin.create_account(
            account,
            parent=parent,
            display_name=display_name or "",
            time_zone=time_zone,
            overage_policy=overage_policy,
            per_request_limits=list(map(read_leg, limits)),
            reserves_per_minute=reserves_per_minute or 0,
            submissions_per_minute=submissions_per_minute or 0,
            plan=plan or "",
            end_time=end_time,
            reason=reason,
        )
    output.show({"account": document_of(made)}, _table([made]))


@command(accounts, "set")
@account_argument
@click.option("--parent", metavar="ID", help="Move it, with all below it, below this account.")
@_name_option
@click.option(
    "--state", type=choice(AccountState), help="A frozen account reserves nothing until active."
)
@_overage_option
@limit_option
@click.option("--no-per-request-limits", "unlimited", is_flag=True, help="Take all of them away.")
@rate_option
@submissions_option
@_plan_option
@_end_option
@click.option("--no-end", is_flag=True, help="Take its end away, unless it has come.")
@reason_option
async def set_account(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    parent: str | None,
    display_name: str | None,
    state: AccountState | None,
    overage_policy: OveragePolicy | None,
    limits: Sequence[str],
    unlimited: bool,
    reserves_per_minute: int | None,
    submissions_per_minute: int | None,
    plan: str | None,
    end_time: datetime | None,
    no_end: bool,
    reason: str,
) -> None:
    """Change an account; the change binds the next Reserve.

    The limits given with --per-request-limit take the place of all that there were.
    """
    if limits and unlimited:
        raise click.UsageError("Give either --per-request-limit or --no-per-request-limits.")
    per_request_limits = list(map(read_leg, limits)) if limits or unlimited else None
    if end_time and no_end:
        raise click.UsageError("Give either --end-time or --no-end.")
    given = (
        *(parent, display_name, state, overage_policy, plan, end_time),
        *(per_request_limits, reserves_per_minute, submissions_per_minute),
    )
    if not no_end and all(value is None for value in given):
        raise click.UsageError("Nothing to change: give --display-name, --state or another option.")
    async with connected(data_dir) as connection:
        changed = await connection.admin.update_account(
            account,
            parent=parent,
            display_name=display_name,
            state=state,
            overage_policy=overage_policy,
            per_request_limits=per_request_limits,
            reserves_per_minute=reserves_per_minute,
            submissions_per_minute=submissions_per_minute,
            plan=plan,
            end_time=end_time,
            no_end=no_end,
            reason=reason,
        )
    output.show({"account": document_of(changed)}, _table([changed]))


def read_leg(text: str) -> Leg:
    """Read what one Reserve may ask, such as `usd=0.50`."""
    name, _, amount = text.partition("=")
    try:
        unit = choice(Unit).convert(name, None, None)
        return Leg(unit, parse_amount(amount, unit))
    except (click.BadParameter, BadAmount) as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint="--per-request-limit") from None


def balance_table(balances: Sequence[BudgetBalance]) -> Table:
    """Return the numbers of budgets as a table."""
    return Table(_BALANCE_COLUMNS, [_balance_row(item) for item in balances])


def _balance_row(balance: BudgetBalance) -> list[str]:
    budget = balance.budget
    numbers = (
        budget.limit,
        balance.reserved,
        balance.committed,
        balance.refunded,
        balance.available,
    )
    return [
        budget.account,
        budget.budget,
        budget.enforcement,
        *(format_amount(number, budget.unit) for number in numbers),
        time_text(balance.window_end_time),
    ]


def _table(found: Sequence[Account]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                item.account,
                item.parent,
                item.display_name,
                item.state,
                item.overage_policy,
                item.time_zone,
                item.plan,
                one_line(
                    f"{leg.unit.lower()}={format_amount(leg.amount, leg.unit)}"
                    for leg in item.per_request_limits
                ),
                str(item.reserves_per_minute),
                str(item.submissions_per_minute),
                time_text(item.end_time),
                time_text(item.freeze_end_time),
                time_text(item.create_time),
            ]
            for item in found
        ],
    )
