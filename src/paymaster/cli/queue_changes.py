"""`paymaster queues retry`, `discard`, `cancel`, `promote` and `requeue`: one job, or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack

import click

from clients.queue_types import JobChange, JobFilter
from paymaster.cli.base import command, reason_option
from paymaster.cli.connection import Connection, connected
from paymaster.cli.output import Column, Output, Table, count_of, note
from paymaster.cli.queue_filters import FilterOptions, filter_of, filter_options

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _changing(function: _Command) -> _Command:
    """Declare what the commands have in common that change jobs."""
    for declare in (
        reason_option,
        click.option("--dry-run", is_flag=True, help="Say what would be changed; change nothing."),
        click.option("--all", "every", is_flag=True, help="Every job that this is for."),
        filter_options,
        click.argument("generation_ids", nargs=-1, metavar="[ID]..."),
    ):
        function = declare(function)
    return function


@command(name="retry")
@_changing
async def retry(**given: Any) -> None:
    """Try dead letters again, each under a new reservation."""
    await _change("retry_jobs", **given)


@command(name="discard")
@_changing
async def discard(**given: Any) -> None:
    """Leave dead letters as the failures that they are."""
    await _change("discard_jobs", **given)


@command(name="cancel")
@_changing
async def cancel(**given: Any) -> None:
    """Cancel jobs that are open: at once what waits, soon what runs."""
    await _change("cancel_jobs", **given)


@command(name="promote")
@_changing
async def promote(**given: Any) -> None:
    """Move jobs that wait to the front of their queue, to run now."""
    await _change("promote_jobs", **given)


@command(name="requeue")
@_changing
async def requeue(**given: Any) -> None:
    """Enqueue jobs anew that nobody is at work on."""
    await _change("requeue_jobs", **given)


async def _change(
    method: str,
    *,
    output: Output,
    data_dir: Path | None,
    generation_ids: Sequence[str],
    every: bool,
    dry_run: bool,
    reason: str,
    **options: Unpack[FilterOptions],
) -> None:
    chosen = _chosen(generation_ids, filter_of(options), options["tenant"], every=every)
    async with connected(data_dir) as connection:
        made = await _call(connection, method)(
            chosen, tenant=options["tenant"], dry_run=dry_run, reason=reason
        )
    output.show(
        {
            "generation_ids": list(made.generation_ids),
            "more": made.more,
            "dry_run": dry_run,
        },
        Table((Column("generation_id"),), [[name] for name in made.generation_ids]),
    )
    _tell(made, generation_ids, dry_run=dry_run)


def _chosen(
    generation_ids: Sequence[str], wanted: JobFilter, tenant: str, *, every: bool
) -> Sequence[str] | JobFilter:
    """Return what was chosen: ids, or a filter."""
    is_filtered = wanted != JobFilter() or bool(tenant)
    if sum((bool(generation_ids), is_filtered, every)) != 1:
        raise click.UsageError(
            "Give the ids of jobs, or options such as --error that choose them, or --all."
        )
    return generation_ids or wanted


def _tell(made: JobChange, generation_ids: Sequence[str], *, dry_run: bool) -> None:
    done = "would be changed" if dry_run else "changed"
    note(f"{count_of(len(made.generation_ids), 'job')} {done}.")
    passed_over = len(set(generation_ids) - set(made.generation_ids))
    if passed_over:
        note(
            f"{count_of(passed_over, 'job')} passed over: not there, or in a state that this is not"
            " for; `paymaster queues show` says which."
        )
    if made.more:
        note("More jobs fit; run the command again for them.")


def _call(connection: Connection, method: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(connection.queues, method)
    return found
