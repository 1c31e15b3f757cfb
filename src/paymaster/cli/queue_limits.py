"""`paymaster queues limits`: how much may be asked of providers at a time, and for accounts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clients.queue_types import Limit, ProviderLoad
from paymaster.cli.base import command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.output import Column, Output, Table, minor, note, right

_COLUMNS = (Column("subject"), Column("name"), right("value"))
_LOAD_COLUMNS = (
    Column("provider"),
    right("running"),
    right("waiting"),
    Column("breaker"),
    right("failures"),
    minor("open_until_time"),
    minor("cooldown_until_time"),
    Column("paused"),
)

_subject_argument = click.argument("subject")
_name_argument = click.argument("name", type=click.Choice(["concurrency", "per_minute"]))


@group
def limits() -> None:
    """See and set how much may be asked of providers, and for accounts, at a time."""


@command(limits, "ls")
async def list_limits(*, output: Output, data_dir: Path | None) -> None:
    """List the limits that were set, and how busy each provider is.

    What was not set is as the workers' own settings say.
    """
    async with connected(data_dir) as connection:
        found = await connection.queues.list_limits()
    output.show(document_of(found), _table(found.limits), _loads(found.providers))


@command(limits, "set")
@_subject_argument
@_name_argument
@click.argument("value", type=click.IntRange(min=0))
@reason_option
async def set_limit(
    *, output: Output, data_dir: Path | None, subject: str, name: str, value: int, reason: str
) -> None:
    """Set a limit, in place of the workers' settings and from the next call on; 0 is no limit.

    SUBJECT is provider:NAME, account:ID, or account:* for accounts without a limit of their own.
    """
    async with connected(data_dir) as connection:
        made = await connection.queues.set_limit(subject, name, value, reason=reason)
    output.show({"limit": document_of(made)}, _table([made]))


@command(limits, "unset")
@_subject_argument
@_name_argument
@reason_option
async def unset_limit(
    *, output: Output, data_dir: Path | None, subject: str, name: str, reason: str
) -> None:
    """Let the workers' settings hold again."""
    async with connected(data_dir) as connection:
        changed = await connection.queues.unset_limit(subject, name, reason=reason)
    if not changed:
        note(f"{subject} had no limit {name} of its own.")
    output.show(
        {"subject": subject, "name": name, "changed": changed},
        Table(
            (Column("subject"), Column("name"), Column("changed")),
            [[subject, name, "yes" if changed else "no"]],
        ),
    )


def _table(found: Sequence[Limit]) -> Table:
    return Table(_COLUMNS, [[item.subject, item.name, str(item.value)] for item in found])


def _loads(found: Sequence[ProviderLoad]) -> Table:
    return Table(
        _LOAD_COLUMNS,
        [
            [
                item.provider,
                str(item.running_count),
                str(item.waiting_count),
                item.breaker,
                str(item.failure_count),
                time_text(item.open_until_time),
                time_text(item.cooldown_until_time),
                time_text(item.pause_time),
            ]
            for item in found
        ],
    )
