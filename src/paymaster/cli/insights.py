"""`paymaster insights`: what would have saved money, and what would have been otherwise."""

from __future__ import annotations

from pathlib import Path

import click

from paymaster.cli.base import command, group
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.insight_tables import insight_tables, replay_tables
from paymaster.cli.output import Output, note

_DAYS_MAX = 90

_days_option = click.option(
    "--days",
    type=click.IntRange(1, _DAYS_MAX),
    default=30,
    show_default=True,
    help="How many days back from now.",
)


@group
def insights() -> None:
    """Say what would have saved money, and what would have been."""


@command(insights, "ls")
@click.argument("account")
@_days_option
@click.option("--method", is_flag=True, help="Say of each how it was computed.")
async def list_insights(
    *, output: Output, data_dir: Path | None, account: str, days: int, method: bool
) -> None:
    """List what would have saved money of an account's last days, and its efficiency score.

    Each sum is what was really paid less what the same would have cost, at the most. They are not
    to be added up: those about size, quality and model exclude one another.
    """
    async with connected(data_dir) as connection:
        found = await connection.insights.list_insights(account, days=days)
    output.show(document_of(found), *insight_tables(found, with_method=method))
    if output.for_people:
        _tell_left_out(found.left_out_count)
        if not found.insights:
            note(f"Nothing to suggest of {found.generation_count} generations.")


@command(insights, "what-if")
@click.argument("account")
@_days_option
@click.option("--plan", default="", metavar="ID", help="The plan that the account is to have had.")
@click.option("--model", default="", metavar="NAME", help="The model that is to have made it all.")
async def what_if(
    *, output: Output, data_dir: Path | None, account: str, days: int, plan: str, model: str
) -> None:
    """Replay an account's last days: what they would have cost, and what would have been denied.

    Without --plan and --model it is the replay of what was, under what the account has now.
    """
    async with connected(data_dir) as connection:
        found = await connection.insights.replay(account, days=days, plan=plan, model=model)
    output.show(document_of(found), *replay_tables(found))
    if output.for_people:
        _tell_left_out(found.left_out_count)
        for assumption in found.assumptions:
            note(f"- {assumption}")


def _tell_left_out(count: int) -> None:
    if count:
        note(f"{count} older generations of that time were left out.")
