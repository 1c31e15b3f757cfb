"""`paymaster queues jobs`, `dead` and `show`: the jobs of the queues, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click

from clients.queue_types import Job, JobAttempt, JobDetail, JobFilter, JobState
from paymaster.cli.base import command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.money import format_amount
from paymaster.cli.output import Column, Output, Table, minor, right, wide
from paymaster.cli.queue_filters import FilterOptions, filter_of, filter_options, job_table
from paymaster.cli.times import span_text

_PAGE_SIZE_MAX = 500
_COUNT_DEFAULT = 100
_ATTEMPT_COLUMNS = (
    right("attempt"),
    Column("state"),
    Column("provider"),
    Column("model"),
    Column("error_class"),
    Column("error_reason"),
    wide("error"),
    right("estimate"),
    right("charged"),
    minor("reservation_id"),
    minor("remote_id"),
    minor("request_id"),
    minor("create_time"),
    minor("dispatch_time"),
    minor("settle_time"),
    minor("retry_time"),
)
_ENTRY_COLUMNS = (
    Column("job_id"),
    right("score"),
    Column("polite"),
    Column("claim"),
    right("claim_ttl"),
    right("runs"),
    wide("data"),
    right("data_ttl"),
)

_count_option = click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
_prompt_option = click.option("--prompt", is_flag=True, help="Show prompts too.")


@command(name="jobs")
@filter_options
@_count_option
@_prompt_option
async def jobs(
    *,
    output: Output,
    data_dir: Path | None,
    count: int,
    prompt: bool,
    **options: Unpack[FilterOptions],
) -> None:
    """List jobs in the order of their ids: open ones and dead letters, unless --state is given."""
    found = await _listed(data_dir, filter_of(options), options["tenant"], count, prompt=prompt)
    output.show({"jobs": document_of(found)}, job_table(found, with_prompt=prompt))


@command(name="dead")
@filter_options
@_count_option
@_prompt_option
async def dead(
    *,
    output: Output,
    data_dir: Path | None,
    count: int,
    prompt: bool,
    **options: Unpack[FilterOptions],
) -> None:
    """List dead letters: jobs that failed for good, to be retried or discarded."""
    wanted = filter_of(options)
    if wanted.state not in {None, JobState.DEAD}:
        raise click.UsageError("Dead letters have the state dead; leave --state out.")
    wanted = replace(wanted, state=JobState.DEAD)
    found = await _listed(data_dir, wanted, options["tenant"], count, prompt=prompt)
    output.show({"jobs": document_of(found)}, job_table(found, with_prompt=prompt))


@command(name="show")
@click.argument("generation_id")
@_prompt_option
async def show(*, output: Output, data_dir: Path | None, generation_id: str, prompt: bool) -> None:
    """Show a job: where it is, every attempt at it, and what Redis has of it."""
    async with connected(data_dir) as connection:
        found = await connection.queues.get_job(generation_id, include_prompt=prompt)
    output.show(
        document_of(found),
        job_table([found.job], with_prompt=prompt),
        Table(_ATTEMPT_COLUMNS, list(map(_attempt, found.attempts))),
        Table(_ENTRY_COLUMNS, [_entry(found)]),
    )


async def _listed(
    data_dir: Path | None, wanted: JobFilter, tenant: str, count: int, *, prompt: bool
) -> Sequence[Job]:
    found: list[Job] = []
    async with connected(data_dir) as connection:
        async for job in connection.queues.list_jobs(
            wanted, tenant=tenant, include_prompt=prompt, page_size=min(count, _PAGE_SIZE_MAX)
        ):
            found.append(job)
            if len(found) == count:
                break
    return found


def _attempt(attempt: JobAttempt) -> list[str]:
    charged = "-" if attempt.charged is None else format_amount(attempt.charged, "USD")
    return [
        str(attempt.attempt),
        attempt.state,
        attempt.provider,
        attempt.model,
        attempt.error_class,
        attempt.error_reason,
        attempt.error_body or attempt.error_message,
        format_amount(attempt.estimate, "USD"),
        f"{charged} (presumed)" if attempt.presumed_spent else charged,
        attempt.reservation_id,
        attempt.remote_id,
        attempt.request_id,
        *map(
            time_text,
            (
                attempt.create_time,
                attempt.dispatch_time,
                attempt.settle_time,
                attempt.retry_time,
            ),
        ),
    ]


def _entry(found: JobDetail) -> list[str]:
    entry = found.entry
    return [
        entry.job_id,
        "-" if entry.score is None else f"{entry.score:.0f}",
        "yes" if entry.polite else "no",
        entry.claim or "-",
        span_text(entry.claim_ttl),
        str(entry.run_count),
        entry.data,
        span_text(entry.data_ttl),
    ]
