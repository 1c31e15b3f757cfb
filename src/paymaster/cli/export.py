"""`paymaster export`: the usage log, for other programs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from clients.export_types import UsageExportFormat
from clients.usage_types import UsageFilter
from paymaster.cli.base import choice, command
from paymaster.cli.connection import connected
from paymaster.cli.destination import destination, output_option
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.output import Column, Output, Table, right
from paymaster.cli.times import time_option
from paymaster.cli.usage_filters import account_option, tenant_option, usage_filter

_SUMMARY_COLUMNS = (Column("path"), right("event_count"), Column("end_time"))


@command(name="export")
@tenant_option
@account_option
@click.option(
    "--format",
    "form",
    type=choice(UsageExportFormat),
    default=UsageExportFormat.CSV,
    help="CSV, which is the default; a JSON document on each line; or CSV with FOCUS 1.2 columns.",
)
@time_option("--since", "Only events of this time or later.")
@time_option("--until", "Only events before this time.")
@usage_filter
@output_option
async def export(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    account: str,
    form: UsageExportFormat,
    since: datetime | None,
    until: datetime | None,
    chosen: UsageFilter,
    path: Path | None,
) -> None:
    """Write the usage log as CSV, JSON lines or FOCUS 1.2.

    Events are in the order of tenants and of their operations. With --json, which needs --output,
    it says how many there were, and up to when everything is there.
    """
    if output.as_json and path is None:
        raise click.UsageError("--json needs --output; for events as JSON give --format jsonl.")
    count, end = 0, None
    async with connected(data_dir) as connection, destination(path) as write:
        pieces = connection.usage.export_usage(
            form=form,
            tenant=tenant,
            account=account,
            start_time=since,
            end_time=until,
            filter=chosen,
        )
        async for piece in pieces:
            await write(piece.content)
            count, end = piece.event_count, piece.end_time
    if path is not None:
        summary = {"path": str(path), "event_count": count, "end_time": document_of(end)}
        row = [str(path), str(count), time_text(end)]
        output.show(summary, Table(_SUMMARY_COLUMNS, [row]))
