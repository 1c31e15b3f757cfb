"""`paymaster queues`: the queues in figures, what is paused, the workers, and what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from clients.queue_types import Finding, Queue, Queues, Severity, Worker
from paymaster.cli.base import command, group, reason_option
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.exits import CommandFailed
from paymaster.cli.output import (
    Column,
    Output,
    Table,
    count_of,
    minor,
    note,
    one_line,
    right,
    wide,
)
from paymaster.cli.queue_changes import cancel, discard, promote, requeue, retry
from paymaster.cli.queue_jobs import dead, jobs, show
from paymaster.cli.queue_limits import limits
from paymaster.cli.times import span_text

_COLUMNS = (
    Column("kind"),
    right("ready"),
    right("deferred"),
    right("running"),
    right("slots"),
    right("orphaned"),
    right("lost"),
    right("dead"),
    right("oldest_ready"),
    *map(minor, ("in_per_s", "out_per_s", "failed", "wait_p50", "wait_p95", "run_p50", "run_p95")),
    minor("stray"),
    Column("paused"),
    minor("drained"),
)
_WORKER_COLUMNS = (
    Column("worker"),
    minor("version"),
    Column("slots"),
    right("running"),
    wide("providers"),
    Column("state"),
    minor("start_time"),
    minor("beat_time"),
)
_FINDING_COLUMNS = (
    Column("severity"),
    Column("finding"),
    right("count"),
    wide("subjects"),
    wide("message"),
    wide("way_out"),
)
_INTERVAL_SECONDS = 2.0


@group
def queues() -> None:
    """See and steer the queues, their jobs and the workers."""


@command(queues, "ls")
async def list_queues(*, output: Output, data_dir: Path | None) -> None:
    """Show the queue of each kind in figures, and what is paused."""
    async with connected(data_dir) as connection:
        found = await connection.queues.list_queues()
    output.show(document_of(found), _table(found), _pauses(found))


@command(queues, "watch")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=_INTERVAL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait between two looks.",
)
@click.option(
    "--count", type=click.IntRange(min=1), help="How often to look; for ever if not given."
)
async def watch_queues(
    *, output: Output, data_dir: Path | None, interval: float, count: int | None
) -> None:
    """Show the queues again and again, until Ctrl-C.

    With --json each look is a document on a line of its own.
    """
    looks = 0
    async with connected(data_dir) as connection:
        while True:
            found = await connection.queues.list_queues()
            output.show_next(document_of(found), _table(found, timed=True), first=not looks)
            looks += 1
            if looks == count:
                return
            await asyncio.sleep(interval)


@command(queues, "pause")
@click.argument("target")
@reason_option
async def pause_queue(*, output: Output, data_dir: Path | None, target: str, reason: str) -> None:
    """Take nothing more from a queue, or ask nothing more of a provider; what runs, ends.

    TARGET is image, chat or video, all for every queue, or provider:NAME.
    """
    async with connected(data_dir) as connection:
        made = await connection.queues.pause_queue(target, reason=reason)
    if not made.changed:
        note(f"{target} was paused already.")
    output.show(
        {"pause": document_of(made)},
        Table(
            (Column("target"), Column("pause_time")), [[made.target, time_text(made.pause_time)]]
        ),
    )


@command(queues, "resume")
@click.argument("target")
@reason_option
async def resume_queue(*, output: Output, data_dir: Path | None, target: str, reason: str) -> None:
    """Undo a pause of the same target.

    A queue that is paused by its name stays so when all is resumed.
    """
    async with connected(data_dir) as connection:
        changed = await connection.queues.resume_queue(target, reason=reason)
    if not changed:
        note(f"{target} was not paused.")
    output.show(
        {"target": target, "changed": changed},
        Table((Column("target"), Column("changed")), [[target, "yes" if changed else "no"]]),
    )


@command(queues, "workers")
async def list_workers(*, output: Output, data_dir: Path | None) -> None:
    """List the workers that are alive, with what they run."""
    async with connected(data_dir) as connection:
        found = await connection.queues.list_workers()
    output.show({"workers": document_of(found)}, Table(_WORKER_COLUMNS, list(map(_worker, found))))


@command(queues, "doctor")
async def doctor(*, output: Output, data_dir: Path | None) -> None:
    """Look for what is wrong, and say what to do; exit 1 if work stands still until then."""
    async with connected(data_dir) as connection:
        found = await connection.queues.diagnose()
    output.show(
        {"findings": document_of(found)}, Table(_FINDING_COLUMNS, list(map(_finding, found)))
    )
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    if errors:
        raise CommandFailed(f"{count_of(len(errors), 'finding')} to act on.")
    if output.for_people and not found:
        note("All is well.")


for made in (jobs, show, dead, retry, discard, cancel, promote, requeue, limits):
    queues.add_command(made)


def _table(found: Queues, *, timed: bool = False) -> Table:
    """Return the queues as a table; one that is `timed` begins with when they were read."""
    read = [time_text(found.read_time)] if timed else []
    window = found.window.total_seconds() or 1.0
    columns = (Column("read_time"), *_COLUMNS) if timed else _COLUMNS
    return Table(columns, [[*read, *_row(item, window, found.read_time)] for item in found.queues])


def _row(queue: Queue, window: float, read: datetime | None) -> Sequence[str]:
    age = read - queue.oldest_ready_time if read and queue.oldest_ready_time else None
    share = queue.failed_share
    return [
        queue.kind.lower(),
        *(
            str(count)
            for count in (
                queue.ready_count,
                queue.deferred_count,
                queue.running_count,
                queue.slot_count,
                queue.orphaned_count,
                queue.lost_count,
                queue.dead_count,
            )
        ),
        span_text(age),
        f"{queue.submitted_count / window:.2f}",
        f"{queue.ended_count / window:.2f}",
        "-" if share is None else f"{share:.0%}",
        *map(span_text, (queue.wait_p50, queue.wait_p95, queue.run_p50, queue.run_p95)),
        str(queue.stray_count),
        time_text(queue.pause_time),
        time_text(queue.drain_time),
    ]


def _pauses(found: Queues) -> Table:
    rows = [[pause.target, time_text(pause.pause_time)] for pause in found.pauses]
    return Table((Column("paused"), Column("since")), rows)


def _worker(worker: Worker) -> list[str]:
    return [
        worker.worker,
        worker.version,
        one_line(f"{kind.lower()} {count}" for kind, count in worker.slots),
        str(len(worker.generation_ids)),
        one_line(worker.providers),
        "stopping" if worker.stopping else "working",
        time_text(worker.start_time),
        time_text(worker.beat_time),
    ]


def _finding(finding: Finding) -> list[str]:
    return [
        finding.severity,
        finding.finding,
        str(finding.count),
        one_line(finding.subjects),
        finding.message,
        finding.way_out,
    ]
