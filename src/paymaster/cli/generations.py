"""`paymaster generations`: what was asked for, what became of it, and what to do with it now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import click

from clients.generation_types import Generation, GenerationState, Kind, Visibility
from clients.requests import new_key
from paymaster.cli.accounts import account_argument
from paymaster.cli.base import choice, command, group
from paymaster.cli.connection import connected
from paymaster.cli.documents import document_of, time_text
from paymaster.cli.generate import raise_for
from paymaster.cli.generation_tables import artifact_table, field_table, follow, generation_table
from paymaster.cli.output import Column, Output, Table, minor, note, wide
from paymaster.cli.runs import download_made, find_made
from paymaster.cli.times import parse_span, time_option

_COUNT_DEFAULT = 100

_generation_argument = click.argument("generation_id", metavar="GENERATION")
_generations_argument = click.argument(
    "generation_ids", metavar="GENERATION...", nargs=-1, required=True
)


@group
def generations() -> None:
    """List generations; follow, stop, retry and download them."""


@command(generations, "ls")
@account_argument
@click.option("--kind", type=choice(Kind), help="Only what makes this.")
@click.option("--state", type=choice(GenerationState), help="Only those in this state.")
@click.option("--model", default="", metavar="NAME", help="Only what this model has made.")
@click.option("--favourites", is_flag=True, help="Only favourites.")
@click.option("--parent", default="", metavar="ID", help="Only what was made anew of this one.")
@time_option("--since", "Only those submitted at this time or later.")
@time_option("--until", "Only those submitted before this time.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=_COUNT_DEFAULT,
    show_default=True,
    help="At most this many.",
)
async def list_generations(
    *,
    output: Output,
    data_dir: Path | None,
    account: str,
    kind: Kind | None,
    state: GenerationState | None,
    model: str,
    favourites: bool,
    parent: str,
    since: datetime | None,
    until: datetime | None,
    count: int,
) -> None:
    """List the generations of an account, the latest first."""
    found: list[Generation] = []
    async with connected(data_dir) as connection:
        listed = connection.generations.list_generations(
            account,
            kind=kind,
            state=state,
            model=model,
            favourites_only=favourites,
            parent_id=parent,
            start_time=since,
            end_time=until,
        )
        async for generation in listed:
            found.append(generation)
            if len(found) == count:
                break
    _show(output, found)


@command(generations, "show")
@_generation_argument
async def show_generation(*, output: Output, data_dir: Path | None, generation_id: str) -> None:
    """Show all about a generation, and what it made."""
    async with connected(data_dir) as connection:
        found = await connection.generations.get(generation_id)
    output.show(
        {"generation": document_of(found)}, field_table(found), artifact_table(found.artifacts)
    )
    if output.for_people and found.error_message:
        note(f"{found.error_reason}: {found.error_message}")


@command(generations, "watch")
@_generation_argument
async def watch_generation(*, output: Output, data_dir: Path | None, generation_id: str) -> None:
    """Follow a generation to its end: its state, and how far it has come.

    Exit code 3 if a budget denied it, 1 if it failed or was cancelled. Ctrl-C ends the watch alone.
    With --json each change is a document on a line of its own.
    """
    async with connected(data_dir) as connection:
        ended = await follow(output, connection.generations.watch(generation_id))
    raise_for([ended])


@command(generations, "cancel")
@_generations_argument
async def cancel_generations(
    *, output: Output, data_dir: Path | None, generation_ids: Sequence[str]
) -> None:
    """Cancel generations: what only waits at once, what is at work soon, if it can be stopped.

    A call that can't be stopped is delivered and paid.
    """
    async with connected(data_dir) as connection:
        found = [await connection.generations.cancel(name) for name in generation_ids]
    _show(output, found)


@command(generations, "retry")
@_generations_argument
async def retry_generations(
    *, output: Output, data_dir: Path | None, generation_ids: Sequence[str]
) -> None:
    """Try generations that failed anew, each under a new reservation."""
    async with connected(data_dir) as connection:
        found = [await connection.generations.retry(name) for name in generation_ids]
    _show(output, found)


@command(generations, "regenerate")
@_generation_argument
@click.option(
    "--key",
    metavar="TEXT",
    help="The idempotency key: the same command with the same key pays once.",
)
async def regenerate(
    *, output: Output, data_dir: Path | None, generation_id: str, key: str | None
) -> None:
    """Ask for another one of the same; its account pays again."""
    async with connected(data_dir) as connection:
        parent = await connection.generations.get(generation_id)
        made = await connection.generations.regenerate(parent, idempotency_key=key or new_key())
    if made.warning:
        note(f"warning: {made.warning}")
    _show(output, [made])


@command(generations, "favourite")
@_generations_argument
async def favourite(
    *, output: Output, data_dir: Path | None, generation_ids: Sequence[str]
) -> None:
    """Mark generations as favourites, which are kept for as long as they are."""
    await _update(output, data_dir, generation_ids, favourite=True)


@command(generations, "unfavourite")
@_generations_argument
async def unfavourite(
    *, output: Output, data_dir: Path | None, generation_ids: Sequence[str]
) -> None:
    """Let generations be no favourites any more."""
    await _update(output, data_dir, generation_ids, favourite=False)


@command(generations, "publish")
@_generations_argument
async def publish(*, output: Output, data_dir: Path | None, generation_ids: Sequence[str]) -> None:
    """Show what was made to everybody who knows its URL."""
    await _update(output, data_dir, generation_ids, visibility=Visibility.PUBLIC)


@command(generations, "unpublish")
@_generations_argument
async def unpublish(
    *, output: Output, data_dir: Path | None, generation_ids: Sequence[str]
) -> None:
    """Show what was made to callers of the tenant alone."""
    await _update(output, data_dir, generation_ids, visibility=Visibility.PRIVATE)


@command(generations, "url")
@click.argument("name", metavar="GENERATION|ARTIFACT")
@click.option(
    "--ttl",
    type=parse_span,
    metavar="SPAN",
    help="For how long: 90s, 10m, 2h or 1d, at most 7d; 1h if not given.",
)
async def url(*, output: Output, data_dir: Path | None, name: str, ttl: timedelta | None) -> None:
    """Make URLs by which a browser shows what was made; what is public has ones that do not end."""
    rows = []
    async with connected(data_dir) as connection:
        for artifact in (await find_made(connection.generations, name)).artifacts:
            made = await connection.generations.artifact_url(artifact, ttl=ttl)
            rows.append((artifact.artifact_id, made))
    output.show(
        {"urls": [{"artifact_id": name, **document_of(made)} for name, made in rows]},
        Table(
            (minor("artifact_id"), minor("expire_time"), Column("url")),
            [[name, time_text(made.expire_time), made.url] for name, made in rows],
        ),
    )


@command(generations, "download")
@click.argument("name", metavar="GENERATION|ARTIFACT")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="The folder; this one if not given.",
)
async def download(*, output: Output, data_dir: Path | None, name: str, out: Path) -> None:
    """Write what was made to files; each is there only once it is whole."""
    async with connected(data_dir) as connection:
        found = await find_made(connection.generations, name)
        paths = await download_made(connection.generations, found, out)
    output.show({"files": paths}, Table((wide("file"),), [[path] for path in paths]))


async def _update(
    output: Output,
    data_dir: Path | None,
    generation_ids: Sequence[str],
    *,
    favourite: bool | None = None,
    visibility: Visibility | None = None,
) -> None:
    async with connected(data_dir) as connection:
        found = [
            await connection.generations.update(name, favourite=favourite, visibility=visibility)
            for name in generation_ids
        ]
    _show(output, found)


def _show(output: Output, found: Sequence[Generation]) -> None:
    output.show({"generations": document_of(found)}, generation_table(found))
