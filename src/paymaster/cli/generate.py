"""`paymaster generate`: from a prompt, or a file of them, to files and answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from clients.errors import DeadlineExceeded, NearMatches, Unavailable
from clients.generation_types import Generation, GenerationState, Kind, Reuse
from clients.requests import new_key
from paymaster.cli.base import choice, command
from paymaster.cli.cache_tables import suggestion_table
from paymaster.cli.connection import Connection, connected
from paymaster.cli.documents import document_of
from paymaster.cli.exits import CommandFailed, ExitCode
from paymaster.cli.generation_tables import model_text
from paymaster.cli.money import format_usd
from paymaster.cli.output import Column, Output, Table, count_of, minor, note, one_line, right, wide
from paymaster.cli.prompts import check_prompt, read_prompts
from paymaster.cli.runs import (
    Steering,
    StillOpen,
    Wanted,
    fetch_all,
    fetch_texts,
    follow,
    submit_all,
)
from paymaster.cli.steering import steering_options

_PROBLEMS_SHOWN_MAX = 10
_NO_WORKER_SECONDS = 3.0
_COLUMNS = (
    Column("generation"),
    Column("state"),
    Column("model"),
    minor("size"),
    minor("quality"),
    Column("cached"),
    right("cost"),
    right("saved"),
    wide("files"),
)
_SUMMARY_COLUMNS = tuple(
    right(name) for name in ("prompts", "made", "cached", "denied", "failed", "cost", "saved")
)


class Made(NamedTuple):
    """What was fetched, by generation: paths of files written, and answers of chat."""

    files: Mapping[str, list[str]]
    texts: Mapping[str, list[str]]


@command(name="generate")
@click.argument("prompt", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="PROMPTS.txt",
    help="A file with a prompt on each line, in place of PROMPT; - for standard input.",
)
@click.option("--account", required=True, metavar="ID", help="The account that pays.")
@click.option("--kind", type=choice(Kind), default=Kind.IMAGE, show_default=True)
@click.option("--model", default="", help="A model of `paymaster models`; else the quality's own.")
@click.option(
    "--size",
    default="",
    metavar="WORD",
    help="Of an image such as 1024x1024, which is meant by none; of a video such as 720p.",
)
@click.option("--quality", default="", help="premium if not given, standard, or a model's own.")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="How many of each: 1 to 10.",
)
@steering_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files to this folder.",
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the end.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.option(
    "--key",
    metavar="TEXT",
    help="The idempotency key: the same command with the same key pays once. With --file each line"
    " gets its own, with the line's number behind it.",
)
async def generate(
    *,
    output: Output,
    data_dir: Path | None,
    prompt: str | None,
    file: Path | None,
    account: str,
    kind: Kind,
    model: str,
    size: str,
    quality: str,
    count: int,
    steering: Steering,
    out: Path | None,
    wait: bool,
    timeout: float,  # noqa: ASYNC109  # The option's value; it is kept by counting, not by cancelling.
    key: str | None,
) -> None:
    """Make images, answers or videos from a prompt or many.

    Of chat the answer is printed. Exit code 3 if a budget denied any, else 1 if any failed.
    """
    if (prompt is None) == (file is None):
        raise click.UsageError("Give either PROMPT or --file.")
    if steering.reuse is Reuse.SUGGEST and file is not None:
        raise click.UsageError("--reuse suggest is for one PROMPT: it answers what is near it.")
    if out is not None and not wait:
        raise click.UsageError("--out needs --wait: there is nothing to write yet.")
    run_key = key or new_key()
    prompts = _keyed(prompt, file, run_key)
    wanted = Wanted(account, kind, model, size, quality, count, steering)
    async with connected(data_dir) as connection:
        try:
            with _progress(len(prompts), output) as advance:
                generations = await submit_all(connection.generations, wanted, prompts)
                for warning in dict.fromkeys(item.warning for item in generations if item.warning):
                    note(f"warning: {warning}")
                if wait:
                    generations = await _wait(connection, generations, timeout, advance)
        except NearMatches as near:
            _show_suggestions(output, near)
            return
        except (StillOpen, Unavailable, DeadlineExceeded, asyncio.CancelledError):
            note(f"What was submitted goes on. To take it up again, add: --key {run_key}")
            raise
        made = Made(
            files=await fetch_all(connection.generations, generations, out) if out else {},
            texts=await fetch_texts(connection.generations, generations) if wait else {},
        )
    if file is not None and wait:
        _show_summary(output, generations, made)
    elif made.texts and not output.as_json:
        _show_texts(generations, made)
    else:
        _show(output, generations, made)
    raise_for(generations)


def _keyed(prompt: str | None, file: Path | None, run_key: str) -> list[tuple[str, str]]:
    """Return each prompt with its idempotency key. Raises BadParameter."""
    if file is not None:
        prompts = read_prompts(file)
        return [(f"{run_key}-{number}", line) for number, line in enumerate(prompts, start=1)]
    assert prompt is not None, "one of both is given"
    try:
        return [(run_key, check_prompt(prompt))]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="PROMPT") from None


async def _wait(
    connection: Connection,
    generations: Sequence[Generation],
    seconds_max: float,
    advance: Callable[[], None],
) -> list[Generation]:
    watch = asyncio.create_task(_warn_without_worker(connection))
    try:
        return await follow(
            connection.generations, generations, seconds_max=seconds_max, on_end=advance
        )
    finally:
        watch.cancel()


async def _warn_without_worker(connection: Connection) -> None:
    await asyncio.sleep(_NO_WORKER_SECONDS)
    if not (await connection.admin.get_status()).workers:
        note("No worker is running, so the generations wait. `paymaster worker` starts one.")


@contextmanager
def _progress(total: int, output: Output) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal's standard error; gives the function that moves it by one."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    )
    shown = sys.stderr.isatty() and not output.as_json
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not shown
    ) as progress:
        task = progress.add_task("generating", total=total)
        yield lambda: progress.advance(task)


def _show(output: Output, generations: Sequence[Generation], made: Made) -> None:
    rows = [
        [
            item.generation_id,
            item.state,
            model_text(item),
            item.size,
            item.quality,
            item.cached or "-",
            format_usd(item.cost),
            format_usd(item.saved),
            one_line(made.files.get(item.generation_id, [])),
        ]
        for item in generations
    ]
    output.show(_document(generations, made), Table(_COLUMNS, rows))


def _show_suggestions(output: Output, near: NearMatches) -> None:
    """Show what the cache has near the prompt; nothing was taken in, and so nothing has failed."""
    document = {"generations": [], "suggestions": document_of(near.suggestions)}
    output.show(document, suggestion_table(near.suggestions))
    note(
        "Nothing was taken in: the cache has what is near. To take one, give --accept ENTRY in"
        " place of --reuse; to have it made, leave --reuse away, or give another."
    )


def _show_summary(output: Output, generations: Sequence[Generation], made: Made) -> None:
    summary = summarise(generations)
    row = [
        format_usd(value) if name in ("cost", "saved") else str(value)
        for name, value in summary.items()
    ]
    output.show(
        {"summary": summary, **_document(generations, made)}, Table(_SUMMARY_COLUMNS, [row])
    )


def summarise(generations: Sequence[Generation]) -> dict[str, int]:
    """Return how many were made, cached, denied and failed, and micros of USD paid and saved."""
    states = [item.state for item in generations]
    succeeded = states.count(GenerationState.SUCCEEDED)
    cached = sum(1 for item in generations if item.cached)
    denied = states.count(GenerationState.DENIED)
    return {
        "prompts": len(generations),
        "made": succeeded - cached,
        "cached": cached,
        "denied": denied,
        "failed": len(generations) - succeeded - denied,
        "cost": sum(item.cost for item in generations),
        "saved": sum(item.saved for item in generations),
    }


def _show_texts(generations: Sequence[Generation], made: Made) -> None:
    """Print the answers of a chat, and on standard error what they cost."""
    for item in generations:
        click.echo("\n\n".join(map(_for_terminal, made.texts.get(item.generation_id, []))))
        paths = made.files.get(item.generation_id, [])
        written = f"; written to {one_line(paths)}" if paths else ""
        note(f"{item.generation_id} by {item.model} for {format_usd(item.cost)}{written}")


def _for_terminal(text: str) -> str:
    """Return a model's text without what a terminal would obey."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def _document(generations: Sequence[Generation], made: Made) -> dict[str, object]:
    return {
        "generations": [
            document_of(item)
            | {"files": made.files.get(item.generation_id, [])}
            | {"texts": made.texts.get(item.generation_id, [])}
            for item in generations
        ]
    }


def raise_for(generations: Sequence[Generation]) -> None:
    """Raise CommandFailed if any was denied or failed, with the reasons of the first few."""
    bad = [
        (number, item)
        for number, item in enumerate(generations, start=1)
        if item.state.final and item.state is not GenerationState.SUCCEEDED
    ]
    if not bad:
        return
    lines = [
        f"{f'line {number}: ' if len(generations) > 1 else ''}{item.state.lower()}:"
        f" {item.error_reason}: {item.error_message}"
        for number, item in bad[:_PROBLEMS_SHOWN_MAX]
    ]
    if len(bad) > len(lines):
        lines.append(f"and {len(bad) - len(lines)} more")
    if len(generations) > 1:
        lines.insert(0, f"{count_of(len(bad), 'generation')} of {len(generations)} came to nothing")
    denied = any(item.state is GenerationState.DENIED for _, item in bad)
    raise CommandFailed("\n".join(lines), ExitCode.DENIED if denied else ExitCode.ERROR)
