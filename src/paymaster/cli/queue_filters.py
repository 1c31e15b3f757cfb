"""The options by which commands of `paymaster queues` choose jobs, and jobs as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import click

from clients.generation_types import Kind
from clients.queue_types import Job, JobFilter, JobState
from paymaster.cli.base import choice
from paymaster.cli.documents import time_text
from paymaster.cli.money import format_amount
from paymaster.cli.output import Column, Table, minor, right, wide
from paymaster.cli.times import parse_span

_COLUMNS = (
    Column("generation_id"),
    Column("account"),
    Column("kind"),
    Column("state"),
    minor("priority"),
    right("attempts"),
    Column("provider"),
    Column("error_reason"),
    minor("worker"),
    minor("progress"),
    minor("cost"),
    Column("create_time"),
    minor("next_try_time"),
    minor("dead_time"),
)
_OPTIONS = (
    click.option("--kind", type=choice(Kind), help="Only jobs of this kind."),
    click.option("--state", type=choice(JobState), help="Only jobs in this state."),
    click.option(
        "--provider", default="", metavar="NAME", help="Only jobs last tried with this provider."
    ),
    click.option(
        "--account",
        default="",
        metavar="ID",
        help="Only jobs of this account; of a tenant, those of all its accounts.",
    ),
    click.option(
        "--older-than",
        type=parse_span,
        metavar="SPAN",
        help="Only jobs submitted, or dead, that long: 90s, 10m, 2h, 7d.",
    ),
    click.option(
        "--error", "error_reason", default="", metavar="REASON", help="Only jobs that failed so."
    ),
    click.option("--tenant", default="", metavar="ID", help="Only jobs of this tenant."),
)

_Command = TypeVar("_Command", bound=Callable[..., Any])


class FilterOptions(TypedDict):
    """What `filter_options` gives to a command."""

    kind: Kind | None
    state: JobState | None
    provider: str
    account: str
    older_than: timedelta | None
    error_reason: str
    tenant: str


def filter_options(function: _Command) -> _Command:
    """Declare the options that choose jobs."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def filter_of(options: FilterOptions) -> JobFilter:
    """Return the filter that was asked for, but for the tenant."""
    return JobFilter(
        kind=options["kind"],
        state=options["state"],
        provider=options["provider"],
        account=options["account"],
        older_than=options["older_than"],
        error_reason=options["error_reason"],
    )


def job_table(found: Sequence[Job], *, with_prompt: bool = False) -> Table:
    """Return jobs as a table."""
    columns = (*_COLUMNS, wide("prompt")) if with_prompt else _COLUMNS
    return Table(
        columns, [[*_row(item), *([item.prompt] if with_prompt else [])] for item in found]
    )


def _row(job: Job) -> list[str]:
    progress = "" if job.progress_percent is None else f"{job.progress_percent}%"
    return [
        job.generation_id,
        job.account,
        job.kind.lower(),
        job.state,
        job.priority,
        str(job.attempt_count),
        job.provider,
        job.error_reason,
        job.worker,
        f"{job.stage} {progress}".strip(),
        format_amount(job.cost, "USD"),
        time_text(job.create_time),
        time_text(job.next_try_time),
        time_text(job.dead_time),
    ]
