"""`paymaster keys`: who may call the authority, and what for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click

from clients.key_types import ApiKey, Scope
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.output import Column, Output, Table, minor, note, one_line, wide
from paymaster.clock import now

_COLUMNS = (
    Column("api_key_id"),
    Column("tenant"),
    Column("scopes"),
    wide("display_name"),
    minor("create_time"),
    minor("expire_time"),
    minor("submissions_per_minute"),
    Column("revoke_time"),
)
_DAYS_MAX = 3650
_rate_option = click.option(
    "--submissions-per-minute",
    type=click.IntRange(min=0),
    metavar="N",
    help="How many generations a minute it may submit, 0 for no limit of its own.",
)


@group
def keys() -> None:
    """Make, list, change and revoke API keys."""


@command(keys, "list")
@click.option(
    "--tenant", default="", metavar="ID", help="Only keys of this tenant, or of `platform`."
)
async def list_keys(*, output: Output, data_dir: Path | None, tenant: str) -> None:
    """List the API keys, without their secrets, in the order of their ids."""
    async with connected(data_dir) as connection:
        found = [item async for item in connection.admin.list_api_keys(tenant=tenant)]
    output.show({"api_keys": document_of(found)}, _table(found))


@command(keys, "create")
@click.argument("tenant")
@click.option(
    "--scope",
    "scopes",
    type=choice(Scope),
    multiple=True,
    required=True,
    help="What it may do; more than once for more. admin includes read.",
)
@click.option("--display-name", default="", metavar="TEXT", help="A name for people.")
@click.option("--days", type=click.IntRange(1, _DAYS_MAX), help="When it ends; never if not given.")
@_rate_option
@reason_option
async def create_key(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    scopes: Sequence[Scope],
    display_name: str,
    days: int | None,
    submissions_per_minute: int | None,
    reason: str,
) -> None:
    """Make an API key of a tenant, or of `platform` for all of them, and show it this once."""
    async with connected(data_dir) as connection:
        made = await connection.admin.create_api_key(
            tenant,
            scopes,
            display_name=display_name,
            expire_time=None if days is None else now() + timedelta(days=days),
            submissions_per_minute=submissions_per_minute or 0,
            reason=reason,
        )
    output.show(
        {"api_key": document_of(made.api_key), "token": made.token},
        _table([made.api_key]),
        Table([Column("api_key_id"), Column("token")], [[made.api_key.api_key_id, made.token]]),
    )
    if output.for_people:
        note("Keep the token: it can't be shown again.")


@command(keys, "set")
@click.argument("api_key_id")
@click.option("--display-name", metavar="TEXT", help="A name for people.")
@_rate_option
@reason_option
async def set_key(
    *,
    output: Output,
    data_dir: Path | None,
    api_key_id: str,
    display_name: str | None,
    submissions_per_minute: int | None,
    reason: str,
) -> None:
    """Change an API key; it binds within seconds."""
    if display_name is None and submissions_per_minute is None:
        raise click.UsageError("Give --display-name or --submissions-per-minute.")
    async with connected(data_dir) as connection:
        changed = await connection.admin.update_api_key(
            api_key_id,
            display_name=display_name,
            submissions_per_minute=submissions_per_minute,
            reason=reason,
        )
    output.show({"api_key": document_of(changed)}, _table([changed]))


@command(keys, "revoke")
@click.argument("api_key_id")
@reason_option
async def revoke_key(
    *, output: Output, data_dir: Path | None, api_key_id: str, reason: str
) -> None:
    """End an API key; every process refuses it within seconds."""
    async with connected(data_dir) as connection:
        revoked = await connection.admin.revoke_api_key(api_key_id, reason=reason)
    output.show({"api_key": document_of(revoked)}, _table([revoked]))


def _table(found: Sequence[ApiKey]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                item.api_key_id,
                item.tenant,
                one_line(item.scopes),
                item.display_name,
                time_text(item.create_time),
                time_text(item.expire_time),
                str(item.submissions_per_minute),
                time_text(item.revoke_time),
            ]
            for item in found
        ],
    )
