"""`paymaster usage show` and `events`: sums of the usage log, and its events."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from clients.usage_types import (
    UsageDimension,
    UsageEvent,
    UsageFilter,
    UsageInterval,
    UsageOrder,
    UsageSpan,
)
from paymaster.cli.base import choice, command
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, local_time
from paymaster.cli.output import Output, note
from paymaster.cli.times import time_option
from paymaster.cli.usage_filters import (
    account_option,
    since_option,
    tenant_option,
    until_option,
    usage_filter,
)
from paymaster.cli.usage_tables import event_table, report_tables

_COUNT_DEFAULT = 50
_GROUPS_MAX = 1_000


@command(name="show")
@tenant_option
@account_option
@since_option
@until_option
@click.option(
    "--span",
    type=choice(UsageSpan),
    help="This hour, day, week, month or year, or all; the last 30 days if no time is given.",
)
@click.option(
    "--by",
    "group_by",
    type=choice(UsageDimension),
    multiple=True,
    help="What to group by; up to four times.",
)
@click.option("--every", "interval", type=choice(UsageInterval), help="The steps of a series.")
@click.option(
    "--order",
    type=choice(UsageOrder),
    default=UsageOrder.CHARGED,
    show_default=True,
    help="What groups are ordered by, the largest first, and what bars are of.",
)
@click.option(
    "--count",
    type=click.IntRange(1, _GROUPS_MAX),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many groups.",
)
@click.option("--entries", is_flag=True, help="The entries of the cache that were used most, too.")
@usage_filter
async def show(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    account: str,
    since: datetime | None,
    until: datetime | None,
    span: UsageSpan | None,
    group_by: tuple[UsageDimension, ...],
    interval: UsageInterval | None,
    order: UsageOrder,
    count: int,
    entries: bool,
    chosen: UsageFilter,
) -> None:
    """Sum what was used: in all, step by step, and in groups.

    `usage show --by account` has those who were charged most, `--by model --by quality` what each
    has cost.
    """
    async with connected(data_dir) as connection:
        report = await connection.usage.query_usage(
            tenant=tenant,
            account=account,
            start_time=since,
            end_time=until,
            span=span,
            filter=chosen,
            group_by=group_by,
            interval=interval,
            order_by=order,
            top_entries=entries,
            page_size=count,
        )
    tables = report_tables(report, group_by, interval, order, with_bars=output.for_people)
    output.show(document_of(report), *tables)
    if output.for_people:
        # As the steps of a series, whose days are of this time zone.
        zone = report.time_zone
        start, end = (local_time(moment, zone) for moment in (report.start_time, report.end_time))
        note(f"From {start} to {end} ({zone}).")
        if report.complete_until is not None:
            note(f"Complete up to {local_time(report.complete_until, zone)} ({zone}).")
        if report.group_count > len(report.groups):
            note(f"{len(report.groups)} of {report.group_count} groups; --count has more.")


@command(name="events")
@tenant_option
@account_option
@time_option("--since", "Only events of this time or later.")
@time_option("--until", "Only events before this time.")
@click.option("--generation", default="", metavar="ID", help="Only those of this generation.")
@click.option("--reservation", default="", metavar="ID", help="Only those of this reservation.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
@usage_filter
async def events(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    account: str,
    since: datetime | None,
    until: datetime | None,
    generation: str,
    reservation: str,
    count: int,
    chosen: UsageFilter,
) -> None:
    """List the events of the usage log, the latest first. `paymaster export` has all of them."""
    found: list[UsageEvent] = []
    async with connected(data_dir) as connection:
        listed = connection.usage.list_usage_events(
            tenant=tenant,
            account=account,
            start_time=since,
            end_time=until,
            filter=chosen,
            generation_id=generation,
            reservation_id=reservation,
            page_size=min(count, 500),
        )
        async for event in listed:
            found.append(event)
            if len(found) == count:
                break
    output.show({"events": document_of(found)}, event_table(found))
