"""`paymaster cache`: what was served in place of being made, what may be, and what was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from clients.cache_types import CacheEntry
from clients.generation_types import Kind, SettingsFields
from paymaster.cli.base import choice, command, group, reason_option
from paymaster.cli.cache_eval import evaluate
from paymaster.cli.cache_policy import policy
from paymaster.cli.cache_tables import (
    entry_table,
    hit_table,
    report_table,
    stats_tables,
    suggestion_table,
)
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of
from paymaster.cli.output import Output, Table, note, right
from paymaster.cli.steering import context_option, settings_options
from paymaster.cli.times import parse_span, time_option

_COUNT_DEFAULT = 100

_tenant_option = click.option(
    "--tenant", default="", metavar="ID", help="Only of this tenant; by default of all."
)


@group
def cache() -> None:
    """See and steer the similarity cache, which saves calls."""


@command(cache, "stats")
@_tenant_option
@click.option("--account", default="", metavar="ID", help="Only of this account and those below.")
@time_option("--since", "Only what was looked up or served at this time or later.")
@time_option("--until", "Only what was looked up or served before this time.")
async def show_stats(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    account: str,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Count look-ups, hits by stage, what they saved, reports, and the gate's bounds."""
    async with connected(data_dir) as connection:
        found = await connection.cache.stats(
            tenant=tenant, account=account, start_time=since, end_time=until
        )
    output.show({"stats": document_of(found)}, *stats_tables(found))


@command(cache, "search")
@click.argument("prompt")
@click.option("--account", required=True, metavar="ID", help="The account that would ask for it.")
@click.option("--kind", type=choice(Kind), default=Kind.IMAGE, show_default=True)
@click.option("--model", default="", help="The model that would make it; else the quality's own.")
@click.option("--size", default="", metavar="WORD", help="As of `generate`.")
@click.option("--quality", default="", help="As of `generate`.")
@click.option(
    "-n", "--count", type=click.IntRange(1, 10), default=1, show_default=True, help="How many."
)
@settings_options
@context_option
async def search(
    *,
    output: Output,
    data_dir: Path | None,
    prompt: str,
    account: str,
    kind: Kind,
    model: str,
    size: str,
    quality: str,
    count: int,
    settings: SettingsFields,
    context: Mapping[str, Sequence[str]],
) -> None:
    """Look for what the cache has near a request; nothing is served, taken in or changed.

    The nearest come first, each with what it would save, and why the cache would not serve it by
    itself. `paymaster generate --accept ENTRY` takes one.
    """
    async with connected(data_dir) as connection:
        found = await connection.cache.suggest(
            account,
            prompt,
            kind=kind,
            model=model,
            size=size,
            quality=quality,
            count=count,
            context=context,
            **settings,
        )
    output.show({"suggestions": document_of(found)}, suggestion_table(found))
    if output.for_people and not found:
        note("Nothing near.")


@command(cache, "ls")
@click.argument("tenant")
@click.option("--text", default="", help="Only those with this in their prompt, in any case.")
@click.option("--kind", type=choice(Kind), help="Only what is this.")
@click.option("--model", default="", metavar="NAME", help="Only what this model has made.")
@click.option("--stage", default="", metavar="WORD", help="Only those that this stage has served.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
async def list_entries(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    text: str,
    kind: Kind | None,
    model: str,
    stage: str,
    count: int,
) -> None:
    """List what the cache of a tenant may serve, the latest first."""
    found: list[CacheEntry] = []
    async with connected(data_dir) as connection:
        listed = connection.cache.list_entries(
            tenant, text=text, kind=kind, model=model, stage=stage, page_size=min(count, 500)
        )
        async for entry in listed:
            found.append(entry)
            if len(found) == count:
                break
    output.show({"entries": document_of(found)}, entry_table(found))


@command(cache, "show")
@click.argument("entry_id", metavar="ENTRY")
async def show_entry(*, output: Output, data_dir: Path | None, entry_id: str) -> None:
    """Show an entry, and what it was served for."""
    async with connected(data_dir) as connection:
        found = await connection.cache.get_entry(entry_id)
    output.show(document_of(found), entry_table([found.entry]), hit_table(found.hits))


@command(cache, "report")
@click.argument("generation_id", metavar="GENERATION")
@click.option(
    "--match/--mismatch",
    default=False,
    show_default="mismatch",
    help="Whether what was served is what was asked for.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why.")
async def report(
    *, output: Output, data_dir: Path | None, generation_id: str, match: bool, reason: str
) -> None:
    """Say that what the cache has served is not what was asked for; or, by --match, that it is.

    A pair that does not match is never served again, and what was saved is booked back.
    """
    async with connected(data_dir) as connection:
        made = await connection.cache.report(generation_id, match=match, reason=reason)
    if made.replayed:
        note(f"{generation_id} had this verdict already.")
    output.show({"report": document_of(made)}, report_table(made))


@command(cache, "purge")
@_tenant_option
@click.option("--entry", default="", metavar="ID", help="Only this entry.")
@click.option("--model", default="", metavar="NAME", help="Only what this model has made.")
@click.option(
    "--older-than",
    type=parse_span,
    metavar="SPAN",
    help="Only what was kept that long ago: 90s, 10m, 2h, 7d.",
)
@click.option("--all", "every", is_flag=True, help="Every entry that the token may remove.")
@click.option("--dry-run", is_flag=True, help="Count only; remove nothing.")
@reason_option
async def purge(
    *,
    output: Output,
    data_dir: Path | None,
    tenant: str,
    entry: str,
    model: str,
    older_than: timedelta | None,
    every: bool,
    dry_run: bool,
    reason: str,
) -> None:
    """Remove entries that fit all that is given; what was made stays."""
    if any((tenant, entry, model, older_than)) == every:
        raise click.UsageError("Give --tenant, --entry, --model or --older-than, or else --all.")
    async with connected(data_dir) as connection:
        removed = await connection.cache.purge(
            tenant=tenant,
            entry_id=entry,
            model=model,
            older_than=older_than,
            dry_run=dry_run,
            reason=reason,
        )
    output.show(
        {"entry_count": removed, "dry_run": dry_run}, Table((right("entries"),), [[str(removed)]])
    )
    if output.for_people:
        done = "would be removed" if dry_run else "removed"
        note(f"{removed} {done}.")


for _made in (policy, evaluate):
    cache.add_command(_made)
